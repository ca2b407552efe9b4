"""What reads bytes from outside, against real ones that were changed: `make fuzz` for long.

A changed token, checkpoint, receipt, proof, export, policy or frame is refused by one of our own
errors, or it still says exactly what the real one said.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from living import World

import answerable as ans
from answerable import _core

# How many changed texts each reader gets, and how many a reader of files or of the socket.
MANY, FEW = (200_000, 5_000) if os.environ.get("ANSWERABLE_CASES") == "full" else (1500, 60)
BITS = [
    b"", b"\0", b"\xff", b"\n", b"\r\n", b"\xe2\x80\xae", b"\xed\xa0\x80", b'"', b"\\", b"{", b"}",
    b"[" * 300, b"]", b",", b":", b".", b"/", b"+", b"=", b"-", b" ", b"0", b"-1", b"1e999",
    b"9" * 40,
    b"18446744073709551616", b"null", b"true", b"v4.public.", b"k4.public.", b"A" * 1000,
]  # fmt: skip


def changed(seed: bytes, chance: random.Random) -> bytes:
    """The same with one to four changes: a bit, a piece gone, doubled, moved, or put in."""
    out = bytearray(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        at, end = sorted(chance.randrange(len(out) + 1) for _ in range(2))
        end = min(end, at + chance.choice((1, 1, 4, 64, 100_000)))
        match chance.randrange(6):
            case 0 if at < len(out):
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                del out[at:end]
            case 2:
                out[at:at] = out[at:end]
            case 3:
                out[at:end] = chance.choice(BITS)
            case 4:
                piece = bytes(out[at:end])
                del out[at:end]
                place = chance.randrange(len(out) + 1)
                out[place:place] = piece
            case _:
                out = out[:at]
    return bytes(out)


def texts(seed: str, count: int, errors: str = "surrogateescape", other: str = "") -> Iterator[str]:
    """Changed ones, as text; each differs from the real one, and from one other."""
    chance = random.Random(f"{len(seed)} {count}")
    made = 0
    while made < count:
        text = changed(seed.encode(), chance).decode("utf-8", errors)
        if text not in (seed, other):
            made += 1
            yield text


def refused_or_same(read: Callable[[Any], Any], seed: Any, others: Iterator[Any]) -> int:
    """How many were refused; the others say what the real one says."""
    said, refused, same, tried = read(seed), 0, 0, 0
    for other in others:
        try:
            now = read(other)
        except ans.Error as error:
            refused += bool(error.code) and len(str(error)) < 20_000
        else:
            same += 1
            assert now == said, repr(other)[:2000]
        tried += 1
    assert refused + same == tried, "with a code, and in bounded words"
    return refused


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("bytes") / "store", durability="relaxed")
    yield world
    world.engine.close()


@pytest.fixture(scope="module")
def child(world: World) -> ans.Grant:
    child = world.child(world.grant())
    world.use(child)
    return child


def test_a_token(world: World, child: ans.Grant) -> None:
    assert child.token.count("v4.public.") == 2, "of two hops"
    # Without its last hop whole it is the grant above, which whoever delegated has anyway.
    above = child.token[: child.token.rindex("v4.public.") - 1]
    assert world.engine.accept(above).depth == 0
    refused = refused_or_same(
        lambda token: world.engine.accept(token).id,
        child.token,
        texts(child.token, MANY, other=above),
    )
    assert refused == MANY, "there is one spelling of a token"


def test_a_scope_on_the_wire(child: ans.Grant) -> None:
    scope = _core.to_wire([ans.allow("pay.*", where={"a": ans.at_most(5)}, limits=ans.calls(3))])
    read = lambda text: _core.to_wire(_core.scope_from_wire(text))  # noqa: E731 - said twice.
    for text in texts(scope, MANY):
        try:
            said = read(text)
        except ans.Error:
            continue
        assert read(said) == said, "what is written is read as it was meant"


def test_a_checkpoint(world: World) -> None:
    note = world.engine.trail.checkpoint().text
    signer = world.engine.trail.checkpoint_key()
    assert _core.signed_by(note, signer)
    for text in texts(note, MANY, "replace"):
        try:
            facts, signed = _core.read_checkpoint(text), _core.signed_by(text, signer)
        except ans.Error:
            continue
        assert not signed or facts == _core.read_checkpoint(note), repr(text)


def test_a_receipt(world: World, child: ans.Grant) -> None:
    entry = world.engine.trail.entries(kind="decision")[0]
    receipt = world.engine.trail.receipt(entry).text

    def read(text: str) -> Any:
        told = ans.verify_receipt(text, authority=world.engine.authority)
        return told.calls, told.entries, told.size

    refused_or_same(read, receipt, (t for t in texts(receipt, FEW) if t.lstrip()[:1] == "{"))


def test_an_offboarding_proof(world: World) -> None:
    gone = world.engine.humans.register("gone@example.com")
    proof = world.engine.humans.offboard(gone, reason="left").text
    authority = world.engine.authority
    refused = refused_or_same(
        lambda text: ans.verify_offboarding(text, authority).text and None,
        proof,
        texts(proof, MANY // 10),
    )
    assert refused > MANY // 20


def test_an_export(world: World, child: ans.Grant, tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    world.engine.trail.export(file)
    exported = file.read_bytes()
    chance = random.Random(5)

    def read(data: bytes) -> Any:
        file.write_bytes(data)
        report = ans.verify(file, authority=world.engine.authority)
        return report.size, str(report)

    refused = refused_or_same(read, exported, (changed(exported, chance) for _ in range(FEW)))
    assert refused > FEW // 2


def test_policies(tmp_path: Path) -> None:
    @ans.tool("pay.transfer")
    def transfer(amount: int) -> None: ...

    seed = (
        '@id("small") @reason("r") permit (principal, action == Action::"pay.transfer", resource)'
        ' when { context.human in Group::"finance" && context.arguments.amount < 3 };'
    )
    (tmp_path / "a.cedar").write_text(seed, "utf-8")
    _core.PolicySet.read(tmp_path)
    chance = random.Random(6)
    for _ in range(FEW):
        (tmp_path / "a.cedar").write_bytes(changed(seed.encode(), chance))
        try:
            _core.PolicySet.read(tmp_path)
        except ans.Error:
            continue


def test_frames_at_the_socket(world: World) -> None:
    """Whole frames of every kind, changed: each is answered or hung up on, and nothing is done."""
    size = len(world.engine.trail)
    verb = json.dumps({"verb": "nothing", "arguments": {"reason": "r", "agent": None}}).encode()
    bodies = [b"", b"\0\0\0\1\0\0\0", verb]
    chance = random.Random(8)
    for _ in range(FEW):
        body = changed(chance.choice(bodies), chance)[:100_000]
        frame = struct.pack(">IB", len(body) + 1, chance.randrange(1, 9)) + body
        if chance.random() < 0.3:
            frame = changed(frame, chance)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(300)
            connection.connect(str(world.path / "holder.sock"))
            try:
                connection.sendall(frame)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65_536):
                    pass
            except ConnectionError:
                continue
    assert len(world.engine.trail) == size
    world.engine.trail.verify()
