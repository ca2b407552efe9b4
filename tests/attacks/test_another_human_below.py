"""A hop names another human than the root.

Class: re-parenting
Refusal: InvalidGrant human_changed
Check: src/grant.rs:check_link: the human is the same
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/grant.rs", "child.human != above.human", "false")]


def test_another_human_below(world: World) -> None:
    world.refuses(world.forged(lambda p: p.update(human=world.bob.id)), "human_changed")
