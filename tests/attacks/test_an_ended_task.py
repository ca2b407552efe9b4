"""A chain goes on after its task has ended.

Class: replay
Refusal: AccessDenied task_ended
Check: src/authorizer/standing.rs:of: the task goes on
"""

from __future__ import annotations

from attacking import World

REMOVED = [("src/authorizer/standing.rs", "facts.is_ended(&root.task.id)", "false")]


def test_an_ended_task(world: World) -> None:
    world.engine.tasks.end(world.root.task, reason="done")
    world.denies(world.held, "task_ended")
    world.denies(world.root, "task_ended")
