"""A negative amount gives back what was drawn.

Class: budget splitting by fan-out
Refusal: AccessDenied limit_uncountable
Check: src/engine/draws.rs:needs: amounts from zero up
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/engine/draws.rs",
        "compare_numbers(amount, &zero).is_some_and(std::cmp::Ordering::is_ge)",
        "true",
    )
]


def test_a_negative_amount(world: World) -> None:
    scope = world.wide(limits=ans.total("amount", 100))
    grant = world.grant(scope=scope)
    world.allows(grant, "travel-1", 90)
    world.denies(grant, "limit_uncountable", "travel-1", -80)
    world.denies(grant, "limit_reached", "travel-1", 20)
