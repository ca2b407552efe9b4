"""Replacing the master key of an open store, by its verb and from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from guarding import World

import answerable as ans
from answerable.cli import main

SECRET = "sk-live-0123456789"
KEY = bytes(range(32))
OTHER = "k4.local." + "C" * 42 + "E"


def test_calls_go_on_while_the_master_key_is_replaced(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.engine.vault.put("bank-api", SECRET, for_tools=["t.**"], by=world.alice)
    store, key = tmp_path / "governance", tmp_path / "governance.key"
    old = key.read_bytes()
    keys: list[Any] = [None, KEY, lambda: OTHER, None]

    @ans.tool("t.use", credential="bank-api")
    def use(number: int) -> str:
        entry = world.engine.vault.rewrap(keys[number], reason=f"not {SECRET}", by=world.alice)
        world.ran.append(entry)
        return str(ans.credential("bank-api").reveal())

    with world.acting():
        for number in range(len(keys)):
            assert use(number) == SECRET
    told = list(world.engine.trail.entries(kind="credential"))[-4:]
    assert [entry.leaf["action"] for entry in told] == ["rewrapped"] * 4
    assert sorted(world.ran) == sorted(str(entry.id) for entry in told)
    assert SECRET not in world.everything()
    assert [one.code for one in world.engine.review().findings if "credential" in one.code] == []
    world.engine.close()
    assert key.read_bytes() != old
    for wrong in (KEY, OTHER):
        with pytest.raises(ans.StoreError):
            ans.open(store, master_key=wrong)
    with ans.open(store) as engine:
        assert engine.vault.redact(SECRET) == "(credential bank-api)"
        assert ans.verify(Path(export(engine, tmp_path)), authority=engine.authority).size > 0
    key.write_bytes(old)
    with pytest.raises(ans.StoreError):
        ans.open(store)


def export(engine: ans.Engine, folder: Path) -> Path:
    engine.trail.export(path := folder / "trail.jsonl")
    return path


def test_erased_after_a_replacement_is_erased(tmp_path: Path) -> None:
    world = World(tmp_path)
    bob = world.engine.humans.register("bob")
    world.engine.vault.rewrap(reason="to a fresh key", by=bob)
    world.engine.close()
    shutil.copytree(tmp_path / "governance", tmp_path / "old")
    with ans.open(tmp_path / "governance") as engine:
        engine.humans.offboard(world.alice.id, reason="left", by=bob.id)
        engine.trail.erase(human=world.alice.id, reason="asked for", by=bob.id)
    ans.open(tmp_path / "governance").close()
    shutil.copy2(tmp_path / "governance.key", tmp_path / "old.key")
    with pytest.raises(ans.StoreError, match="before an erasure"):
        ans.open(tmp_path / "old")


def test_what_cannot_take_its_place_is_refused(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store", master_key=KEY) as engine:
        for wrong in (KEY, b"short", b"\0" * 32, "k4.local.x", 5, ["x"]):
            with pytest.raises(ans.InvalidInput):
                engine.vault.rewrap(wrong, reason="x")  # type: ignore[arg-type]
        with pytest.raises(ans.InvalidInput):
            engine.vault.rewrap(OTHER, reason="")
        assert list(engine.trail.entries(kind="credential")) == []
    ans.open(tmp_path / "store", master_key=KEY).close()


def test_the_command_line_replaces_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(tmp_path / "governance")
    ans.open(store).close()
    rewrap = ["--store", store, "vault", "rewrap", "--reason", "it was seen"]
    assert main(rewrap) == 0
    monkeypatch.setenv("NEXT_KEY", OTHER)
    assert main([*rewrap, "--to", "env"]) == 2
    assert main([*rewrap, "--to", "env", "--variable", "NO_SUCH"]) == 2
    assert main([*rewrap, "--to", "env", "--variable", "NEXT_KEY"]) == 0
    assert not (tmp_path / "governance.key").exists()
    ans.open(store, master_key=OTHER).close()
    monkeypatch.setenv("ANSWERABLE_MASTER_KEY", OTHER)
    assert main([*rewrap, "--to", "file"]) == 0
    monkeypatch.delenv("ANSWERABLE_MASTER_KEY")
    ans.open(store).close()
