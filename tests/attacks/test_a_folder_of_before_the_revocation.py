"""The process is killed after a revocation, and the store's folder of before is put in its place.

Class: lifecycle bypass
Refusal: StoreError store_put_back
Check: src/engine/verbs/mod.rs:ends: the checkpoint beside the store covers what has ended
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/engine/verbs/mod.rs", "if «done.is_ok()»", "false")]


@pytest.mark.parametrize("verb", ["revoke", "halt", "suspend", "retire", "end", "offboard"])
def test_a_folder_of_before_the_revocation(world: World, tmp_path: Path, verb: str) -> None:
    # The folder and its own `tip`, of a store that was closed in order.
    world.engine.close()
    old = tmp_path / "old"
    shutil.copytree(world.path, old)
    world.engine = engine = ans.open(world.path)
    match verb:
        case "revoke":
            engine.revoke(world.root, reason="stolen")
        case "halt":
            engine.halt(reason="incident")
        case "suspend":
            engine.agents.suspend(world.mallory, reason="odd")
        case "retire":
            engine.agents.retire(world.mallory, reason="odd")
        case "end":
            engine.tasks.end(world.root.task, reason="done")
        case _:
            engine.humans.offboard(world.bob, reason="left")
    # What a kill would leave: the checkpoint of this moment, and not that of a shutdown.
    kept = world.path.with_name(f"{world.path.name}.checkpoint")
    text = kept.read_bytes()
    engine.close()
    shutil.rmtree(world.path)
    shutil.copytree(old, world.path)
    kept.write_bytes(text)
    with pytest.raises(ans.StoreError) as refused:
        ans.open(world.path)
    assert refused.value.code == "store_put_back"
    # Said to be on purpose, it opens: and that is an entry.
    world.engine = ans.open(world.path, accept_restore="a test")
    assert world.engine.trail.entries(kind="restore")
