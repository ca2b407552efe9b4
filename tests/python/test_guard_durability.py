"""Waiting for the disk: cancelled, left without a loop, in each mode; and a store that fails."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from guarding import World

import answerable as ans

MODES = ["before", "strict", "after", "relaxed"]


@pytest.mark.parametrize("mode", MODES)
async def test_each_mode_runs_and_records(tmp_path: Path, mode: str) -> None:
    world = World(tmp_path, durability=mode)

    @ans.tool("t.disk.sync")
    def sync(fails: bool) -> str:
        return "ran" if not fails else str(1 / 0)

    @ans.tool("t.disk.async")
    async def async_(fails: bool) -> str:
        await asyncio.sleep(0)
        return sync(fails)

    with world.acting(ans.allow("t.**", limits=[ans.calls(8)])):
        assert sync(False) == await async_(False) == "ran"
        with pytest.raises(ZeroDivisionError):
            sync(True)
        with pytest.raises(ZeroDivisionError):
            await async_(True)
        await async_(False)
        with pytest.raises(ans.AccessDenied) as denied:
            await async_(False)
        assert denied.value.code == "limit_reached"
    assert {entry.outcome for entry in world.entries(effect="allow")} == {"returned", "raised"}
    assert world.effects().count("allow") == 8
    world.engine.trail.verify()
    world.engine.close()


@pytest.mark.parametrize("mode", ["before", "strict"])
async def test_a_call_cancelled_while_it_waits_never_runs_and_has_an_end(
    tmp_path: Path, mode: str
) -> None:
    world = World(tmp_path, durability=mode)

    @ans.tool("t.disk.async")
    async def async_() -> None:
        world.ran.append("ran")

    with world.acting():
        task = asyncio.create_task(async_())
        await asyncio.sleep(0)  # The decision is appended, the task waits for the disk.
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert world.ran == []
    assert world.effects() == ["allow"]
    assert world.outcome() == ("raised", "asyncio.exceptions.CancelledError")
    world.engine.trail.verify()
    world.engine.close()


async def test_a_denied_call_cancelled_while_it_waits_has_no_outcome(tmp_path: Path) -> None:
    world = World(tmp_path)

    @ans.tool("t.disk.async")
    async def async_() -> None: ...

    task = asyncio.create_task(async_())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.effects() == ["deny"]
    assert world.outcome() == (None, None)
    world.engine.trail.verify()
    world.engine.close()


async def test_a_body_that_is_cancelled_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, durability="strict")
    started = asyncio.Event()

    @ans.tool("t.disk.async")
    async def async_() -> None:
        started.set()
        await asyncio.Event().wait()

    with world.acting():
        task = asyncio.create_task(async_())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert world.outcome() == ("raised", "asyncio.exceptions.CancelledError")
    world.engine.close()


@pytest.mark.parametrize("mode", ["before", "strict", "after"])
def test_a_loop_that_closes_while_a_call_waits(tmp_path: Path, mode: str) -> None:
    world = World(tmp_path, durability=mode)

    @ans.tool("t.disk.async")
    async def async_() -> str:
        world.ran.append("ran")
        return "ran"

    async def first_step() -> None:
        running.send(None)

    with world.acting():
        running = async_()
        asyncio.run(first_step())  # It waits for the disk, and its loop is gone.
        running.close()
    allowed = world.entries(effect="allow")
    assert [entry.outcome for entry in allowed] == (["returned"] if world.ran else ["raised"])
    world.engine.trail.verify()
    world.engine.close()


FAILING_DISK = """
import asyncio, resource, signal, sys
import answerable as ans

mode, kind, way = sys.argv[1:4]
engine = ans.open(sys.argv[4], durability=mode, flush_ms=10000)
alice = engine.humans.register("alice@example.com")
agent = engine.agents.issue("a", owner=alice, purpose="p", ceiling=[ans.allow("t.*")], ttl="1h")
grant = engine.grant(alice, agent, task="t", ttl="30m", scope=[ans.allow("t.*")])
ran = []

def fail():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

def body():
    ran.append(1)
    fail()
    if way == "raises":
        raise ZeroDivisionError
    if way == "stops":
        raise KeyboardInterrupt
    return "ran"

@ans.tool("t.sync")
def sync():
    return body()

@ans.tool("t.async")
async def async_():
    return body()

def call():
    return sync() if kind == "sync" else asyncio.run(async_())

with engine.acting(grant):
    try:
        if way == "early" or mode == "after":
            fail()
        print("result", call())
    except BaseException as error:
        print("error", type(error).__name__)
    try:
        engine.trail.checkpoint()
    except ans.Error:
        pass
    try:
        print("then", call())
    except BaseException as error:
        print("then", type(error).__name__, getattr(error, "code", None))
print("ran", len(ran))
sys.stdout.flush()
import os
os._exit(0)
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("mode", "way", "answer"),
    [
        ("before", "returns", "result ran"),
        ("relaxed", "returns", "result ran"),
        ("strict", "returns", "error StoreUnavailable"),
        ("after", "returns", "error StoreUnavailable"),
        ("before", "raises", "error ZeroDivisionError"),
        ("relaxed", "raises", "error ZeroDivisionError"),
        ("strict", "raises", "error StoreUnavailable"),
        ("after", "raises", "error StoreUnavailable"),
        ("strict", "stops", "error KeyboardInterrupt"),
        ("after", "stops", "error KeyboardInterrupt"),
        ("before", "early", "error AccessDenied"),
        ("strict", "early", "error AccessDenied"),
    ],
)
def test_a_disk_that_fails(tmp_path: Path, kind: str, mode: str, way: str, answer: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING_DISK, mode, kind, way, str(tmp_path / "governance")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    first, then, ran = done.stdout.splitlines() or pytest.fail(done.stderr)
    assert first == answer, done.stderr
    assert then == "then AccessDenied store_unavailable", "nothing is allowed any more"
    assert ran == ("ran 0" if way == "early" else "ran 1")
