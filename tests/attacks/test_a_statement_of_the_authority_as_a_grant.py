"""A statement signed for another purpose is passed off as a grant.

Class: key confusion
Refusal: InvalidGrant malformed, signature
Check: src/grant.rs:assertion: each use of a key has its own assertion
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/grant.rs",
        'format!("answerable/v1/grant/{authority_id}")',
        'format!("answerable/v1/revocation/{authority_id}")',
    )
]
LEFT = "held"


def test_a_statement_of_the_authority_as_a_grant(world: World) -> None:
    done = world.engine.revoke(world.grant(), reason="x")
    statement = world.engine.trail.get(done.entry).leaf["statement"]
    world.refuses(statement, "malformed")
    footer = world.root.token.split("~")[0].split(".")[-1]
    world.refuses(f"{statement}.{footer}", "signature")
