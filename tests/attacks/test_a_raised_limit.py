"""A hop raises a limit over the whole grant.

Class: wildcard widening
Refusal: InvalidGrant limit_raised
Check: src/grant.rs:check_link: limits are not above the parent's
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [("src/grant.rs", "!limit.within(parent)", "false")]


def test_a_raised_limit(world: World) -> None:
    root = world.grant(agent=world.mallory, limits=ans.calls(3))
    child = root.delegate(
        world.mallory, scope=world.narrow(), limits=ans.calls(2), key=world.mallory_key
    )
    raised = world.resigned(child, lambda p: p.update(limits=[{"calls": 4}]), world.mallory_key)
    world.refuses(raised, "limit_raised")
