"""What an attacker on the same machine has: the bytes of the holder's socket."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import answerable as ans

HELLO, GET, SCAN, SCAN_BACK, FLUSH, EPOCH, CHECKPOINT, VERB = range(1, 9)


def connect(store: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(300)
    connection.connect(str(store / "holder.sock"))
    return connection


def read(connection: socket.socket) -> bytes | None:
    """An answer: its status and body; None where the other end has hung up."""
    try:
        head = connection.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return None
        (length,) = struct.unpack(">I", head)
        return connection.recv(length, socket.MSG_WAITALL)
    except ConnectionError:
        return None


def ask(store: Path, kind: int, body: bytes = b"") -> bytes | None:
    with connect(store) as connection:
        connection.sendall(struct.pack(">IB", len(body) + 1, kind) + body)
        return read(connection)


def attach(store: Path) -> str:
    """The code that another process of the same account meets when it opens the store."""
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


def verb(store: Path, request: Any) -> dict[str, Any]:
    """What a request for a change is answered, as JSON."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    answered = ask(store, VERB, body)
    assert answered is not None
    told: dict[str, Any] = json.loads(answered[1:])
    return told
