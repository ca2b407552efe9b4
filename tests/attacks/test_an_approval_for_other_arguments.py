"""A human approves one payment, and the agent makes another.

Class: grant substitution
Refusal: ApprovalRequired approval_required
Check: src/engine/approvals.rs:approval_digest: the arguments are part of what was approved
"""

from __future__ import annotations

from pathlib import Path

from approving import Asking

REMOVED = [("src/engine/approvals.rs", "value.encode_into(&mut arguments)", "()")]


def test_an_approval_for_other_arguments(tmp_path: Path) -> None:
    world = Asking(tmp_path / "governance")
    approval = world.approved()
    others = [world.asked("mallory", 80), world.asked("acme", 81), world.asked("acme\n", 80)]
    assert approval not in others
    world.pay()
    assert world.ran == [("acme", 80)]
    world.engine.close()
