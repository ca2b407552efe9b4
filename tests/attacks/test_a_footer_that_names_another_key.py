"""The root's footer names a key that the attacker has.

Class: algorithm confusion
Refusal: InvalidGrant unknown_authority
Check: src/chain.rs:find: the key is an anchor
"""

from __future__ import annotations

import json
from pathlib import Path

from attacking import World, claims, sign, unbase64

import answerable as ans

REMOVED = [
    (
        "src/chain.rs",
        "self.0.iter().find(|anchor| anchor.id == id)",
        "self.0.iter().find(|anchor| anchor.id == id).or(self.0.first())",
    ),
    ("src/grant.rs", "statement.footer != expected", "false"),
    (
        "src/keys/token.rs",
        "PublicToken::verify(&key, &untrusted, None, Some(assertion.as_bytes()))\n"
        "        .map_err(|_| KeyError::Signature)?\n"
        "        .payload()\n"
        "        .to_owned()",
        "String::from_utf8_lossy(untrusted.untrusted_payload()).into_owned()",
    ),
    (
        "src/engine/verbs/grants.rs",
        "match «self.known_by_id(&id)?» {\n                    Some(known) if known.digest",
        "self.known_by_id(&id)?.filter(|known| known.digest == grant.digest)",
    ),
]


def test_a_footer_that_names_another_key(world: World, tmp_path: Path) -> None:
    key = ans.SecretKey.generate()
    payload = json.dumps(claims(world.root.token))
    other = World(tmp_path / "other")
    theirs = other.root.token.split(".")[-1]
    footer = unbase64(theirs)
    other.engine.close()
    world.refuses(sign(key, payload, world.assertion(), footer), "unknown_authority")
    ours = unbase64(world.root.token.split(".")[-1])
    world.refuses(sign(key, payload, world.assertion(), ours), "signature")
