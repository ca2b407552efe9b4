"""A call where nobody acts: no human would answer for it.

Class: confused deputy
Refusal: AccessDenied no_authority
Check: src/engine/judge.rs:judge_recorded: a call without a chain
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/engine/judge.rs",
        "(None, None, _) => «self.unjudged(call, vec![no_authority()])»",
        "Once { judgement: Judgement { decision: Decision::allow(), draws: Vec::new() }, "
        "..self.unjudged(call, vec![no_authority()]) }",
    )
]


def test_a_call_without_authority(world: World) -> None:
    with pytest.raises(ans.AccessDenied) as denied:
        world.transfer("travel-1", 10)
    assert denied.value.code == "no_authority"
    assert world.engine.trail.get(denied.value.decision.entry).human == "none"
    assert world.ran == []
