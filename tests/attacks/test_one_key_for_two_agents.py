"""Two agents share a key, so that each signs as the other.

Class: key confusion
Refusal: IllegalTransition
Check: src/registry/agents/mod.rs:own_key: a key is one agent's
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/registry/agents/mod.rs", "self.keys.get(&key)", "None::<&AgentId>")]


def test_one_key_for_two_agents(world: World) -> None:
    for key in (world.planner.key, world.mallory.key):
        with pytest.raises(ans.IllegalTransition, match="belongs to"):
            world.engine.agents.issue(
                "twin", owner=world.bob, purpose="x", ceiling=[], ttl="1h", key=key
            )
