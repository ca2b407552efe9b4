"""Archives: C2SP tlog-tiles, read anew here from that specification with nothing but hashes."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import independent as ind
import pytest

import answerable as ans
from answerable.cli import main

WIDTH = 256


def path_of(number: int, width: int = WIDTH) -> str:
    """A tile's path: three digits a part, an x before all but the last."""
    parts = [f"{number % 1000:03}"]
    while number := number // 1000:
        parts.insert(0, f"x{number % 1000:03}")
    return "/".join(parts) + ("" if width == WIDTH else f".p/{width}")


def tiles_of(count: int) -> list[tuple[str, int]]:
    """The paths and widths of all tiles over so many hashes."""
    full, rest = divmod(count, WIDTH)
    return [(path_of(n), WIDTH) for n in range(full)] + (
        [(path_of(full, rest), rest)] if rest else []
    )


def read(folder: Path) -> tuple[ind.Note, list[bytes]]:
    """The checkpoint and the leaves of an archive; fails where a tile is not what they make."""
    note = ind.Note((folder / "checkpoint").read_text())
    leaves: list[bytes] = []
    files = {"checkpoint"}
    for path, width in tiles_of(note.size):
        files.add(f"tile/entries/{path}")
        bundle = (folder / "tile/entries" / path).read_bytes()
        before = len(leaves)
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            leaves.append(bundle[2 : 2 + length])
            assert len(leaves[-1]) == length
            bundle = bundle[2 + length :]
        assert len(leaves) - before == width
    row, level = [ind.leaf_hash(leaf) for leaf in leaves], 0
    assert ind.root(row) == note.root
    while row:
        for number, (path, width) in enumerate(tiles_of(len(row))):
            files.add(f"tile/{level}/{path}")
            hashes = row[number * WIDTH : number * WIDTH + width]
            assert (folder / f"tile/{level}" / path).read_bytes() == b"".join(hashes)
        row = [ind.root(row[n : n + WIDTH]) for n in range(0, len(row) - WIDTH + 1, WIDTH)]
        level += 1
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files <= found
    return note, leaves


def grow(engine: Any, size: int) -> None:
    while len(engine.trail) < size:
        engine.humans.register(f"h{len(engine.trail)}@example.com")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """An engine with 600 entries, and its archive."""
    place = tmp_path_factory.mktemp("archive")
    engine = ans.open(place / "governance")
    grow(engine, 600)
    assert engine.trail.archive(place / "archive") == 600
    return engine, place / "archive"


def codes(folder: Path, authority: str, **more: Any) -> list[str]:
    try:
        ans.verify(folder, authority, **more)
    except ans.TrailCorrupted as corrupted:
        return [fault.code for fault in corrupted.faults]
    return []


def test_a_stranger_reads_the_whole_of_it(made: tuple[Any, Path]) -> None:
    engine, folder = made
    note, leaves = read(folder)
    key = ind.NoteKey(engine.trail.checkpoint_key())
    assert note.by(key)
    assert len(leaves) == 600
    for index in (0, 255, 256, 511, 512, 599):
        assert ind.decode(leaves[index])[1]["id"] == ("text", engine.trail.get(index).id)
    everything = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert b"example.com" not in everything


def test_it_verifies_alone_and_with_the_live_trail(made: tuple[Any, Path]) -> None:
    engine, folder = made
    told: list[tuple[int, int]] = []
    report = ans.verify(folder, engine.authority, progress=lambda *at: told.append(at))
    assert (report.size, report.checkpoints, report.unanchored) == (600, 1, 0)
    assert report.disclosed == 0
    assert told[-1] == (600, 600)
    checkpoint = folder / "checkpoint"
    assert engine.trail.verify(since=checkpoint).since_agreed == 1
    assert ans.verify(folder, engine.authority, since=checkpoint).since_agreed == 1


@pytest.mark.parametrize("first", [1, 255, 256, 257, 512])
def test_it_grows_at_every_edge(tmp_path: Path, first: int) -> None:
    with ans.open(tmp_path / "governance") as engine:
        for size in (first, first + 1, first + 255, first + 256):
            grow(engine, size)
            # The very first registration is two entries: the operator's own as well.
            size = len(engine.trail)
            assert engine.trail.archive(tmp_path / "archive") == size
            assert read(tmp_path / "archive")[0].size == size
            assert ans.verify(tmp_path / "archive", engine.authority).size == size


def test_every_way_of_tampering_is_found(made: tuple[Any, Path], tmp_path: Path) -> None:
    engine, folder = made

    def changed(name: str, change: Any) -> list[str]:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        change(copy / name)
        found = codes(copy, engine.authority)
        shutil.rmtree(copy)
        return found

    def flip(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)

    def cut(file: Path) -> None:
        file.write_bytes(file.read_bytes()[:-1])

    def more(file: Path) -> None:
        file.write_bytes(file.read_bytes() + b"\0\0")

    bundle, partial, tile, top = (
        "tile/entries/001",
        "tile/entries/002.p/88",
        "tile/0/001",
        "tile/1/000.p/2",
    )
    assert "checkpoint_root_mismatch" in changed(bundle, flip)
    for name in (tile, top):
        assert changed(name, flip) == ["tile_mismatch"]
        assert changed(name, cut) == ["tile_mismatch"]
        assert changed(name, Path.unlink) == ["bad_archive"]

    def longer(file: Path) -> None:
        file.write_bytes(file.read_bytes() + bytes(32))

    for name in (tile, top, "tile/0/002.p/88", "tile/0/000"):
        assert changed(name, longer) == ["tile_mismatch"], name
        assert changed(name, more) == ["tile_mismatch"], name

    def full(file: Path) -> None:
        """A bundle of so many that holds as many as a full one."""
        file.write_bytes(file.read_bytes() + b"\0\0" * (WIDTH - 88))

    def full_tile(file: Path) -> None:
        file.write_bytes(file.read_bytes() + bytes(32 * (WIDTH - 88)))

    assert "bad_archive" in changed(partial, full)
    assert changed("tile/0/002.p/88", full_tile) == ["tile_mismatch"]

    def beside(file: Path) -> None:
        """A full one in the place of the partial one, that does not hold what a full one does."""
        whole = file.parent.with_suffix("")
        whole.write_bytes(file.read_bytes() + bytes(32))
        file.unlink()

    assert changed("tile/0/002.p/88", beside) == ["tile_mismatch"]
    for name in (bundle, partial):
        for change in (cut, more, Path.unlink):
            assert "bad_archive" in changed(name, change), name
    for change in (cut, Path.unlink):
        assert "bad_checkpoint" in changed("checkpoint", change)

    def signature(file: Path) -> None:
        text = file.read_text()
        file.write_text(text[:-9] + ("A" if text[-9] != "A" else "B") + text[-8:])

    assert "checkpoint_signature" in changed("checkpoint", signature)

    def beyond(file: Path) -> None:
        lines = file.read_text().split("\n")
        lines[1] = str(1 << 41)
        file.write_text("\n".join(lines))

    assert "bad_checkpoint" in changed("checkpoint", beyond)


def test_another_history_or_trail_is_not_added_to(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    with ans.open(tmp_path / "one") as engine:
        grow(engine, 5)
        engine.backup(tmp_path / "aside")
        grow(engine, 300)
        engine.trail.archive(folder)
        before = (folder / "checkpoint").read_text()
    shutil.copy(tmp_path / "one.key", tmp_path / "aside.key")
    with ans.open(tmp_path / "aside") as older:
        with pytest.raises(ans.InvalidInput, match="ahead of this store"):
            older.trail.archive(folder)
        grow(older, 400)
        with pytest.raises(ans.InvalidInput, match="another history"):
            older.trail.archive(folder)
    with ans.open(tmp_path / "two") as other:
        with pytest.raises(ans.InvalidInput, match="another trail"):
            other.trail.archive(folder)
        with pytest.raises(ans.InvalidInput, match="other things"):
            other.trail.archive(tmp_path)
        assert "bad_statement" in codes(folder, other.authority)
    assert (folder / "checkpoint").read_text() == before
    read(folder)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, folder = tmp_path / "governance", tmp_path / "archive"
    with ans.open(store) as engine:
        grow(engine, 3)
        authority = engine.authority
    assert main(["--store", str(store), "--json", "trail", "archive", str(folder)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["authority"] == authority
    assert told["entries"] >= 3
    assert main(["trail", "verify", str(folder), "--authority", authority]) == 0
    (folder / "tile/0/000.p" / str(told["entries"])).write_bytes(b"\0" * 32)
    assert main(["trail", "verify", str(folder), "--authority", authority]) == 1
    assert base64.b64decode((folder / "checkpoint").read_text().split("\n")[2])


def test_an_archive_that_was_changed_is_not_extended(tmp_path: Path) -> None:
    """Each file of what was there is compared; what is refused stays as it is."""
    folder = tmp_path / "archive"
    with ans.open(tmp_path / "governance") as engine:
        grow(engine, 300)
        engine.trail.archive(folder)
        shutil.copytree(folder, tmp_path / "whole")
        grow(engine, 400)

        def cut(file: Path) -> None:
            file.write_bytes(file.read_bytes()[:-1])

        def flip(file: Path) -> None:
            file.write_bytes(file.read_bytes()[:-1] + bytes([file.read_bytes()[-1] ^ 1]))

        def link(file: Path) -> None:
            file.unlink()
            file.symlink_to(tmp_path / "whole" / file.relative_to(folder))

        names = [str(f.relative_to(folder)) for f in sorted((folder / "tile").rglob("*"))
                 if f.is_file()]  # fmt: skip
        assert len(names) == 5
        for name in names:
            for change, told in ((flip, "changed"), (cut, "changed"), (link, "changed"),
                                 (Path.unlink, "gone")):  # fmt: skip
                change(folder / name)
                with pytest.raises(ans.InvalidInput, match=f"its `{name}` (is|was) {told}"):
                    engine.trail.archive(folder)
                kept = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
                if change is not Path.unlink:
                    assert kept == sorted(["checkpoint", *names])
                assert (folder / "checkpoint").read_bytes() == (
                    tmp_path / "whole" / "checkpoint"
                ).read_bytes()
                (folder / name).unlink(missing_ok=True)
                shutil.copy(tmp_path / "whole" / name, folder / name)
        assert engine.trail.archive(folder) == 400
        assert codes(folder, engine.authority) == []
