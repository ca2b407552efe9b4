"""A hop raises how deep may be delegated below it.

Class: depth and size bombs
Refusal: InvalidGrant depth_raised
Check: src/grant.rs:check_link: the maximum is not raised
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/grant.rs", "child.max_depth > above.max_depth", "false")]


def test_a_raised_maximum_depth(world: World) -> None:
    world.refuses(world.forged(lambda p: p.update(max_depth=200)), "depth_raised")
