"""An empty scope, or an empty list of resources, means everything.

Class: fail-open
Refusal: AccessDenied tool_not_covered, resource_not_covered
Check: src/scope/mod.rs:covers: nothing covers nothing
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/scope/mod.rs",
        "let mut closest = «None»;",
        "if self.capabilities.is_empty() { return Ok(0) } else { None }",
    )
]


def test_an_empty_scope(world: World) -> None:
    world.denies(world.grant(scope=[]), "tool_not_covered")
    nothing = ans.allow("pay.transfer", resource=[])
    world.denies(world.grant(scope=nothing), "resource_not_covered")
