"""A hop names an agent that was never issued.

Class: key confusion
Refusal: AccessDenied unknown_agent
Check: src/authorizer.rs:add_agent: the agent is known
"""

from __future__ import annotations

from attacking import World

import answerable as ans


def test_an_agent_nobody_issued(world: World) -> None:
    holder = {"agent": "agt_" + "a" * 26, "key": ans.SecretKey.generate().public}
    grant = world.engine.accept(world.forged(lambda p: p.update(holder=holder)))
    world.denies(grant, "unknown_agent")
