"""`True` passes for 1.

Class: Unicode and canonicalization
Refusal: AccessDenied caveat_failed
Check: src/scope/caveat.rs:order: bool is no number
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/scope/caveat.rs",
        "_ => «compare_numbers(a, b)»,",
        "compare_numbers(&match a { Value::Bool(flag) => Value::int(i64::from(*flag)), other "
        "=> other.clone() }, b)",
    )
]


def test_a_bool_for_a_number(world: World) -> None:
    for amount in (True, False, "80", None, b"80", [80]):
        world.denies(world.root, "caveat_failed", "travel-1", amount)
