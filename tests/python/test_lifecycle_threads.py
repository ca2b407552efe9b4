"""Eight threads call while authority is taken back: nothing that starts afterwards is allowed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from living import World

import answerable as ans

sys.path.insert(0, str(Path(__file__).parents[1] / "attacks"))

import sockets

THREADS = 8

# What ends a chain of planner and booker, for Alice, and the code that decides.
ENDS: dict[str, tuple[Callable[[World, ans.Grant, ans.Grant], Any], str]] = {
    "grant": (lambda w, root, _: w.engine.revoke(root, reason="x"), "revoked"),
    "child": (lambda w, _, child: w.engine.revoke(child.digest, reason="x"), "revoked"),
    "agent": (lambda w, *_: w.engine.revoke(w.planner, reason="x"), "revoked"),
    "human": (lambda w, *_: w.engine.revoke(w.alice, reason="x"), "revoked"),
    "task": (lambda w, root, _: w.engine.revoke(root.task, reason="x"), "task_ended"),
    "end": (lambda w, root, _: w.engine.tasks.end(root.task, reason="x"), "task_ended"),
    "suspend": (lambda w, *_: w.engine.agents.suspend(w.planner, reason="x"), "agent_suspended"),
    "retire": (lambda w, *_: w.engine.agents.retire(w.booker, reason="x"), "agent_retired"),
    "rotate": (lambda w, *_: w.engine.agents.rotate(w.planner), "holder_key_unknown"),
    "offboard": (
        lambda w, *_: w.engine.humans.offboard(w.alice, reason="x"),
        "human_offboarded",
    ),
    "halt": (lambda w, *_: w.engine.halt(reason="x"), "halted"),
    "halt agent": (lambda w, *_: w.engine.halt(reason="x", agent=w.booker), "halted"),
    "halt owner": (lambda w, *_: w.engine.halt(reason="x", owner=w.alice), "halted"),
    "halt tool": (lambda w, *_: w.engine.halt(reason="x", tool="pay.**"), "halted"),
    "root": (lambda w, *_: w.engine.rotate_authority(reason="x"), "unknown_authority"),
}

# The same as another process asks for it, through the socket of the one that holds the store.
Asked = tuple[str, Callable[[World, ans.Grant, ans.Grant], dict[str, Any]], str]
BY_SOCKET: dict[str, Asked] = {
    "grant": ("revoke", lambda w, root, _: {"target": root.digest}, "revoked"),
    "child": ("revoke", lambda w, _, child: {"target": child.digest}, "revoked"),
    "agent": ("revoke", lambda w, *_: {"target": w.planner.id}, "revoked"),
    "human": ("revoke", lambda w, *_: {"target": w.alice.id}, "revoked"),
    "task": ("revoke", lambda w, root, _: {"target": root.task}, "task_ended"),
    "end": ("tasks.end", lambda w, root, _: {"task": root.task}, "task_ended"),
    "suspend": ("agents.suspend", lambda w, *_: {"agent": w.planner.id}, "agent_suspended"),
    "retire": ("agents.retire", lambda w, *_: {"agent": w.booker.id}, "agent_retired"),
    "rotate": ("agents.rotate", lambda w, *_: {"agent": w.planner.id}, "holder_key_unknown"),
    "offboard": ("humans.offboard", lambda w, *_: {"human": w.alice.id}, "human_offboarded"),
    "halt": ("halt", lambda *_: {}, "halted"),
    "halt agent": ("halt", lambda w, *_: {"agent": w.booker.id}, "halted"),
    "halt owner": ("halt", lambda w, *_: {"owner": w.alice.id}, "halted"),
    "halt tool": ("halt", lambda *_: {"tool": "pay.**"}, "halted"),
    "root": ("rotate_authority", lambda *_: {}, "unknown_authority"),
}


@pytest.mark.parametrize("durability", ["before", "relaxed"])
@pytest.mark.parametrize("how", ENDS)
def test_no_call_that_starts_after_it_returned_is_allowed(
    tmp_path: Path, how: str, durability: str
) -> None:
    world = World(tmp_path / "store", durability=durability)
    end, code = ENDS[how]
    root = world.grant()
    child = world.child(root)
    race(world, child, lambda: end(world, root, child), code)
    world.engine.close()


@pytest.mark.parametrize("how", BY_SOCKET)
def test_no_call_that_starts_after_it_was_asked_for_through_the_socket_is_allowed(
    tmp_path: Path, how: str
) -> None:
    world = World(tmp_path / "store")
    verb, arguments, code = BY_SOCKET[how]
    root = world.grant()
    child = world.child(root)
    request = {"verb": verb, "arguments": {**arguments(world, root, child), "reason": "x"}}

    def end() -> None:
        told = sockets.verb(world.path, request)
        assert "done" in told, told

    race(world, child, end, code)
    world.engine.close()


def test_both_ways_end_the_same() -> None:
    assert {how: code for how, (_, code) in ENDS.items()} == {
        how: code for how, (*_, code) in BY_SOCKET.items()
    }


def race(world: World, child: ans.Grant, end: Callable[[], Any], code: str) -> None:
    """Has eight threads call while `end` is called, and looks at what they and the trail say."""
    ended, warm = threading.Event(), threading.Barrier(THREADS + 1)
    late: list[str] = []
    codes: set[str] = set()
    allowed = [0] * THREADS

    def work(number: int) -> None:
        denied = 0
        warm.wait()
        while denied < 3:
            after = ended.is_set()  # Read before the call starts.
            try:
                world.use(child)
            except ans.AccessDenied as error:
                denied += 1
                codes.add(error.code)
            else:
                allowed[number] += 1
                if after:
                    late.append(f"thread {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    warm.wait()
    while sum(allowed) < 4 * THREADS:
        pass
    end()
    ended.set()
    for thread in threads:
        thread.join(600)
        assert not thread.is_alive()
    assert late == []
    assert codes == {code}
    # The trail says the same: no allow stands after what ended it.
    entries = world.engine.trail.entries(kind="decision")
    effects = [entry.effect for entry in entries]
    assert "allow" not in effects[effects.index("deny") :]
    assert effects.count("allow") == sum(allowed)
