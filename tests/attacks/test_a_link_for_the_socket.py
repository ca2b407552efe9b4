"""The holder's socket is exchanged for something that leads elsewhere.

Class: the holder's socket
Refusal: StoreError store_refused
Check: src/store/socket.rs:connect: it is a socket of ours, in a folder of ours, and no link
"""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize("what", ["link", "open"])
def test_a_link_for_the_socket(world: World, tmp_path: Path, what: str) -> None:
    path = world.path / "holder.sock"
    if what == "open":
        path.chmod(0o660)
    else:
        path.rename(tmp_path / "aside")
        path.symlink_to(tmp_path / "aside")
    assert sockets.attach(world.path) == "store_refused"
