"""A chain is presented to another deployment.

Class: replay
Refusal: InvalidGrant unknown_authority
Check: src/chain.rs:find: the key is an anchor
"""

from __future__ import annotations

from pathlib import Path

from attacking import World


def test_at_another_verifier(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")
    other.refuses(world.held.token, "unknown_authority")
    other.engine.close()
