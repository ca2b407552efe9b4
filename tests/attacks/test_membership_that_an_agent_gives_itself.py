"""An agent says of itself, or of its human, that they are in a group.

Class: confused deputy
Refusal: AccessDenied not_permitted
Check: src/engine/facts.rs:bind: groups come from the entity files alone
"""

from __future__ import annotations

from pathlib import Path

from attacking import World
from policing import Policed

import answerable as ans

# What an agent is called would be a group that it is in.
REMOVED = [("src/engine/facts.rs", "groups: «&[]»", "names.as_slice()")]
ENTITY = {"__entity": {"type": "Group", "id": "finance"}}


def test_membership_that_an_agent_gives_itself(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    policed.write(
        "entities.json",
        '[{"uid": {"type": "Human", "id": "cfo@example.com"}, "attrs": {},'
        ' "parents": [{"type": "Group", "id": "finance"}]},'
        ' {"uid": {"type": "Group", "id": "finance"}, "attrs": {}, "parents": []}]',
    )
    policed.load(
        '@id("f") permit (principal, action, resource) when { context.human in Group::"finance" ||'
        ' principal in Group::"finance" };'
    )
    policed.denies("not_permitted")
    policed.denies("not_permitted", "finance", 1.0, 'Group::"finance"')
    policed.denies("not_permitted", "a", 1.0, ENTITY)
    # Names like the group's, and an account of another issuer that reads like a member's.
    named = world.engine.agents.issue(
        "finance", owner=world.alice, purpose="pays", ceiling=[ans.allow("pay.*")], ttl="8h"
    )
    policed.grant = world.grant(agent=named, scope=ans.allow("pay.*"))
    policed.denies("not_permitted")
    other = world.engine.humans.register("cfo@example.com ", name="finance")
    policed.grant = world.grant(human=other, scope=ans.allow("pay.*"))
    policed.denies("not_permitted")
    cfo = world.engine.humans.register("cfo@example.com")
    policed.grant = world.grant(human=cfo, scope=ans.allow("pay.*"))
    policed.call()
