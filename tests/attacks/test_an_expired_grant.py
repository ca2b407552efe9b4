"""A grant is used after its end.

Class: time rollback
Refusal: AccessDenied expired
Check: src/authorizer/standing.rs:is_good: the end of every hop
"""

from __future__ import annotations

from pathlib import Path

from attacking import World

REMOVED = [
    (
        "src/authorizer/standing.rs",
        "self.faults.is_empty() && now >= self.from.saturating_sub(SKEW) && now < self.until",
        "self.faults.is_empty()",
    )
]


def test_an_expired_grant(world: World, tmp_path: Path) -> None:
    frozen = World(tmp_path / "frozen", clock="2026-11-24T08:00:00Z")
    frozen.engine.set_clock("2026-11-24T08:29:59Z")
    frozen.allows(frozen.held)
    frozen.engine.set_clock("2026-11-24T08:30:00Z")
    frozen.denies(frozen.held, "expired")
    frozen.engine.close()
