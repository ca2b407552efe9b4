"""What the binary says reaches Python's logging: when somebody listens, and never a secret."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import answerable as ans
from answerable import _core

LOGGER = logging.getLogger("answerable")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def texts(self) -> list[str]:
        _core.log_flush()
        return [record.getMessage() for record in self.records]


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    LOGGER.addHandler(handler)
    yield handler
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(logging.NOTSET)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ans.Engine]:
    with ans.open(tmp_path / "store") as engine:
        yield engine


def grant(engine: ans.Engine) -> ans.Grant:
    alice = engine.humans.register("alice@example.com")
    engine.agents.issue(
        "booker", owner=alice, purpose="books", ceiling=ans.allow("pay.*"), ttl="8h"
    )
    scope = ans.allow("pay.log", where={"amount": ans.at_most(5), "token": ans.any_()})
    return engine.grant(alice, "booker", task="Pay", scope=scope, ttl="1h")


def test_what_happens_is_told_at_its_level(tmp_path: Path, kept: Kept) -> None:
    LOGGER.setLevel(logging.DEBUG)
    with ans.open(tmp_path / "store") as engine:
        held = grant(engine)

        @ans.tool("pay.log")
        def pay(amount: int, token: str = "") -> None: ...

        with engine.acting(held):
            pay(5)
            with pytest.raises(ans.AccessDenied) as denied:
                pay(6)
        engine.revoke(held, reason="enough")
    texts = kept.texts()
    told = {(record.levelname, record.getMessage().split()[0]) for record in kept.records}
    assert {
        ("INFO", "opened"),
        ("DEBUG", "allowed"),
        ("INFO", "denied"),
        ("INFO", "changed"),
        ("INFO", "closed"),
    } <= told
    (deny,) = [text for text in texts if text.startswith("denied")]
    entry = denied.value.decision.entry
    assert deny == f"denied tool=pay.log code=caveat_failed entry={entry}"
    assert any("kind=revocation" in text for text in texts)
    record = next(record for record in kept.records if record.getMessage() == deny)
    assert record.fields["code"] == "caveat_failed"  # type: ignore[attr-defined]
    assert record.name == "answerable"
    assert record.threadName == "MainThread" or record.threadName
    assert abs(record.created - kept.records[0].created) < 600


def test_a_level_that_changes_counts_at_once(engine: ans.Engine, kept: Kept) -> None:
    held = grant(engine)

    @ans.tool("pay.log")
    def pay(amount: int, token: str = "") -> None: ...

    def told() -> int:
        with engine.acting(held):
            pay(1)
        count = len([text for text in kept.texts() if text.startswith("allowed")])
        kept.records.clear()
        return count

    root = logging.getLogger()
    before = root.level
    assert told() == 0
    LOGGER.setLevel(logging.DEBUG)
    assert told() == 1
    LOGGER.setLevel(logging.INFO)
    assert told() == 0
    LOGGER.setLevel(logging.NOTSET)
    try:
        root.setLevel(logging.DEBUG)
        assert told() == 1
        logging.disable(logging.INFO)
        assert told() == 0
    finally:
        logging.disable(logging.NOTSET)
        root.setLevel(before)


def test_a_handler_may_use_the_engine(engine: ans.Engine, kept: Kept) -> None:
    """It runs in a thread that holds no lock of ours: what it asks is answered."""
    LOGGER.setLevel(logging.INFO)
    asked = []

    class Asks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "kind=identity" in record.getMessage() and not asked:
                asked.append(len(engine.trail))
                engine.humans.register("from-a-handler@example.com")

    handler = Asks()
    LOGGER.addHandler(handler)
    try:
        threads = [
            threading.Thread(target=engine.humans.register, args=(f"{n}@example.com",))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
            assert not thread.is_alive()
        _core.log_flush()
    finally:
        LOGGER.removeHandler(handler)
    assert asked
    assert engine.humans.get("from-a-handler@example.com")


def test_a_handler_that_raises_stops_nothing(
    engine: ans.Engine, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    LOGGER.setLevel(logging.INFO)
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Bad(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise RuntimeError("bad handler")
            except RuntimeError:
                self.handleError(record)

    bad = Bad()
    LOGGER.addHandler(bad)
    try:
        engine.humans.register("a@example.com")
        engine.humans.register("b@example.com")
        assert len([text for text in kept.texts() if "kind=identity" in text]) >= 2
    finally:
        LOGGER.removeHandler(bad)


def test_no_secret_is_told(engine: ans.Engine, kept: Kept) -> None:
    LOGGER.setLevel(1)
    held = grant(engine)
    secret = "s3cr3t-value"

    @ans.tool("pay.log", record={"amount": "mask"})
    def pay(amount: int, token: str = "") -> str:
        raise ValueError(secret)

    with engine.acting(held):
        with pytest.raises(ValueError, match=secret):
            pay(1, token=secret)
        with pytest.raises(ans.AccessDenied):
            pay(987654321, token=secret)
    key = ans.SecretKey.generate()
    with pytest.raises(ans.InvalidInput):
        ans.SecretKey.parse(key.reveal()[:-1])
    text = "\n".join([*kept.texts(), *(str(vars(record)) for record in kept.records)])
    assert "denied" in text
    for hidden in (secret, "987654321", key.reveal()[:-1], held.token, "alice@example.com"):
        assert hidden not in text


def run(body: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(ans.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        env=environment,
    )


def test_silent_until_somebody_listens(tmp_path: Path) -> None:
    done = run(
        """
        import sys, answerable as ans
        with ans.open(sys.argv[1]) as engine:
            try:
                ans.tool("a")(lambda: None)()
            except ans.AccessDenied:
                pass
            # A store that fails is told as an error: still to nobody.
        """,
        tmp_path / "store",
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_the_last_words_are_told_at_the_exit(tmp_path: Path) -> None:
    done = run(
        """
        import logging, sys, answerable as ans
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
        engine = ans.open(sys.argv[1])
        engine.humans.register("alice@example.com")
        """,
        tmp_path / "store",
    )
    lines = done.stderr.splitlines()
    assert lines[0].startswith("INFO answerable opened authority=k4.pid.")
    assert lines[-1].startswith("INFO answerable closed")


def test_a_forked_child_says_nothing_and_does_not_hang(tmp_path: Path) -> None:
    run(
        """
        import logging, os, sys, threading, answerable as ans
        logging.basicConfig(level=logging.DEBUG, stream=open(os.devnull, "w"))
        engine = ans.open(sys.argv[1])
        stop = threading.Event()
        def work():
            while not stop.is_set():
                try:
                    ans.tool("a")(lambda: None)()
                except ans.AccessDenied:
                    pass
        threading.Thread(target=work).start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                try:
                    engine.humans.register("x@example.com")
                except ans.EngineClosed:
                    os._exit(0)
                os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        """,
        tmp_path / "store",
    )
