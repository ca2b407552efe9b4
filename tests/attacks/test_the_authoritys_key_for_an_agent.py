"""An agent is issued with the authority's own key.

Class: key confusion
Refusal: IllegalTransition
Check: src/registry/agents/mod.rs:own_key: the authority's keys are reserved
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/registry/agents/mod.rs", "self.reserved.contains(&key)", "false")]


def test_the_authoritys_key_for_an_agent(world: World) -> None:
    with pytest.raises(ans.IllegalTransition, match="authority's own"):
        world.engine.agents.rotate(world.mallory, key=world.engine.authority)
