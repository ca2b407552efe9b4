"""A hop below the narrow grant cites the wide one as its parent.

Class: re-parenting
Refusal: InvalidGrant parent_mismatch
Check: src/grant.rs:check_link: the digest of the parent
"""

from __future__ import annotations

from attacking import World, base64url

REMOVED = [("src/grant.rs", "child.parent != Some(*digest)", "false")]


def test_a_wider_parent_is_cited(world: World) -> None:
    wide = base64url(bytes.fromhex(world.root.digest))
    world.refuses(world.forged(lambda p: p.update(parent=wide)), "parent_mismatch")
    world.refuses(world.forged(lambda p: p.pop("parent")), "parent_mismatch")
