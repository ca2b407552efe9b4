"""The clock is set back, so that what expired is valid again.

Class: time rollback
Refusal: AccessDenied clock_behind
Check: src/clock.rs:read: the high-water mark
"""

from __future__ import annotations

from pathlib import Path

from attacking import World

REMOVED = [
    ("src/clock.rs", "now < mark.saturating_sub(MAX_BEHIND_MICROS)", "false"),
    ("src/clock.rs", "Reading::Now(mark)", "Reading::Now(now)"),
]


def test_the_clock_is_set_back(world: World, tmp_path: Path) -> None:
    world.engine.close()
    frozen = World(tmp_path / "frozen", clock="2026-11-24T08:00:00Z")
    frozen.engine.set_clock("2026-11-24T10:00:00Z")
    frozen.denies(frozen.root, "expired")
    frozen.engine.set_clock("2026-11-24T08:30:00Z")
    frozen.denies(frozen.root, "clock_behind")
    frozen.engine.close()
