"""Clients that never finish a request, and never take an answer, take all the room there is.

Class: the holder's socket
Refusal: no call waits for them
Check: src/engine/serve.rs:take: each has a thread of its own, and there are few of them
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time

import sockets
from attacking import World

REMOVED = [("src/engine/serve.rs", "connections.len() >= CONNECTIONS", "false")]
LEFT = "held"


def test_a_slow_hand_at_the_socket(world: World) -> None:
    slow = [sockets.connect(world.path) for _ in range(40)]
    for number, connection in enumerate(slow):
        with contextlib.suppress(OSError):
            if number % 2:
                connection.sendall(struct.pack(">IB", 1000, sockets.VERB))
            else:
                # Answers of a megabyte each, which nobody reads.
                for _ in range(20):
                    body = b"\xff\xff\xff\xff\0\0\0"
                    connection.sendall(struct.pack(">IB", len(body) + 1, sockets.SCAN) + body)
    done = threading.Event()

    def work() -> None:
        for _ in range(20):
            world.allows(world.held)
        world.engine.agents.suspend("mallory", reason="enough")
        done.set()

    started = time.monotonic()
    threading.Thread(target=work, daemon=True).start()
    assert done.wait(600)
    world.engine.close()
    assert time.monotonic() - started < 600
    for connection in slow:
        connection.close()
