"""A thief signs root grants with the authority's key before the last.

Class: token theft
Refusal: InvalidGrant unknown_authority
Check: src/engine/verbs/grants.rs:accept: a root grant by an old key is on the record
"""

from __future__ import annotations

import shutil
from pathlib import Path

from attacking import World

import answerable as ans

REMOVED = [("src/engine/verbs/grants.rs", "«id != self.signing_key().id()»\n", "false")]


def test_a_stolen_old_key_of_the_authority(world: World, tmp_path: Path) -> None:
    world.engine.close()
    for name in ("", ".key"):
        source, copy = Path(f"{world.path}{name}"), tmp_path / f"copy{name}"
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    with ans.open(tmp_path / "copy") as thief:
        scope = ans.allow("pay.*")
        alice, planner = world.alice.id, world.planner.id
        forged = thief.grant(alice, planner, task="x", scope=scope, ttl="1h").token
    world.engine = ans.open(world.path)
    world.engine.rotate_authority(reason="yearly", overlap="1h")
    world.refuses(forged, "unknown_authority")
    world.allows(world.engine.accept(world.root.token))
