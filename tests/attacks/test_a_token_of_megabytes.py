"""A hop has megabytes.

Class: depth and size bombs
Refusal: InvalidGrant too_large
Check: src/chain.rs:parse: the budget of bytes
"""

from __future__ import annotations

from attacking import World


def test_a_token_of_megabytes(world: World) -> None:
    world.refuses("v4.public." + "A" * 40_000, "too_large")
    world.refuses(world.root.token + "~v4.public." + "A" * 10_000_000, "too_large")
