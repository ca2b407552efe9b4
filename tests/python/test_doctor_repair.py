"""`doctor --repair` and `--compact`: what is derived, left over or in the way is put in order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import answerable as ans
from answerable.cli import main


def a_store(path: Path, calls: int = 300) -> tuple[str, int]:
    """A closed store with an index in a file; its authority, and how many entries it has."""
    with ans.open(path) as engine:
        for number in range(calls):
            engine.humans.register(f"h{number}@example.com")
        assert len(list(engine.trail.entries(kind="identity"))) >= calls
        return engine.authority, len(engine.trail)


def doctor(capsys: pytest.CaptureFixture[str], store: Path, *more: str) -> tuple[int, list[dict]]:
    capsys.readouterr()
    code = main(["--store", str(store), "--json", "doctor", *more])
    out = capsys.readouterr().out
    return code, [json.loads(line) for line in out.splitlines()]


def repairs(store: Path) -> list[list[str]]:
    with ans.open(store) as engine:
        assert engine.trail.verify().size == len(engine.trail)
        return [entry.leaf["done"] for entry in engine.trail.entries(kind="repair")]


def test_what_is_left_over_or_derived_is_put_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "governance"
    a_store(store)
    (index,) = (store / "index").glob("*.idx")
    index.write_bytes(index.read_bytes()[:100] + b"\0" * 100)
    (store / ".new-CURRENT").write_bytes(b"half")
    (store / "holder.json").write_text('{"pid": 999999999, "host": "x", "started": 1}')
    (store / "AUTHORITY").chmod(0o644)
    code, found = doctor(capsys, store, "--repair")
    assert code == 0, found
    said = [line["found"] for line in found if line["check"] == "repair"]
    for word in ("holder_gone", "left_over_removed", "index_made_anew", "open to others"):
        assert any(word in text for text in said), (word, said)
    assert not (store / ".new-CURRENT").exists()
    assert (store / "AUTHORITY").stat().st_mode & 0o077 == 0
    anew = list((store / "index").glob("*.idx"))
    assert anew
    assert all(file.read_bytes()[100:200] != b"\0" * 100 for file in anew)
    assert repairs(store) == [["holder_gone", "left_over_removed", "index_made_anew"]]


def test_a_checkpoint_that_cannot_be_read_is_moved_aside_not_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "governance"
    a_store(store, 3)
    kept = tmp_path / "governance.checkpoint"
    damaged = kept.read_bytes()[:-9]
    kept.write_bytes(damaged)
    code, found = doctor(capsys, store)
    assert code != 0
    assert any("checkpoint kept in" in line["found"] for line in found)
    assert kept.read_bytes() == damaged
    code, _ = doctor(capsys, store, "--repair")
    assert code == 0
    assert (tmp_path / "governance.checkpoint.damaged-1").read_bytes() == damaged
    assert ans.Checkpoint.parse(kept.read_text()).size > 3
    assert repairs(store) == [["checkpoint_aside", "index_made_anew"]]


def test_damaged_records_are_refused_still(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "governance"
    a_store(store, 30)
    data = bytearray((store / "db").read_bytes())
    end = len(bytes(data).rstrip(b"\0"))
    data[end // 2] ^= 1
    (store / "db").write_bytes(data)
    before = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
    for more in ([], ["--repair"]):
        code, found = doctor(capsys, store, *more)
        assert code == 3
        (told,) = [line["found"] for line in found if line["check"] == "opens"]
        assert "does not hold what was written" in told, told
        assert "cannot be read at byte" in told, told
        assert "nothing was touched" in told, told
        assert {file: file.read_bytes() for file in store.rglob("*") if file.is_file()} == before


def test_a_damaged_snapshot_is_moved_aside_and_the_records_are_read_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "governance"
    _, size = a_store(store, 30)
    with ans.open(store) as engine:
        engine.humans.register("later@example.com")
        size = len(engine.trail)
    with ans.open(store):
        pass
    (snapshot,) = store.glob("snap.*")
    damaged = snapshot.read_bytes()[:-1] + b"?"
    snapshot.write_bytes(damaged)
    code, found = doctor(capsys, store)
    assert code == 3
    (told,) = [line["found"] for line in found if line["check"] == "opens"]
    assert snapshot.name in told, told
    assert snapshot.read_bytes() == damaged
    code, found = doctor(capsys, store, "--repair")
    assert code == 0, found
    assert (store / f"damaged-{snapshot.name}").read_bytes() == damaged
    assert repairs(store) == [["snapshot_aside", "index_made_anew"]]
    with ans.open(store) as engine:
        assert engine.trail.get(size - 1).kind == "identity"


def test_what_was_put_aside_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "governance"
    a_store(store, 3)
    (store / "torn-0000000000001000-0000001000").write_bytes(b"x" * 77)
    (store / "torn-0000000000001000-0000001000").chmod(0o600)
    code, found = doctor(capsys, store)
    assert code == 0, found
    (told,) = [line["found"] for line in found if line["check"] == "torn"]
    assert "1 pieces of 77 bytes" in told


def test_a_store_that_is_older_than_its_checkpoint_is_not_repaired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, aside = tmp_path / "governance", tmp_path / "aside"
    a_store(store, 3)
    with ans.open(store) as engine:
        engine.backup(aside)
        engine.humans.register("later@example.com")
        engine.trail.checkpoint()
    store.rename(tmp_path / "newer")
    aside.rename(store)
    code, found = doctor(capsys, store, "--repair")
    assert code == 3
    assert any("was put back" in line["found"] for line in found), found


def test_a_copy_that_was_cut_short_is_taken_up_if_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, aside = tmp_path / "governance", tmp_path / "aside"
    a_store(store, 30)
    checkpoint = ans.Checkpoint.parse((tmp_path / "governance.checkpoint").read_text())
    with ans.open(store) as engine:
        early, size = (store / "db").read_bytes(), len(engine.trail)
        for number in range(20):
            engine.humans.register(f"later{number}@example.com")
        # What a plain copy may meet: the data of before, and the rest of now.
        shutil.copytree(store, aside, ignore=shutil.ignore_patterns("holder.sock"))
        (aside / "db").write_bytes(early)
        kept = engine.trail.checkpoint()
    shutil.copy(tmp_path / "governance.key", tmp_path / "aside.key")
    before = {file: file.read_bytes() for file in aside.rglob("*") if file.name == "db"}
    for more in ([], ["--repair"]):
        code, found = doctor(capsys, aside, *more)
        assert code == 3
        (told,) = [line for line in found if line["check"] == "opens"]
        assert "had been written" in told["found"], told
        assert "--accept-restore" in told["hint"], told
        assert "answerable backup" in told["hint"], told
        assert {file: file.read_bytes() for file in before} == before
    with pytest.raises(ans.StoreError) as refused:
        ans.open(aside)
    assert refused.value.code == "store_cut_short"
    code, found = doctor(capsys, aside, "--accept-restore", "only a copy is left")
    assert code == 0, found
    (told,) = [line for line in found if line["check"] == "restore"]
    assert told["state"] == "warn"
    assert f"went on after {size} entries" in told["found"]
    with ans.open(aside) as engine:
        (entry,) = engine.trail.entries(kind="restore")
        assert entry.leaf["had"] == size
        assert entry.leaf["lost"] > 0
        assert "only a copy is left" in entry.json()
        assert "only a copy is left" not in str(entry.leaf)
        assert not (aside / "LOSS").exists()
        # It is said, and it shows to whoever kept a later checkpoint.
        with pytest.raises(ans.TrailCorrupted):
            engine.trail.verify(since=kept)
        assert engine.trail.verify(since=checkpoint).since_agreed == 1
    code, found = doctor(capsys, aside, "--accept-restore", "again")
    assert code == 0
    (told,) = [line for line in found if line["check"] == "restore"]
    assert told["state"] == "ok"
    with ans.open(aside) as engine:
        assert len(engine.trail.entries(kind="restore")) == 1


def test_a_loss_that_was_not_recorded_is_asked_for_again(tmp_path: Path) -> None:
    store = tmp_path / "governance"
    a_store(store, 3)
    # As left by a process that ended between giving up the end of the log and recording it.
    (store / "LOSS").write_text("4096\n")
    with pytest.raises(ans.StoreError, match="not recorded yet") as refused:
        ans.open(store)
    assert refused.value.code == "store_cut_short"
    with ans.open(store, accept_restore="the machine stopped") as engine:
        (entry,) = engine.trail.entries(kind="restore")
        assert entry.leaf["lost"] == 4096
    ans.open(store).close()


def test_compacting_keeps_every_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "governance"
    a_store(store)
    with ans.open(store) as engine:
        before = [entry.json() for entry in engine.trail.entries()]
        checkpoint = engine.trail.checkpoint()
        done = engine.trail.compact()
        assert done["live"] > 0
        assert done["records"] > 0
        assert [entry.json() for entry in engine.trail.entries()] == before
        engine.humans.register("after@example.com")
        assert engine.trail.verify(since=checkpoint).since_agreed == 1
    assert (store / "CURRENT").read_text().strip() == "data-1"
    assert not (store / "db").exists()
    code, found = doctor(capsys, store, "--compact")
    assert code == 0
    assert any(line["check"] == "compact" for line in found), found
    assert (store / "CURRENT").read_text().strip() == "data-2"
    with ans.open(store) as engine:
        assert engine.trail.verify(since=checkpoint).since_agreed == 1


def test_whoever_verifies_is_told_how_far_it_is_and_can_end_it(tmp_path: Path) -> None:
    with ans.open(tmp_path / "governance") as engine:
        for number in range(1100):
            engine.humans.register(f"h{number}@example.com")
        told: list[tuple[int, int]] = []
        report = engine.trail.verify(progress=lambda done, of: told.append((done, of)))
        assert told == [(1024, report.size), (report.size, report.size)]

        def stop(done: int, of: int) -> None:
            raise RuntimeError(f"enough at {done} of {of}")

        with pytest.raises(RuntimeError, match="enough at 1024"):
            engine.trail.verify(progress=stop)
        for wrong in (1, "x", object()):
            with pytest.raises(ans.InvalidInput):
                engine.trail.verify(progress=wrong)  # type: ignore[arg-type]
