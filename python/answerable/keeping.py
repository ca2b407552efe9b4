"""Files that hold values in clear: written for their owner alone, read no further than they may."""

from __future__ import annotations

import os
import stat
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["create_own", "own", "read_text", "write_own"]

OWN = 0o600


def own(path: str, flags: int) -> int:
    """An opener: a file that it makes is its owner's alone; one that was there stays as it is."""
    return os.open(path, flags | getattr(os, "O_CLOEXEC", 0), OWN)


def create_own(path: str | PathLike[str], mode: str = "wb", **how: Any) -> IO[Any]:
    """An empty file to write to, which its owner alone may read, also where one was there."""
    file = open(path, mode, opener=own, **how)  # noqa: SIM115 - Path has no opener.
    try:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            os.fchmod(file.fileno(), OWN)
    except BaseException:
        file.close()
        raise
    return file


def write_own(path: str | PathLike[str], text: str) -> None:
    """Writes a text into a file, as it is, for its owner alone."""
    with create_own(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def read_text(path: str | PathLike[str], most: int) -> str:
    """A file's text.

    Raises:
        ValueError: It has more than so many bytes, as a device has, or is not UTF-8.
    """
    from pathlib import Path  # Only who uses it pays for it.

    with Path(path).open("rb") as file:
        read = file.read(most + 1)
    if len(read) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return read.decode("utf-8")
