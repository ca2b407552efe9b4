"""A hop names an agent of good standing, with the attacker's key.

Class: key confusion
Refusal: AccessDenied holder_key_unknown
Check: src/authorizer/standing.rs:add_agent: the holder's key is the agent's
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/authorizer/standing.rs", "agent.key != holder.key", "false")]


def test_another_agents_name_with_ones_own_key(world: World) -> None:
    holder = {"agent": world.planner.id, "key": world.mallory_key.public}
    grant = world.engine.accept(world.forged(lambda p: p.update(holder=holder)))
    world.denies(grant, "holder_key_unknown")
