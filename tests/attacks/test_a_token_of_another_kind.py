"""A hop is a token of another version or purpose, or none.

Class: algorithm confusion
Refusal: InvalidGrant malformed
Check: src/keys/token.rs:parse: the header
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/keys/token.rs",
        "body = «token.strip_prefix(HEADER)»",
        "token.strip_prefix(HEADER).or(token.get(HEADER.len()..))",
    )
]
LEFT = "held"


def test_a_token_of_another_kind(world: World) -> None:
    *above, leaf = world.held.token.split("~")
    body = leaf.removeprefix("v4.public.")
    for header in ("v4.local.", "v3.public.", "v4.none.", "V4.PUBLIC.", "", "eyJhbGciOiJub25lIn0."):
        world.refuses("~".join([*above, header + body]), "malformed")
