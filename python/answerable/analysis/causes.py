"""Refusals, grouped by their cause, each with the smallest fix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from answerable.analysis.answer import Answer
from answerable.analysis.questions import COUNT, TEXT, TIME
from answerable.analysis.record import record_of

__all__ = ["refusals"]

EXAMPLES = 500  # For how many causes an example is looked up.


def refusals(source: Any, *, since: Any = None, until: Any = None, agent: Any = None) -> Answer:
    """What was refused, by cause: reason and tool, the most frequent first.

    Each cause shows what its newest refusal said, and the smallest change that would have helped.
    Whether that change should be made is not for this to say: five refusals of a transfer abroad
    may be the guard doing its work.

    Args:
        source: An engine, a record, an exported file or a folder.
        since: Not before.
        until: Before.
        agent: Of this agent alone.
    """
    record = record_of(source)
    refused = record.select(effect="deny", since=since, until=until, agent=agent)
    table = refused.table.append_column("row", pa.array(np.arange(len(refused))))
    made = table.group_by(["reason", "tool"], use_threads=False).aggregate(
        [
            ([], "count_all"),
            ("agent", "count_distinct"),
            ("human", "count_distinct"),
            ("task", "count_distinct"),
            ("at", "min"),
            ("at", "max"),
            ("row", "max"),
        ]
    )
    # The newest row tells causes of one count apart.
    made = made.sort_by([("count_all", "descending"), ("row_max", "descending")])
    newest = refused.table.select(["id", "agent_name"]).take(made["row_max"]).to_pylist()
    rows = [
        {
            "reason": row["reason"],
            "tool": row["tool"] or "(invalid name)",
            "refused": row["count_all"],
            "agents": row["agent_count_distinct"],
            "humans": row["human_count_distinct"],
            "tasks": row["task_count_distinct"],
            "first": row["at_min"],
            "last": row["at_max"],
            "last_agent": one["agent_name"],
            "entry": one["id"],
        }
        for row, one in zip(made.to_pylist(), newest, strict=True)
    ]
    details = record.details([row["entry"] for row in rows[:EXAMPLES]])
    for row in rows:
        detail = details.get(row["entry"], {})
        row["newest_said"], row["smallest_fix"] = detail.get("message"), detail.get("fix")
    if rows:
        top = rows[0]
        sentence = (
            f"{len(refused):,} calls were refused, for {len(rows)} causes. The most frequent: "
            f"{top['reason']} on {top['tool']}, {top['refused']:,} times by {top['agents']} "
            f"agent{'' if top['agents'] == 1 else 's'}; {_fix(top)}."
        )
    else:
        sentence = "Nothing was refused."
    schema: dict[str, Any] = {"reason": TEXT, "tool": TEXT, "refused": COUNT, "agents": COUNT}
    schema |= {"humans": COUNT, "tasks": COUNT, "first": TIME, "last": TIME}
    schema |= {"newest_said": TEXT, "smallest_fix": TEXT, "last_agent": TEXT, "entry": pa.string()}
    hidden = ["humans", "last_agent", "entry"]
    return Answer("refusals by cause", sentence, rows, schema, hidden=hidden)


def _fix(row: dict[str, Any]) -> str:
    return f"to fix it: {row['smallest_fix']}" if row["smallest_fix"] else "no fix was told"
