"""The process is restarted, and with it the count.

Class: budget splitting by fan-out
Refusal: AccessDenied limit_reached
Check: src/recorder/meter.rs:load: what was drawn stands in the store
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/recorder/meter.rs",
        "Some(bytes) => «u64::from_be_bytes(bytes.try_into().map_err(|_| corrupt())?)»",
        "{ let _ = bytes; 0 }",
    )
]


def test_a_limit_forgotten_over_a_restart(world: World) -> None:
    grant = world.grant(scope=world.wide(limits=ans.calls(2)))
    world.allows(grant)
    world.allows(grant)
    world.reopen()
    world.denies(world.engine.accept(grant.token), "limit_reached")
