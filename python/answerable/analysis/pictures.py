"""Pictures of a trail: who acted through whom, when, how often, and what was refused."""

from __future__ import annotations

import itertools
import re
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
    bar,
    colour_of,
    line,
    path,
    rect,
    text,
)
from answerable.analysis.questions import grouped
from answerable.analysis.reach import unused
from answerable.analysis.record import Calls, Record, record_of
from answerable.errors import InvalidInput
from answerable.showing import text_of

__all__ = ["delegation_graph", "heat_map", "refusals_over_time", "scope_use", "timeline"]

ROW = 26  # The height of a node or a line, in pixels.
MOST = 400  # The most calls that a timeline draws.
# Reasons in the order of their count; what is beyond is drawn as the last.
_HUES = (NO, ASKED, MARK, "#8a63b8", "#3f9aa3", "#b8578a", SOFT)


def delegation_graph(source: Any, *, most: int = 24, **asked: Any) -> Picture:
    """Who acted through whom: humans, agents by their depth on the chain, tools.

    A line is as wide as its calls are many and as red as they were refused; hovered, it says the
    numbers. What is beyond the `most` of a column is drawn as one.

    Args:
        source: An engine, a record, an exported file or a folder.
        most: The most nodes of a column.
        asked: What is drawn: `human`, `via`, `task`, `tool`, `since`, … as in
            `engine.trail.entries`.
    """
    record = record_of(source)
    calls = record.select(**asked)
    edges = _edges(calls)
    columns: dict[int, dict[str, int]] = {}
    for (column, left, right), (count, _) in edges.items():
        for place, name in ((column, left), (_next(column, right), right)):
            columns.setdefault(place, {}).setdefault(name, 0)
            columns[place][name] += count
    kept = {
        place: sorted(names, key=lambda name: (-names[name], name))[:most]
        for place, names in columns.items()
    }
    merged: dict[tuple[int, str, int, str], list[int]] = {}
    for (column, left, right), (count, no) in edges.items():
        to = _next(column, right)
        ends = [
            name if name in kept[place] else f"({len(columns[place]) - most} more)"
            for place, name in ((column, left), (to, right))
        ]
        of = merged.setdefault((column, ends[0], to, ends[1]), [0, 0])
        of[0] += count
        of[1] += no
    total, refused = len(calls), _refused(calls)
    label = (
        f"{total:,} calls by {len(columns.get(0, {}))} humans, {refused:,} refused "
        f"({_share(refused, total)})"
    )
    shapes, width, height = _draw_graph(merged)
    return Picture(
        "Delegation: humans → agents → tools",
        label,
        shapes,
        width,
        height,
        mermaid=_mermaid(merged),
    )


_TOOLS = 99  # The column of tools, whatever the depth of chains.


def _next(column: int, name: str) -> int:
    return _TOOLS if name.startswith("tool:") else column + 1


def _edges(calls: Calls) -> dict[tuple[int, str, str], list[int]]:
    """Calls and refusals from one to the next: column, from, to. Tools are marked as such."""
    refused = pc.cast(pc.not_equal(calls["effect"], "allow"), pa.int64())
    table = calls.table.select(["human", "human_name", "via", "tool"]).append_column("no", refused)
    made = table.group_by(["human", "human_name", "via", "tool"], use_threads=False).aggregate(
        [([], "count_all"), ("no", "sum")]
    )
    edges: dict[tuple[int, str, str], list[int]] = {}
    for row in made.to_pylist():
        human = row["human_name"] or "(nobody)"
        steps = [human, *(row["via"].split(" → ") if row["via"] else [])]
        steps.append(f"tool:{row['tool'] or '(invalid name)'}")
        for column, (left, right) in enumerate(itertools.pairwise(steps)):
            of = edges.setdefault((column, left, right), [0, 0])
            of[0] += row["count_all"]
            of[1] += row["no_sum"]
    return edges


def _draw_graph(
    edges: dict[tuple[int, str, int, str], list[int]],
) -> tuple[list[str], float, float]:
    flows: dict[tuple[int, str], list[int]] = {}
    for (column, left, to, right), (count, no) in edges.items():
        for node in ((column, left), (to, right)):
            of = flows.setdefault(node, [0, 0])
            of[0] += count
            of[1] += no
    columns = sorted({column for column, _ in flows})
    wide, gap, box = 190, 80, 175
    width = 20 + len(columns) * box + (len(columns) - 1) * gap + 20
    places: dict[tuple[int, str], tuple[float, float]] = {}
    tallest = 1
    for at, column in enumerate(columns):
        nodes = sorted(
            (name for place, name in flows if place == column),
            key=lambda name: (name.endswith(" more)"), -flows[column, name][0], name),
        )
        tallest = max(tallest, len(nodes))
        for row, name in enumerate(nodes):
            places[column, name] = (20 + at * (box + gap), 44 + row * ROW)
    height = 44 + tallest * ROW + 12
    most = max((count for count, _ in edges.values()), default=1)
    shapes = [
        text(20 + at * (box + gap), 20, _heading(column, at), kind="soft")
        for at, column in enumerate(columns)
    ]
    for (column, left, to, right), (count, no) in sorted(
        edges.items(), key=lambda e: (-e[1][0], e[0])
    ):
        (x1, y1), (x2, y2) = places[column, left], places[to, right]
        x1, half = x1 + box, (x2 - x1 - box) / 2
        points = f"M{x1:.1f},{y1 + 9:.1f} C{x1 + half:.1f},{y1 + 9:.1f} "
        points += f"{x2 - half:.1f},{y2 + 9:.1f} {x2:.1f},{y2 + 9:.1f}"
        hover = f"{_plain(left)} → {_plain(right)}: {count:,} calls, {no:,} refused"
        thick = 1 + 11 * (count / most) ** 0.5
        shapes.append(
            path(
                points, stroke=colour_of(no / count), width=thick, hover=f"{hover} {_in(no, count)}"
            )
        )
    for (column, name), (x, y) in places.items():
        count, no = flows[column, name]
        # A node in the middle counts what comes in and what goes out.
        hover = f"{_plain(name)}: {no} of the calls through it refused" if no else _plain(name)
        shapes.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{box}" height="18" rx="4" fill="none"'
            ' class="ground"/>'
            + rect(x, y, box, 18, fill=SOFT, opacity=0.16, hover=hover, radius=4)
            + text(x + 6, y + 13, _plain(name), most=26)
        )
    return shapes, max(width, wide), height


def _in(no: int, count: int) -> str:
    return f"({_share(no, count)})"


def _heading(column: int, at: int) -> str:
    if column == _TOOLS:
        return "tools"
    return "humans" if column == 0 else "agents" if at == 1 else f"agents, hop {at}"


def _plain(name: str) -> str:
    return name.removeprefix("tool:")


def _mermaid(edges: dict[tuple[int, str, int, str], list[int]]) -> str:
    lines = ["flowchart LR"]
    names: dict[tuple[int, str], str] = {}
    for (column, left, to, right), (count, no) in sorted(
        edges.items(), key=lambda e: (-e[1][0], e[0])
    ):
        ends = []
        for node in ((column, left), (to, right)):
            if node not in names:
                names[node] = f"n{len(names)}"
                lines.append(f'  {names[node]}["{_quoted(_plain(node[1]))}"]')
            ends.append(names[node])
        told = f"{count:,}" if not no else f"{count:,}, {no:,} refused"
        lines.append(f"  {ends[0]} -->|{told}| {ends[1]}")
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    """Text that Mermaid, and the Markdown around it, take for text: by its numbers else."""
    from answerable._core import shown

    return re.sub(r"[^\w .,:/→()-]", lambda m: f"#{ord(m[0])};", shown(name, 60))


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
    shapes = [
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
        f"{len(calls):,} calls of {len(lanes)} chains in {text_of(timedelta(seconds=span))}, "
        f"{_refused(calls):,} refused{more}"
    )
    return Picture(title, description, shapes, left + wide + 20, height)


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
    shapes = []
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
            f"{row['refused']:,} refused {_in(row['refused'], row['calls'])}"
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
    return Picture(
        "Agents × tools", description, shapes, max(width, 400), top + len(down) * high + 12
    )


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
    shapes = [
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
    return Picture("Refusals by reason", description, shapes, left + wide + 20, height)


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
    shapes = []
    for at, row in enumerate(rows):
        y = 20 + at * 22
        hover = (
            f"{row['agent']}: {row['may']}; in {row['grants']:,} grants, {row['allowed']:,} calls: "
            f"{row['verdict']}"
        )
        shapes.append(text(12, y + 11, row["agent"], most=24))
        shapes.append(text(190, y + 11, row["may"], most=42))
        share = (row["allowed"] / peak) ** 0.5 if row["allowed"] else 0.0
        shapes.append(bar(left, y, wide, share, hover, colour=hue[row["verdict"]]))
        shapes.append(text(left + wide + 10, y + 11, f"{row['allowed']:,}", kind="small"))
    height = 20 + len(rows) * 22 + 34
    legend = list(hue.items())
    shapes.append(_legend(190, height - 12, legend, 540))
    return Picture("Granted and used", answer.sentence, shapes, left + wide + 80, height)


def _legend(x: float, y: float, items: list[tuple[str, str]], width: float = 480) -> str:
    step = max(width / 3, 100)
    made = []
    for at, (label, colour) in enumerate(items):
        left, top = x + at % 3 * step, y + at // 3 * 18
        made.append(rect(left, top - 9, 10, 10, fill=colour, hover=label, opacity=0.9))
        made.append(text(left + 16, top, label, kind="small", most=30))
    return "".join(made)


def _refused(calls: Calls) -> int:
    return int(pc.sum(pc.cast(pc.not_equal(calls["effect"], "allow"), pa.int64())).as_py() or 0)


def _share(part: int, total: int) -> str:
    return f"{part / total:.1%}" if total else "0 %"
