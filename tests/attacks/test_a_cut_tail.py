"""The newest entries are cut off.

Class: trail tampering
Refusal: TrailCorrupted cut_tail_or_rolled_back
Check: src/trail/verify/mod.rs:compare: a checkpoint covers more entries than there are
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/trail/verify/mod.rs", "one.size > size", "false"),
    ("src/trail/verify/mod.rs", "root != one.root", "false"),
]


def test_a_cut_tail(world: World, tmp_path: Path) -> None:
    world.allows(world.held)
    kept = world.engine.trail.checkpoint()
    trail = tmp_path / "trail.jsonl"
    world.engine.trail.export(trail)
    lines = trail.read_text().splitlines()
    header = json.loads(lines[0])
    entries = [line for line in lines if '"index":' in line[:10]]
    header.update(size=len(entries) - 2, checkpoints=0)
    trail.write_text("\n".join([json.dumps(header), *entries[:-2]]) + "\n")
    with pytest.raises(ans.TrailCorrupted) as refused:
        ans.verify(trail, authority=world.engine.authority, since=kept)
    assert "cut_tail_or_rolled_back" in {fault.code for fault in refused.value.faults}
