"""A tool keeps reading its credential after its grant was revoked.

Class: lifecycle bypass
Refusal: VaultError lease_ended
Check: src/engine/leases.rs:reveal: what allowed the call stands still
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/engine/leases.rs", "self.authority_ended(judged)", "None::<Reason>")]
SECRET = "sk-live-0123456789"


def test_a_secret_after_its_authority_ended(world: World) -> None:
    world.engine.vault.put("bank", SECRET, for_tools=["pay.*"], by=world.alice)
    grant = world.grant(scope=[ans.allow("pay.*")])

    @ans.tool("pay.linger", credential="bank")
    def linger() -> None:
        credential = ans.credential("bank")
        world.engine.revoke(grant, reason="enough", by=world.alice)
        world.ran.append(credential.reveal())

    with world.engine.acting(grant), pytest.raises(ans.VaultError) as refused:
        linger()
    assert refused.value.code == "lease_ended"
    assert SECRET not in world.ran
