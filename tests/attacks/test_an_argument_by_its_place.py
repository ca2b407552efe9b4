"""A positional argument slips past a caveat on its name, or is given twice.

Class: fail-open
Refusal: AccessDenied caveat_failed, invalid_argument
Check: src/python/guard/bind.rs:bind: arguments are bound as Python binds them
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/python/guard/bind.rs",
        "(Some(parameter), _) => {\n"
        "                    let copy = «pass.take(&parameter.text, parameter.by_reference, "
        "&given)?»",
        'if &*parameter.text == "amount" { given.clone() } else { pass.take(&parameter.text, '
        "parameter.by_reference, &given)? }",
    ),
    (
        "src/scope/capability.rs",
        "!«caveat.allows(value, &request.arguments)» {",
        "(value.is_none() || caveat.allows(value, &request.arguments))",
    ),
]


def test_an_argument_by_its_place(world: World) -> None:
    world.denies(world.held, "caveat_failed", "travel-1", 600)
    world.denies(world.held, "invalid_argument", "travel-1", 10, amount=600)
    world.denies(world.held, "invalid_argument", "travel-1", 10, "memo", "more")
