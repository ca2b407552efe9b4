"""The amount in a signed grant is edited.

Class: grant substitution
Refusal: InvalidGrant signature
Check: src/keys/token.rs:verify: the signature over payload, footer and purpose
"""

from __future__ import annotations

from attacking import World, base64url, unbase64

REMOVED = [
    (
        "src/keys/token.rs",
        "PublicToken::verify(&key, &untrusted, None, Some(assertion.as_bytes()))\n"
        "        .map_err(|_| KeyError::Signature)?\n"
        "        .payload()\n"
        "        .to_owned()",
        "String::from_utf8_lossy(untrusted.untrusted_payload()).into_owned()",
    ),
    ("src/grant.rs", "child.scope.within(&above.scope).map_err(GrantError::ScopeWidened)?", "()"),
    (
        "src/engine/verbs/grants.rs",
        "match «self.known_by_id(&id)?» {\n                    Some(known) if known.digest",
        "self.known_by_id(&id)?.filter(|known| known.digest == grant.digest)",
    ),
]


def test_an_edited_payload(world: World) -> None:
    *above, leaf = world.held.token.split("~")
    body = bytearray(unbase64(leaf.removeprefix("v4.public.")))
    assert body.count(b"100") == 1
    edited = base64url(bytes(body).replace(b"100", b"999"))
    world.refuses("~".join([*above, "v4.public." + edited]), "signature")
