"""The narrowing hop in the middle is dropped.

Class: splicing
Refusal: InvalidGrant signature
Check: src/grant.rs:verify: a hop is signed by the holder of the one above
"""

from __future__ import annotations

from attacking import World


def test_a_hop_left_out(world: World) -> None:
    root, _, leaf = world.own().token.split("~")
    world.refuses(f"{root}~{leaf}", "signature")
