"""An agent of somebody who left is resumed for another's grant.

Class: lifecycle bypass
Refusal: IllegalTransition
Check: src/registry/agents/life.rs:owner_is_here: the owner is here
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/registry/agents/life.rs",
        "self.humans.get(&agent.owner).is_some_and(|owner| !owner.offboarded)",
        "true",
    )
]


def test_an_orphaned_agent_is_resumed(world: World) -> None:
    grant = world.grant(world.alice, world.mallory, max_depth=0)
    world.engine.humans.offboard(world.bob, reason="left")
    with pytest.raises(ans.IllegalTransition, match="has left"):
        world.engine.agents.resume(world.mallory)
    world.denies(grant, "owner_offboarded")
