"""A chain has more hops than are looked at.

Class: depth and size bombs
Refusal: InvalidGrant too_large
Check: src/chain.rs:parse: the budget of hops
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/chain.rs", "enumerate() {\n            if «hop >= max_hops» {", "false")]
LEFT = "malformed"


def test_a_chain_of_many_hops(world: World) -> None:
    world.refuses("~".join(["v4.public.AAAA"] * 9), "too_large")
    world.refuses("~".join(["v4.public.AAAA"] * 100_000), "too_large")
