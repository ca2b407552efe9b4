"""A chain is presented to another deployment.

Class: replay
Refusal: InvalidGrant unknown_authority
Check: src/chain.rs:find: the key is an anchor
"""

from __future__ import annotations

from pathlib import Path

from attacking import World

REMOVED = [
    (
        "src/chain.rs",
        "self.0.iter().find(|anchor| anchor.id == id)",
        "self.0.iter().find(|anchor| anchor.id == id).or(self.0.first())",
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
    ("src/grant.rs", "child.parent != Some(*digest)", "false"),
]


def test_at_another_verifier(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    other.refuses(world.held.token, "unknown_authority")
    other.engine.close()
