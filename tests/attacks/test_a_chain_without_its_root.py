"""A chain starts at a delegation, as if that were a root grant.

Class: splicing
Refusal: InvalidGrant malformed
Check: src/chain.rs:verify: the first hop names a key of the authority
"""

from __future__ import annotations

from attacking import World


def test_a_chain_without_its_root(world: World) -> None:
    world.refuses(world.held.token.split("~")[1], "malformed")
