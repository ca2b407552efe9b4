"""A hop drops a caveat, or all of them.

Class: wildcard widening
Refusal: InvalidGrant scope_widened
Check: src/scope/within.rs:where_gap: the caveats of the parent
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    ("src/scope/within.rs", "where_gap(own, outer)", "None::<(NotWithinCode, &'a str)>"),
    ("src/scope/within.rs", "(None, Some(_)) => return «gap(Code::WhereLeftOut)»", "None"),
]


def test_caveats_left_out(world: World) -> None:
    world.refuses(world.forged(lambda p: p["scope"][0].pop("where")), "scope_widened")
    world.refuses(world.forged(lambda p: p["scope"][0]["where"].pop("amount")), "scope_widened")
    wide = world.forged(lambda p: p["scope"][0]["where"].update(amount={"at_most": 101}))
    world.refuses(wide, "scope_widened")
