"""A hop names another task than the root, one that goes on.

Class: re-parenting
Refusal: InvalidGrant task_changed
Check: src/grant.rs:check_link: the task is the same
"""

from __future__ import annotations

from attacking import World, claims

REMOVED = [("src/grant.rs", "child.task != above.task", "false")]


def test_another_task_below(world: World) -> None:
    other = claims(world.grant(task="Something else").token)["task"]
    world.refuses(world.forged(lambda p: p.update(task=other)), "task_changed")
