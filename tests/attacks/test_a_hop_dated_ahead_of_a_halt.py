"""A hop dated ahead is shown before its holder is halted, and another after.

Class: lifecycle bypass
Refusal: AccessDenied halted
Check: src/authorizer/standing.rs:add_agent: halts, whenever a hop starts
"""

from __future__ import annotations

from attacking import World, ahead

REMOVED = [("src/authorizer/standing.rs", "if «agent.halted» {", "false")]


def test_a_hop_dated_ahead_of_a_halt(world: World) -> None:
    shown, kept = (world.engine.accept(world.below(ahead(29))), world.below(ahead(29)))
    world.allows(shown)
    world.engine.halt(reason="look at this", agent=world.mallory)
    world.denies(shown, "halted")
    world.denies(world.engine.accept(kept), "halted")
    world.engine.unhalt(agent=world.mallory)
    world.allows(shown)
