"""Entries as they come."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from answerable.errors import EngineClosed

if TYPE_CHECKING:
    from answerable._core import Entry, Trail

__all__ = ["Follow"]

PATIENCE = 0.25  # Seconds that one wait takes at most, so that it can be interrupted.
AT_ONCE = 1000  # How many entries are read at once.


class Follow:
    """What `engine.trail.follow()` answers: entries as they become durable, in their order.

    It waits for the next entry; as an async iterator it waits in a thread. It ends when the engine
    is closed. A decision comes when it is recorded, before the call has ended; with
    `kind="outcome"` come the outcomes.

    Attributes:
        cursor: The place of the last entry that was looked at, -1 before the first: give it as
            `after=` to go on from there, in another process too.
    """

    def __init__(self, trail: Trail, *, after: Entry | str | int | None = None, **filters: Any):
        for name in ("before", "until", "order"):
            if name in filters:
                raise TypeError(f"follow() got an unexpected keyword argument {name!r}")
        self._trail = trail
        self._filters = filters
        self._waiting: deque[Entry] = deque()
        if after is None:
            after = len(trail) - 1
        elif not isinstance(after, int):
            after = trail.get(after).index
        self.cursor: int = after
        self._seen = after + 1
        trail.entries(
            **filters
        )  # What is wrong with a filter is told here, not at the first entry.

    def __iter__(self) -> Follow:
        return self

    def __next__(self) -> Entry:
        while True:
            entry = self._next()
            if entry is not None:
                return entry

    def __aiter__(self) -> Follow:
        return self

    async def __anext__(self) -> Entry:
        import asyncio  # Only who uses it pays for it.

        while True:
            # An entry is taken here and not in the thread, which outlives a task that is cancelled.
            if not self._waiting:
                await asyncio.to_thread(self._wait)
            try:
                entry = self._next(wait=False)
            except StopIteration:
                raise StopAsyncIteration from None
            if entry is not None:
                return entry

    def _wait(self) -> None:
        try:
            self._trail.wait(self._seen, PATIENCE)
        except EngineClosed:
            return  # Who reads next meets it.

    def _next(self, *, wait: bool = True) -> Entry | None:
        """The next entry, or None if there was none in time."""
        try:
            if not self._waiting:
                size = self._trail.wait(self._seen, PATIENCE if wait else 0.0)
                if size <= self._seen:
                    return None
                last = min(size, self._seen + AT_ONCE)
                found = self._trail.entries(
                    **self._filters, after=self._seen - 1 if self._seen else None, before=last
                )
                self._waiting.extend(found)
                self._seen = last
        except EngineClosed:
            raise StopIteration from None
        if not self._waiting:
            self.cursor = self._seen - 1
            return None
        entry = self._waiting.popleft()
        self.cursor = entry.index
        return entry

    def __repr__(self) -> str:
        return f"<entries as they come, after {self.cursor}>"
