"""What a record calls verified are the bytes that were: a file that is exchanged is refused."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import answerable as ans
from answerable import _core, analysis
from answerable.analysis import lines
from answerable.net import exporters
from answerable.receipts import verify_receipt

CHANGED = "the file was changed since it was verified"


@ans.tool("exchanged.pay", resource="account/{account}")
def pay(account: str) -> str:
    return account


class Trail:
    """An export, and a forged one of the same length that says the contrary."""

    def __init__(self, folder: Path) -> None:
        self.engine = ans.open(folder / "store")
        alice = self.engine.humans.register("alice@example.com")
        payer = self.engine.agents.issue(
            "payer", owner=alice, purpose="pays", ceiling=[ans.allow("exchanged.*")], ttl="9h"
        )
        grant = self.engine.grant(
            alice, payer, task="Pay", scope=[ans.allow("exchanged.*")], ttl="8h"
        )
        with self.engine.acting(grant):
            for place in range(40):
                pay(f"x{place}")
        self.authority, self.task = self.engine.authority, grant.task
        self.file, self.forged = folder / "trail.jsonl", folder / "forged.jsonl"
        self.engine.trail.export(self.file)
        self.true = self.file.read_bytes()
        self.evil = self.true.replace(b'"allow"', b'"deny" ').replace(b'/x7"', b'/q7"')
        assert len(self.evil) == len(self.true)
        self.forged.write_bytes(self.evil)

    def read(self) -> Any:
        return analysis.read(self.file, authority=self.authority)


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    made = Trail(tmp_path)
    yield made
    made.engine.close()


def rename(trail: Trail) -> None:
    trail.forged.rename(trail.file)


def rewrite(trail: Trail) -> None:
    trail.file.write_bytes(trail.evil)


def link(trail: Trail) -> None:
    trail.file.unlink()
    trail.file.symlink_to(trail.forged)


def cut(trail: Trail) -> None:
    trail.file.write_bytes(trail.true[: trail.true.index(b"\n", len(trail.true) // 2) + 1])


def empty(trail: Trail) -> None:
    trail.file.write_bytes(b"")


def scrawl(trail: Trail) -> None:
    trail.file.write_bytes(b"[" * len(trail.true))


def one_byte(trail: Trail) -> None:
    trail.file.write_bytes(trail.true.replace(b'/x7"', b'/x8"', 1))


EXCHANGES = [rename, rewrite, link, cut, empty, scrawl, one_byte]
QUESTIONS: list[Callable[[Any], Any]] = [
    lambda record: analysis.who_did(record, "exchanged.pay", "account/x7"),
    analysis.refusals,
    len,
    lambda record: record.book,
    lambda record: record.details(["ent_x"]),
    lambda record: analysis.in_name_of(record, "alice@example.com"),
    analysis.delegation_graph,
]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_file_that_is_exchanged_after_its_verification_answers_nothing(
    trail: Trail, exchange: Callable[[Trail], None]
) -> None:
    record = trail.read()
    exchange(trail)
    for question in QUESTIONS:
        with pytest.raises(ans.TrailCorrupted, match=CHANGED) as refused:
            question(record)
        assert refused.value.hint.startswith("read it again")
    with pytest.raises(ans.TrailCorrupted, match=CHANGED):
        analysis.case(record, task=trail.task)
    with pytest.raises(ans.TrailCorrupted, match=CHANGED):
        record.save(trail.file.with_name("parquet"))
    trail.file.unlink()
    trail.file.write_bytes(trail.true)
    assert analysis.who_did(record, "exchanged.pay", "account/x7").sentence.startswith("1 call")


def test_a_file_that_is_gone_or_a_pipe_is_refused_and_nothing_waits(trail: Trail) -> None:
    record = trail.read()
    trail.file.unlink()
    with pytest.raises(ans.InvalidInput, match="cannot read"):
        analysis.refusals(record)
    os.mkfifo(trail.file)
    with pytest.raises(ans.InvalidInput, match="cannot read"):
        analysis.refusals(record)


def test_what_was_read_is_answered_from_whatever_becomes_of_the_file(trail: Trail) -> None:
    record = trail.read()
    before = analysis.who_did(record, "exchanged.pay", "account/x7").sentence
    rewrite(trail)
    assert analysis.who_did(record, "exchanged.pay", "account/x7").sentence == before
    assert analysis.refusals(record).sentence == "Nothing was refused."
    trail.file.unlink()
    assert analysis.in_name_of(record, "alice@example.com").sentence.startswith("40 calls")


def test_what_is_appended_later_is_no_fault_and_is_not_told(trail: Trail) -> None:
    record = trail.read()
    with trail.file.open("ab") as file:
        file.write(trail.evil)
    assert len(record) == 40
    assert analysis.refusals(record).sentence == "Nothing was refused."
    with pytest.raises(ans.TrailCorrupted):
        trail.read()


@pytest.mark.parametrize("exchange", [rename, rewrite])
def test_a_file_that_is_exchanged_while_it_is_read_is_refused_or_answers_what_was_verified(
    trail: Trail, exchange: Callable[[Trail], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, truly = [True], lines._Taken.readinto

    def readinto(self: Any, buffer: Any) -> int:
        read = truly(self, memoryview(buffer)[:4096])
        if first:
            first.clear()
            exchange(trail)
        return read

    monkeypatch.setattr(lines._Taken, "readinto", readinto)
    record = trail.read()
    if exchange is rename:  # The file that is open is still the one that was verified.
        assert analysis.refusals(record).sentence == "Nothing was refused."
    else:
        with pytest.raises(ans.TrailCorrupted, match=CHANGED):
            analysis.refusals(record)
    assert not first, "it was never exchanged"


def test_a_file_that_is_exchanged_while_it_is_verified_is_refused(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = _core.verify

    def verify(*args: Any, **options: Any) -> Any:
        told: list[int] = []

        def exchange_once(done: int, of: int) -> None:
            if not told:
                rename(trail)
            told.append(done)

        report = truly(*args, progress=exchange_once, **options)
        assert told
        return report

    monkeypatch.setattr(_core, "verify", verify)
    record = trail.read()
    with pytest.raises(ans.TrailCorrupted, match=CHANGED):
        analysis.refusals(record)


def test_no_more_is_read_than_was_verified(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    record, most, truly = trail.read(), len(trail.true), lines._Taken.readinto
    with trail.file.open("r+b") as file:
        file.write(b"{" * (most + 1))
        file.truncate(1 << 40)
    read: list[int] = []

    def counted(self: Any, buffer: Any) -> int:
        read.append(truly(self, buffer))
        return read[-1]

    monkeypatch.setattr(lines._Taken, "readinto", counted)
    with pytest.raises(ans.TrailCorrupted, match=CHANGED):
        analysis.refusals(record)
    assert sum(read) == most


def test_a_report_says_which_bytes_it_is_of(trail: Trail, tmp_path: Path) -> None:
    import hashlib

    report = ans.verify(trail.file, trail.authority)
    assert report.file_bytes == len(trail.true)
    assert report.file_sha256 == hashlib.sha256(trail.true).hexdigest()
    trail.engine.trail.archive(tmp_path / "archive")
    for other in (trail.engine.trail.verify(), ans.verify(tmp_path / "archive", trail.authority)):
        assert other.file_bytes is None
        assert other.file_sha256 is None


def test_parquet_never_says_that_it_was_verified(trail: Trail) -> None:
    record = analysis.read(trail.read().save(trail.file.with_name("parquet")))
    assert record.verified is None
    assert repr(record).endswith("not verified>")
    said = dict(analysis.case(record, task=trail.task).checked)["export"]
    assert said.startswith("not verified")
    with pytest.raises(ans.InvalidInput, match="cannot be verified"):
        analysis.read(trail.file.with_name("parquet"), authority=trail.authority)


def test_a_line_that_is_none_of_an_export_is_not_read_whole(trail: Trail) -> None:
    with trail.file.open("ab") as file:
        file.truncate(len(trail.true) + (1 << 33))
    with pytest.raises(ans.InvalidInput, match="longer than 1 MiB"):
        analysis.refusals(trail.file)


# ------------------------------------------------------------------------- input without an end


def faults(path: Path | str, authority: str) -> list[Any]:
    with pytest.raises(ans.TrailCorrupted) as refused:
        ans.verify(path, authority)
    return refused.value.faults


def test_a_line_without_an_end_is_given_up(trail: Trail) -> None:
    found = faults("/dev/zero", trail.authority)
    assert any("the rest is not read" in fault.what for fault in found)
    assert len(found) < 10


def test_lines_without_an_end_are_given_up(trail: Trail, tmp_path: Path) -> None:
    pipe, wrote = tmp_path / "pipe", [0]
    os.mkfifo(pipe)

    def endless() -> None:
        try:
            with io.FileIO(pipe, "w") as file:
                while True:
                    wrote[0] += file.write(b"x" * 65_535 + b"\n")
        except BrokenPipeError:
            pass

    writer = threading.Thread(target=endless)
    writer.start()
    found = faults(pipe, trail.authority)
    writer.join()
    assert wrote[0]
    assert wrote[0] < 1 << 27, "it read on"
    assert len(found) == 1_000


def test_a_receipt_without_an_end_is_not_read(trail: Trail) -> None:
    with pytest.raises(ans.InvalidInput, match="has more than"):
        verify_receipt("/dev/zero", authority=trail.authority)


# --------------------------------------------------------------------------- for the owner alone


def test_files_with_values_in_clear_are_their_owners_alone(trail: Trail, tmp_path: Path) -> None:
    engine, made = trail.engine, tmp_path / "made"
    made.mkdir()
    for name in ("export", "receipt.json", "case.html", "rows.csv", "graph.svg"):
        (made / name).write_text("an older one")
        (made / name).chmod(0o644)
    before = os.umask(0)
    try:
        engine.trail.export(made / "export")
        engine.trail.export(made / "new")
        engine.trail.receipt(task=trail.task).save(made / "receipt.json")
        case = analysis.case(engine, task=trail.task)
        case.save(made / "case.html")
        case.save(made / "case")
        analysis.who_did(engine, "exchanged.pay").to_csv(made / "rows.csv")
        analysis.delegation_graph(engine).save(made / "graph.svg")
        analysis.read(engine).save(made / "parquet")
        sink = exporters.to_file(made / "sent", exporters.as_jsonl())
        exporters.Exporter(engine, sink, state=made / "state", start=False).run()
    finally:
        os.umask(before)
    files = [file for file in made.rglob("*") if file.is_file()]
    assert len(files) >= 18
    assert {str(file): stat.S_IMODE(file.stat().st_mode) for file in files} == {
        str(file): 0o600 for file in files
    }


def test_a_file_that_is_appended_to_keeps_the_mode_that_it_was_given(
    trail: Trail, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.touch()
    shared.chmod(0o640)
    sink = exporters.to_file(shared, exporters.as_jsonl())
    exporters.Exporter(trail.engine, sink, state=tmp_path / "state", start=False).run()
    assert shared.stat().st_size
    assert stat.S_IMODE(shared.stat().st_mode) == 0o640
