"""A lease lives as long as its call, and what the call runs under."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guarding import World
from lending import SECRET, put

import answerable as ans


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


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
