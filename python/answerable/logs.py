"""What answerable has to say, as records of `logging.getLogger("answerable")`.

Silent until somebody listens:

    logging.basicConfig(level=logging.INFO)

The binary queues what it says, and a thread of its own makes the records: no handler runs while
something of the engine's is locked, and a level that nobody listens to costs a comparison.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from answerable import _core

if TYPE_CHECKING:
    import logging

__all__ = ["ours", "start"]

_LOCK = threading.Lock()
_started = False


def ours() -> logging.Logger:
    """The logger; `logging` is loaded by whoever says or hears something first."""
    import logging

    return logging.getLogger("answerable")


def start() -> None:
    """Connects the binary with `logging`, the first time it is called."""
    global _started
    with _LOCK:
        if _started:
            return
        _started = True
    import logging

    logger = ours()
    logger.addHandler(logging.NullHandler())
    # `logging` empties this memory of levels whenever any level in the program changes, which is
    # when the binary has to hear of it.
    logger._cache = _Levels(logger)  # type: ignore[attr-defined]
    _core.log_to(_emit)
    _tell(logger)


class _Levels(dict[int, bool]):
    """The memory of which levels a logger is enabled for; tells the binary when it is emptied."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger

    def clear(self) -> None:
        super().clear()
        _tell(self._logger)


def _tell(logger: logging.Logger) -> None:
    level = max(logger.getEffectiveLevel(), logger.manager.disable + 1)
    _core.log_level(min(max(level, 0), 60))


def _emit(
    messages: list[tuple[int, float, str, str, str, list[tuple[str, str]]]], dropped: int
) -> None:
    """Makes records of messages; called from the binary's own thread."""
    logger = ours()
    if dropped:
        logger.warning("%d messages came too fast and were dropped", dropped)
    for level, at, thread, place, text, fields in messages:
        if not logger.isEnabledFor(level):
            continue
        record = logger.makeRecord("answerable", level, place, 0, text, (), None, place)
        record.created, record.msecs = at, at % 1 * 1000
        record.relativeCreated = (at - _begun()) * 1000
        record.threadName = thread or record.threadName
        record.fields = dict(fields)
        logger.handle(record)


def _begun() -> float:
    """When `logging` was loaded: what its records count from."""
    import logging

    start: Any = getattr(logging, "_startTime", 0.0)
    return start / 1e9 if isinstance(start, int) else float(start)
