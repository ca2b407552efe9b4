"""A delegator signs a hop for later; its holder is revoked now and shows the hop when it starts.

Class: lifecycle bypass
Refusal: AccessDenied revoked
Check: src/authorizer/standing.rs:ended: of what was made elsewhere nobody knows when
"""

from __future__ import annotations

from attacking import World, ahead

REMOVED = [
    (
        "src/authorizer/standing.rs",
        "cut.is_some_and(|cut| made.is_none_or(|made| made <= cut))",
        "cut.is_some_and(|cut| made.is_some_and(|made| made <= cut))",
    )
]


def test_a_hop_dated_a_day_ahead_of_a_revocation(clocked: World) -> None:
    token = clocked.below(ahead(600))
    clocked.engine.revoke(clocked.mallory, reason="it misbehaves")
    clocked.engine.set_clock("2026-11-24T08:15:00Z")
    clocked.denies(clocked.engine.accept(token), "revoked")
