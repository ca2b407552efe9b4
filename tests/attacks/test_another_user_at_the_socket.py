"""Another user of the machine speaks to the holder, where even the file lets them.

Class: the holder's socket
Refusal: they are hung up on before anything is read
Check: src/store/socket.rs:peer: the other end runs under the same user
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/store/socket.rs", "let same = «peer.uid == rustix::process::geteuid()»", "true")]


SCRIPT = """
import os, socket, struct, sys
os.setgroups([]), os.setgid(65534), os.setuid(65534)
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(300)
connection.connect(sys.argv[1])
try:
    connection.sendall(struct.pack(">IB", 1, 1))
    print(len(connection.recv(1)))
except ConnectionError:
    print(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_at_the_socket(world: World) -> None:
    world.path.chmod(0o755)
    for folder in world.path.parents[:4]:
        if folder.stat().st_uid == os.geteuid() and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    socket = world.path / "holder.sock"
    socket.chmod(0o666)
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, socket], capture_output=True, text=True, check=False
    )
    assert told.stdout == "0\n", told.stderr
    # Nor does a client speak with a socket that is open to others.
    code = f"import answerable as ans; ans.open({str(world.path)!r})"
    environment = {**os.environ, "PYTHONPATH": str(Path(ans.__file__).parents[1])}
    refused = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert "is not the socket of a holder of yours" in refused.stderr
    world.allows(world.held)
