"""An agent in an offboarding proof is exchanged for another.

Class: lifecycle bypass
Refusal: TrailCorrupted proof_invalid
Check: src/registry/offboarding.rs:verify_offboarding: the digest of the items
"""

from __future__ import annotations

import json

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/registry/offboarding.rs", "items_digest(list) != statement.items", "false")]


def test_an_edited_offboarding_proof(world: World) -> None:
    gone = world.engine.humans.offboard(world.alice, reason="left")
    proof = json.loads(gone.text)
    proof["items"][0]["id"] = world.mallory.id
    with pytest.raises(ans.TrailCorrupted) as refused:
        ans.verify_offboarding(json.dumps(proof), world.engine.authority)
    assert refused.value.code == "proof_invalid"
