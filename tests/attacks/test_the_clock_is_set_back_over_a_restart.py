"""The store is opened again with an older clock.

Class: time rollback
Refusal: AccessDenied clock_behind
Check: src/recorder/head.rs:load: the newest entry's time is the mark
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/engine/open.rs", "Clock::new(options.clock, «head.at»)", "0")]


def test_the_clock_is_set_back_over_a_restart(world: World, tmp_path: Path) -> None:
    frozen = World(tmp_path / "frozen", clock="2026-11-24T08:00:00Z")
    frozen.engine.set_clock("2026-11-24T10:00:00Z")
    frozen.denies(frozen.root, "expired")
    frozen.reopen(clock="2026-11-24T08:30:00Z")
    frozen.denies(frozen.engine.accept(frozen.root.token), "clock_behind")
    with pytest.raises(ans.IllegalTransition) as refused:
        frozen.grant()
    assert refused.value.code == "clock_behind"
    frozen.engine.close()
