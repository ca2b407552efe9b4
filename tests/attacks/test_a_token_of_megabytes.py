"""A hop has megabytes.

Class: depth and size bombs
Refusal: InvalidGrant too_large
Check: src/chain.rs:parse: the budget of bytes
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    ("src/chain.rs", "text.len() > MAX_CHAIN_BYTES", "false"),
    ("src/chain.rs", "token.len() > MAX_TOKEN_BYTES", "false"),
]
LEFT = "malformed"


def test_a_token_of_megabytes(world: World) -> None:
    world.refuses("v4.public." + "A" * 40_000, "too_large")
    world.refuses(world.root.token + "~v4.public." + "A" * 10_000_000, "too_large")
