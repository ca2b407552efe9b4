"""A child made in this process goes on after its parent was revoked.

Class: replay
Refusal: AccessDenied revoked
Check: src/authorizer/standing.rs:of: the revocation of any hop
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/authorizer/standing.rs", "facts.is_revoked(&grant.digest)", "false")]


def test_a_child_of_a_revoked_parent(world: World) -> None:
    child = world.own()
    world.allows(child)
    world.engine.revoke(world.root, reason="x")
    world.denies(child, "revoked")
    world.denies(world.held, "revoked")
