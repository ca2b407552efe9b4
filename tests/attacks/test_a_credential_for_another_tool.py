"""A tool declares a credential that was put for others.

Class: confused deputy
Refusal: AccessDenied credential_not_allowed
Check: src/engine/leases.rs:may_lease: the tool is one that it is for
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/engine/leases.rs", "!held.is_for(tool)", "false")]
SECRET = "sk-live-0123456789"


def test_a_credential_for_another_tool(world: World) -> None:
    world.engine.vault.put("bank", SECRET, for_tools=["bank.*"], by=world.alice)

    @ans.tool("pay.borrow", credential="bank")
    def borrow() -> None:
        world.ran.append(ans.credential("bank").reveal())

    grant = world.grant(scope=[ans.allow("pay.*")])
    with world.engine.acting(grant), pytest.raises(ans.AccessDenied) as denied:
        borrow()
    assert denied.value.code == "credential_not_allowed"
    assert SECRET not in world.ran
