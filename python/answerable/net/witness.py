"""A witness: it saw a log's checkpoints grow, and cosigns only what is consistent with that.

The protocol is C2SP tlog-witness; cosignatures are those of C2SP tlog-cosignature, version 1. A
witness keeps one file for each log, replaced as a whole before an answer is given, so that neither
a crash nor two requests at once make it cosign two histories.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from answerable import _core
from answerable.errors import Error, InvalidInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Refused", "Witness", "serve"]

MAX_REQUEST = 64 * 1024
MAX_PROOF = 63


class Refused(Error):
    """A checkpoint that a witness does not cosign.

    Attributes:
        status: The HTTP status of C2SP tlog-witness.
        size: For a conflict, the size of the newest checkpoint that was cosigned.
    """

    def __init__(self, message: str, status: int, *, size: int | None = None) -> None:
        super().__init__(message, code="witness_refused")
        self.status = status
        self.size = size


class Witness:
    """A witness in a folder: its key, the logs it trusts, and what it cosigned of each.

    Args:
        folder: A folder of its own; `Witness.make` makes one.

    Raises:
        NotFound: There is no witness in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            secret = (self.folder / "key").read_text("utf-8")
        except OSError as error:
            raise NotFound(
                f"there is no witness in {folder}", hint="make one with `answerable witness init`"
            ) from error
        self._own = _core.Witness(secret)

    @classmethod
    def make(cls, folder: str | Path, name: str) -> Witness:
        """Makes a witness with a key of its own; its name is a URL without a scheme.

        Raises:
            InvalidInput: There is one already, or it is no name.
        """
        path = Path(folder)
        own = _core.Witness.generate(name)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (path / "key").exists():
            raise InvalidInput(f"there is a witness in {folder} already")
        _replace(path / "key", own.secret() + "\n")
        return cls(path)

    @property
    def key(self) -> str:
        """The verifier key, to be given to `ans.verify(witnesses=[…])`."""
        return self._own.key

    def trust(self, key: str) -> str:
        """Trusts a log's key, beside those trusted before; answers the log's origin.

        Args:
            key: What `engine.trail.checkpoint_key()` answers. After it was rotated, the new one.

        Raises:
            InvalidInput: It is no log's key.
        """
        origin = key.split("+", 1)[0]
        _core.signed_by(_EMPTY, key)
        with self._log(origin, make=True) as log:
            if key not in log["keys"]:
                log["keys"].append(key)
        return origin

    def logs(self) -> list[dict[str, Any]]:
        """The logs that are trusted, each with the newest checkpoint that was cosigned."""
        found = [json.loads(path.read_text("utf-8")) for path in self.folder.glob("*.log")]
        return sorted(found, key=lambda log: str(log["origin"]))

    def add_checkpoint(self, request: str, *, at: int | None = None) -> str:
        """Checks a request of C2SP tlog-witness and answers the cosignature line.

        Args:
            request: `old <size>`, the lines of the consistency proof, a blank line, the checkpoint.
            at: The time, in seconds since 1970; now without it.

        Raises:
            Refused: With its HTTP status: an unknown log, a wrong signature, a size that is not the
                newest (roll-back), another history (fork).
        """
        old, proof, note = _parts(request)
        try:
            origin, size, root = _core.read_checkpoint(note)
        except InvalidInput as error:
            raise Refused(str(error), 400) from error
        with self._log(origin) as log:
            if not any(_core.signed_by(note, key) for key in log["keys"]):
                raise Refused("no trusted key signed it", 403)
            if old > size:
                raise Refused("the old size is above the new one", 400)
            if old != log["size"]:
                what = f"the newest checkpoint that was cosigned is over {log['size']} entries"
                raise Refused(what, 409, size=log["size"])
            if old == 0:
                sound = not proof
            else:
                sound = _core.consistent((old, log["root"]), (size, root), proof)
            if not sound:
                if old == size:
                    what = "another tree of the same size was cosigned: the log shows two histories"
                    raise Refused(what, 409, size=log["size"])
                what = "the proof does not lead from what was cosigned to this checkpoint"
                raise Refused(what, 422)
            if size > 0:
                log.update(size=size, root=root, note=note)
            # The state is durable before the line can be known to anybody.
            return self._own.cosign(note, int(time.time()) if at is None else at)

    @contextmanager
    def _log(self, origin: str, *, make: bool = False) -> Iterator[dict[str, Any]]:
        """A log's state under its lock; written back, durably, if the block does not raise."""
        name = hashlib.sha256(origin.encode()).hexdigest()[:32]
        path = self.folder / f"{name}.log"
        with (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                log = json.loads(path.read_text("utf-8"))
            elif make:
                log = {"origin": origin, "keys": [], "size": 0, "root": "", "note": ""}
            else:
                raise Refused(f"the log `{origin[:200]}` is not known", 404)
            before = json.dumps(log)
            result = log
            yield result
            if json.dumps(result) != before:
                _replace(path, json.dumps(result, indent=1) + "\n")


_EMPTY = "x\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 x AAAAAAA=\n"


def _parts(request: str) -> tuple[int, list[str], str]:
    head, blank, note = request.partition("\n\n")
    first, *proof = head.split("\n")
    word, _, number = first.partition(" ")
    plain = number.isascii() and number.isdigit() and (number == "0" or number[0] != "0")
    if not blank or word != "old" or not plain or len(number) > 18 or len(proof) > MAX_PROOF:
        raise Refused("expected `old <size>`, a proof, a blank line and a checkpoint", 400)
    return int(number), proof, note


def _replace(path: Path, text: str) -> None:
    """Replaces a private file as a whole, durably."""
    partial = path.with_name(path.name + ".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    witness: Witness

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path.rstrip("/").rsplit("/", 1)[-1] != "add-checkpoint":
            return self._answer(404, "not here\n")
        if not (length.isascii() and length.isdigit() and int(length) <= MAX_REQUEST):
            self.close_connection = True
            return self._answer(400, f"a request has a length of at most {MAX_REQUEST} bytes\n")
        try:
            request = self.rfile.read(int(length)).decode("utf-8")
            line = self.witness.add_checkpoint(request)
        except UnicodeDecodeError:
            return self._answer(400, "a request is UTF-8\n")
        except Refused as refused:
            if refused.size is not None:
                return self._answer(409, f"{refused.size}\n", "text/x.tlog.size")
            return self._answer(refused.status, f"{refused}\n")
        except InvalidInput as error:
            return self._answer(400, f"{error}\n")
        return self._answer(200, line)

    def _answer(self, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: what was refused is told to who asked."""


def serve(witness: Witness, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """A server of C2SP tlog-witness; `serve_forever` runs it. TLS is for whatever stands before it.

    Args:
        witness: The witness.
        host: Where it listens.
        port: On which port; any free one without it.
    """
    handler = type("Handler", (_Handler,), {"witness": witness})
    return ThreadingHTTPServer((host, port), handler)
