"""An account is written so that it reads as, or leads to, another.

Class: Unicode and canonicalization
Refusal: AccessDenied invalid_resource, resource_not_covered
Check: src/request/template.rs:check: a field fills one canonical segment
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/request/template.rs", "self.check(text).map_err(|why| value_error(name, why))?", "()")
]


def test_a_resource_in_disguise(world: World) -> None:
    # Who may reach what lies below an account names it by a template of its own.
    below = world.grant(scope=ans.allow("pay.transfer", resource="account/travel-1/**"))
    world.denies(below, "invalid_resource", "travel-1/admin", 10)
    for account in ("travel-1/../admin", "..", ".", "", "a/x", "travel-%31", "travel-*", "a:b"):
        world.denies(world.root, "invalid_resource", account, 10)
    for account in ("travel\u20101", "\uff54ravel-1", "Travel-1", "trav\u0435l-1"):
        with pytest.raises(ans.AccessDenied) as denied, world.engine.acting(world.root):
            world.transfer(account, 10)
        assert denied.value.code in ("invalid_resource", "resource_not_covered")
    assert world.ran == []
