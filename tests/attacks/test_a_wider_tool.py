"""A hop turns one tool into a pattern of many.

Class: wildcard widening
Refusal: InvalidGrant scope_widened
Check: src/scope/within.rs:gap: the tool pattern
"""

from __future__ import annotations

from typing import Any

from attacking import World

REMOVED = [("src/scope/within.rs", "!child.tool.within(&parent.tool)", "false")]


def test_a_wider_tool(world: World) -> None:
    for tool in ("pay.*", "pay.**", "**", "pay.transfer*"):

        def widen(payload: dict[str, Any], tool: str = tool) -> None:
            payload["scope"][0]["tool"] = tool

        world.refuses(world.forged(widen), "scope_widened")
