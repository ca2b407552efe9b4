"""Pictures of a trail: what was done when, how often, what was refused, granted and used."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from answerable.analysis.drawing import (
    ASKED,
    MARK,
    NO,
    SOFT,
    YES,
    Picture,
    Shape,
    bar,
    colour_of,
    line,
    rect,
    text,
)
from answerable.analysis.graph import refused_of, share_of
from answerable.analysis.questions import grouped, many
from answerable.analysis.reach import unused
from answerable.analysis.record import Calls, Record, record_of
from answerable.errors import InvalidInput
from answerable.showing import text_of

__all__ = ["drawn_timeline", "heat_map", "refusals_over_time", "scope_use", "timeline"]

ROW = 26  # The height of a line, in pixels.
MOST = 400  # The most calls that a timeline draws.
# Reasons in the order of their count; what is beyond is drawn as the last.
_HUES = (NO, ASKED, MARK, "#8a63b8", "#3f9aa3", "#b8578a", SOFT)


def timeline(source: Any, task: Any = None, **asked: Any) -> Picture:
    """What was done for one task, in its time: a line for each agent on the chain, calls in them.

    Args:
        source: An engine, a record, an exported file or a folder.
        task: The task, or its id.
        asked: Other filters, in place of a task or beside it.
    """
    record = record_of(source)
    if task is None and not asked:
        raise InvalidInput("a timeline is of a task, or of what a filter asks for")
    return drawn_timeline(record, record.select(task=task, **asked))


def drawn_timeline(record: Record, calls: Calls) -> Picture:
    """The timeline of some calls."""
    rows = calls.table.slice(0, MOST).to_pylist()
    if not rows:
        return Picture("Timeline", "no calls", [text(20, 30, "no calls")], 400, 50)
    ends = [row["at"] + timedelta(microseconds=row["duration_us"] or 0) for row in rows]
    start, end = rows[0]["at"], max(ends)
    span = max((end - start).total_seconds(), 1e-3)
    left, wide = 250, 640
    lanes: dict[str, float] = {}
    depth = {row["id"]: 0 for row in rows}
    for row in rows:  # A call within a call is drawn in it.
        depth[row["id"]] = depth.get(row["parent"], -1) + 1
    deepest = max(depth.values())
    high = ROW + 8 * deepest
    for row in rows:
        name = row["via"] or "(nobody)"
        lanes.setdefault(name, 40 + len(lanes) * high)
    shapes: list[str | Shape] = [
        line(left, 30, left + wide, 30),
        text(left, 22, f"{text_of(start)} UTC", kind="soft small", most=60),
        text(left + wide, 22, f"+ {text_of(timedelta(seconds=span))}", anchor="end", kind="small"),
    ]
    for name, y in lanes.items():
        hops = name.split(" → ")
        label = f"{'· ' * (len(hops) - 1)}{hops[-1]}"
        shapes.append(text(12, y + 15, label, most=34))
        shapes.append(line(left, y + high - 4, left + wide, y + high - 4, opacity=0.12))
    for row, over in zip(rows, ends, strict=True):
        x = left + wide * (row["at"] - start).total_seconds() / span
        long = wide * (over - row["at"]).total_seconds() / span
        y = lanes[row["via"] or "(nobody)"] + 4 + 8 * depth[row["id"]]
        shapes.append(
            rect(x - 1.5, y, max(long, 4), 13, fill=_colour(row), hover=_hover(row), opacity=0.85)
        )
    height = 40 + len(lanes) * high + 30
    shapes.append(_legend(left, height - 12, [("allowed", YES), ("refused", NO), ("asked", ASKED)]))
    more = f"; the first {MOST} of {len(calls):,}" if len(calls) > MOST else ""
    tasks = pc.unique(calls["task"]).to_pylist()
    sentence = record.sentences(tasks)[tasks[0]] if len(tasks) == 1 and tasks[0] else None
    title = f"Timeline: {sentence}" if sentence else "Timeline"
    description = (
        f"{many(len(calls), 'call')} of {many(len(lanes), 'chain')} in "
        f"{text_of(timedelta(seconds=span))}, {refused_of(calls):,} refused{more}"
    )
    columns = ("index", "at", "via", "tool", "resource", "effect", "reason", "outcome")
    told = [{name: row[name] for name in columns} for row in rows]
    return Picture(title, description, shapes, left + wide + 20, height, rows=told)


def _colour(row: dict[str, Any]) -> str:
    return {"allow": YES, "deny": NO}.get(row["effect"], ASKED)


def _hover(row: dict[str, Any]) -> str:
    on = f" on {row['resource']}" if row["resource"] else ""
    ended = f", {row['outcome']}" if row["outcome"] else ""
    why = f" ({row['reason']})" if row["reason"] else ""
    took = ""
    if row["duration_us"] is not None:
        took = f" after {text_of(timedelta(microseconds=row['duration_us']))}"
    return (
        f"{text_of(row['at'])} {row['tool']}{on}: {row['effect']}{why}{ended}{took} #{row['index']}"
    )


def heat_map(source: Any, *, most: int = 30, **asked: Any) -> Picture:
    """How often each agent called each tool; the redder, the more was refused.

    Args:
        source: An engine, a record, an exported file or a folder.
        most: The agents with the most calls.
        asked: Filters, as in `engine.trail.entries`.
    """
    record = record_of(source)
    calls = record.select(**asked)
    rows = [r for r in grouped(calls, ["agent", "agent_name", "tool"]) if r["agent"] and r["tool"]]
    agents: dict[str, int] = {}
    tools: dict[str, int] = {}
    names = {}
    for row in rows:
        agents[row["agent"]] = agents.get(row["agent"], 0) + row["calls"]
        tools[row["tool"]] = tools.get(row["tool"], 0) + row["calls"]
        names[row["agent"]] = row["agent_name"]
    down = sorted(agents, key=lambda one: (-agents[one], names[one]))[:most]
    across = sorted(tools)[:40]
    peak = max((row["calls"] for row in rows), default=1)
    left, top, wide, high = 210, 110, 56, 20
    shapes: list[str | Shape] = []
    told = []
    for at, tool in enumerate(across):
        x = left + at * wide + wide / 2
        shapes.append(
            f'<g transform="rotate(-40 {x:.1f} {top - 8})">{text(x, top - 8, tool, most=18)}</g>'
        )
    for at, agent in enumerate(down):
        shapes.append(text(left - 10, top + at * high + 14, names[agent], most=28, anchor="end"))
    place = {agent: at for at, agent in enumerate(down)}
    column = {tool: at for at, tool in enumerate(across)}
    for row in rows:
        if row["agent"] not in place or row["tool"] not in column:
            continue
        x, y = left + column[row["tool"]] * wide, top + place[row["agent"]] * high
        share = row["refused"] / row["calls"]
        hover = (
            f"{row['agent_name']} · {row['tool']}: {row['calls']:,} calls, "
            f"{row['refused']:,} refused ({share_of(row['refused'], row['calls'])})"
        )
        told.append(
            {
                "agent": row["agent_name"],
                "tool": row["tool"],
                "calls": row["calls"],
                "refused": row["refused"],
                "share": share_of(row["refused"], row["calls"]),
            }
        )
        opacity = 0.15 + 0.85 * (row["calls"] / peak) ** 0.5
        shapes.append(
            rect(
                x + 1,
                y + 1,
                wide - 2,
                high - 2,
                fill=colour_of(share),
                opacity=opacity,
                hover=hover,
            )
        )
    more = f", the {most} busiest of {len(agents)}" if len(agents) > most else ""
    description = (
        f"{len(calls):,} calls of {len(down)} agents{more} and {len(across)} tools; the busiest "
        f"pair has {peak:,}"
    )
    width = left + len(across) * wide + 70
    height = top + len(down) * high + 12
    return Picture("Agents × tools", description, shapes, max(width, 400), height, rows=told)


def refusals_over_time(source: Any, *, per: str = "day", **asked: Any) -> Picture:
    """Refusals by their reason over time, stacked.

    Args:
        source: An engine, a record, an exported file or a folder.
        per: `"hour"` or `"day"`.
        asked: Filters, as in `engine.trail.entries`.
    """
    if per not in ("hour", "day"):
        raise InvalidInput("per is hour or day")
    record = record_of(source)
    calls = record.select(effect="deny", **asked)
    slot = pc.floor_temporal(calls["at"], unit=per)
    table = pa.table({"slot": slot, "reason": calls["reason"]})
    made = (
        table.group_by(["slot", "reason"], use_threads=False)
        .aggregate([([], "count_all")])
        .to_pylist()
    )
    if not made:
        return Picture("Refusals over time", "none", [text(20, 30, "no refusals")], 400, 50)
    totals: dict[str, int] = {}
    for row in made:
        totals[row["reason"]] = totals.get(row["reason"], 0) + row["count_all"]
    reasons = sorted(totals, key=lambda one: (-totals[one], str(one)))
    hue = {reason: _HUES[min(at, len(_HUES) - 1)] for at, reason in enumerate(reasons)}
    step = timedelta(**{f"{per}s": 1})
    first = min(row["slot"] for row in made)
    count = int((max(row["slot"] for row in made) - first) / step) + 1
    left, top, wide, high = 50, 20, 720, 200
    thick = wide / count
    heights: dict[Any, int] = {}
    for row in made:
        heights[row["slot"]] = heights.get(row["slot"], 0) + row["count_all"]
    peak = max(heights.values())
    base: dict[Any, int] = {}
    told = []
    shapes: list[str | Shape] = [
        line(left, top + high, left + wide, top + high, opacity=0.5),
        text(left - 6, top + 10, f"{peak:,}", anchor="end", kind="small"),
        text(left - 6, top + high, "0", anchor="end", kind="small"),
        text(left, top + high + 18, f"{first:%Y-%m-%d}", kind="small"),
        text(
            left + wide,
            top + high + 18,
            f"{first + (count - 1) * step:%Y-%m-%d}",
            anchor="end",
            kind="small",
        ),
    ]
    for row in sorted(made, key=lambda row: reasons.index(row["reason"])):
        below = base.get(row["slot"], 0)
        base[row["slot"]] = below + row["count_all"]
        x = left + (row["slot"] - first) / step * thick
        tall = high * row["count_all"] / peak
        y = top + high - high * below / peak - tall
        slot = row["slot"] if per == "hour" else row["slot"].date()
        told.append({per: slot, "reason": row["reason"], "refused": row["count_all"]})
        hover = f"{row['slot']:%Y-%m-%d %H:%M} UTC · {row['reason']}: {row['count_all']:,}"
        shapes.append(
            rect(
                x + thick * 0.08,
                y,
                thick * 0.84,
                tall,
                fill=hue[row["reason"]],
                hover=hover,
                opacity=0.85,
                radius=0,
            )
        )
    shown = [(f"{reason} {totals[reason]:,}", hue[reason]) for reason in reasons[:6]]
    if len(reasons) > 6:
        shown.append((f"{len(reasons) - 6} more reasons", _HUES[-1]))
    shapes.append(_legend(left, top + high + 44, shown, wide))
    rows = -(-len(shown) // 3)
    description = (
        f"{len(calls):,} refusals for {len(reasons)} reasons; the most in a {per} {peak:,}"
    )
    height = top + high + 44 + 20 * rows
    told.sort(key=lambda row: (row[per], -row["refused"]))
    wide += left + 20
    return Picture("Refusals by reason", description, shapes, wide, height, rows=told)


def scope_use(source: Any, agent: Any = None, *, most: int = 30, since: Any = None) -> Picture:
    """Granted against used: a bar for each capability, as long as its calls are many.

    Args:
        source: An engine, a record, an exported file or a folder.
        agent: One agent; without it all, those with the most grants first.
        most: The most capabilities.
        since: The time that is looked at.
    """
    answer = unused(record_of(source), agent=agent, since=since)
    rows = answer.rows()[:most]
    peak = max((row["allowed"] for row in rows), default=1) or 1
    hue = {"never used": NO, "wider than its use": ASKED, "used": YES}
    left, wide = 470, 260
    shapes: list[str | Shape] = []
    for at, row in enumerate(rows):
        y = 20 + at * 22
        hover = (
            f"{row['agent']}: {row['may']}; in {row['grants']:,} grants, {row['allowed']:,} calls: "
            f"{row['verdict']}"
        )
        shapes.append(text(12, y + 11, row["agent"], most=24))
        shapes.append(text(190, y + 11, row["may"], most=42))
        share = (row["allowed"] / peak) ** 0.5 if row["allowed"] else 0.0
        shapes += bar(left, y, wide, share, hover, colour=hue[row["verdict"]])
        shapes.append(text(left + wide + 10, y + 11, f"{row['allowed']:,}", kind="small"))
    height = 20 + len(rows) * 22 + 34
    legend = list(hue.items())
    shapes.append(_legend(190, height - 12, legend, 540))
    columns = ("agent", "may", "grants", "allowed", "last_allowed", "verdict")
    told = [{name: row[name] for name in columns} for row in rows]
    wide += left + 80
    return Picture("Granted and used", answer.sentence, shapes, wide, height, rows=told)


def _legend(x: float, y: float, items: list[tuple[str, str]], width: float = 480) -> str:
    step = max(width / 3, 100)
    made = []
    for at, (label, colour) in enumerate(items):
        left, top = x + at % 3 * step, y + at // 3 * 18
        made.append(rect(left, top - 9, 10, 10, fill=colour, hover=label, opacity=0.9).svg)
        made.append(text(left + 16, top, label, kind="small", most=30))
    return "".join(made)
