"""Providers make a secret for each call, and are told when it has ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guarding import World
from lending import SECRET

import answerable as ans


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


class Mint:
    """A provider that counts."""

    kind = "mint"
    timeout = 60.0

    def __init__(self) -> None:
        self.asked: list[ans.LeaseRequest] = []
        self.ended: list[Any] = []
        self.fails: BaseException | None = None
        self.slow = 0.0

    def mint(self, request: ans.LeaseRequest) -> ans.Minted:
        self.asked.append(request)
        time.sleep(self.slow)
        if self.fails is not None:
            raise self.fails
        number = len(self.asked)
        return ans.Minted(f"minted-secret-{number}", handle=number)

    def end(self, request: ans.LeaseRequest, minted: ans.Minted) -> None:
        self.ended.append(minted.handle)


def test_a_provider_makes_one_for_each_call_and_is_told(world: World) -> None:
    mint = Mint()
    world.engine.vault.put("short", provider=mint, for_tools="t.**", by=world.alice)
    assert world.engine.vault.get("short").provider == "mint"

    @ans.tool("t.use", credential="short")
    def use() -> Any:
        assert world.engine.vault.running == 1
        assert mint.ended == world.ran
        return ans.credential("short").reveal()

    grant = world.grant()
    with world.engine.acting(grant):
        assert use() == "minted-secret-1"
        world.ran.append(1)
        assert use() == "minted-secret-2"
    assert mint.ended == [1, 2]
    first = mint.asked[0]
    assert (first.credential, first.tool, first.human) == ("short", "t.use", world.alice.id)
    assert (first.agent, first.task) == (world.agent.id, grant.task)
    assert first.statement == "test the guard"
    assert first.decision == world.entries()[0].id
    everything = world.everything()
    assert "minted-secret" not in everything
    assert world.engine.vault.redact("x minted-secret-1") == "x (credential short)"


@pytest.mark.parametrize("error", [ValueError, TimeoutError, ans.VaultError])
@pytest.mark.parametrize("way", ["sync", "async", "block"])
def test_a_provider_that_fails_is_a_denial_and_the_body_does_not_run(
    world: World, way: str, error: type[Exception]
) -> None:
    mint = Mint()
    mint.fails = error(f"bad answer with {SECRET}")
    world.engine.vault.put(
        "short", provider=mint, for_tools=["t.**", "vault.lease"], by=world.alice
    )

    @ans.tool("t.sync", credential="short")
    def sync() -> None:
        world.ran.append("ran")

    @ans.tool("t.async", credential="short")
    async def coroutine() -> None:
        world.ran.append("ran")

    def block() -> None:
        with world.engine.vault.lease("short"):
            world.ran.append("ran")

    runs: dict[str, Any] = {"sync": sync, "async": lambda: asyncio.run(coroutine()), "block": block}
    engine = world.engine
    agent = engine.agents.issue(
        "wide", owner=world.alice, purpose="p", ttl="1h",
        ceiling=[ans.allow("t.**"), ans.allow("vault.lease")],
    )  # fmt: skip
    grant = engine.grant(
        world.alice, agent, task="x", ttl="5m", scope=[ans.allow("t.**"), ans.allow("vault.lease")]
    )
    with engine.acting(grant), pytest.raises(ans.AccessDenied) as denied:
        runs[way]()
    assert denied.value.code == "credential_unavailable"
    assert error.__name__ in str(denied.value)
    assert SECRET not in "".join(traceback.format_exception(denied.value))
    assert world.ran == []
    outcome = next(iter(engine.trail.entries(kind="outcome")))
    assert outcome.leaf["status"] == "raised"
    assert SECRET not in world.everything()
    assert engine.vault.running == 0


def test_a_slow_provider_is_a_denial_and_what_comes_late_is_taken_back(world: World) -> None:
    mint = Mint()
    mint.timeout, mint.slow = 0.1, 0.4
    world.engine.vault.put("short", provider=mint, for_tools="t.**", by=world.alice)

    @ans.tool("t.use", credential="short")
    def use() -> None:
        world.ran.append("ran")

    with world.acting(), pytest.raises(ans.AccessDenied) as denied:
        use()
    assert denied.value.code == "credential_unavailable"
    assert "no answer within 0.1 s" in str(denied.value)
    for _ in range(6000):
        if mint.ended:
            break
        time.sleep(0.05)
    assert (mint.ended, world.ran) == ([1], [])


def test_a_revocation_takes_a_minted_secret_back_at_once(world: World) -> None:
    mint = Mint()
    world.engine.vault.put("short", provider=mint, for_tools="t.**", by=world.alice)
    grant = world.grant()

    @ans.tool("t.use", credential="short")
    def use() -> None:
        world.engine.revoke(grant, reason="enough", by=world.alice)
        for _ in range(15_000):
            if mint.ended:
                break
            time.sleep(0.02)
        world.ran.append(list(mint.ended))

    with world.engine.acting(grant):
        use()
    assert world.ran == [[1]], "told while the body still ran"
    assert mint.ended == [1], "and once"


def test_another_process_attaches_its_own_provider(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine.vault.put("short", provider=Mint(), for_tools="t.**", by=world.alice)
    world.engine.close()
    code = """
import sys
import answerable as ans
engine = ans.open(sys.argv[1])
grant = engine.grant("alice@example.com", "agent", task="x", ttl="5m", scope=[ans.allow("t.**")])

@ans.tool("t.use", credential="short")
def use() -> str:
    return ans.credential("short").reveal()

class Mint:
    kind, timeout = "mint", 60.0
    def mint(self, request): return "from-the-other-process"

with engine.acting(grant):
    try:
        use()
    except ans.AccessDenied as denied:
        print(denied.code)
    try:
        engine.vault.provide("short", lambda request: "xxxxxxx")
    except ans.InvalidInput as error:
        print(error.code)
    engine.vault.provide("short", Mint())
    print(use())
engine.close()
"""
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "governance")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.stdout.split() == [
        "credential_unavailable", "invalid_input", "from-the-other-process",
    ], out.stderr  # fmt: skip


def test_an_async_provider_is_awaited(world: World) -> None:
    async def mint(request: ans.LeaseRequest) -> str:
        await asyncio.sleep(0)
        return "from-a-coroutine"

    world.engine.vault.put("short", provider=mint, for_tools="t.**", by=world.alice)

    @ans.tool("t.async", credential="short")
    async def coroutine() -> Any:
        return ans.credential("short").reveal()

    @ans.tool("t.sync", credential="short")
    def sync() -> Any:
        return ans.credential("short").reveal()

    with world.acting():
        assert asyncio.run(coroutine()) == "from-a-coroutine"
        assert sync() == "from-a-coroutine"
