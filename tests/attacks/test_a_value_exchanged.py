"""A recorded argument is exchanged beside its commitment.

Class: trail tampering
Refusal: TrailCorrupted value_mismatch
Check: src/trail/verify/mod.rs:commitments: the value is the one committed to
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/trail/verify/mod.rs", "stated != found || bytes::check(value.value).is_err()", "false")
]


def test_a_value_exchanged(world: World, tmp_path: Path) -> None:
    world.allows(world.held, "travel-1", 77)
    trail = tmp_path / "trail.jsonl"
    world.engine.trail.export(trail)
    text = trail.read_text()
    assert '["keep",77]' in text
    trail.write_text(text.replace('["keep",77]', '["keep",7]'))
    with pytest.raises(ans.TrailCorrupted) as refused:
        ans.verify(trail, authority=world.engine.authority)
    assert {fault.code for fault in refused.value.faults} == {"value_mismatch"}
