"""The narrowing hop in the middle is dropped.

Class: splicing
Refusal: InvalidGrant signature
Check: src/grant.rs:verify: a hop is signed by the holder of the one above
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/keys/token.rs",
        "PublicToken::verify(&key, &untrusted, None, Some(assertion.as_bytes()))\n"
        "        .map_err(|_| KeyError::Signature)?\n"
        "        .payload()\n"
        "        .to_owned()",
        "String::from_utf8_lossy(untrusted.untrusted_payload()).into_owned()",
    ),
    ("src/grant.rs", "child.parent != Some(*digest)", "false"),
    ("src/grant.rs", "child.depth != expected", "false"),
]


def test_a_hop_left_out(world: World) -> None:
    root, _, leaf = world.own().token.split("~")
    world.refuses(f"{root}~{leaf}", "signature")
