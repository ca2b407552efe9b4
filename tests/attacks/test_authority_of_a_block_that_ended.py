"""A callable keeps the authority of a block for when it is over.

Class: confused deputy
Refusal: AccessDenied authority_ended
Check: src/python/guard/mod.rs:is_alive: the block still runs
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/python/guard/mod.rs",
        "self.alive.iter().all(|block| block.load(Ordering::Acquire))",
        "true",
    )
]


def test_authority_of_a_block_that_ended(world: World) -> None:
    with world.engine.acting(world.root):
        kept = ans.carry(world.transfer)
    with pytest.raises(ans.AccessDenied) as denied:
        kept("travel-1", 10)
    assert denied.value.code == "authority_ended"
    assert world.ran == []
