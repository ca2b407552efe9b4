"""Whoever reaches the holder's socket sends what no client would.

Class: the holder's socket
Refusal: the connection ends, and nothing else
Check: src/store/socket.rs:receive: a length of nothing, or beyond the largest request
"""

from __future__ import annotations

import random
import struct

import pytest
import sockets
from attacking import World

REMOVED = [("src/store/socket.rs", "length == 0 || length > most", "length == 0")]
LEFT = "held"


def test_garbage_at_the_socket(world: World) -> None:
    store, before = world.path, len(world.engine.trail)
    chance = random.Random(7)
    for garbage in [
        b"\xff\xff\xff\xff" + b"\1" * 64,
        b"\0\0\0\0",
        struct.pack(">I", 1024 * 1024 + 1),
        struct.pack(">I", 8) + b"\1",
        b"\0\0",
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        *(chance.randbytes(chance.randrange(1, 400)) for _ in range(60)),
    ]:
        with sockets.connect(store) as connection:
            try:
                connection.sendall(garbage)
                connection.shutdown(1)
            except ConnectionError:
                continue  # It hung up already.
            answered = sockets.read(connection)
            assert answered is None or answered[:1] == b"\1"
    assert len(world.engine.trail) == before
    world.allows(world.held)


@pytest.mark.parametrize("kind", [0, 9, 200, 255])
def test_a_request_that_there_is_not(world: World, kind: int) -> None:
    answered = sockets.ask(world.path, kind, b"x")
    assert answered is not None
    assert answered[:1] == b"\1"


@pytest.mark.parametrize("kind", [sockets.SCAN, sockets.SCAN_BACK])
def test_a_range_that_lies(world: World, kind: int) -> None:
    for body in [b"", b"\0", b"\0\0\0\1\xff\xffb", b"\0\0\0\1\0\0\2", b"\0\0\0\1\0\0\0x"]:
        answered = sockets.ask(world.path, kind, body)
        assert answered is not None
        assert answered[:1] == b"\1"
    # The whole store in one page is not to be had.
    answered = sockets.ask(world.path, kind, b"\xff\xff\xff\xff\0\0\0")
    assert answered is not None
    assert (answered[:1], len(answered) < 3 * 1024 * 1024) == (b"\0", True)
