"""A thief goes on signing with a key that was replaced.

Class: token theft
Refusal: AccessDenied holder_key_unknown
Check: src/authorizer/standing.rs:add_agent: the holder's key is the agent's
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [("src/authorizer/standing.rs", "agent.key != holder.key", "false")]


def test_a_stolen_key_after_rotation(world: World) -> None:
    stolen = world.own()
    world.allows(stolen)
    world.engine.agents.rotate(world.mallory, key=ans.SecretKey.generate().public)
    world.denies(stolen, "holder_key_unknown")
    world.denies(world.engine.accept(world.forged(lambda payload: None)), "holder_key_unknown")
