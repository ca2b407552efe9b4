"""Anchors: checkpoints that leave the machine, so that a cut tail or a roll-back is seen.

A checkpoint is published to files, folders, URLs, git repositories and witnesses, on an interval.
Whoever kept one finds any later change of what it covers: `ans.verify(…, since=checkpoint)`.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from answerable import _core
from answerable.errors import Error, InvalidInput
from answerable.net.witness import Refused, _replace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = ["Publisher", "to_file", "to_folder", "to_git", "to_url", "to_witness"]

log = logging.getLogger("answerable.anchors")
TIMEOUT = 20.0


class PublishError(Error):
    """A checkpoint could not be brought to a place."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="publish_failed")


def to_file(path: str | Path) -> Any:
    """A file, replaced as a whole."""

    def publish(engine: Any, note: str, size: int) -> str:
        _replace(Path(path), note)
        return str(path)

    return publish


def to_folder(path: str | Path) -> Any:
    """A folder that keeps each, under its size."""

    def publish(engine: Any, note: str, size: int) -> str:
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{size:020}.checkpoint"
        if not file.exists():
            _replace(file, note)
        return str(file)

    return publish


def to_url(url: str, *, method: str = "PUT", headers: dict[str, str] | None = None) -> Any:
    """A URL that takes the note as a body; anything but a 2xx answer is a failure."""
    if not url.startswith(("https://", "http://")):
        raise InvalidInput("a URL to publish to begins with https:// or http://")

    def publish(engine: Any, note: str, size: int) -> str:
        _sent(url, note, method, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})})
        return url

    return publish


def to_git(repository: str | Path, *, name: str = "checkpoint", push: bool = False) -> Any:
    """A file in a git repository, committed each time; and pushed, if it has where to."""

    def run(*argv: str) -> str:
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
        done = subprocess.run(
            ["git", "-C", str(repository), *argv],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            env=environment,
            check=False,
        )
        if done.returncode:
            raise PublishError(f"git {argv[0]}: {done.stderr.strip()[:300]}")
        return done.stdout

    def publish(engine: Any, note: str, size: int) -> str:
        _replace(Path(repository) / name, note)
        run("add", "--", name)
        if run("status", "--porcelain", "--", name).strip():
            who = ("-c", "user.name=answerable", "-c", "user.email=answerable@localhost")
            run(*who, "commit", "-q", "-m", f"checkpoint over {size} entries", "--", name)
        if push:
            run("push", "-q")
        return f"{repository}/{name}"

    return publish


def to_witness(url: str, key: str) -> Any:
    """A witness of C2SP tlog-witness: its cosignature is taken up into the trail.

    Args:
        url: Its submission prefix.
        key: Its verifier key: no other line of its answer is looked at.

    Raises:
        Refused: It saw another history: a fork, or a store that was put back.
    """
    address = f"{url.rstrip('/')}/add-checkpoint"

    def publish(engine: Any, note: str, size: int) -> str:
        known = _core.cosigned_at(note, key)
        if known is not None:
            return url
        old, trail = 0, engine.trail
        for _ in range(2):
            proof = trail.consistency(old, size) if old > 0 else []
            body = "".join(f"{line}\n" for line in (f"old {old}", *proof, "")) + note
            try:
                answer = _sent(address, body, "POST", {"Content-Type": "text/plain"})
            except urllib.error.HTTPError as error:
                told = error.read(MAX_ANSWER).decode("utf-8", "replace").strip()
                newest = int(told) if told.isascii() and told.isdigit() and len(told) < 19 else None
                if error.code == 409 and newest is not None and old == 0 and newest <= size:
                    old = newest
                    continue
                if newest is not None and newest > size:
                    told = f"it cosigned {newest} entries, this trail has {size}: it was put back"
                raise Refused(
                    f"the witness at {url} refuses: {told[:300]}",
                    error.code,
                ) from error
            lines = [
                line for line in answer.splitlines(keepends=True) if line.startswith("\u2014 ")
            ]
            own = "".join(line for line in lines if line.split(" ")[1] == key.split("+", 1)[0])
            if _core.cosigned_at(note + own, key) is None:
                raise PublishError(f"the answer of {url} is no cosignature by its key")
            trail.add_cosignatures(size, own, key=key)
            return url
        raise Refused(f"the witness at {url} does not settle", 409)

    return publish


MAX_ANSWER = 64 * 1024


def _sent(url: str, text: str, method: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, text.encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return str(answer.read(MAX_ANSWER).decode("utf-8", "replace"))


class Publisher:
    """Publishes the newest checkpoint to places, now and on an interval.

    Args:
        engine: The engine.
        to: Places: `to_file`, `to_folder`, `to_url`, `to_git`, `to_witness`, or a callable that
            takes the engine, the note and its size.
        every: The interval in seconds; None publishes only when asked.

    Attributes:
        published: The size of the newest checkpoint that reached every place.
        failures: What went wrong the last time, by place.

    Example:
        with Publisher(engine, [to_folder("/mnt/elsewhere")], every=300):
            ...
    """

    def __init__(self, engine: Any, to: Iterable[Any], *, every: float | None = 300.0) -> None:
        self._engine = engine
        self._to = list(to)
        self.published = 0
        self.failures: dict[str, Exception] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if not self._to:
            raise InvalidInput("name at least one place to publish to")
        if every is not None:
            if every <= 0:
                raise InvalidInput("the interval is above zero")
            self._thread = threading.Thread(
                target=self._run, args=(every,), name="answerable-anchors", daemon=True
            )
            self._thread.start()

    def publish(self) -> int:
        """Publishes now; answers the checkpoint's size.

        Raises:
            Error: What a place answered, after all were tried.
        """
        checkpoint = self._engine.trail.checkpoint()
        failures: dict[str, Exception] = {}
        for number, place in enumerate(self._to):
            try:
                place(self._engine, checkpoint.text, checkpoint.size)
            except (Error, OSError, subprocess.SubprocessError) as error:
                failures[f"place {number + 1}"] = error
                log.warning("checkpoint %d not published: %s", checkpoint.size, error)
        self.failures = failures
        if failures:
            first = next(iter(failures.values()))
            if isinstance(first, Error):
                raise first
            raise PublishError(f"not published: {first}") from first
        self.published = checkpoint.size
        return int(checkpoint.size)

    def _run(self, every: float) -> None:
        while True:
            try:
                self.publish()
            except Error as error:
                # Told in `failures` and the log; the next round tries again.
                if error.code == "engine_closed":
                    return
            if self._stop.wait(every):
                return

    def close(self) -> None:
        """Stops after the round that runs."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(TIMEOUT * 2)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
