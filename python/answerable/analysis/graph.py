"""The delegation graph: humans, agents by their depth on the chain, tools."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from answerable.analysis.drawing import SOFT, Picture, Shape, colour_of, path, rect, text
from answerable.analysis.questions import many
from answerable.analysis.record import Calls, record_of

__all__ = ["delegation_graph", "refused_of", "share_of"]

ROW = 26  # The height of a node, in pixels.


def delegation_graph(source: Any, *, most: int = 24, **asked: Any) -> Picture:
    """Who acted through whom: humans, agents by their depth on the chain, tools.

    A line is as wide as its calls are many and as red as they were refused; hovered or clicked, it
    says the numbers. What is beyond the `most` of a column is drawn as one.

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
    merged: Edges = {}
    for (column, left, right), (count, no) in edges.items():
        to = _next(column, right)
        ends = [
            name if name in kept[place] else f"({len(columns[place]) - most} more)"
            for place, name in ((column, left), (to, right))
        ]
        of = merged.setdefault((column, ends[0], to, ends[1]), [0, 0])
        of[0] += count
        of[1] += no
    total, refused = len(calls), refused_of(calls)
    label = (
        f"{many(total, 'call')} by {many(len(columns.get(0, {})), 'human')}, {refused:,} refused "
        f"({share_of(refused, total)})"
    )
    shapes, width, height = _draw_graph(merged)
    rows = [
        {
            "from": left,
            "to": _plain(right),
            "calls": count,
            "refused": no,
            "share": share_of(no, count),
        }
        for (_, left, _, right), (count, no) in _most_first(merged)
    ]
    return Picture(
        "Delegation: humans → agents → tools",
        label,
        shapes,
        width,
        height,
        rows=rows,
        mermaid=_mermaid(merged),
    )


_TOOLS = 99  # The column of tools, whatever the depth of chains.
# Column and name of both ends: calls, and how many of them were refused.
Edges = dict[tuple[int, str, int, str], list[int]]


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


def _most_first(edges: Edges) -> list[tuple[tuple[int, str, int, str], list[int]]]:
    return sorted(edges.items(), key=lambda e: (-e[1][0], e[0]))


def _draw_graph(edges: Edges) -> tuple[list[str | Shape], float, float]:
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
    shapes: list[str | Shape] = [
        text(20 + at * (box + gap), 20, _heading(column, at), kind="soft")
        for at, column in enumerate(columns)
    ]
    for (column, left, to, right), (count, no) in _most_first(edges):
        (x1, y1), (x2, y2) = places[column, left], places[to, right]
        x1, half = x1 + box, (x2 - x1 - box) / 2
        points = f"M{x1:.1f},{y1 + 9:.1f} C{x1 + half:.1f},{y1 + 9:.1f} "
        points += f"{x2 - half:.1f},{y2 + 9:.1f} {x2:.1f},{y2 + 9:.1f}"
        hover = f"{_plain(left)} → {_plain(right)}: {count:,} calls, {no:,} refused"
        thick = 1 + 11 * (count / most) ** 0.5
        shapes.append(
            path(
                points,
                stroke=colour_of(no / count),
                width=thick,
                hover=f"{hover} ({share_of(no, count)})",
            )
        )
    for (column, name), (x, y) in places.items():
        count, no = flows[column, name]
        # A node in the middle counts what comes in and what goes out.
        hover = f"{_plain(name)}: {no} of the calls through it refused" if no else _plain(name)
        ground = (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{box}" height="18" rx="4" fill="none"'
            ' class="ground"/>'
        )
        drawn = rect(x, y, box, 18, fill=SOFT, opacity=0.16, hover=hover, radius=4)
        label = text(x + 6, y + 13, _plain(name), most=26)
        shapes.append(Shape(ground + drawn.svg + label, hover))
    return shapes, max(width, wide), height


def _heading(column: int, at: int) -> str:
    if column == _TOOLS:
        return "tools"
    return "humans" if column == 0 else "agents" if at == 1 else f"agents, hop {at}"


def _plain(name: str) -> str:
    return name.removeprefix("tool:")


def _mermaid(edges: Edges) -> str:
    lines = ["flowchart LR"]
    names: dict[tuple[int, str], str] = {}
    for (column, left, to, right), (count, no) in _most_first(edges):
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


def refused_of(calls: Calls) -> int:
    """How many of them were not allowed."""
    return int(pc.sum(pc.cast(pc.not_equal(calls["effect"], "allow"), pa.int64())).as_py() or 0)


def share_of(part: int, total: int) -> str:
    """A part of a total, in per cent."""
    return f"{part / total:.1%}" if total else "0 %"
