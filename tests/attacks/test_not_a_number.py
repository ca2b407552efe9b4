"""NaN is neither above nor below any bound.

Class: Unicode and canonicalization
Refusal: AccessDenied invalid_argument
Check: src/canonical/mod.rs:float: NaN and infinities have no canonical form
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/canonical/mod.rs",
        "number.is_finite().then_some(Self::Float(number + 0.0))",
        "Some(Self::Float(number + 0.0))",
    )
]


def test_not_a_number(world: World) -> None:
    for amount in (float("nan"), float("inf"), -float("inf")):
        world.denies(world.root, "invalid_argument", "travel-1", amount)
