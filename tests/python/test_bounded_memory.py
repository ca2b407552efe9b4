"""What reads a trail needs memory by what it looks at, not by what the store holds."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import answerable as ans

CALLS, EACH = 12_000, 7_500

READS = """
import sys
import answerable as ans

def most():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

with ans.open(sys.argv[1]) as engine:
    before = most()
    assert engine.trail.verify().size == len(engine.trail)
    print(most() - before)
"""


def test_a_trail_is_verified_in_a_fraction_of_its_size(tmp_path: Path) -> None:
    dice = random.Random(6)
    with ans.open(tmp_path / "store", flush_ms=50) as engine:

        @ans.tool("notes.write")
        def write(text: str) -> int:
            return len(text)

        human = engine.humans.register("ada@example.com", name="Ada")
        scope = [ans.allow("notes.write")]
        agent = engine.agents.issue(
            owner=human, name="clerk", purpose="takes notes", ceiling=scope, ttl="1d"
        )
        grant = engine.grant(human, agent, task="take notes", scope=scope, ttl="1h")
        with engine, engine.acting(grant):
            for _ in range(CALLS):
                write(dice.randbytes(EACH // 2).hex())
    command = [sys.executable, "-c", READS, str(tmp_path / "store")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    # The store has 90 MB of values, which no packing makes less.
    assert int(done.stdout) < CALLS * EACH // 1024 // 2
