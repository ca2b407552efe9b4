"""The vault: credentials put, kept, reviewed and told of; nothing of them stands elsewhere."""

from __future__ import annotations

import json
import shutil
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


def test_a_schema_shows_nothing_of_it(world: World) -> None:
    import inspect

    def bare(amount: int, memo: str = "") -> str:
        """Pays."""
        return ""

    decorated = ans.tool("t.schema", credential="bank-api")(bare)
    assert inspect.signature(decorated) == inspect.signature(bare)
    assert (decorated.__doc__, decorated.__name__) == ("Pays.", "bare")


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
