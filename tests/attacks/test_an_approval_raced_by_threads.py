"""Eight threads make the call that was approved once, at the same time.

Class: replay
Refusal: ApprovalRequired approval_required for all but one
Check: src/engine/append.rs:append: a yes is used up under the sequencing lock
"""

from __future__ import annotations

import threading
from pathlib import Path

from approving import Asking

import answerable as ans

REMOVED = [("src/engine/append.rs", "puts.extend(self.use_up(approval, id)?)", "()")]


def test_an_approval_raced_by_threads(tmp_path: Path) -> None:
    world = Asking(tmp_path / "governance")
    for amount in range(10):
        world.approved("acme", amount)
        ready, codes = threading.Barrier(8), []

        def pay(
            amount: int = amount, ready: threading.Barrier = ready, codes: list[str] = codes
        ) -> None:
            ready.wait()
            try:
                world.pay("acme", amount)
            except ans.AccessDenied as denied:
                codes.append(denied.code)

        threads = [threading.Thread(target=pay) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == ["approval_required"] * 7
    assert sorted(world.ran) == [("acme", amount) for amount in range(10)]
    world.engine.close()
