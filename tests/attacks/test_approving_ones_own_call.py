"""A tool approves the call that its own agent was asked about, in its human's name.

Class: confused deputy
Refusal: IllegalTransition approval_by_agent
Check: python/answerable/approvals.py:_needs_a_human: nothing is answered where an agent acts
"""

from __future__ import annotations

from pathlib import Path

import pytest
from approving import Asking

import answerable as ans

REMOVED = [("python/answerable/approvals.py", "self._in_force()", "False")]


def test_approving_ones_own_call(tmp_path: Path) -> None:
    world = Asking(tmp_path / "governance")
    approval = world.asked()
    with world.engine.acting(world.grant), pytest.raises(ans.IllegalTransition) as refused:
        world.engine.approvals.approve(approval, by=world.alice)
    assert refused.value.code == "approval_by_agent"
    with pytest.raises(ans.NotFound):
        world.engine.approvals.approve(approval, by=world.agent.id)
    assert world.asked() == approval
    world.engine.close()
