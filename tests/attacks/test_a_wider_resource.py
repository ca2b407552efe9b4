"""A hop turns one account into a pattern of many, or leaves it out.

Class: wildcard widening
Refusal: InvalidGrant scope_widened
Check: src/scope/within.rs:gap: the resource patterns
"""

from __future__ import annotations

from typing import Any

from attacking import World

REMOVED = [
    ("src/scope/within.rs", "if «!fits» {\n            return gap(Code::ResourceBeyond)", "false")
]


def test_a_wider_resource(world: World) -> None:
    for resource in (["account/*"], ["account/travel-*"], ["**"], None):

        def widen(payload: dict[str, Any], resource: Any = resource) -> None:
            payload["scope"][0]["resource"] = resource
            if resource is None:
                del payload["scope"][0]["resource"]

        world.refuses(world.forged(widen), "scope_widened")
