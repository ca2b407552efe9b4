"""The whole trail is replaced by another, sound in itself.

Class: trail tampering
Refusal: TrailCorrupted
Check: src/trail/verify/mod.rs:signed: the checkpoint key stated under the authority given
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/trail/verify/mod.rs",
        "in_force.is_some_and(|(_, key, _)| note.signed_by(key))",
        "in_force.is_some()",
    ),
    ("src/trail/verify/mod.rs", "root != one.root", "false"),
    ("src/trail/verify/mod.rs", "one.size > size", "false"),
]
LEFT = "held"


def test_a_trail_made_anew(world: World, tmp_path: Path) -> None:
    kept = world.engine.trail.checkpoint()
    other = World(tmp_path / "other")
    trail = tmp_path / "trail.jsonl"
    other.engine.trail.export(trail)
    other.engine.close()
    with pytest.raises(ans.TrailCorrupted):
        ans.verify(trail, authority=world.engine.authority, since=kept)
