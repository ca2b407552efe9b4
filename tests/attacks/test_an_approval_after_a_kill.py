"""The process is killed after an approved call ran, and the call is made again.

Class: replay
Refusal: ApprovalRequired approval_required
Check: src/engine/append.rs:append: that a yes was used is on the disk before the tool runs
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import answerable as ans

REMOVED = [
    (
        "src/engine/append.rs",
        "puts.extend(self.use_up(approval, id)?)",
        "drop(self.use_up(approval, id)?)",
    )
]
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import answerable as ans
from approving import Asking
world = Asking(Path(sys.argv[1]))
world.approved()
print(world.grant.token, flush=True)
ran = world.ran.append
world.ran = type("Ran", (), {"append": lambda self, _: os.kill(os.getpid(), signal.SIGKILL)})()
world.pay()
"""


def test_an_approval_after_a_kill(tmp_path: Path) -> None:
    store, here = tmp_path / "governance", str(Path(__file__).parent)
    command = [sys.executable, "-c", KILLED, str(store), here]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    ran: list[str] = []

    @ans.tool("pay.send")
    def send(to: str, amount: int) -> None:
        ran.append(to)

    with ans.open(store) as engine:
        grant = engine.accept(done.stdout.strip())
        with engine.acting(grant), pytest.raises(ans.ApprovalRequired):
            send("acme", 80)
    assert ran == []
