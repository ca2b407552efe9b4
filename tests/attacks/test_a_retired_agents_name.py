"""The name of a retired agent is given to another.

Class: lifecycle bypass
Refusal: IllegalTransition
Check: src/registry/agents/mod.rs:issue_agent: a name is used once
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/registry/agents/mod.rs", "self.names.get(new.name)", "None::<&AgentId>"),
    # A name also reads as itself.
    (
        "src/registry/agents/mod.rs",
        "self.names.get(&look).or_else(|| self.looks.get(&look))",
        "None::<&AgentId>",
    ),
]


def test_a_retired_agents_name(world: World) -> None:
    world.engine.agents.retire(world.planner, reason="done")
    for _ in range(2):
        with pytest.raises(ans.IllegalTransition, match="for ever"):
            world.engine.agents.issue("planner", owner=world.bob, purpose="x", ceiling=[], ttl="1h")
        world.reopen()
    world.denies(world.engine.accept(world.held.token), "agent_retired")
