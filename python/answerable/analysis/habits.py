"""What is new or unusual in what agents do, by plain statistics that say why."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from answerable.analysis.answer import Answer
from answerable.analysis.questions import COUNT, TEXT, TIME, runs
from answerable.analysis.record import Calls, record_of
from answerable.errors import InvalidInput
from answerable.showing import text_of

__all__ = ["first_times", "rate_anomalies"]

# What a resource lies in: its first segment, with the host of a URL.
_AREA = r"(?s)\A(?P<area>url:[^:]*://[^/]*|path:/?[^/]*|[^/]*)"
A = {"minute": "a", "hour": "an", "day": "a"}
# With two busy hours neither can be far from the median of both.
_HABIT = 3
PER = {"minute": 60, "hour": 3_600, "day": 86_400}


def first_times(
    source: Any, *, since: Any = "7d", least: int = 50, effect: str | None = None
) -> Answer:
    """What agents did for the first time: a tool, or an area of resources, never touched before.

    An area is the first segment of a resource, or the host of a URL. By the rule of three, what
    did not happen in n calls happens in fewer than 3 of n, with 95 % confidence: that is how
    surprising it is, and it is said. An agent with few calls before is not judged.

    Args:
        source: An engine, a record, an exported file or a folder.
        since: From when on something counts as new.
        least: How many calls an agent must have made before.
        effect: `"allow"` looks at what was allowed alone: what an agent was refused it never did.
    """
    record = record_of(source)
    calls = record.calls
    if effect is not None:
        calls = calls.where(pc.equal(calls["effect"], effect))
    start = np.datetime64(record.moment(since).replace(tzinfo=None), "us")
    areas = _areas(calls)
    rows: list[dict[str, Any]] = []
    young: dict[str, int] = {}
    places, histories = _histories(calls)
    for what, column in (("tool", calls["tool"]), ("area", areas)):
        table = pa.table({"agent": calls["agent"], what: column, "at": calls["at"]})
        table = table.append_column("row", pa.array(np.arange(len(calls))))
        table = table.filter(pc.and_(pc.is_valid(table["agent"]), pc.is_valid(table[what])))
        # Of several at one time the first in the trail: rows come in its order.
        made = table.group_by(["agent", what], use_threads=False).aggregate(
            [("row", "first"), ([], "count_all")]
        )
        at = calls["at"].take(made["row_first"]).to_numpy().astype("datetime64[us]")
        new = made.filter(pa.array(at >= start)).to_pylist()
        for row in new:
            index = row["row_first"]
            history = histories[places[row["agent"]]]
            before = int(np.searchsorted(history, index))
            if before < least:
                young.setdefault(row["agent"], index)
                continue
            rows.append(
                {
                    "row": index,
                    "what": what,
                    "new": row[what],
                    "before": before,
                    "since_then": row["count_all"],
                    "expected_below": 3 / before,
                }
            )
    shown = calls.table.take(pa.array([row["row"] for row in rows], pa.int64())).to_pylist()
    for row, call in zip(rows, shown, strict=True):
        row |= {name: call[name] for name in ("at", "effect", "via", "resource")}
        row |= {"agent": call["agent_name"], "human": call["human_name"], "entry": call["id"]}
        row["why"] = (
            f"in {row['before']:,} calls before it, never {_of(row)}: below "
            f"{row['expected_below']:.2%} of its calls, with 95 % confidence"
        )
    rows.sort(key=lambda row: (-row["before"], row["row"], row["what"]))
    agents = {row["agent"] for row in rows}
    sentence = (
        f"{len(rows):,} first times of {len(agents):,} agents since "
        f"{text_of(record.moment(since))} UTC"
        + (f"; the least expected: {rows[0]['agent']}, {_of(rows[0])}." if rows else ".")
    )
    schema: dict[str, Any] = {"agent": TEXT, "what": TEXT, "new": TEXT, "at": TIME, "effect": TEXT}
    schema |= {"before": COUNT, "since_then": COUNT, "why": TEXT, "human": TEXT, "via": TEXT}
    schema |= {"resource": TEXT, "entry": TEXT, "expected_below": pa.float64()}
    hidden = ["human", "via", "resource", "entry", "expected_below"]
    notes = []
    if young:
        # Whoever is not judged is not acquitted.
        named = calls.table.take(pa.array(sorted(young.values()), pa.int64()))["agent_name"]
        some = _some(named.to_pylist())
        notes.append(f"not judged, with fewer than {least} calls before something new: {some}")
    return Answer("first times", sentence, rows, schema, notes=notes, hidden=hidden)


def rate_anomalies(
    source: Any,
    *,
    per: str = "hour",
    since: Any = None,
    least: int = 20,
    score: float = 8.0,
) -> Answer:
    """When agents called far more often than they do: by their own median, not by others'.

    For each agent the calls of each busy hour are counted. An hour stands out if it is `score`
    spreads above the agent's median. The spread is the median absolute deviation times 1.4826 (a
    standard deviation, were it normal), and never below the square root of the median, which is
    what chance alone makes of a steady rate. Hours without a call do not count: nights would make
    every morning an anomaly. An agent with fewer than three such hours has no habit to be far from
    and is not judged; it is named in the notes.

    Args:
        source: An engine, a record, an exported file or a folder.
        per: `"minute"`, `"hour"` or `"day"`.
        since: Only what stands out since then is told; the habit is drawn from all.
        least: The fewest calls that stand out.
        score: How many spreads above the median.
    """
    if per not in PER:
        raise InvalidInput("per is minute, hour or day")
    record = record_of(source)
    calls = record.calls
    size = PER[per] * 1_000_000
    slot = pc.divide(pc.cast(calls["at"], pa.int64()), size)
    table = pa.table({"agent": calls["agent"], "slot": slot, "no": _refused(calls)})
    table = table.filter(pc.is_valid(table["agent"]))
    made = table.group_by(["agent", "slot"], use_threads=False).aggregate(
        [([], "count_all"), ("no", "sum")]
    )
    encoded = made["agent"].combine_chunks()
    codes, counts = encoded.indices.to_numpy(), made["count_all"].to_numpy()
    slots, refused = made["slot"].to_numpy(), made["no_sum"].to_numpy()
    order = np.argsort(codes, kind="stable")
    begin = None if since is None else record.moment(since)
    names, rows = encoded.dictionary.to_pylist(), []
    labels = _labels(calls)
    young: list[str] = []
    for first, last in runs(codes[order]):
        own = order[first:last]
        if len(own) < _HABIT:
            if begin is None or _instant((int(slots[own].max()) + 1) * size) > begin:
                name = names[codes[own[0]]]
                young.append(labels.get(name, name))
            continue
        median = float(np.median(counts[own]))
        spread = 1.4826 * float(np.median(np.abs(counts[own] - median)))
        floor = max(spread, median**0.5)
        for place in own[(counts[own] >= least) & (counts[own] >= median + score * floor)]:
            at = _instant(int(slots[place]) * size)
            if begin is not None and at + timedelta(seconds=PER[per]) <= begin:
                continue
            count = int(counts[place])
            other = counts[own[own != place]]
            busiest = int(other.max()) if len(other) else 0
            above = (count - median) / floor
            rows.append(
                {
                    "agent": labels.get(names[codes[place]], names[codes[place]]),
                    "at": at,
                    "calls": count,
                    "refused": int(refused[place]),
                    "median": median,
                    "spread": floor,
                    "score": above,
                    "why": f"{count:,} calls in {A[per]} {per}; the median of its {len(own):,} "
                    f"busy {per}s is {median:g}, the busiest other {busiest:,}: {above:.1f} "
                    f"spreads of {floor:.3g} above",
                    "agent_id": names[codes[place]],
                }
            )
    rows.sort(key=lambda row: (-row["score"], row["at"], row["agent_id"]))
    sentence = f"{len(rows):,} {per}s in which an agent called far more often than it does" + (
        f"; the furthest: {rows[0]['agent']}, {rows[0]['why']}." if rows else "."
    )
    real = pa.float64()
    schema: dict[str, Any] = {"agent": TEXT, "at": TIME, "calls": COUNT, "refused": COUNT}
    schema |= {"median": real, "spread": real, "score": real, "why": TEXT, "agent_id": TEXT}
    hidden = ["median", "spread", "agent_id"]
    notes = []
    if young:
        notes.append(
            f"not judged, with calls in fewer than {_HABIT} {per}s: {_some(sorted(young))}"
        )
    return Answer(f"unusual rates per {per}", sentence, rows, schema, notes=notes, hidden=hidden)


def _some(names: list[Any]) -> str:
    """The first of several names, and how many more there are."""
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(map(str, names[:5])) + more


def _areas(calls: Calls) -> Any:
    """The area of each call's resource."""
    encoded = calls["resource"].combine_chunks().dictionary_encode()
    areas = pc.struct_field(pc.extract_regex(encoded.dictionary, _AREA), "area")
    return areas.take(encoded.indices).dictionary_encode()


def _histories(calls: Calls) -> tuple[dict[str, int], list[Any]]:
    """The rows of each agent's calls, ascending, and the place of each agent."""
    agents = calls["agent"].combine_chunks()
    valid = np.flatnonzero(pc.is_valid(agents).to_numpy(zero_copy_only=False))
    codes = pc.fill_null(agents.indices, -1).to_numpy()[valid]
    order = np.argsort(codes, kind="stable")
    names = agents.dictionary.to_pylist()
    starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
    rows = [valid[order[first:last]] for first, last in pairwise(starts)]
    return {name: place for place, name in enumerate(names)}, rows


def _refused(calls: Calls) -> Any:
    return pc.cast(pc.not_equal(calls["effect"], "allow"), pa.int64())


def _labels(calls: Calls) -> dict[str, str]:
    made = calls.table.group_by(["agent", "agent_name"], use_threads=False).aggregate([])
    return {row["agent"]: row["agent_name"] for row in made.to_pylist() if row["agent"]}


def _instant(micros: int) -> Any:
    return pa.scalar(micros, pa.timestamp("us", "UTC")).as_py()


def _of(row: dict[str, Any]) -> str:
    return f"{row['new']}" if row["what"] == "tool" else f"anything in {row['new']}"
