"""A trailing dot gives a statement a second text, past lists of tokens.

Class: algorithm confusion
Refusal: InvalidGrant malformed
Check: src/keys/token.rs:parse: an empty footer part
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/keys/token.rs",
        "body.split_once('.')",
        "body.split_once('.').filter(|(_, footer)| !footer.is_empty())",
    )
]


def test_a_second_spelling_of_a_token(world: World) -> None:
    for more in (".", "=", "\n", " "):
        world.refuses(world.held.token + more, "malformed")
    world.refuses(world.held.token + ".e30", "signature")
