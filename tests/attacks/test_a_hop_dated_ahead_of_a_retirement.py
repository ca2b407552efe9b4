"""A hop dated ahead is shown before its holder is retired, and another after.

Class: lifecycle bypass
Refusal: AccessDenied agent_retired
Check: src/authorizer/standing.rs:add_agent: the status of everybody, whenever a hop starts
"""

from __future__ import annotations

from attacking import World, ahead

REMOVED = [
    (
        "src/authorizer/standing.rs",
        "agent.status",
        "if agent.status == Status::Retired { Status::Active } else { agent.status }",
    )
]


def test_a_hop_dated_ahead_of_a_retirement(world: World) -> None:
    shown, kept = (world.engine.accept(world.below(ahead(29))), world.below(ahead(29)))
    world.allows(shown)
    world.engine.agents.retire(world.mallory, reason="done")
    world.denies(shown, "agent_retired")
    world.denies(world.engine.accept(kept), "agent_retired")
