"""A hop raises how sure the authority was of the human.

Class: re-parenting
Refusal: InvalidGrant assurance_changed
Check: src/grant.rs:check_link: the assurance is the same
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/grant.rs", "child.assurance != above.assurance", "false")]


def test_a_surer_human_below(world: World) -> None:
    world.refuses(world.forged(lambda p: p.update(assurance="signed")), "assurance_changed")
