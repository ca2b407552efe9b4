"""A hop is carried to another chain whose holder has the same key.

Class: splicing
Refusal: InvalidGrant parent_mismatch
Check: src/grant.rs:check_link: the digest of the parent
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    ("src/grant.rs", "child.parent != Some(*digest)", "false"),
    ("src/grant.rs", "child.task != above.task", "false"),
]


def test_a_leaf_under_another_root(world: World) -> None:
    leaf = world.held.token.split("~")[-1]
    other = world.grant()
    world.refuses(f"{other.token}~{leaf}", "parent_mismatch")
