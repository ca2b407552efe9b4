"""A suspended agent goes on through one it delegated to.

Class: lifecycle bypass
Refusal: AccessDenied agent_suspended
Check: src/authorizer/standing.rs:add_agent: the status of each agent on the chain
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/authorizer/standing.rs",
        "agent.status",
        "if agent.status == Status::Suspended { Status::Active } else { agent.status }",
    )
]


def test_a_suspended_agent_below(world: World) -> None:
    world.engine.agents.suspend(world.planner, reason="x")
    world.denies(world.held, "agent_suspended")
