"""A hop goes deeper than the grant above it allows.

Class: depth and size bombs
Refusal: InvalidGrant too_deep, depth_mismatch
Check: src/grant.rs:check_link: depth and maximum
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/grant.rs", "child.depth > above.max_depth", "false"),
    ("src/grant.rs", "payload.depth > payload.max_depth", "false"),
    ("src/grant.rs", "child.max_depth > above.max_depth", "false"),
]


def test_a_hop_deeper_than_allowed(world: World) -> None:
    last = world.own()
    with pytest.raises(ans.InvalidGrant) as refused:
        last.delegate(world.mallory, scope=world.narrow(), key=world.mallory_key)
    assert refused.value.code == "too_deep"
    world.refuses(world.forged(lambda p: p.update(depth=0)), "depth_mismatch")
