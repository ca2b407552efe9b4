"""A hop is repeated, to pass for a deeper chain.

Class: splicing
Refusal: InvalidGrant parent_mismatch
Check: src/grant.rs:check_link: the digest of the parent
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    ("src/grant.rs", "child.parent != Some(*digest)", "false"),
    ("src/grant.rs", "child.depth != expected", "false"),
]


def test_a_hop_that_stands_twice(world: World) -> None:
    root, middle, leaf = world.own().token.split("~")
    world.refuses(f"{root}~{middle}~{leaf}~{leaf}", "parent_mismatch")
