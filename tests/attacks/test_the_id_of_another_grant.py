"""A grant takes the id of one that may be revoked, to be mistaken for it.

Class: grant substitution
Refusal: IllegalTransition
Check: src/engine/verbs/grants.rs:adopt: an id belongs to one grant
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/engine/verbs/grants.rs",
        "match «self.known_by_id(&id)?» {\n                    Some(known) if known.digest",
        "self.known_by_id(&id)?.filter(|known| known.digest == grant.digest)",
    )
]


def test_the_id_of_another_grant(world: World) -> None:
    token = world.forged(lambda p: p.update(id=world.held.id))
    with pytest.raises(ans.IllegalTransition, match="belongs to another grant"):
        world.engine.accept(token)
    world.engine.revoke(world.held.id, reason="x")
    world.denies(world.held, "revoked")
