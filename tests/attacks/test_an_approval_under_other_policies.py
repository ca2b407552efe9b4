"""A payment is approved, then the policies forbid it, then they are as they were.

Class: lifecycle bypass
Refusal: AccessDenied forbidden, then ApprovalRequired approval_required
Check: src/authorizer/policies.rs:basis: an approval ends with the policies it was asked under
"""

from __future__ import annotations

from pathlib import Path

import pytest
from approving import ASKS, FORBIDS, Asking

import answerable as ans

REMOVED = [("src/authorizer/policies.rs", "&self.texts", "tool.as_str().as_bytes()")]


def test_an_approval_under_other_policies(tmp_path: Path) -> None:
    world = Asking(tmp_path / "governance")
    approval = world.approved()
    world.load(FORBIDS)
    with pytest.raises(ans.AccessDenied) as denied:
        world.pay()
    assert denied.value.code == "forbidden"
    world.load(ASKS)
    assert world.asked() != approval
    assert world.ran == []
    world.engine.close()
