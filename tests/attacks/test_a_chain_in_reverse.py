"""The hops are put in another order.

Class: splicing
Refusal: InvalidGrant malformed
Check: src/chain.rs:verify: the first hop names a key of the authority
"""

from __future__ import annotations

from attacking import World


def test_a_chain_in_reverse(world: World) -> None:
    hops = world.own().token.split("~")
    world.refuses("~".join(reversed(hops)), "malformed")
