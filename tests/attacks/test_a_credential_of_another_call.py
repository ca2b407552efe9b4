"""A tool that runs inside another's body uses what that one was lent.

Class: confused deputy
Refusal: VaultError lease_elsewhere
Check: src/python/vault.rs:reveal: only inside the very call that it was leased to
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/python/vault.rs", "!inside", "false")]
SECRET = "sk-live-0123456789"


def test_a_credential_of_another_call(world: World) -> None:
    world.engine.vault.put("bank", SECRET, for_tools=["pay.outer"], by=world.alice)
    held: list[ans.Credential] = []

    @ans.tool("pay.outer", credential="bank")
    def outer() -> None:
        held.append(ans.credential("bank"))
        inner()

    @ans.tool("pay.inner")
    def inner() -> None:
        world.ran.append(held[0].reveal())

    grant = world.grant(scope=[ans.allow("pay.*")])
    with world.engine.acting(grant), pytest.raises(ans.VaultError) as refused:
        outer()
    assert refused.value.code == "lease_elsewhere"
    assert SECRET not in world.ran
