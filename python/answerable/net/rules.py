"""Rules at work: reviews in a thread of its own, webhooks in another, off every caller's way."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Any

from answerable import _core
from answerable.errors import EngineClosed, Error
from answerable.net import webhooks

__all__ = ["Runner"]

log = logging.getLogger("answerable")

NAP = 0.2
# What waits for its webhook; what finds no room is found again by the next review.
WAITING = 256
# Findings that come of time passing alone are looked for this often, in seconds.
IDLE = 60.0


class Runner:
    """Has the rules of an engine act while it is open.

    Args:
        engine: The engine.
        every: The least time between two reviews, in seconds.
    """

    def __init__(self, engine: _core.Engine, *, every: float = 1.0) -> None:
        self._follower = _core.Follower(engine)
        self._every = every
        self._stopped = threading.Event()
        self._waiting: queue.Queue[tuple[_core.Rule, _core.Finding, str | None] | None] = (
            queue.Queue(WAITING)
        )
        self._under_way: set[tuple[str, ...]] = set()
        self.error: BaseException | None = None
        self._threads = [
            threading.Thread(target=target, name=f"answerable-{name}", daemon=True)
            for name, target in (("rules", self._review), ("webhooks", self._deliver))
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stops it: what is under way ends in bounded time and is found again if it did not."""
        self._stopped.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2.0)

    def _review(self) -> None:
        seen, looked = -1, 0.0
        try:
            while not self._stopped.is_set():
                size = self._follower.wait(max(seen, 0), NAP)
                now = time.monotonic()
                if now - looked < (self._every if size != seen else IDLE) and seen >= 0:
                    self._stopped.wait(NAP if size != seen else 0)
                    continue
                seen, looked = size, now
                for rule, finding, secret in self._follower.run_rules():
                    key = (rule.id, finding.code, *finding.subjects)
                    if key not in self._under_way and not self._waiting.full():
                        self._under_way.add(key)
                        self._waiting.put_nowait((rule, finding, secret))
        except EngineClosed:
            return
        except Exception as error:
            # A rule that cannot act any more must be heard of.
            self.error = error
            log.exception("the rules have stopped")

    def _deliver(self) -> None:
        while not self._stopped.is_set():
            try:
                one = self._waiting.get(timeout=NAP)
            except queue.Empty:
                continue
            if one is None:
                return
            rule, finding, secret = one
            told = rule.url is not None and webhooks.send(
                rule.url, record(rule, finding), secret, sleep=self._stopped.wait
            )
            try:
                self._follower.delivered(rule, finding, told)
            except EngineClosed:
                return
            except Error as error:
                log.warning("what a rule did was not recorded: %s", error.code)
            self._under_way.discard((rule.id, finding.code, *finding.subjects))


def record(rule: _core.Rule, finding: _core.Finding) -> dict[str, Any]:
    """What a webhook is told."""
    return {
        "answerable": "finding",
        "rule": rule.id,
        "set_by": rule.by,
        "code": finding.code,
        "severity": finding.severity,
        "subjects": finding.subjects,
        "why": finding.why,
        "suggestion": finding.suggestion,
    }
