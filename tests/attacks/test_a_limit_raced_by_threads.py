"""Many threads draw on the last call at once.

Class: budget splitting by fan-out
Refusal: AccessDenied limit_reached
Check: src/recorder.rs:draw: limits are drawn under the sequencing lock
"""

from __future__ import annotations

import threading

from attacking import World

import answerable as ans

REMOVED = [("src/recorder.rs", "!held.meter.has(need, self.at)", "false")]


def test_a_limit_raced_by_threads(world: World) -> None:
    grant = world.grant(scope=world.wide(limits=ans.calls(5)))
    barrier, denied = threading.Barrier(16), []

    def work() -> None:
        barrier.wait()
        try:
            world.allows(grant)
        except ans.AccessDenied as error:
            denied.append(error.code)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.ran) == 5
    assert denied == ["limit_reached"] * 11
