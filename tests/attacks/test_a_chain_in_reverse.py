"""The hops are put in another order.

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
    ("src/grant.rs", "child.parent != Some(*digest)", "false"),
    ("src/grant.rs", "child.depth != expected", "false"),
    ("src/grant.rs", "child.depth > above.max_depth", "false"),
    ("src/grant.rs", "child.max_depth > above.max_depth", "false"),
    ("src/grant.rs", "child.iat < above.iat || child.exp > above.exp", "false"),
    ("src/grant.rs", "child.scope.within(&above.scope).map_err(GrantError::ScopeWidened)?", "()"),
]


def test_a_chain_in_reverse(world: World) -> None:
    hops = world.own().token.split("~")
    world.refuses("~".join(reversed(hops)), "malformed")
