"""A delegator dates hops ahead, and shows one before and one after their holder is revoked.

Class: lifecycle bypass
Refusal: AccessDenied revoked
Check: src/authorizer/standing.rs:add_agent: a grant counts as newer by the trail's order alone
"""

from __future__ import annotations

from attacking import World, ahead

REMOVED = [
    (
        "src/authorizer/standing.rs",
        "ended(agent.cut, made.max(key_made))",
        "ended(agent.cut, made.max(key_made).max(Some(grant.payload.iat as u64)))",
    )
]


def test_a_hop_dated_ahead_of_its_agents_revocation(world: World) -> None:
    shown = world.engine.accept(world.below(ahead(29)))
    kept = world.below(ahead(29))
    world.allows(shown)
    world.engine.revoke(world.mallory, reason="it misbehaves")
    world.denies(shown, "revoked")
    world.denies(world.engine.accept(kept), "revoked")
    # Whoever may delegate still may: the engine is asked, and knows that this is newer.
    world.allows(world.root.delegate(world.mallory, scope=world.narrow(), key=world.planner_key))
