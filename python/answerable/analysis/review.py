"""The table of an access review: every agent, what it may, what it did, what to ask about it."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from answerable.analysis.answer import Answer
from answerable.analysis.questions import COUNT, TEXT, TEXTS, TIME, grouped, words
from answerable.analysis.record import record_of

__all__ = ["access_review"]

MANY_REFUSED = 0.2


def access_review(
    source: Any, *, since: Any = None, dormant: str = "30d", owner: Any = None
) -> Answer:
    """Every agent with its owner, ceiling, grants and use, and what a reviewer should ask.

    Args:
        source: An engine, a record, an exported file or a folder.
        since: The time that is reviewed: grants and calls since then.
        dormant: After how long without an allowed call an active agent is asked about.
        owner: The agents of this human alone.
    """
    record = record_of(source)
    book = record.book
    start = None if since is None else record.moment(since)
    calls = record.select(since=since)
    used = {row["agent"]: row for row in grouped(calls, ["agent"]) if row["agent"]}
    allowed = calls.where(pc.equal(calls["effect"], "allow"))
    last = {row["agent"]: row["last"] for row in grouped(allowed, ["agent"])}
    quiet, end = record.moment(dormant), record.end
    granted: dict[str, int] = {}
    standing: dict[str, int] = {}
    for grant in book.grants.values():
        if start is None or grant.ended > start:
            granted[grant.agent] = granted.get(grant.agent, 0) + 1
        if grant.start <= end < grant.ended:
            standing[grant.agent] = standing.get(grant.agent, 0) + 1
    only = None if owner is None else book.human(owner).id
    rows = []
    for agent in book.agents.values():
        if only is not None and agent.owner != only:
            continue
        made = used.get(agent.id, {"calls": 0, "refused": 0})
        human = book.humans.get(agent.owner)
        asks = []
        if human is not None and human.left is not None:
            asks.append("its owner has left")
        if agent.status == "active":
            newest = last.get(agent.id)
            if newest is None:
                asks.append("never used" if since is None else "not used in this time")
            elif newest < quiet:
                asks.append(f"no allowed call for {dormant}")
            if agent.until <= end:
                asks.append("its time is over")
        if made["calls"] and made["refused"] > MANY_REFUSED * made["calls"]:
            asks.append(f"{made['refused'] / made['calls']:.0%} of its calls refused")
        if any(capability.get("tool") == "**" for capability in agent.ceiling):
            asks.append("its ceiling is everything")
        rows.append(
            {
                "agent": agent.name,
                "owner": book.label(agent.owner),
                "status": agent.status,
                "purpose": agent.purpose,
                "ceiling": [words(one) for one in agent.ceiling],
                "grants": granted.get(agent.id, 0),
                "standing": standing.get(agent.id, 0),
                "allowed": made["calls"] - made["refused"],
                "refused": made["refused"],
                "last_allowed": last.get(agent.id),
                "until": agent.until,
                "ask": asks,
                "agent_id": agent.id,
                "owner_id": agent.owner,
            }
        )
    rows.sort(key=lambda row: (-len(row["ask"]), row["owner"], row["agent"]))
    asked = sum(bool(row["ask"]) for row in rows)
    owners = len({row["owner_id"] for row in rows})
    sentence = (
        f"{len(rows):,} agents of {owners:,} humans, {asked:,} of them to ask about; "
        f"{sum(standing.values()):,} grants in force at the end."
    )
    schema: dict[str, Any] = {"agent": TEXT, "owner": TEXT, "status": TEXT, "ask": TEXTS}
    schema |= {"ceiling": TEXTS, "grants": COUNT, "standing": COUNT, "allowed": COUNT}
    schema |= {"refused": COUNT, "last_allowed": TIME, "until": TIME, "purpose": TEXT}
    schema |= {"agent_id": TEXT, "owner_id": TEXT}
    hidden = ["purpose", "until", "agent_id", "owner_id"]
    return Answer("access review", sentence, rows, schema, hidden=hidden)
