"""A call is approved; then its tool is lent a credential, or lets secrets out in what it returns.

Class: grant substitution
Refusal: ApprovalRequired approval_required
Check: src/engine/approvals.rs:approval_digest: a yes is for a call with what it is lent
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from approving import ASKS, Asking

import answerable as ans

REMOVED = [
    ("src/engine/approvals.rs", "&lent,\n            «basis»,", "&[0; 32]"),
    ("src/engine/approvals.rs", "«&lent»,\n            basis", "&[]"),
    ("src/engine/approvals.rs", "self.basis_in(state, tool) != approval.basis", "false"),
]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"credential": "bank-api"}),
        ({"credential": "bank-api"}, {"credential": ["bank-api", "other"]}),
        ({"redact_result": True}, {}),
    ],
)
def test_an_approval_of_another_declaration(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any]
) -> None:
    world = Asking(tmp_path / "governance")
    for name in ("bank-api", "other"):
        world.engine.vault.put(name, f"hunter2-{name}", for_tools=["pay.*"])
    world.load(ASKS.replace('action == Action::"pay.send"', "action"))
    ran: list[int] = []

    def declared(**facts: Any) -> Any:
        @ans.tool("pay.wire", engine=world.engine, **facts)
        def wire(amount: int) -> None:
            ran.append(amount)

        return wire

    def asked(wire: Any) -> Any:
        with pytest.raises(ans.ApprovalRequired) as asked, world.engine.acting(world.grant):
            wire(80)
        return asked.value.approval

    approval = asked(declared(**before))
    world.engine.approvals.approve(approval, by=world.bob)
    assert asked(declared(**after)) != approval
    assert ran == []
    assert (approval.status, approval.because) == ("ended", "policy_changed")
    world.engine.close()
