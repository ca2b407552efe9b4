"""A hop gives an agent more than its ceiling.

Class: wildcard widening
Refusal: AccessDenied beyond_ceiling
Check: src/authorizer/standing.rs:add_agent: the scope of each hop lies within its agent's ceiling
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/authorizer/standing.rs",
        "grant.payload.scope.within_ceiling(agent.ceiling)",
        "Ok::<(), crate::scope::NotWithin>(())",
    )
]


def test_beyond_the_ceiling(world: World) -> None:
    small = world.engine.agents.issue(
        "small", owner=world.bob, purpose="x", ceiling=[ans.allow("pay.refund")], ttl="8h"
    )
    holder = {"agent": small.id, "key": small.key}
    grant = world.engine.accept(world.forged(lambda p: p.update(holder=holder)))
    world.denies(grant, "beyond_ceiling")
    with pytest.raises(ans.InvalidInput, match="ceiling"):
        world.held.delegate(small, scope=world.narrow(), key=world.mallory_key)
