"""The vault: a tool gets a credential for one call; nothing of it stands anywhere else."""

from __future__ import annotations

import asyncio
import base64
import copy
import gc
import html
import json
import logging
import pickle
import shutil
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guarding import World

import answerable as ans
from answerable.guard import governed

SECRET = "sk-live-Zq9/w+7=äöü"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


def put(world: World, name: str = "bank-api", secret: str | bytes = SECRET, **facts: Any) -> None:
    facts.setdefault("for_tools", ["t.**"])
    world.engine.vault.put(name, secret, by=world.alice, **facts)


def test_the_body_gets_it_and_the_signature_does_not_change(world: World) -> None:
    put(world)

    @ans.tool("t.pay", credential="bank-api")
    def pay(amount: int) -> str:
        credential = ans.credential("bank-api")
        assert repr(credential) == "<credential bank-api v1>"
        assert (credential.name, credential.version) == ("bank-api", 1)
        world.ran.append(credential.reveal())
        return "paid"

    with world.acting():
        assert pay(5) == "paid"
    assert world.ran == [SECRET]
    assert SECRET not in world.everything()
    leases = list(world.engine.trail.entries(kind="lease"))
    assert len(leases) == 1
    leaf = leases[0].leaf
    assert (leaf["credential"], leaf["version"]) == ("bank-api", 1)
    assert leaf["decision"] == world.entries()[0].id
    assert leaf["human"] == world.alice.id
    outcome = next(iter(world.engine.trail.entries(kind="outcome")))
    assert outcome.leaf["leases"] == [["bank-api", 1]]
    assert world.engine.vault.running == 0


def test_bytes_come_back_as_bytes_and_several_may_be_leased(world: World) -> None:
    put(world, "raw", b"\x00\xff12345")
    put(world, "text", "plain text")

    @ans.tool("t.both", credential=["raw", "text"])
    def both() -> None:
        world.ran.extend(ans.credential(name).reveal() for name in ("text", "raw"))

    with world.acting():
        both()
    assert world.ran == ["plain text", b"\x00\xff12345"]


REFUSED = {
    "unknown": ({"credential": "nobody"}, "credential_unknown"),
    "another tool": ({"credential": "other-tool"}, "credential_not_allowed"),
    "another agent": ({"credential": "other-agent"}, "credential_not_allowed"),
    "removed": ({"credential": "gone"}, "credential_unknown"),
    "one of two": ({"credential": ["bank-api", "other-tool"]}, "credential_not_allowed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_be_leased_is_a_recorded_deny(world: World, case: str) -> None:
    facts, code = REFUSED[case]
    other = world.engine.agents.issue(
        "other", owner=world.alice, purpose="other", ceiling=[ans.allow("t.**")], ttl="1h"
    )
    put(world)
    put(world, "other-tool", for_tools="x.y")
    put(world, "other-agent", for_agents=[other])
    put(world, "gone")
    world.engine.vault.remove("gone", reason="no longer used", by=world.alice)

    @ans.tool("t.pay", **facts)
    def pay() -> None:
        world.ran.append("ran")

    with world.acting(), pytest.raises(ans.AccessDenied) as denied:
        pay()
    assert denied.value.code == code
    assert denied.value.decision.entry == world.entries()[0].id
    assert world.ran == []
    assert list(world.engine.trail.entries(kind="lease")) == []


def test_an_expired_one_is_denied(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store", clock="2026-01-01T00:00:00Z") as engine:
        alice = engine.humans.register("alice")
        agent = engine.agents.issue(
            "a", owner=alice, purpose="p", ceiling=[ans.allow("t.**")], ttl="2d"
        )
        engine.vault.put("key", SECRET, for_tools="t.**", expires="1h", by=alice)
        grant = engine.grant(alice, agent, task="x", ttl="2d", scope=[ans.allow("t.**")])

        @ans.tool("t.use", credential="key")
        def use() -> Any:
            return len(ans.credential("key").reveal())

        with engine.acting(grant):
            assert use() == len(SECRET)
            engine.set_clock("2026-01-01T01:00:00Z")
            with pytest.raises(ans.AccessDenied) as denied:
                use()
            assert denied.value.code == "credential_expired"
            engine.vault.rotate("key", SECRET + "2", expires="1d", by=alice)
            assert use() == len(SECRET) + 1


def test_it_ends_with_the_call_and_goes_nowhere_else(world: World) -> None:
    put(world)
    kept: list[ans.Credential] = []

    @ans.tool("t.keep", credential="bank-api")
    def keep() -> None:
        kept.append(ans.credential("bank-api"))

    @ans.tool("t.steal", credential="bank-api")
    def steal() -> None:
        kept[0].reveal()

    @ans.tool("t.bare")
    def bare() -> None:
        ans.credential("bank-api")

    @ans.tool("t.outer", credential="bank-api")
    def outer() -> None:
        kept.append(ans.credential("bank-api"))
        inner()

    @ans.tool("t.inner")
    def inner() -> None:
        kept[-1].reveal()

    with world.acting():
        keep()
        for call, code in (
            (kept[0].reveal, "lease_elsewhere"),
            (steal, "lease_elsewhere"),
            (bare, "credential_undeclared"),
            (lambda: ans.credential("bank-api"), "lease_elsewhere"),
            (outer, "lease_elsewhere"),
        ):
            with pytest.raises(ans.VaultError) as refused:
                call()
            assert refused.value.code == code
            assert SECRET not in str(refused.value)
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ans.InvalidInput):
            copied(kept[0])  # type: ignore[operator]


def test_a_credential_is_no_argument(world: World) -> None:
    put(world)

    @ans.tool("t.inner")
    def inner(given: Any) -> None:
        world.ran.append(given)

    @ans.tool("t.outer", credential="bank-api")
    def outer() -> None:
        inner(ans.credential("bank-api"))

    with world.acting(), pytest.raises(ans.AccessDenied) as denied:
        outer()
    assert denied.value.code == "invalid_argument"
    assert world.ran == []


def test_threads_need_to_be_carried(world: World) -> None:
    put(world)

    @ans.tool("t.threads", credential="bank-api")
    def threads() -> None:
        credential = ans.credential("bank-api")

        def bare() -> None:
            try:
                credential.reveal()
            except ans.VaultError as error:
                world.ran.append(error.code)

        def carried() -> None:
            world.ran.append(credential.reveal())

        for target in (bare, ans.carry(carried)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    with world.acting():
        threads()
    assert world.ran == ["lease_elsewhere", SECRET]


ENDS = ["suspend", "retire", "revoke", "halt", "offboard", "task", "remove", "rotate"]


@pytest.mark.parametrize("end", ENDS)
def test_every_end_ends_the_lease_in_the_middle_of_the_call(world: World, end: str) -> None:
    put(world)
    bob = world.engine.humans.register("bob", name="Bob")
    grant = world.grant()

    def now() -> None:
        engine, reason = world.engine, "enough"
        ends: dict[str, Any] = {
            "suspend": lambda: engine.agents.suspend(world.agent, reason=reason, by=bob),
            "retire": lambda: engine.agents.retire(world.agent, reason=reason, by=bob),
            "revoke": lambda: engine.revoke(grant, reason=reason, by=bob),
            "halt": lambda: engine.halt(reason=reason, by=bob),
            "offboard": lambda: engine.humans.offboard(world.alice, reason=reason, by=bob),
            "task": lambda: engine.tasks.end(grant.task, reason=reason, by=bob),
            "remove": lambda: engine.vault.remove("bank-api", reason=reason, by=bob),
            "rotate": lambda: engine.vault.rotate("bank-api", "another-one", by=bob),
        }
        ends[end]()

    @ans.tool("t.long", credential="bank-api")
    def long() -> None:
        credential = ans.credential("bank-api")
        assert credential.reveal() == SECRET
        now()
        with pytest.raises(ans.VaultError) as refused:
            credential.reveal()
        world.ran.append(refused.value.code)

    with world.engine.acting(grant):
        long()
    assert world.ran == ["lease_ended"]


def test_an_overlap_keeps_running_leases_and_no_others(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store", clock="2026-01-01T00:00:00Z") as engine:
        alice = engine.humans.register("alice")
        agent = engine.agents.issue(
            "a", owner=alice, purpose="p", ceiling=[ans.allow("t.**")], ttl="2d"
        )
        engine.vault.put("key", "the-first-one", for_tools="t.**", by=alice)
        grant = engine.grant(alice, agent, task="x", ttl="2d", scope=[ans.allow("t.**")])
        seen: list[Any] = []

        @ans.tool("t.use", credential="key")
        def use(rotate: bool) -> None:
            credential = ans.credential("key")
            if rotate:
                engine.vault.rotate("key", "the-second-one", overlap="10m", by=alice)
            seen.append((credential.version, credential.reveal()))
            if rotate:
                engine.set_clock("2026-01-01T00:10:00Z")
                with pytest.raises(ans.VaultError):
                    credential.reveal()

        with engine.acting(grant):
            use(True)
            use(False)
        assert seen == [(1, "the-first-one"), (2, "the-second-one")]
        versions = engine.vault.history("key")
        assert [one["version"] for one in versions] == [1, 2]
        assert versions[0]["until"].isoformat() == "2026-01-01T00:10:00+00:00"


def test_it_is_there_after_a_restart_and_not_without_the_key(tmp_path: Path) -> None:
    world = World(tmp_path)
    put(world)
    put(world, "gone", "another-secret")
    world.engine.vault.remove("gone", reason="no longer used", by=world.alice)
    world.engine.close()
    shutil.copytree(tmp_path / "governance", tmp_path / "stolen")
    with pytest.raises(ans.InvalidInput) as missing:
        ans.open(tmp_path / "stolen")
    assert "restore it from a backup" in str(missing.value)
    with pytest.raises(ans.StoreError):
        ans.open(tmp_path / "stolen", master_key=bytes(range(32)))
    with ans.open(tmp_path / "governance") as engine:
        (facts,) = engine.vault.list()
        assert repr(facts) == "<credential bank-api v1>"
        assert [one.name for one in engine.vault.list(removed=True)] == ["bank-api", "gone"]
        assert engine.vault.redact(f"a {SECRET} b") == "a (credential bank-api) b"
        with pytest.raises(ans.IllegalTransition):
            engine.vault.put("gone", "and again", for_tools="t.**")


def test_what_cannot_be_put_is_refused(world: World) -> None:
    vault = world.engine.vault
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"name": ""}, ans.InvalidInput),
        ({"name": "a b"}, ans.InvalidInput),
        ({"name": 5}, ans.InvalidInput),
        ({"secret": "short"}, ans.InvalidInput),
        ({"secret": "x" * 40_000}, ans.InvalidInput),
        ({"secret": 123456789}, ans.InvalidInput),
        ({"secret": None}, ans.InvalidInput),
        ({"secret": SECRET, "provider": lambda request: "x"}, ans.InvalidInput),
        ({"for_tools": []}, ans.InvalidInput),
        ({"for_tools": "not a tool"}, ans.InvalidInput),
        ({"for_tools": 5}, ans.InvalidInput),
        ({"for_agents": ["nobody"]}, ans.NotFound),
        ({"owner": "nobody"}, ans.NotFound),
        ({"expires": "2020-01-01T00:00:00Z"}, ans.InvalidInput),
        ({"expires": -5}, ans.InvalidInput),
        ({"secret": None, "provider": object()}, ans.InvalidInput),
    ]
    for changed, error in wrong:
        facts: dict[str, Any] = {"name": "k", "secret": SECRET, "for_tools": "t.**", **changed}
        with pytest.raises(error) as refused:
            vault.put(facts.pop("name"), facts.pop("secret"), **facts)
        assert SECRET not in str(refused.value) + str(getattr(refused.value, "hint", ""))
    assert vault.list() == []
    put(world)
    with pytest.raises(ans.IllegalTransition):
        put(world)
    with pytest.raises(ans.NotFound):
        vault.rotate("nobody", SECRET)
    with pytest.raises(ans.InvalidInput):
        vault.rotate("bank-api", SECRET, overlap=-1)


FORMS = [
    lambda text: text,
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(f"user:{text}".encode()).decode(),
    lambda text: base64.b64encode(f"us:{text}!".encode()).decode(),
    lambda text: urllib.parse.quote(text),
    lambda text: urllib.parse.quote(text, safe=""),
    lambda text: urllib.parse.quote_plus(text),
    lambda text: json.dumps({"key": text}),
    lambda text: json.dumps(text, ensure_ascii=False),
    lambda text: repr(text),
    lambda text: repr(text.encode()),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex(":").upper(),
    lambda text: " ".join(f"0x{byte:02x}" for byte in text.encode()),
    lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    lambda text: "".join(f"\\x{byte:02X}" for byte in text.encode()),
    lambda text: "".join(f"\\u{ord(character):04X}" for character in text),
    lambda text: "".join(f"&#{ord(character)};" for character in text),
    lambda text: html.escape(text),
    lambda text: ascii(text),
    lambda text: json.dumps(json.dumps(text)),
    lambda text: repr(repr(text)),
    lambda text: base64.encodebytes(("~" * 40 + text + "~" * 40).encode()).decode()[41:],
    lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
]


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_no_form_of_it_is_recorded(world: World, form: int) -> None:
    put(world)
    dressed = FORMS[form](SECRET)
    core = dressed.strip("\"'")

    @ans.tool("t.leak", credential="bank-api", resource="path:{where}")
    def leak(where: str, memo: str, deep: dict[str, Any]) -> Any:
        if memo.startswith("raise"):
            raise RuntimeError(f"failed with {dressed}")
        return [{"answer": dressed}, dressed.encode()]

    with world.acting():
        given = leak("a", f"memo {dressed}", {dressed: [dressed]})
        assert given == [{"answer": dressed}, dressed.encode()], "the caller gets what it returned"
        with pytest.raises(RuntimeError, match="failed"):
            leak("a", "raise", {})
        with governed("t.other", {"x": dressed}, resource=None):
            pass
    everything = world.everything()
    assert core not in everything
    assert json.dumps(core)[1:-1] not in everything
    assert "(credential bank-api)" in everything


def test_a_denial_does_not_show_it(world: World) -> None:
    put(world)

    @ans.tool("t.pick")
    def pick(which: str) -> None: ...

    only = ans.allow("t.pick", where={"which": ans.equals("a")})
    with world.acting(only), pytest.raises(ans.AccessDenied) as denied:
        pick(SECRET)
    error = denied.value
    shown = "".join(traceback.format_exception(error)) + repr(error.decision.reasons) + error.hint
    assert SECRET not in shown
    assert SECRET not in str(world.engine.explain(error.decision.entry))
    assert SECRET not in repr(world.engine.trail.story(error.decision.entry))


@pytest.mark.parametrize("kind", ["function", "coroutine", "generator", "async_generator"])
def test_redact_result_alters_what_leaves_the_tool(world: World, kind: str) -> None:
    put(world)

    @ans.tool("t.function", credential="bank-api", redact_result=True)
    def function(fail: bool) -> Any:
        if fail:
            try:
                raise KeyError(SECRET)
            except KeyError as error:
                raise RuntimeError("no", {"key": SECRET}) from error
        return {"key": [SECRET, (SECRET,)], "plain": 5}

    @ans.tool("t.coroutine", credential="bank-api", redact_result=True)
    async def coroutine(fail: bool) -> Any:
        if fail:
            raise RuntimeError(SECRET)
        return {"key": [SECRET, (SECRET,)], "plain": 5}

    @ans.tool("t.generator", credential="bank-api", redact_result=True)
    def generator(fail: bool) -> Any:
        yield {"key": [SECRET, (SECRET,)], "plain": 5}
        if fail:
            raise RuntimeError(SECRET)

    @ans.tool("t.async_generator", credential="bank-api", redact_result=True)
    async def async_generator(fail: bool) -> Any:
        yield {"key": [SECRET, (SECRET,)], "plain": 5}
        if fail:
            raise RuntimeError(SECRET)

    async def collect(fail: bool) -> Any:
        return [item async for item in async_generator(fail)]

    runs: dict[str, Any] = {
        "function": lambda fail: function(fail),
        "coroutine": lambda fail: asyncio.run(coroutine(fail)),
        "generator": lambda fail: next(iter(list(generator(fail)))),
        "async_generator": lambda fail: asyncio.run(collect(fail))[0],
    }
    with world.acting():
        clean = {"key": ["(credential bank-api)", ("(credential bank-api)",)], "plain": 5}
        assert runs[kind](False) == clean
        with pytest.raises(RuntimeError) as raised:
            runs[kind](True)
    shown = "".join(traceback.format_exception(raised.value))
    assert SECRET not in shown
    assert SECRET not in world.everything()


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


def test_a_block_that_is_no_tool_leases_under_the_same_check(world: World) -> None:
    put(world, for_tools=["vault.lease"])
    agent = world.engine.agents.issue(
        "wide", owner=world.alice, purpose="p", ceiling=[ans.allow("vault.lease")], ttl="1h"
    )

    def grant(resource: str) -> ans.Grant:
        return world.engine.grant(
            world.alice, agent, task="x", ttl="5m",
            scope=[ans.allow("vault.lease", resource=resource)],
        )  # fmt: skip

    with world.engine.acting(grant("credential/bank-api")):
        with world.engine.vault.lease("bank-api") as credential:
            environment = credential.environment("BANK_TOKEN", {})
            assert environment == {"BANK_TOKEN": SECRET}
            assert credential.header() == f"Bearer {SECRET}"
        with pytest.raises(ans.VaultError):
            credential.reveal()
    with world.engine.acting(grant("credential/other")), pytest.raises(ans.AccessDenied):
        world.engine.vault.lease("bank-api").__enter__()
    with pytest.raises(ans.AccessDenied):
        world.engine.vault.lease("bank-api").__enter__()


def test_the_hunt_finds_none_of_twenty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Twenty secrets; tools that raise, return and log them; a search of all that was written."""
    secrets = [f"s3cr3t/{n:02}+{'äß' * (n % 3)}=={n * 7919}" for n in range(20)]
    world = World(tmp_path)
    for n, secret in enumerate(secrets):
        put(world, f"key-{n}", secret)
    shown: list[str] = []
    caplog.set_level(logging.DEBUG)

    @ans.tool("t.all", credential=[f"key-{n}" for n in range(8)], redact_result=True)
    def everything(how: str, memo: list[str]) -> Any:
        revealed = [ans.credential(f"key-{n}").reveal() for n in range(8)]
        if how == "raise":
            raise RuntimeError(" ".join(revealed), secrets)
        return {"all": secrets, "encoded": [FORMS[2](one) for one in secrets]}

    with world.acting():
        for memo in secrets:
            result = everything("return", [form(memo) for form in FORMS])
            shown.append(repr(result))
        with pytest.raises(RuntimeError) as raised:
            everything("raise", [])
        shown.append("".join(traceback.format_exception(raised.value)))
        with pytest.raises(ans.AccessDenied) as denied:
            everything("x", [secrets[0]], object())  # type: ignore[call-arg]
        shown.append("".join(traceback.format_exception(denied.value)))
        shown.append(repr(pickle.dumps(denied.value)))
    for form in FORMS:
        said = " and ".join(map(form, secrets))[:4_000]
        world.engine.halt(tool="never.*", reason=said, by=world.alice)
        shown.append(repr(world.engine.halts()))
        world.engine.unhalt(tool="never.*", reason=said, by=world.alice)
        agent = world.engine.agents.issue(
            f"agent-{len(shown)}", owner=world.alice, purpose=said, ttl="1h",
            ceiling=[ans.allow("t.**")],
        )  # fmt: skip
        grant = world.engine.grant(
            world.alice, agent, task=form(secrets[3]), ttl="5m", scope=[ans.allow("t.**")]
        )
        shown.extend([agent.purpose, *map(str, grant.statements)])
    shown.extend([world.everything(), caplog.text, repr(world.engine.vault.list())])
    for entry in world.entries():
        shown.append(repr(world.engine.trail.story(entry)) + str(world.engine.explain(entry)))
    world.engine.close()
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    haystack = [text.encode() for text in shown] + files
    for secret in secrets:
        for form in FORMS:
            needle = form(secret).strip("\"'{}").encode()
            needles = {needle, json.dumps(needle.decode())[1:-1].encode()}
            for straw in haystack:
                for one in needles:
                    assert one not in straw, (secret, one)


def test_a_schema_shows_nothing_of_it(world: World) -> None:
    import inspect

    def bare(amount: int, memo: str = "") -> str:
        """Pays."""
        return ""

    decorated = ans.tool("t.schema", credential="bank-api")(bare)
    assert inspect.signature(decorated) == inspect.signature(bare)
    assert (decorated.__doc__, decorated.__name__) == ("Pays.", "bare")


def test_leases_do_not_pile_up(world: World) -> None:
    put(world)

    @ans.tool("t.many", credential="bank-api")
    def many() -> None:
        ans.credential("bank-api").reveal()

    with world.acting():
        for _ in range(50):
            many()
    gc.collect()
    assert world.engine.vault.running == 0


def test_the_offboarding_proof_lists_the_leases_that_ended(world: World) -> None:
    put(world)
    bob = world.engine.humans.register("bob", name="Bob")

    @ans.tool("t.long", credential="bank-api")
    def long() -> None:
        gone = world.engine.humans.offboard(world.alice, reason="left", by=bob)
        world.ran.append(gone)

    with world.acting():
        long()
    (gone,) = world.ran
    assert gone.leases == 1
    (item,) = [item for item in gone.items if item.kind == "lease"]
    lease = next(iter(world.engine.trail.entries(kind="lease")))
    assert (item.id, item.action, item.entry) == (lease.id, "ended", lease.leaf["decision"])
    checked = ans.verify_offboarding(gone.text, world.engine.authority)
    assert checked.leases == 1
    without = json.loads(gone.text)
    without["items"] = [item for item in without["items"] if item["kind"] != "lease"]
    with pytest.raises(ans.TrailCorrupted):
        ans.verify_offboarding(json.dumps(without), world.engine.authority)


def test_a_review_tells_of_credentials(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store", clock="2026-01-01T00:00:00Z") as engine:
        alice, bob = engine.humans.register("alice"), engine.humans.register("bob")
        for name in ("unused", "ending", "ended", "shared", "orphan"):
            expires = {"ending": "35d", "ended": "2d"}.get(name)
            owner = alice if name == "orphan" else bob
            engine.vault.put(
                name, SECRET + name, for_tools="t.**", by=bob, owner=owner, expires=expires
            )

        @ans.tool("t.use", credential="shared")
        def use() -> None: ...

        for number in range(6):
            agent = engine.agents.issue(
                f"agent-{number}", owner=bob, purpose="p", ceiling=[ans.allow("t.**")], ttl="60d"
            )
            grant = engine.grant(bob, agent, task="x", ttl="1h", scope=[ans.allow("t.**")])
            with engine.acting(grant):
                use()
        engine.humans.offboard(alice, reason="left", by=bob)
        engine.set_clock("2026-01-31T00:00:00Z")
        found = {(one.code, one.subjects[0]) for one in engine.review().findings}
        told = {(code, name) for code, name in found if code.startswith("credential_")}
        assert told == {
            ("credential_unused", "unused"), ("credential_unused", "ending"),
            ("credential_unused", "ended"), ("credential_unused", "shared"),
            ("credential_unused", "orphan"), ("credential_expiring", "ending"),
            ("credential_expired", "ended"), ("credential_shared", "shared"),
            ("credential_ownerless", "orphan"),
        }  # fmt: skip


def test_the_command_line_never_shows_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import io

    from answerable.cli import main

    store = str(tmp_path / "governance")
    ans.open(store).close()
    monkeypatch.setenv("BANK_SECRET", SECRET)
    put = ["vault", "put", "bank-api", "--for-tools", "t.*", "--from-env", "BANK_SECRET"]
    assert main(["--store", store, *put]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("piped-secret\n"))
    assert main(["--store", store, "vault", "rotate", "bank-api", "--overlap", "5m"]) == 0
    assert main(["--store", store, "vault", "list"]) == 0
    assert main(["--store", store, "vault", "history", "bank-api", "--json"]) == 0
    assert (
        main(["--store", store, "vault", "put", "x", "--for-tools", "t.*", "--from-env", "NO_"])
        == 2
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("short"))
    assert main(["--store", store, "vault", "put", "x", "--for-tools", "t.*"]) == 2
    shown = capsys.readouterr()
    # Whoever owns it or rotated it is named, not numbered.
    assert "hum_" not in shown.out.split("rotated to version")[1]
    for secret in (SECRET, "piped-secret"):
        assert secret not in shown.out + shown.err
    with ans.open(store) as engine:
        assert engine.vault.redact("a piped-secret") == "a (credential bank-api)"
