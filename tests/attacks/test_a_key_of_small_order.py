"""A holder has a key under which anybody can sign.

Class: key confusion
Refusal: InvalidGrant holder_key
Check: src/keys/mod.rs:from_bytes: points of small order
"""

from __future__ import annotations

import pytest
from attacking import World, base64url

import answerable as ans

REMOVED = [("src/keys/mod.rs", "point.is_weak()", "false")]


def test_a_key_of_small_order(world: World) -> None:
    weak = "k4.public." + base64url(bytes([1]) + bytes(31))
    holder = {"agent": world.mallory.id, "key": weak}
    with pytest.raises(ans.InvalidGrant) as refused:
        world.engine.accept(world.forged(lambda p: p.update(holder=holder)))
    assert refused.value.code in ("holder_key", "malformed")
    with pytest.raises(ans.InvalidInput, match="weak"):
        world.engine.agents.rotate(world.mallory, key=weak)
