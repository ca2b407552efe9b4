"""Watching: what happens, told to a callable; and rules, which act by themselves.

The trail is the queue. A watch keeps its place in it and reads on from there in a thread of its
own: a slow callable lags behind and misses nothing, one that raises is logged and counted, and
neither is felt by a governed call.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from answerable import _core, marks
from answerable.errors import EngineClosed, InvalidInput
from answerable.logs import ours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = ["Event", "Hub", "Rules", "Runner", "Watch", "close_all"]

BATCH = 256
# How long a thread sleeps before it looks whether it is to stop, in seconds.
NAP = 0.2
# Findings that come of time passing alone are looked for this often, in seconds.
IDLE = 60.0


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        kind: The entry's kind, such as `decision`; `finding` for a finding.
        entry: The entry; None for a finding.
        finding: What a review found; None for an entry.
        position: Where in the trail a watch goes on after it: `since=` of another, to be kept as
            the text that it is.
    """

    kind: str
    entry: _core.Entry | None
    finding: _core.Finding | None
    position: str


class Watch(contextlib.AbstractContextManager["Watch"]):
    """A callable that is told what happens; `engine.watch` makes it.

    Attributes:
        failures: How often the callable raised.
        error: What ended the watch by itself, such as a failing store; None while it runs.
    """

    def __init__(
        self,
        engine: _core.Engine,
        callback: Callable[[Event], object],
        *,
        kinds: Sequence[str] = ("decision",),
        findings: bool = True,
        since: str | int | None = None,
        every: float = 1.0,
    ) -> None:
        if not callable(callback):
            raise InvalidInput(f"expected a callable, not {type(callback).__name__}")
        listed = isinstance(kinds, (list, tuple, set, frozenset))
        if not listed or not all(isinstance(kind, str) for kind in kinds):
            raise InvalidInput('kinds is a list of kinds, such as ["decision", "halt"]')
        self._callback, self._kinds, self._every = callback, list(kinds), max(every, 0.05)
        self._follower = _core.Follower(engine)
        trail = engine.trail
        if since is None:
            place = len(trail)
        elif isinstance(since, str):
            place = marks.read(trail, since)
        else:
            place = marks.at_number(trail, since)
        self._marks = marks.Marks(trail, place)
        self.failures = 0
        self.error: BaseException | None = None
        self._known = self._found() if findings else None
        self._upto: int | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answerable-watch", daemon=True)
        self._thread.start()

    @property
    def position(self) -> str:
        """The place in the trail that it goes on from: `since=` of another watch.

        A text to be kept as it is. In a store that was put back to an older state it leads to the
        last place that both have, so that nothing of what came then is left out.
        """
        return str(self._marks)

    @property
    def running(self) -> bool:
        """Whether it still tells."""
        return self._thread.is_alive()

    def close(self, timeout: float = 2.0) -> None:
        """Tells what was recorded until now, and stops; what there was no time for is not lost.

        Args:
            timeout: How many seconds the callable gets for that; `position` says where it stopped.
        """
        if threading.current_thread() is self._thread:
            self._stopped.set()
            return
        with contextlib.suppress(EngineClosed):
            self._upto = self._follower.size()
        self._thread.join(timeout if self._upto is not None else 0)
        self._stopped.set()

    def _run(self) -> None:
        looked, seen = time.monotonic(), self._marks.place
        try:
            while not self._stopped.is_set():
                if self._upto is not None and self._marks.place >= self._upto:
                    return
                size = self._follower.wait(self._marks.place, NAP)
                if size > self._marks.place:
                    self._read()
                now = time.monotonic()
                due = now - looked >= (self._every if size != seen else IDLE)
                if self._known is not None and due:
                    looked, seen = now, size
                    self._look()
        except EngineClosed:
            return
        except BaseException as error:
            self.error = error
            ours().error("a watch has ended: %s", type(error).__name__)
            if not isinstance(error, Exception):
                raise

    def _read(self) -> None:
        entries, beyond = self._follower.read(self._marks.place, BATCH, self._kinds)
        for entry in entries:
            if self._stopped.is_set():
                return
            self._marks.step(entry.index, entry.id)
            self._tell(Event(entry.kind, entry, None, self.position))
        self._marks.go(beyond)

    def _look(self) -> None:
        known, found = self._known or {}, self._found()
        self._known = found
        for key, finding in found.items():
            if key not in known and not self._stopped.is_set():
                self._tell(Event("finding", None, finding, self.position))

    def _found(self) -> dict[tuple[str, ...], _core.Finding]:
        findings = self._follower.review().findings
        return {(one.code, *one.subjects): one for one in findings}

    def _tell(self, event: Event) -> None:
        try:
            self._callback(event)
        except Exception as error:  # noqa: BLE001 - a watcher's fault is its own.
            self.failures += 1
            # Its text may hold what must not be logged.
            ours().warning("a watcher raised %s", type(error).__name__)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.running else "stopped"
        return f"<watch {state} at {self._marks.place}, {self.failures} failures>"


class Runner(Protocol):
    """What has the rules act while an engine is open."""

    def close(self) -> None:
        """Stops it."""


class Rules(_core.Rules):
    """What is done by itself when a review finds something; `engine.rules`."""

    _start: Callable[[], None]

    def __new__(cls, engine: _core.Engine, start: Callable[[], None]) -> Rules:
        """The rules of an engine; `start` has them act from now on."""
        made: Rules = super().__new__(cls, engine)
        made._start = start
        return made

    def add(
        self,
        *,
        then: str,
        reason: str,
        on: str | None = None,
        severity: str = "info",
        secret: str | None = None,
        by: _core.Human | str | None = None,
    ) -> _core.Rule:
        """Sets a rule: it acts on what is found from now on, and on what is found already.

        Args:
            then: `"suspend"` or `"halt"` the agents of the finding, or the address of a webhook,
                `https://…` (`http://` on this machine only).
            reason: Why, in a sentence.
            on: The code of the findings, such as `"refusals_above_usual"`; any without it.
            severity: The least severity: `"info"`, `"low"`, `"medium"` or `"high"`.
            secret: What the webhook's messages are signed with.
            by: Who sets it; the operating system's account without it.

        Returns:
            The rule. It lasts until it is removed, over restarts too.

        Raises:
            InvalidInput: An address, severity or action that cannot be.
        """
        made = super().add(then=then, reason=reason, on=on, severity=severity, secret=secret, by=by)
        self._start()
        return made


# What makes a runner: the package sets it, for it speaks HTTP and stands above this file.
make_runner: Callable[[_core.Engine], Runner] | None = None
_hubs: weakref.WeakSet[Hub] = weakref.WeakSet()


class Hub:
    """What follows one engine: its watches, and what has its rules act."""

    def __init__(self, engine: _core.Engine) -> None:
        self._engine = engine
        self._watches: set[Watch] = set()
        self._runner: Runner | None = None
        self._lock = threading.Lock()
        _hubs.add(self)

    def watch(self, callback: Callable[[Event], object], **options: Any) -> Watch:
        """Starts a watch."""
        made = Watch(self._engine, callback, **options)
        with self._lock:
            self._watches = {one for one in self._watches if one.running} | {made}
        return made

    def run_rules(self) -> None:
        """Has the rules act from now on."""
        with self._lock:
            if self._runner is None and make_runner is not None:
                self._runner = make_runner(self._engine)

    def close(self) -> None:
        """Stops them all: what they had no time for stands in the trail."""
        with self._lock:
            runner, self._runner = self._runner, None
            watches, self._watches = self._watches, set()
        if runner is not None:
            runner.close()
        for watch in watches:
            watch.close()


def close_all() -> None:
    """Stops everything that follows an engine: called when the interpreter exits."""
    for hub in list(_hubs):
        hub.close()
