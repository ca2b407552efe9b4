"""A thief signs new hops below grants that the revoked agent held.

Class: token theft
Refusal: AccessDenied revoked
Check: src/authorizer/standing.rs:add_agent: what the agent held until its revocation
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/authorizer/standing.rs", "ended(agent.cut, made.max(key_made))", "false")]


def test_a_stolen_key_after_its_holder_was_revoked(world: World) -> None:
    before = world.own()
    world.engine.revoke(world.mallory, reason="key leaked")
    world.denies(before, "revoked")
    after = world.engine.accept(world.forged(lambda payload: None))
    world.denies(after, "revoked")
