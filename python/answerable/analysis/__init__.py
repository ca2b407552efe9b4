"""A trail as an auditor asks it: questions, pictures and a case to hand over.

    from answerable import analysis

    record = analysis.read(engine)          # or an exported file, or a folder of Parquet
    analysis.refusals(record, since="7d")

Each question answers with a sentence, a frame and both shown well in a notebook; docs/analysis.md
has them all. They need `pip install answerable[notebook]`; `cedar` needs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from answerable.analysis.cedar import cedar

if TYPE_CHECKING:
    from answerable.analysis.answer import Answer
    from answerable.analysis.causes import refusals
    from answerable.analysis.drawing import Picture
    from answerable.analysis.graph import delegation_graph
    from answerable.analysis.habits import first_times, rate_anomalies
    from answerable.analysis.handover import Case, case
    from answerable.analysis.pictures import heat_map, refusals_over_time, scope_use, timeline
    from answerable.analysis.questions import approvals, below, gaps, in_name_of, who_did
    from answerable.analysis.reach import Narrowing, blast_radius, unused
    from answerable.analysis.record import Record, read
    from answerable.analysis.review import access_review

__all__ = [
    "Answer",
    "Case",
    "Narrowing",
    "Picture",
    "Record",
    "access_review",
    "approvals",
    "below",
    "blast_radius",
    "case",
    "cedar",
    "delegation_graph",
    "first_times",
    "gaps",
    "heat_map",
    "in_name_of",
    "rate_anomalies",
    "read",
    "refusals",
    "refusals_over_time",
    "scope_use",
    "timeline",
    "unused",
    "who_did",
]

_PLACES = {
    "answer": ("Answer",),
    "drawing": ("Picture",),
    "habits": ("first_times", "rate_anomalies"),
    "handover": ("Case", "case"),
    "graph": ("delegation_graph",),
    "pictures": ("heat_map", "refusals_over_time", "scope_use", "timeline"),
    "questions": ("approvals", "below", "gaps", "in_name_of", "who_did"),
    "reach": ("Narrowing", "blast_radius", "unused"),
    "record": ("Record", "read"),
    "causes": ("refusals",),
    "review": ("access_review",),
}
_WHERE = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Questions are imported when they are asked: they bring pyarrow and numpy."""
    from importlib import import_module

    place = _WHERE.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{place}"), name)
    except ImportError as error:
        from answerable.errors import InvalidInput

        if (error.name or "").partition(".")[0] not in ("numpy", "pyarrow"):
            raise
        raise InvalidInput(
            f"{error.name} is not installed", hint="pip install 'answerable[notebook]'"
        ) from error


def __dir__() -> list[str]:
    return __all__
