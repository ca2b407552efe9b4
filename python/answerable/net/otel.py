"""OpenTelemetry: the engine's metrics through observable instruments.

Needs `opentelemetry-api` where it runs, and an SDK that exports; neither is imported before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from answerable import _core

__all__ = ["instrument"]


def instrument(engine: _core.Engine, *, meter: Any = None) -> None:
    """Registers the engine's metrics; they are read when an exporter collects.

    Args:
        engine: The engine.
        meter: The meter to register with; that of the global provider without it.

    A histogram is told as two counters, `…_sum` and `…_count`: it is kept by the engine, and an
    observable instrument has no histogram.

    Raises:
        InvalidInput: `opentelemetry-api` is not installed.
    """
    from answerable.errors import InvalidInput

    try:
        metrics: Any = importlib.import_module("opentelemetry.metrics")
    except ImportError as error:
        raise InvalidInput(
            "OpenTelemetry is not installed", hint="pip install 'answerable[otel]'"
        ) from error
    meter = meter or metrics.get_meter("answerable")

    def observe(name: str, part: str) -> Callable[[Any], Iterable[Any]]:
        def read(_: Any) -> Iterable[Any]:
            if not _open(engine):
                return
            for sample in engine.samples():
                if sample["name"] == name:
                    value = sample["sum"] if part == "sum" else sample["value"]
                    yield metrics.Observation(value, sample["labels"])

        return read

    # Counters by code and tool appear with their first count; their names are known before.
    kinds = {sample["name"]: sample for sample in engine.samples()}
    extra = {
        "answerable_refusals_total": "Decisions that did not allow, by the code that decided.",
        "answerable_tool_decisions_total": "Decisions by tool and effect.",
    }
    for name, text in extra.items():
        kinds.setdefault(name, {"kind": "counter", "help": text})
    for name, sample in kinds.items():
        said = sample["help"]
        if sample["kind"] == "gauge":
            meter.create_observable_gauge(name, [observe(name, "")], description=said)
        elif sample["kind"] == "counter":
            meter.create_observable_counter(name, [observe(name, "")], description=said)
        else:
            for part in ("sum", "count"):
                meter.create_observable_counter(
                    f"{name}_{part}", [observe(name, part)], description=said
                )


def _open(engine: _core.Engine) -> bool:
    from answerable.errors import StoreError

    try:
        engine.samples()
    except StoreError:
        return False  # In a forked child the parent tells.
    return True
