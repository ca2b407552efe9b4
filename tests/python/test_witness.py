"""Witnesses and anchors: what left the machine shows a fork, a roll-back, a cut tail."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import answerable as ans
from answerable import _core
from answerable.net import anchors
from answerable.net import witness as witnessing
from answerable.net.witness import Refused, Witness

NAME = "witness.example/w1"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "governance"


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness.make(tmp_path / "witness", NAME)


def grow(engine: ans.Engine, by: int = 1) -> ans.Checkpoint:
    for _ in range(by):
        engine.humans.register(f"{time.monotonic_ns()}@example.com")
    return engine.trail.checkpoint()


def request(engine: ans.Engine, old: int, note: str, new: int) -> str:
    proof = engine.trail.consistency(old, new) if old else []
    return "".join(f"{line}\n" for line in (f"old {old}", *proof, "")) + note


def test_a_cosignature_has_the_published_form(store: Path, witness: Witness) -> None:
    """Bytes as C2SP tlog-cosignature v1 says, put together here by its text alone."""
    with ans.open(store) as engine:
        note = grow(engine).text
        witness.trust(engine.trail.checkpoint_key())
        line = witness.add_checkpoint(f"old 0\n\n{note}", at=1_679_315_147)
    mark, name, blob = line.rstrip("\n").split(" ")
    raw = base64.b64decode(blob, validate=True)
    assert (mark, name, len(raw)) == ("\u2014", NAME, 4 + 8 + 64)
    key = base64.b64decode(witness.key.split("+", 2)[2])
    assert key[0] == 4
    from hashlib import sha256

    assert raw[:4] == sha256(NAME.encode() + b"\n" + key).digest()[:4]
    assert int.from_bytes(raw[4:12], "big") == 1_679_315_147
    body = note.split("\n\n")[0] + "\n"
    message = f"cosignature/v1\ntime 1679315147\n{body}".encode()
    import independent

    assert independent.signed(key[1:], message, raw[12:])
    assert _core.cosigned_at(note + line, witness.key) == 1_679_315_147
    assert _core.cosigned_at(note, witness.key) is None


def test_it_cosigns_what_grows_and_nothing_else(store: Path, witness: Witness) -> None:
    with ans.open(store) as engine:
        witness.trust(engine.trail.checkpoint_key())
        first = grow(engine)
        witness.add_checkpoint(f"old 0\n\n{first.text}")
        second = grow(engine, 3)
        with pytest.raises(Refused) as conflict:
            witness.add_checkpoint(f"old 0\n\n{second.text}")
        assert (conflict.value.status, conflict.value.size) == (409, first.size)
        sound = request(engine, first.size, second.text, second.size)
        lines = sound.split("\n")
        for forged in (
            "\n".join([lines[0], *lines[2:]]),
            "\n".join([lines[0], lines[1], *lines[1:]]),
            sound.replace(lines[1], base64.b64encode(bytes(32)).decode()),
        ):
            with pytest.raises(Refused) as wrong:
                witness.add_checkpoint(forged)
            assert wrong.value.status == 422
        witness.add_checkpoint(sound)
        witness.add_checkpoint(request(engine, second.size, second.text, second.size))
        # A witness that was started anew remembers.
        again = Witness(witness.folder)
        assert again.logs()[0]["size"] == second.size
        with pytest.raises(Refused) as rolled:
            again.add_checkpoint(f"old {second.size}\n\n{first.text}")
        assert rolled.value.status == 400
        for text in ("", "old 1", "old 01\n\nx", "old -1\n\nx", "new 1\n\nx", "old 1\n\nx\n"):
            with pytest.raises(Refused) as bad:
                witness.add_checkpoint(text)
            assert bad.value.status == 400


def test_it_refuses_strangers(store: Path, tmp_path: Path, witness: Witness) -> None:
    with ans.open(store) as engine, ans.open(tmp_path / "other") as other:
        note = grow(engine).text
        with pytest.raises(Refused) as unknown:
            witness.add_checkpoint(f"old 0\n\n{note}")
        assert unknown.value.status == 404
        witness.trust(engine.trail.checkpoint_key())
        body, _, _ = note.partition("\n\n")
        _, _, theirs = grow(other).text.partition("\n\n")
        with pytest.raises(Refused) as unsigned:
            witness.add_checkpoint(f"old 0\n\n{body}\n\n{theirs}")
        assert unsigned.value.status == 403
    with pytest.raises(ans.InvalidInput):
        witness.trust("not a key")
    with pytest.raises(ans.InvalidInput):
        Witness.make(witness.folder, NAME)


def test_a_fork_is_refused(store: Path, tmp_path: Path, witness: Witness) -> None:
    """Two stores with the same keys that went on apart: only the first is cosigned."""
    with ans.open(store) as engine:
        grow(engine)
        witness.trust(engine.trail.checkpoint_key())
    shutil.copytree(store, tmp_path / "fork")
    shutil.copy2(tmp_path / "governance.key", tmp_path / "fork.key")
    with ans.open(store) as engine, ans.open(tmp_path / "fork") as fork:
        mine, theirs = grow(engine, 2), grow(fork, 2)
        assert mine.size == theirs.size
        witness.add_checkpoint(f"old 0\n\n{mine.text}")
        with pytest.raises(Refused) as same_size:
            witness.add_checkpoint(request(fork, theirs.size, theirs.text, theirs.size))
        assert same_size.value.status == 409
        later = grow(fork, 1)
        with pytest.raises(Refused) as longer:
            witness.add_checkpoint(request(fork, mine.size, later.text, later.size))
        assert longer.value.status == 422


RACER = """
import sys
from answerable.net.witness import Refused, Witness
try:
    Witness(sys.argv[1]).add_checkpoint(open(sys.argv[2]).read())
    print("cosigned")
except Refused as refused:
    print(refused.status)
"""


def test_two_requests_at_once_give_one_history(
    store: Path, tmp_path: Path, witness: Witness
) -> None:
    with ans.open(store) as engine:
        grow(engine)
        witness.trust(engine.trail.checkpoint_key())
    shutil.copytree(store, tmp_path / "fork")
    shutil.copy2(tmp_path / "governance.key", tmp_path / "fork.key")
    with ans.open(store) as engine, ans.open(tmp_path / "fork") as fork:
        for name, one in (("a", engine), ("b", fork)):
            (tmp_path / name).write_text(f"old 0\n\n{grow(one, 2).text}", encoding="utf-8")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(witness.folder), str(tmp_path / name)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    said = sorted(str(racer.communicate()[0]).strip() for racer in racers)
    assert said == ["409", "cosigned"]


@pytest.fixture
def served(witness: Witness) -> Iterator[str]:
    server = witnessing.serve(witness)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host, port = server.server_address[:2]
    yield f"http://{host!s}:{port}"
    server.shutdown()
    server.server_close()


def test_published_checkpoints_are_cosigned_and_verified(
    store: Path, tmp_path: Path, witness: Witness, served: str
) -> None:
    other = Witness.make(tmp_path / "second", "witness.example/w2")
    with ans.open(store) as engine:
        witness.trust(engine.trail.checkpoint_key())
        publisher = anchors.Publisher(engine, [anchors.to_witness(served, witness.key)], every=None)
        grow(engine)
        publisher.publish()
        grow(engine, 5)
        size = publisher.publish()
        assert publisher.published == size
        engine.trail.export(tmp_path / "trail.jsonl")
        assert engine.trail.verify(witnesses=[witness.key]).witnessed == size
        authority = engine.authority
        receipt = json.loads(engine.trail.receipt(0).text)
        assert _core.cosigned_at(receipt["checkpoint"], witness.key) is not None
    report = ans.verify(tmp_path / "trail.jsonl", authority, witnesses=[witness.key])
    assert report.witnessed == size
    with pytest.raises(ans.TrailCorrupted) as missing:
        ans.verify(tmp_path / "trail.jsonl", authority, witnesses=[witness.key, other.key])
    assert [fault.code for fault in missing.value.faults] == ["not_witnessed"]
    for wrong in ([], ["x"], [engine.authority]):
        with pytest.raises(ans.InvalidInput):
            ans.verify(tmp_path / "trail.jsonl", authority, witnesses=wrong)


def test_a_store_that_was_put_back_is_refused_until_it_is_said(
    store: Path, tmp_path: Path, witness: Witness, served: str
) -> None:
    with ans.open(store) as engine:
        grow(engine)
        witness.trust(engine.trail.checkpoint_key())
    shutil.copytree(store, tmp_path / "aside")
    with ans.open(store) as engine:
        kept = grow(engine, 2)
        anchors.Publisher(engine, [anchors.to_witness(served, witness.key)], every=None).publish()
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "aside", store)
    with pytest.raises(ans.StoreError, match="was put back") as refused:
        ans.open(store)
    assert refused.value.code == "store_put_back"
    with ans.open(store, accept_restore="the disk died, backup of monday") as engine:
        (entry,) = engine.trail.entries(kind="restore")
        assert entry.leaf["size"] == kept.size
        assert "the disk died" in entry.json()
        assert "the disk died" not in str(entry.leaf)
        # It is said, and it still shows to whoever kept a checkpoint, and to the witness.
        with pytest.raises(ans.TrailCorrupted):
            engine.trail.verify(since=kept)
        grow(engine, 3)
        publisher = anchors.Publisher(engine, [anchors.to_witness(served, witness.key)], every=None)
        with pytest.raises(Refused, match="refuses"):
            publisher.publish()
    ans.open(store).close()


def test_a_kept_checkpoint_that_cannot_be_read_is_no_excuse(store: Path) -> None:
    with ans.open(store) as engine:
        grow(engine)
    kept = store.with_name("governance.checkpoint")
    text = kept.read_text("utf-8")
    kept.write_text("nonsense", encoding="utf-8")
    with pytest.raises(ans.StoreError, match="checkpoint kept"):
        ans.open(store)
    kept.write_text(text, encoding="utf-8")
    ans.open(store).close()


def test_every_place_gets_the_checkpoint(store: Path, tmp_path: Path) -> None:
    got: list[bytes] = []

    class Place(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Place)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    subprocess.run(["git", "init", "-q", str(tmp_path / "repo")], check=True)
    places = [
        anchors.to_file(tmp_path / "newest"),
        anchors.to_folder(tmp_path / "all"),
        anchors.to_git(tmp_path / "repo"),
        anchors.to_url(f"http://127.0.0.1:{server.server_port}/x"),
    ]
    with ans.open(store) as engine:
        publisher = anchors.Publisher(engine, places, every=None)
        sizes = []
        for _ in range(2):
            grow(engine)
            sizes.append(publisher.publish())
        note = engine.trail.checkpoint().text
        # Each kept one finds a later change of what it covers.
        for kept in (tmp_path / "newest", *sorted((tmp_path / "all").iterdir())):
            assert engine.trail.verify(since=kept).since_agreed == 1
    assert (tmp_path / "newest").read_text("utf-8") == note
    assert [int(path.stem) for path in sorted((tmp_path / "all").iterdir())] == sizes
    assert got[-1].decode() == note
    log = subprocess.run(
        ["git", "-C", str(tmp_path / "repo"), "log", "--format=%s"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert log.stdout.splitlines() == [f"checkpoint over {size} entries" for size in sizes[::-1]]
    server.shutdown()
    server.server_close()


def test_a_place_that_fails_hinders_no_other_and_is_told(store: Path, tmp_path: Path) -> None:
    places = [
        anchors.to_url("http://127.0.0.1:9/none"),
        anchors.to_git(tmp_path / "no repository"),
        anchors.to_file(tmp_path / "newest"),
    ]
    with ans.open(store) as engine:
        publisher = anchors.Publisher(engine, places, every=0.05)
        while len(publisher.failures) < 2:
            time.sleep(0.01)
        assert publisher.published == 0
        grow(engine)
        while _core.read_checkpoint((tmp_path / "newest").read_text("utf-8"))[1] < len(
            engine.trail
        ):
            time.sleep(0.01)
        publisher.close()
        with pytest.raises(ans.Error, match="not published"):
            publisher.publish()
