"""A hop dated ahead is shown before all that was granted for its human ends.

Class: lifecycle bypass
Refusal: AccessDenied revoked
Check: src/authorizer/standing.rs:ended: newer, for a human, is told by the trail's order alone
"""

from __future__ import annotations

from attacking import World, ahead

REMOVED = [
    (
        "src/authorizer/standing.rs",
        "ended(human.cut, chain.made(0))",
        "ended(human.cut, Some(root.iat as u64))",
    )
]


def test_a_grant_dated_ahead_of_its_humans_revocation(world: World) -> None:
    below = world.engine.accept(world.below(ahead(29)))
    world.allows(below)
    world.engine.revoke(world.alice, reason="her account was taken over")
    world.denies(below, "revoked")
    world.allows(world.grant())
