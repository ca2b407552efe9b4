"""A hop dated ahead outlasts a suspension, and so what was revoked while it lasted.

Class: lifecycle bypass
Refusal: AccessDenied agent_suspended, and revoked once resumed
Check: src/authorizer/standing.rs:add_agent: status, then what was revoked, whenever a hop starts
"""

from __future__ import annotations

from attacking import World, ahead

REMOVED = [
    (
        "src/authorizer/standing.rs",
        "agent.status",
        "if agent.status == Status::Suspended { Status::Active } else { agent.status }",
    )
]


def test_a_hop_dated_ahead_of_a_suspension(world: World) -> None:
    shown, kept = (world.engine.accept(world.below(ahead(29))), world.below(ahead(29)))
    world.engine.agents.suspend(world.mallory, reason="look at this")
    world.denies(shown, "agent_suspended")
    world.denies(world.engine.accept(kept), "agent_suspended")
    world.engine.revoke(world.mallory, reason="it was bad")
    world.engine.agents.resume(world.mallory)
    world.denies(shown, "revoked")
    world.denies(world.engine.accept(kept), "revoked")
