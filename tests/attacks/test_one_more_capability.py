"""A hop adds a capability that its parent has not.

Class: wildcard widening
Refusal: InvalidGrant scope_widened
Check: src/scope/within.rs:scope_within: each capability fits inside one of the parent
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/scope/within.rs", "if «!fits» {\n            return Err(explain(", "false")]


def test_one_more_capability(world: World) -> None:
    more = {"tool": "pay.refund"}
    world.refuses(world.forged(lambda p: p["scope"].append(more)), "scope_widened")
