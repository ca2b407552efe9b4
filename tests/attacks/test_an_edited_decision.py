"""A denial is edited into an allow, its hash with it.

Class: trail tampering
Refusal: TrailCorrupted
Check: src/trail/verify/mod.rs:compare: the root over all leaves
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/trail/verify/mod.rs", "root != one.root", "false"),
    ("src/trail/verify/export.rs", "found != stated", "false"),
]


def test_an_edited_decision(world: World, tmp_path: Path) -> None:
    world.denies(world.held, "caveat_failed", "travel-1", 600)
    trail = tmp_path / "trail.jsonl"
    world.engine.trail.export(trail)
    text = trail.read_text()
    assert '"effect":"deny"' in text
    trail.write_text(text.replace('"effect":"deny"', '"effect":"allow"'))
    with pytest.raises(ans.TrailCorrupted) as refused:
        ans.verify(trail, authority=world.engine.authority)
    codes = {fault.code for fault in refused.value.faults}
    assert {"leaf_hash_mismatch", "checkpoint_root_mismatch"} <= codes
