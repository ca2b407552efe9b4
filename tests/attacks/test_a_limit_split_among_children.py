"""A grant of three calls is delegated three times, for three calls each.

Class: budget splitting by fan-out
Refusal: AccessDenied limit_reached
Check: src/authorizer.rs:authorize: limits are drawn at every hop
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/authorizer.rs",
        "(0..limits.len())",
        "(0..if hop + 1 == chain.hops().len() { limits.len() } else { 0 })",
    ),
    (
        "src/authorizer.rs",
        "(0..payload.limits.len())",
        "(0..if hop + 1 == chain.hops().len() { payload.limits.len() } else { 0 })",
    ),
]


def test_a_limit_split_among_children(world: World) -> None:
    root = world.grant(agent=world.mallory, scope=world.wide(limits=ans.calls(3)))
    for _ in range(3):
        child = root.delegate(
            world.mallory, scope=world.narrow(limits=ans.calls(3)), key=world.mallory_key
        )
        world.allows(child)
    child = root.delegate(world.mallory, scope=world.narrow(), key=world.mallory_key)
    world.denies(child, "limit_reached")
    world.denies(root, "limit_reached")
    assert len(world.ran) == 3
