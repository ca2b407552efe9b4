"""Who did this, for whom, under what: questions that an auditor asks first."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from answerable.analysis.answer import Answer
from answerable.analysis.patterns import covers_tool
from answerable.analysis.record import Calls, Record, record_of
from answerable.errors import InvalidInput
from answerable.showing import text_of

__all__ = ["approvals", "below", "gaps", "grouped", "in_name_of", "many", "runs", "who_did"]

TEXT = pa.string()
TEXTS = pa.list_(pa.string())
COUNT = pa.int64()
TIME = pa.timestamp("us", "UTC")
APART = timedelta(seconds=60)  # Calls cut off within a minute of each other: one end of a process.


def who_did(
    source: Any,
    tool: str | None = None,
    resource: str | None = None,
    *,
    entry: str | None = None,
    effect: str | None = "allow",
    since: Any = None,
    until: Any = None,
) -> Answer:
    """Who did this: the humans accountable, through which agents, how often and when.

    Args:
        source: An engine, a record, an exported file or a folder.
        tool: A pattern of tools.
        resource: A pattern of resources.
        entry: One call, by the id of its entry.
        effect: `"allow"` for what was done; `"deny"` for what was tried; None for both.
        since: Not before.
        until: Before.
    """
    record = record_of(source)
    if entry is not None:
        calls = record.calls.where(pc.equal(record.calls["id"], str(getattr(entry, "id", entry))))
        if not len(calls):
            raise InvalidInput("there is no such call", hint="the id of a decision's entry, ent_…")
        asked = "who made this call"
    else:
        calls = record.select(tool=tool, resource=resource, effect=effect, since=since, until=until)
        asked = f"who called {tool or 'anything'}" + (f" on {resource}" if resource else "")
    rows = grouped(calls, ["human_name", "human", "via", "tool"])
    notes, unknown = [], 0
    if entry is None and resource is not None:
        others = record.select(tool=tool, effect=effect, since=since, until=until)
        unknown = others["resource"].null_count
    if unknown:
        # What was erased must not read as an acquittal.
        some = "1 call shows" if unknown == 1 else f"{unknown:,} calls show"
        notes.append(f"{some} no resource besides: there was none, or it was erased or withheld")
    if not rows:
        sentence = "Nobody that can be told." if unknown else "Nobody."
        if tool is not None and not any(covers_tool(tool, one) for one in record.tools()):
            # A name that is spelt wrongly must not read as an acquittal.
            notes.append(f"no call in all of this trail was of a tool that `{tool}` means")
    elif entry is not None:
        one = calls.table.to_pylist()[0]
        on = f" on {one['resource']}" if one["resource"] else ""
        what = {"allow": "allowed", "deny": "refused", "ask": "to be approved"}
        sentence = (
            f"{_who(one)}, called {one['tool'] or '(invalid name)'}{on} at "
            f"{text_of(one['at'])} UTC: {what.get(one['effect'], one['effect'])}."
        )
    else:
        humans = {row["human"] for row in rows}
        first = rows[0]
        sentence = (
            f"{len(calls):,} calls in the name of {_count(humans, 'human')}; most by "
            f"{_who(first)}: {first['calls']:,} between {text_of(first['first'])} and "
            f"{text_of(first['last'])} UTC."
        )
    schema = {"human_name": TEXT, "via": TEXT, "tool": TEXT, "calls": COUNT, "refused": COUNT}
    schema |= {"resources": COUNT, "tasks": COUNT, "first": TIME, "last": TIME, "human": TEXT}
    return Answer(asked, sentence, rows, schema, notes=notes, hidden=["human"])


def in_name_of(source: Any, human: Any, *, since: Any = None, until: Any = None) -> Answer:
    """Everything that was done, or tried, in the name of a human: by task, agents and tool."""
    record = record_of(source)
    calls = record.select(human=human, since=since, until=until)
    rows = grouped(calls, ["task", "via", "tool"])
    sentences = record.sentences([row["task"] for row in rows], human=human)
    for row in rows:
        row["stated"] = sentences.get(row["task"])
    rows.sort(
        key=lambda row: (row["first"], row["task"] or "", row["via"] or "", row["tool"] or "")
    )
    name = calls["human_name"][0].as_py() if len(calls) else str(getattr(human, "id", human))
    refused = sum(row["refused"] for row in rows)
    agents = len(pc.unique(calls.hops["agent"]))
    tasks = {row["task"] for row in rows}
    sentence = (
        f"{len(calls):,} calls in the name of {name}, for {_count(tasks, 'task')}, through "
        f"{many(agents, 'agent')}; {refused:,} of them refused."
    )
    schema = {"stated": TEXT, "via": TEXT, "tool": TEXT, "calls": COUNT, "refused": COUNT}
    schema |= {"resources": COUNT, "first": TIME, "last": TIME, "task": TEXT}
    return Answer(f"in the name of {name}", sentence, rows, schema, hidden=["task"])


def below(source: Any, grant: Any) -> Answer:
    """Everything below a grant: what was granted under it, and what was called."""
    record = record_of(source)
    book = record.near(grant=grant)
    root = book.grant(grant)
    calls = record.select(grant=root.id)
    # The last hop of each call is the grant that it was made under.
    own = _last_hops(calls)
    counted: dict[str, list[int]] = {}
    refused = _mask(calls, "effect", "allow", negate=True)
    for under, no in zip(own, refused, strict=True):
        of = counted.setdefault(under, [0, 0])
        of[0] += 1
        of[1] += int(no)
    rows = []
    for one in book.below(root):
        made, no = counted.get(one.id, (0, 0))
        rows.append(
            {
                "agent": book.label(one.agent),
                "depth": one.depth,
                "from": one.start,
                "ended": min(one.ended, one.until),
                "may": [words(capability) for capability in one.scope],
                "calls": made,
                "refused": no,
                "grant": one.id,
            }
        )
    tools = [tool for tool in pc.unique(calls["tool"]).to_pylist() if tool]
    sentence = (
        f"Under the grant of {book.label(root.agent)} in the name of {book.label(root.human)}: "
        f"{many(len(rows) - 1, 'further grant')}, {len(calls):,} calls of "
        f"{many(len(tools), 'tool')}, {int(refused.sum()):,} of them refused."
    )
    schema = {"agent": TEXT, "depth": COUNT, "from": TIME, "ended": TIME, "may": TEXTS}
    schema |= {"calls": COUNT, "refused": COUNT, "grant": TEXT}
    return Answer("below a grant", sentence, rows, schema, more={"calls": calls.table})


def approvals(source: Any, *, since: Any = None) -> Answer:
    """What humans were asked, what they answered, and how long it took them."""
    record = record_of(source)
    book = record.book
    start = None if since is None else record.moment(since)
    rows, yes_no, yes = [], [], 0
    for one in book.approvals.values():
        if start is not None and one.asked < start:
            continue
        took = None if one.answered is None else (one.answered - one.asked).total_seconds()
        if took is not None and one.answer in ("approved", "refused"):
            yes_no.append(took)
            yes += one.answer == "approved"
        rows.append(
            {
                "asked": one.asked,
                "agent": book.label(one.agent),
                "human": book.label(one.human),
                "tool": one.tool or "(access)",
                "answer": one.answer,
                "by": book.label(one.by) if one.by else None,
                "seconds": took,
                "approval": one.id,
                "decision": one.decision,
            }
        )
    waited = ""
    if yes_no:
        waited = (
            f" They took {_seconds(statistics.median(yes_no))} in the median and "
            f"{_seconds(max(yes_no))} at most."
        )
    sentence = (
        f"Humans were asked {many(len(rows), 'time')}: {yes} approved, {len(yes_no) - yes} "
        f"refused, {len(rows) - len(yes_no)} not answered.{waited}"
    )
    schema = {"asked": TIME, "agent": TEXT, "human": TEXT, "tool": TEXT, "answer": TEXT, "by": TEXT}
    schema |= {"seconds": pa.float64(), "approval": TEXT, "decision": TEXT}
    return Answer("approvals", sentence, rows, schema, hidden=["approval", "decision"])


def gaps(source: Any, *, since: Any = None, until: Any = None) -> Answer:
    """Allowed calls without an outcome: the process died, or they still run.

    Those within a minute of each other are taken for one end of a process.
    """
    record = record_of(source)
    calls = record.select(since=since, until=until)
    open_ = _mask(calls, "effect", "allow") & pc.is_null(calls["outcome"]).to_numpy(
        zero_copy_only=False
    )
    found = calls.where(open_)
    rows, deaths, before = [], 0, None
    for row in found.table.sort_by("at").to_pylist():
        if before is None or row["at"] - before > APART:
            deaths += 1
        before = row["at"]
        names = ("at", "human_name", "via", "tool", "resource", "task", "id")
        rows.append({"end": deaths, **{name: row[name] for name in names}})
    allowed = int(_mask(calls, "effect", "allow").sum())
    sentence = f"{many(len(rows), 'allowed call')} of {allowed:,} without an outcome" + (
        f", in {many(deaths, 'cluster')}." if rows else "."
    )
    notes = ["a call that still runs has none yet either"] if rows else []
    schema = {"end": COUNT, "at": TIME, "human_name": TEXT, "via": TEXT, "tool": TEXT}
    schema |= {"resource": TEXT, "task": TEXT, "id": TEXT}
    return Answer("outcomes missing", sentence, rows, schema, notes=notes, hidden=["task"])


# ------------------------------------------------------------------------------------- counting


def grouped(calls: Calls, keys: Sequence[str], more: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Calls counted by the values of columns, the most first."""
    refused = pc.cast(pc.not_equal(calls["effect"], "allow"), pa.int64())
    table = calls.table.append_column("refused", refused)
    made = table.group_by(list(keys), use_threads=False).aggregate(
        [
            ([], "count_all"),
            ("refused", "sum"),
            ("resource", "count_distinct"),
            ("task", "count_distinct"),
            ("at", "min"),
            ("at", "max"),
            *more,
        ]
    )
    names = {"count_all": "calls", "refused_sum": "refused", "at_min": "first", "at_max": "last"}
    names |= {"resource_count_distinct": "resources", "task_count_distinct": "tasks"}
    made = made.rename_columns([names.get(name, name) for name in made.column_names])
    rows: list[dict[str, Any]] = made.to_pylist()
    rows.sort(key=lambda row: (-row["calls"], row["first"], *(str(row[key]) for key in keys)))
    return rows


def runs(codes: Any) -> list[tuple[int, int]]:
    """Where each value of a sorted array begins and ends."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1)).tolist()
    return list(pairwise([*starts, len(codes)])) if starts else []


def words(capability: dict[str, Any]) -> str:
    """A capability, as it is signed, in words."""
    import json

    from answerable._core import scope_from_wire
    from answerable.errors import Error

    try:
        return str(scope_from_wire(json.dumps([capability]))[0])
    except Error:
        return f"{capability.get('tool')} (not readable)"


def _mask(calls: Calls, column: str, value: str, *, negate: bool = False) -> Any:
    compare = pc.not_equal if negate else pc.equal
    return pc.fill_null(compare(calls[column], value), negate).to_numpy(zero_copy_only=False)


def _last_hops(calls: Calls) -> list[str]:
    rows = calls.hops["row"].to_numpy()
    last = np.flatnonzero(np.diff(rows, append=-1) != 0)
    made: list[str] = calls.hops["grant"].take(pa.array(last)).to_pylist()
    return made


def _who(row: dict[str, Any]) -> str:
    if row["human"] == "none":
        return "nobody"
    return f"{row['human_name']} through {row['via']}" if row["via"] else str(row["human_name"])


def _count(some: set[Any], what: str) -> str:
    return many(len(some), what)


def many(count: int, what: str) -> str:
    """A count and its noun."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _seconds(seconds: float) -> str:
    return text_of(timedelta(seconds=seconds))


def _moment(record: Record, given: Any) -> datetime:
    return record.end if given is None else record.moment(given)
