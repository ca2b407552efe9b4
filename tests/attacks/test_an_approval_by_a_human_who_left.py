"""A human who has left approves, or leaves between the yes and its use.

Class: lifecycle bypass
Refusal: IllegalTransition, then ApprovalRequired approval_required
Check: src/engine/approvals.rs:ground_lost: an approval ends with the human who gave it
"""

from __future__ import annotations

from pathlib import Path

import pytest
from approving import Asking

import answerable as ans

REMOVED = [
    (
        "src/engine/approvals.rs",
        "state.human(&answer.by).is_none_or(|human| human.offboarded)",
        "false",
    )
]


def test_an_approval_by_a_human_who_left(tmp_path: Path) -> None:
    world = Asking(tmp_path / "governance")
    approval = world.approved()
    world.engine.humans.offboard(world.bob, reason="left")
    asked = world.asked()
    assert asked != approval
    with pytest.raises(ans.IllegalTransition):
        world.engine.approvals.approve(asked, by=world.bob)
    assert world.asked() == asked
    assert world.ran == []
    world.engine.close()
