"""What is left of secrets in a process's memory after `close()`: what a core dump would hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import answerable as ans

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the memory of a process is read through /proc"
)

# Opens the store, has a tool reveal eight of the secrets, and closes it. The
# secrets come from nowhere but the store. Then it waits to be looked at.
CHILD = """
import logging, sys
import answerable as ans

logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
engine = ans.open(sys.argv[1])
lengths = 0

@ans.tool("use", credential=[f"c{n}" for n in range(8)])
def use():
    # Whatever becomes of the secrets in Python is Python's.
    return sum(len(ans.credential(f"c{n}").reveal()) for n in range(8))

@ans.tool("say")
def say(text):
    logging.getLogger("answerable").info("said %d", len(text))
    return text

with engine.acting(engine.grant("alice@example.com", "booker", task="t", ttl="1h",
                                scope=ans.allow("**"))):
    for _ in range(3):
        lengths += use()
    say("nothing of the kind " * 50)
print(bool(engine.trail.verify()), lengths)
engine.close()
print("closed", flush=True)
sys.stdin.read()
"""


def memory(pid: int) -> bytes:
    """All that a process has written to, as a core dump would have it."""
    found = []
    process = Path(f"/proc/{pid}")
    with (process / "maps").open(encoding="utf-8") as maps, (process / "mem").open("rb") as mem:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (rw)", line)
            if match is None or "[vvar" in line or "[vsyscall" in line:
                continue
            start, end = (int(match[n], 16) for n in (1, 2))
            try:
                mem.seek(start)
                found.append(mem.read(end - start))
            except OSError:  # A mapping that cannot be read is none that a dump has.
                continue
    return b"".join(found)


def test_secrets_that_no_tool_revealed_are_gone_from_memory_after_close(tmp_path: Path) -> None:
    store = tmp_path / "store"
    secrets = [f"sk-live-{os.urandom(12).hex()}-{n:02}" for n in range(20)]
    engine = ans.open(store)
    alice = engine.humans.register("alice@example.com")
    engine.agents.issue("booker", owner=alice, purpose="books", ceiling=ans.allow("**"), ttl="8h")
    for n, secret in enumerate(secrets):
        engine.vault.put(f"c{n}", secret, for_tools="**", by=alice)
    engine.close()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            said = child.stdout.readline()
            assert said.split() == ["True", str(3 * sum(map(len, secrets[:8])))], (
                child.stderr.read()
            )
            assert child.stdout.readline() == "closed\n"
            try:
                dump = memory(child.pid)
            except PermissionError:
                pytest.skip("this machine does not let a process look into its children")
        finally:
            child.stdin.close()
        assert child.wait(60) == 0
    assert str(store).encode() in dump, "the test looks where the process keeps its values"
    found = [n for n, secret in enumerate(secrets) if forms(secret, dump)]
    # What was revealed became a Python string, which Python does not overwrite.
    assert [n for n in found if n >= 8] == [], found


def forms(secret: str, dump: bytes) -> list[str]:
    """How a secret stands in a dump."""
    raw = secret.encode()
    core = raw[8:32]  # Without the head that all share.
    return [
        name
        for name, form in (
            ("plain", core),
            ("utf-16", core.decode().encode("utf-16-le")),
            ("hex", core.hex().encode()),
            ("reversed", core[::-1]),
        )
        if form in dump
    ]
