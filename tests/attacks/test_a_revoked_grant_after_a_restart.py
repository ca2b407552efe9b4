"""A revoked chain is presented again to a fresh process.

Class: replay
Refusal: AccessDenied revoked
Check: src/registry/revocations.rs:load: revocations outlive the process
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/registry/revocations.rs",
        "state.revoked_grants.insert(rest.try_into().map_err(|_| super::records::damaged())?)",
        "false",
    )
]


def test_a_revoked_grant_after_a_restart(world: World) -> None:
    world.engine.revoke(world.root, reason="x")
    world.reopen()
    world.denies(world.engine.accept(world.held.token), "revoked")
    world.denies(world.engine.accept(world.root.token), "revoked")
