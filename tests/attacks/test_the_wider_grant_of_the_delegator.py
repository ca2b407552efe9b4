"""A delegate does what only its delegator may.

Class: confused deputy
Refusal: AccessDenied resource_not_covered
Check: src/authorizer.rs:authorize: the scope of every hop covers
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/authorizer.rs",
        "payload.scope.covers(request)",
        "chain.root().payload.scope.covers(request)",
    )
]


def test_the_wider_grant_of_the_delegator(world: World) -> None:
    world.allows(world.root, "travel-2", 400)
    world.denies(world.held, "resource_not_covered", "travel-2", 10)
    world.denies(world.held, "caveat_failed", "travel-1", 101)
    world.allows(world.held, "travel-1", 100)
