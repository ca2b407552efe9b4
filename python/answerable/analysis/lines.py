"""The lines of an exported file: where it was verified, of the very bytes that were.

A verification takes the digest of what it reads. The file is read again for the answers, later and
by its name; it may be another by then. So the digest of what is read is compared before anything is
answered from it: with no copy held, and for one hash of each byte more.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from answerable.errors import InvalidInput, TrailCorrupted

__all__ = ["LINE", "lines_of"]

LINE = 1024 * 1024  # The longest line of an export, in bytes without its end.
_CHUNK = 1024 * 1024  # How much is read at once, in bytes.


class _Taken(io.RawIOBase):
    """So many bytes of a file, and the digest of what was read of them."""

    def __init__(self, file: io.FileIO, most: int) -> None:
        self._file, self._left, self._hash = file, most, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)[: self._left]
        read = self._file.readinto(room) if len(room) else 0
        if read:
            self._hash.update(room[:read])
            self._left -= read
        return read or 0

    def must_be(self, digest: str) -> None:
        """Compares all of them; what was not asked for yet is read."""
        while self.read(_CHUNK):
            pass
        if self._hash.hexdigest() != digest:
            raise TrailCorrupted(
                "the file was changed since it was verified",
                hint="read it again: it is then verified as it is now",
            ) from None


@contextmanager
def lines_of(path: Path, verified: Any) -> Iterator[Iterator[bytes]]:
    """The lines of a file, to go through; where `verified` says so, only what was verified.

    Leaving compares: whatever was made of the lines is not to be used before. What was appended to
    a verified file since is not read.

    Raises:
        TrailCorrupted: The file is another than the one that was verified.
        InvalidInput: It cannot be opened any more, or is no file.
    """
    try:
        # Whoever lays a pipe there must not have us wait for its other end.
        file = open(path, "rb", buffering=0, opener=_open)  # noqa: SIM115
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    with file:
        if verified is None:
            with io.BufferedReader(file, _CHUNK) as whole:
                yield _lines(whole)
            return
        if verified.file_bytes is None:
            raise InvalidInput(f"{path} was no exported trail when it was verified")
        taken = _Taken(file, verified.file_bytes)
        buffered = io.BufferedReader(taken, _CHUNK)
        try:
            yield _lines(buffered)
        except Exception:
            # What another file holds is not to be told as if it were this one's.
            taken.must_be(verified.file_sha256)
            raise
        taken.must_be(verified.file_sha256)


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is no file")
    return descriptor


def _lines(file: io.BufferedReader[Any]) -> Iterator[bytes]:
    while line := file.readline(LINE + 1):
        if len(line) > LINE and not line.endswith(b"\n"):
            raise ValueError("a line is longer than 1 MiB")
        yield line
