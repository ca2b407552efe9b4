"""A delegator gives its agent the key of another, so that each may sign as both.

Class: key confusion
Refusal: AccessDenied holder_key_unknown, and a finding of every review
Check: src/authorizer/standing.rs:add_agent: the holder's key is the agent's
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/authorizer/standing.rs", "agent.key != holder.key", "false")]


def test_a_hop_to_anothers_key(world: World) -> None:
    holder = {"agent": world.mallory.id, "key": world.planner_key.public}
    grant = world.engine.accept(world.forged(lambda p: p.update(holder=holder)))
    (found,) = world.engine.review().findings
    assert (found.code, found.severity) == ("one_key_twice", "high")
    assert found.subjects == [grant.id, world.mallory.id]
    assert "`mallory` the key of `planner`" in found.why
    world.denies(grant, "holder_key_unknown")
