"""The holder's socket is exchanged for something that leads elsewhere.

Class: the holder's socket
Refusal: StoreError store_refused
Check: src/store/socket.rs:connect: it is a socket of ours, in a folder of ours, and no link
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/store/socket.rs",
        "!kept || !data.file_type().is_socket() || data.uid() != me || data.mode() & 0o177 != 0",
        "false",
    )
]
LEFT = "store_busy"


def attach(store: Path) -> str:
    code = (
        "import sys, answerable as ans\n"
        "try: ans.open(sys.argv[1])\n"
        "except ans.Error as error: print(error.code)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(ans.__file__).parents[1])}
    told = subprocess.run(
        [sys.executable, "-c", code, store],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=600,
    )
    return told.stdout.strip()


@pytest.mark.parametrize("what", ["link", "file", "folder", "open"])
def test_a_link_for_the_socket(world: World, tmp_path: Path, what: str) -> None:
    path = world.path / "holder.sock"
    if what == "open":
        path.chmod(0o660)
    else:
        path.rename(tmp_path / "aside")
    if what == "link":
        path.symlink_to(tmp_path / "aside")
    elif what == "file":
        path.write_bytes(b"")
    elif what == "folder":
        path.mkdir()
    assert attach(world.path) == "store_refused"


def test_a_socket_behind_which_nobody_listens(world: World) -> None:
    path = world.path / "holder.sock"
    path.unlink()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    path.chmod(0o600)
    dead.close()
    assert attach(world.path) == "store_busy"
