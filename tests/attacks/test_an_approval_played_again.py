"""A payment that was approved once is made twice.

Class: replay
Refusal: ApprovalRequired approval_required
Check: src/engine/append.rs:append: a yes is used up in the write of the decision it allows
"""

from __future__ import annotations

from pathlib import Path

from approving import Asking

REMOVED = [("src/engine/append.rs", "puts.extend(self.use_up(approval, id)?)", "()")]


def test_an_approval_played_again(tmp_path: Path) -> None:
    world = Asking(tmp_path / "governance")
    approval = world.approved()
    world.pay()
    assert world.asked() != approval
    assert world.ran == [("acme", 80)]
    world.engine.close()
