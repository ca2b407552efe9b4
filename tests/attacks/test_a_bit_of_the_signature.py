"""One bit of a signature is another.

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
    )
]


def test_a_bit_of_the_signature(world: World) -> None:
    *above, leaf = world.held.token.split("~")
    for place in (1, 33, 64):
        body = bytearray(unbase64(leaf.removeprefix("v4.public.")))
        body[-place] ^= 1
        world.refuses("~".join([*above, "v4.public." + base64url(bytes(body))]), "signature")
