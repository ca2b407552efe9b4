"""A hop has megabytes.

Class: depth and size bombs
Refusal: InvalidGrant too_large
Check: src/chain.rs:parse: the budget of bytes
"""

from __future__ import annotations

from typing import Any

from attacking import World

REMOVED = [
    ("src/chain.rs", "text.len() > MAX_CHAIN_BYTES", "false"),
    ("src/chain.rs", "token.len() > MAX_TOKEN_BYTES", "false"),
    (
        "src/keys/token.rs",
        "if «token.len() > MAX_TOKEN_BYTES» {\n"
        '        return Err(KeyError::Token("it is larger than 16 KiB"));',
        "false",
    ),
]


def test_a_token_of_megabytes(world: World) -> None:
    def many(payload: dict[str, Any]) -> None:
        one = payload["scope"][0]
        amounts = [[start + part / 100 for part in range(1, 51)] for start in range(50)]
        payload["scope"] = [
            {**one, "where": {**one["where"], "amount": {"one_of": some}}} for some in amounts
        ]

    # Sound but for its size, and each capability within its parent's.
    world.refuses(world.forged(many), "too_large")
    world.refuses("v4.public." + "A" * 40_000, "too_large")
    world.refuses(world.root.token + "~v4.public." + "A" * 10_000_000, "too_large")
