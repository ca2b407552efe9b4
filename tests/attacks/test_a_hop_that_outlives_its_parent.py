"""A hop ends after the grant it was made under.

Class: time rollback
Refusal: InvalidGrant time_extended
Check: src/grant.rs:check_link: the term lies within the parent's
"""

from __future__ import annotations

from attacking import World, claims

REMOVED = [("src/grant.rs", "child.iat < above.iat || child.exp > above.exp", "false")]


def test_a_hop_that_outlives_its_parent(world: World) -> None:
    late = claims(world.root.token.split("~")[0])["exp"].replace("2026", "2027")
    world.refuses(world.forged(lambda p: p.update(exp=late)), "time_extended")
