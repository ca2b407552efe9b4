"""A number is one above the bound, which no float can tell.

Class: Unicode and canonicalization
Refusal: AccessDenied caveat_failed
Check: src/scope/caveat.rs:order: numbers compare by exact value
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/scope/caveat.rs",
        "_ => «compare_numbers(a, b)»,",
        "compare_numbers(&match a { Value::Int(n) => "
        "Value::float(n.to_string().parse().unwrap_or(0.0)).unwrap_or(Value::Null), other => "
        "other.clone() }, b)",
    ),
    (
        "src/scope/caveat.rs",
        "Some(order_integers(a, b))",
        "a.to_string().parse::<f64>().ok().partial_cmp(&b.to_string().parse::<f64>().ok())",
    ),
]


def test_a_number_beyond_floats(world: World) -> None:
    bound = ans.at_most(float(2**53))
    scope = ans.allow("pay.transfer", resource="**", where={"amount": bound, "memo": ans.any_()})
    grant = world.grant(scope=scope)
    world.allows(grant, "a", 2**53)
    world.denies(grant, "caveat_failed", "a", 2**53 + 1)
    world.denies(grant, "caveat_failed", "a", 10**400)
