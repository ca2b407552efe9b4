"""A tool is called when nothing can be recorded any more.

Class: fail-open
Refusal: AccessDenied engine_closed
Check: src/engine/mod.rs:check: the engine is open
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/engine/mod.rs", "if «self.closed.load(Ordering::Acquire)» {", "false"),
    (
        "src/recorder.rs",
        "if «sequencer.closing» {\n            return Err(StoreError::Closed.into());",
        "false",
    ),
    (
        "src/engine/append.rs",
        "match self.wait(judged.upto) {\n"
        "            Ok(()) => judged,\n"
        "            Err(error) => «unrecorded(&error)»",
        "{ let _ = error; judged }",
    ),
]


def test_a_closed_engine(world: World) -> None:
    world.engine.close()
    with pytest.raises(ans.AccessDenied) as denied, world.engine.acting(world.root):
        world.transfer("travel-1", 10)
    assert denied.value.code == "engine_closed"
    assert world.ran == []
