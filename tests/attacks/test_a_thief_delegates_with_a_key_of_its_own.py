"""Whoever copied a chain extends it with a key of their own.

Class: token theft
Refusal: InvalidGrant signature
Check: src/grant.rs:verify: a hop is signed by the holder of the one above
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

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


def test_a_thief_delegates_with_a_key_of_its_own(world: World) -> None:
    thief = ans.SecretKey.generate()
    world.refuses(world.forged(lambda payload: None, key=thief), "signature")
    with pytest.raises(ans.InvalidGrant) as refused:
        world.own(key=thief)
    assert refused.value.code == "signature"
    assert world.engine.accept(world.forged(lambda payload: None))
