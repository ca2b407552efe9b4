"""Whose authority a call has: blocks, tasks, threads, generators, nested calls, several engines."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from guarding import World

import answerable as ans


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


@ans.tool("t.sync")
def sync() -> str:
    return "ran"


@ans.tool("t.async")
async def async_() -> str:
    return "ran"


def code_of(call: Any) -> str:
    with pytest.raises(ans.AccessDenied) as denied:
        call()
    return denied.value.code


def test_blocks_nest_and_end(world: World) -> None:
    one, other = world.grant(), world.grant()
    assert ans.current() is None
    with world.engine.acting(one) as given:
        assert given is one
        assert ans.current() is one
        with world.engine.acting(other):
            assert ans.current() is other
        assert ans.current() is one
        assert sync() == "ran"
    assert ans.current() is None
    assert code_of(sync) == "no_authority"


def test_a_block_that_raises_ends_too(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.acting():
        raise ZeroDivisionError
    assert ans.current() is None


def test_one_acting_object_serves_many_blocks_at_once(world: World) -> None:
    block = world.acting()
    with block, block:
        assert sync() == "ran"
        with block:
            assert sync() == "ran"
        assert sync() == "ran"
    assert code_of(sync) == "no_authority"
    barrier = threading.Barrier(8)

    def work(_: int) -> str:
        with block:
            barrier.wait()
            ran = sync()
            barrier.wait()
        assert ans.current() is None
        return ran

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == ["ran"] * 8


async def test_one_acting_object_serves_many_tasks_at_once(world: World) -> None:
    block = world.acting()

    async def work(turns: int) -> str:
        with block:
            for _ in range(turns):
                await asyncio.sleep(0)
            ran = await async_()
        assert ans.current() is None
        return ran

    assert await asyncio.gather(*(work(i % 5) for i in range(50))) == ["ran"] * 50


def test_a_generator_that_stands_still_lends_its_caller_nothing(world: World) -> None:
    def agent() -> Iterator[str]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(world.acting())
            yield sync()
            yield sync()

    items = agent()
    assert next(items) == "ran"
    assert code_of(sync) == "authority_suspended"
    assert ans.current() is None
    with pytest.raises(ans.AccessDenied), world.engine.delegating(world.agent, scope=[]):
        pass
    with world.acting():
        assert sync() == "ran", "a block of the caller's own stands for itself"
    assert next(items) == "ran", "and the body goes on under its own"
    assert list(items) == []
    assert code_of(sync) == "no_authority"


async def test_an_async_generator_that_stands_still_lends_its_caller_nothing(world: World) -> None:
    started: list[asyncio.Task[str]] = []

    async def agent() -> AsyncIterator[str]:
        with world.acting():
            started.append(asyncio.create_task(later()))
            yield await async_()

    async def later() -> str:
        await asyncio.sleep(0)
        return await async_()

    items = agent()
    assert await anext(items) == "ran"
    with pytest.raises(ans.AccessDenied) as denied:
        await async_()
    assert denied.value.code == "authority_suspended"
    assert await started[0] == "ran", "what the body started in a task of its own goes on"
    await items.aclose()  # type: ignore[attr-defined]


def test_a_generator_that_is_a_block_reaches_its_with(world: World) -> None:
    @contextlib.contextmanager
    def session() -> Iterator[None]:
        with world.acting():
            yield

    with session():
        assert sync() == "ran"
    assert code_of(sync) == "no_authority"


@pytest.fixture
def in_force(world: World) -> Iterator[None]:
    with world.acting():
        yield


@pytest.mark.usefixtures("in_force")
def test_a_fixture_that_is_a_block_reaches_its_test() -> None:
    assert sync() == "ran"


def test_a_block_in_a_generator_may_be_left_in_any_order(world: World) -> None:
    def fixture() -> Iterator[None]:
        with world.acting():
            yield

    other = world.grant()
    items = fixture()
    next(items)
    assert code_of(sync) == "authority_suspended", "it is the generator's, not its caller's"
    with world.engine.acting(other):
        items.close()
        assert ans.current() is other, "the inner block goes on"
        assert sync() == "ran"
    assert ans.current() is None
    assert code_of(sync) == "no_authority", "and nothing comes back that has ended"
    with world.engine.acting(other):
        items = fixture()
        next(items)
        with world.acting():
            items.close()
        assert ans.current() is other, "what was in force before both comes back"


async def test_a_block_may_be_left_in_another_context(world: World) -> None:
    async def fixture() -> AsyncIterator[None]:
        with world.acting():
            yield

    items = fixture()
    await asyncio.create_task(anext(items))  # type: ignore[arg-type]
    with contextlib.suppress(StopAsyncIteration):
        await asyncio.create_task(anext(items))  # type: ignore[arg-type]
    assert ans.current() is None


async def test_a_task_that_outlives_its_block_is_denied(world: World) -> None:
    gate = asyncio.Event()

    async def work() -> str:
        await gate.wait()
        return await async_()

    with world.acting():
        late = asyncio.create_task(work())
        made = async_()
        await asyncio.sleep(0)
    gate.set()
    for pending in (late, made):
        with pytest.raises(ans.AccessDenied) as denied:
            await pending
        assert denied.value.code == "authority_ended"
    assert world.effects() == ["deny", "deny"]


async def test_an_inner_block_does_not_outlive_the_outer(world: World) -> None:
    """Acting again under the same grant, in a task that is left behind, is no way around."""
    gate = asyncio.Event()
    grant = world.grant()

    async def work() -> str:
        with world.engine.acting(grant):
            await gate.wait()
            return await async_()

    with world.engine.acting(grant):
        late = asyncio.create_task(work())
        await asyncio.sleep(0)
    gate.set()
    with pytest.raises(ans.AccessDenied) as denied:
        await late
    assert denied.value.code == "authority_ended"


async def test_threads_and_executors(world: World) -> None:
    loop = asyncio.get_running_loop()
    with world.acting(), ThreadPoolExecutor(1) as pool:
        assert await asyncio.to_thread(sync) == "ran"
        assert contextvars.copy_context().run(sync) == "ran"
        with pytest.raises(ans.AccessDenied):
            await loop.run_in_executor(pool, sync)
        assert await loop.run_in_executor(pool, ans.carry(sync)) == "ran"
        assert pool.submit(ans.carry(sync)).result() == "ran"
        assert pool.submit(asyncio.run, ans.carry(async_)()).result() == "ran"
        carried = ans.carry(sync)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ans.AccessDenied) as denied:
        pool.submit(carried).result()
    assert denied.value.code == "authority_ended"


def test_carry_takes_generators_along_and_leaves_nothing_behind(world: World) -> None:
    def items() -> Iterator[str]:
        yield sync()
        yield sync()

    async def aitems() -> AsyncIterator[str]:
        yield await async_()
        yield sync()

    async def collect(made: Any) -> list[str]:
        found = []
        async for item in made:
            found.append(item)
            assert ans.current() is None
        return found

    def in_thread(made: Any) -> list[str]:
        found = []
        for item in made():
            found.append(item)
            assert ans.current() is None
        return found

    with world.acting(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_thread, ans.carry(items)).result() == ["ran", "ran"]
        carried = ans.carry(aitems)
        assert pool.submit(lambda: asyncio.run(collect(carried()))).result() == ["ran", "ran"]
    with pytest.raises(ans.InvalidInput):
        ans.carry(5)  # type: ignore[arg-type]


def test_nested_calls_name_their_parent(world: World) -> None:
    @ans.tool("t.outer")
    def outer() -> None:
        sync()
        asyncio.run(async_())

        def later() -> None:
            sync()

        thread = threading.Thread(target=ans.carry(later))
        thread.start()
        thread.join()

    with world.acting():
        outer()
        sync()
    first, *inner, last = world.entries()
    assert [entry.parent for entry in inner] == [first.id] * 3
    assert (first.parent, last.parent) == (None, None)


def test_inside_a_tool_nobody_acts_for_another(world: World) -> None:
    wide = world.engine.grant(
        world.alice, world.agent, task="t", ttl="10m", max_depth=1, scope=[ans.allow("t.**")]
    )
    other = world.grant()

    @ans.tool("t.outer")
    def outer(grant: Any) -> str:
        with world.engine.acting(grant):
            return sync()

    @ans.tool("t.below")
    def below() -> str:
        with world.engine.delegating(world.agent, scope=[ans.allow("t.sync")]):
            return sync()

    @ans.tool("t.again", pass_through=["grant"])
    def again(grant: Any) -> str:
        with world.engine.acting(grant):
            return sync()

    with world.engine.acting(wide):
        assert code_of(lambda: again(other)) == "authority_conflict"
        assert again(wide) == below() == "ran"
        assert world.outcome("t.again") == ("returned", "str")


def test_delegating_needs_an_authority_that_lives(world: World) -> None:
    scope = [ans.allow("t.sync")]
    with pytest.raises(ans.AccessDenied) as denied:
        world.engine.delegating(world.agent, scope=scope)
    assert denied.value.code == "no_authority"
    with world.acting():
        context = contextvars.copy_context()
    with pytest.raises(ans.AccessDenied) as denied:
        context.run(world.engine.delegating, world.agent, scope=scope)
    assert denied.value.code == "authority_ended"
    with pytest.raises(ans.InvalidInput):
        world.engine.acting("grant")  # type: ignore[arg-type]


def test_which_of_several_engines_is_asked(tmp_path: Path) -> None:
    first, second = World(tmp_path / "1"), World(tmp_path / "2")

    @ans.tool("t.mine", engine=first.engine)
    def mine() -> str:
        return "ran"

    assert code_of(sync) == "no_authority"
    assert (first.effects(), second.effects()) == ([], ["deny"]), "the last opened"
    with first.acting():
        assert sync() == mine() == "ran"
    assert (first.effects(), second.effects()) == (["allow", "allow"], ["deny"]), "the authority's"
    with second.acting():
        assert code_of(mine) == "no_authority"
    assert first.effects()[-1] == "deny", "the explicit one, which knows nothing of that grant"
    assert len(second.effects()) == 1
    second.engine.close()
    assert code_of(sync) == "no_authority"
    assert first.effects()[-1] == "deny", "the last that is still open"
    first.engine.close()


def test_a_closed_engine_denies_and_says_so(world: World) -> None:
    with world.acting():
        world.engine.close()
        with pytest.raises(ans.AccessDenied) as denied:
            sync()
    assert denied.value.code == "engine_closed"
    assert isinstance(denied.value.__cause__, ans.EngineClosed)
    assert denied.value.decision.entry is None


def test_without_an_engine_nothing_runs(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import answerable as ans\n"
        "@ans.tool('t.x')\n"
        "def f(): raise SystemExit('it ran')\n"
        "try: f()\n"
        "except ans.AccessDenied as denied:\n"
        "    raise SystemExit(denied.code != 'no_engine' or denied.decision.entry is not None)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
