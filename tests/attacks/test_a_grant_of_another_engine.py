"""A tool of this engine is called under another engine's grant.

Class: confused deputy
Refusal: AccessDenied no_authority
Check: src/python/guard/mod.rs:in_force: the engines are the same
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attacking import World

import answerable as ans


def test_a_grant_of_another_engine(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")

    @ans.tool("pay.note", engine=world.engine)
    def note() -> None:
        world.ran.append("note")

    with (
        pytest.raises(ans.AccessDenied) as denied,
        other.engine.acting(other.grant(scope=ans.allow("pay.note"))),
    ):
        note()
    assert denied.value.code == "no_authority"
    assert world.ran == []
    other.engine.close()
