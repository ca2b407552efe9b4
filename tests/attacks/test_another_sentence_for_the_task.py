"""The chain is told with another purpose than the human stated.

Class: grant substitution
Refusal: InvalidInput
Check: src/engine/verbs/grants.rs:accept: the statement is the one committed to
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/engine/verbs/grants.rs", "if «!right» {", "false")]


def test_another_sentence_for_the_task(world: World) -> None:
    with pytest.raises(ans.InvalidInput, match="not the one that was signed"):
        world.engine.accept(world.root.token, statements=["Empty the account"])
    assert world.engine.accept(world.root.token, statements=["Book"])
