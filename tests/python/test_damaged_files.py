"""Truncated and flipped files: all entries are there, or it is said what is damaged; never less.

ANSWERABLE_FAULTS=full tries 400 damages instead of 8.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import answerable as ans

FULL = os.environ.get("ANSWERABLE_FAULTS") == "full"
COUNT = 400 if FULL else 8

OPENER = """
import sys, answerable as ans
try:
    with ans.open(sys.argv[1], serve=False, attach=False) as engine:
        size = len(engine.trail)
        engine.trail.verify(since=sys.argv[2])
        print("whole", size)
except (ans.StoreError, ans.TrailCorrupted, ans.InvalidInput) as error:
    print("told", error.code, str(error)[:200].replace("\\n", " "))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A store with a checkpoint that left it, closed in order."""
    folder = tmp_path_factory.mktemp("whole")
    with ans.open(folder / "governance") as engine:
        alice = engine.humans.register("alice@example.com")
        agent = engine.agents.issue(
            "agent", owner=alice, purpose="p", ceiling=[ans.allow("t.**")], ttl="8h"
        )
        grant = engine.grant(alice, agent, task="t", scope=[ans.allow("t.**")], ttl="1h")
        for number in range(60):
            with (
                engine.acting(grant),
                ans.guard.governed("t.work", {"text": "x" * 500, "number": number}),
            ):
                pass
        (folder / "kept").write_text(engine.trail.checkpoint().text, encoding="utf-8")
        size = len(engine.trail)
    return folder, size


def damage(store: Path, chance: random.Random) -> str:
    files = [path for path in store.rglob("*") if path.is_file() and path.stat().st_size]
    data = store / "db"
    file = data if chance.random() < 0.7 else chance.choice(files)
    content = bytearray(file.read_bytes())
    used = max(1, len(bytes(content).rstrip(b"\0")))
    if chance.random() < 0.5:
        at = chance.randrange(used)
        file.write_bytes(content[:at])
        return f"{file.name} cut at {at} of {used}"
    flips = [chance.randrange(used) for _ in range(chance.choice([1, 1, 8]))]
    for at in flips:
        content[at] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return f"{file.name} flipped at {flips} of {used}"


def test_nothing_is_lost_unsaid(made: tuple[Path, int], tmp_path: Path) -> None:
    folder, size = made
    chance = random.Random(7)
    said: dict[str, int] = {}
    for number in range(COUNT):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        what = damage(copy / "governance", chance)
        done = subprocess.run(
            [sys.executable, "-c", OPENER, str(copy / "governance"), str(copy / "kept")],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        word, *rest = done.stdout.split() or ["", ""]
        assert done.returncode == 0, (what, done.stderr[-500:])
        assert word in ("whole", "told"), (what, done.stdout, done.stderr[-500:])
        if word == "whole":
            assert int(rest[0]) >= size, what
        key = word if word == "whole" else f"{word} {rest[0]}"
        said[key] = said.get(key, 0) + 1
        shutil.rmtree(copy)
    assert any(key.startswith("told") for key in said), said
    print(said)  # noqa: T201 - what a full run is for.
