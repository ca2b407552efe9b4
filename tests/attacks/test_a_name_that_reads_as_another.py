"""An agent is issued under a name that reads as a retired one's, and is not.

Class: Unicode and canonicalization
Refusal: IllegalTransition
Check: src/registry/agents/mod.rs:issue_agent: a name is used once, as it reads
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/registry/agents/mod.rs",
        "self.names.get(&look).or_else(|| self.looks.get(&look))",
        "None::<&AgentId>",
    )
]

READ_ALIKE = [
    *("planner ", " planner", "plan\u200bner", "\u202eplanner", "planner\n"),
    *("planner\u00ad", "plan\ufeffner", "night shift", "night\t  shift", "planner\u2800"),
]


def test_a_name_that_reads_as_another(world: World) -> None:
    def issue(name: str) -> ans.Agent:
        return world.engine.agents.issue(
            name, owner=world.bob, purpose="x", ceiling=[ans.allow("pay.*")], ttl="1h"
        )

    world.engine.agents.retire(world.planner, reason="done")
    issue("night\u200b shift")
    for _ in range(2):
        for name in READ_ALIKE:
            with pytest.raises(ans.IllegalTransition, match="reads as"):
                issue(name)
        world.reopen()
    with pytest.raises(ans.InvalidInput, match="does not show"):
        issue("\u200b\u2060")
    # What looks otherwise is another name.
    assert issue("planner 2").name == "planner 2"


def test_the_name_of_an_agent_whose_human_was_erased(world: World) -> None:
    carol = world.engine.humans.register("carol@example.com")
    world.engine.agents.issue(
        "night\u200bowl", owner=carol, purpose="x", ceiling=[ans.allow("pay.*")], ttl="1h"
    )
    world.engine.humans.offboard(carol, reason="left")
    world.engine.trail.erase(human=carol, reason="asked")
    for _ in range(2):
        for name in ("night\u200bowl", "nightowl", "night\u2060owl"):
            with pytest.raises(ans.IllegalTransition, match="stays taken"):
                world.engine.agents.issue(
                    name, owner=world.bob, purpose="x", ceiling=[ans.allow("pay.*")], ttl="1h"
                )
        world.reopen()
