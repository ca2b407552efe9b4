"""A chain starts at a delegation, as if that were a root grant.

Class: splicing
Refusal: InvalidGrant malformed
Check: src/chain.rs:verify: the first hop names a key of the authority
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/chain.rs",
        "«footer_key_id(&footer)».ok_or_else",
        "footer_key_id(&footer).or_else(|| anchors.0.first().map(|a| a.id.as_str()))",
    ),
    (
        "src/keys/token.rs",
        "PublicToken::verify(&key, &untrusted, None, Some(assertion.as_bytes()))\n"
        "        .map_err(|_| KeyError::Signature)?\n"
        "        .payload()\n"
        "        .to_owned()",
        "String::from_utf8_lossy(untrusted.untrusted_payload()).into_owned()",
    ),
    ("src/grant.rs", "statement.footer != expected", "false"),
    ("src/grant.rs", "root && !is_root", "false"),
]


def test_a_chain_without_its_root(world: World) -> None:
    world.refuses(world.held.token.split("~")[1], "malformed")
