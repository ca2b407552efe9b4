"""Where the holder's socket was lies what nobody listens at.

Class: the holder's socket
Refusal: StoreError store_refused
Check: src/store/socket.rs:connect: it is a socket
"""

from __future__ import annotations

import socket

import pytest
import sockets
from attacking import World

REMOVED = [
    (
        "src/store/socket.rs",
        "!kept || !data.file_type().is_socket() || data.uid() != me || data.mode() & 0o177 != 0",
        "false",
    )
]
LEFT = "store_busy"


@pytest.mark.parametrize("what", ["file", "folder"])
def test_no_socket_at_all(world: World, what: str) -> None:
    path = world.path / "holder.sock"
    path.unlink()
    path.write_bytes(b"") if what == "file" else path.mkdir()
    assert sockets.attach(world.path) == "store_refused"


def test_a_socket_behind_which_nobody_listens(world: World) -> None:
    path = world.path / "holder.sock"
    path.unlink()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    path.chmod(0o600)
    dead.close()
    assert sockets.attach(world.path) == "store_busy"
