"""A tool, running for Alice, acts under a grant for Bob.

Class: confused deputy
Refusal: AccessDenied authority_conflict
Check: python/answerable/context.py:acting.__enter__: only what extends the grant in force
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [("python/answerable/context.py", "_call.get() is not None and not nested", "False")]


def test_acting_for_another_inside_a_tool(world: World) -> None:
    other = world.grant(world.bob)

    @ans.tool("pay.deputy")
    def deputy() -> None:
        with world.engine.acting(other):
            world.transfer("travel-1", 10)

    grant = world.grant(scope=[world.wide(), ans.allow("pay.deputy")])
    with pytest.raises(ans.AccessDenied) as denied, world.engine.acting(grant):
        deputy()
    assert denied.value.code == "authority_conflict"
    assert world.ran == []
