"""Entries as they come."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from answerable import marks
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

    `cursor` is where another goes on.
    """

    def __init__(self, trail: Trail, *, after: Entry | str | int | None = None, **filters: Any):
        for name in ("before", "until", "order"):
            if name in filters:
                raise TypeError(f"follow() got an unexpected keyword argument {name!r}")
        self._trail = trail
        self._filters = filters
        self._waiting: deque[Entry] = deque()
        if after is None:
            place = len(trail)
        elif isinstance(after, str) and marks.is_mark(after):
            place = marks.read(trail, after)
        elif isinstance(after, int):
            # What lies behind it is looked for: it has to be there itself.
            place = marks.at_number(trail, after)
            place = trail.get(place).index + 1
        else:
            place = trail.get(after).index + 1
        self._marks = marks.Marks(trail, place)
        self._seen = place
        trail.entries(
            **filters
        )  # What is wrong with a filter is told here, not at the first entry.

    @property
    def cursor(self) -> str:
        """Behind the last entry that was looked at: `after=` of another, in another process too.

        A text to be kept as it is. In a store that was put back to an older state it leads to the
        last place that both have, so that nothing of what came then is left out.
        """
        return str(self._marks)

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
                if self._marks.place != self._seen:
                    self._marks.go(self._seen)
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
            return None
        entry = self._waiting.popleft()
        self._marks.step(entry.index, entry.id)
        return entry

    def __repr__(self) -> str:
        return f"<entries as they come, from {self._marks.place} on>"
