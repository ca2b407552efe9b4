"""A hop is dated back, to lie before or after a revocation as it suits.

Class: time rollback
Refusal: InvalidGrant time_extended
Check: src/grant.rs:check_link: the term lies within the parent's
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/grant.rs", "child.iat < above.iat || child.exp > above.exp", "false")]


def test_a_hop_that_starts_before_its_parent(world: World) -> None:
    world.refuses(world.forged(lambda p: p.update(iat="2020-01-01T00:00:00Z")), "time_extended")
