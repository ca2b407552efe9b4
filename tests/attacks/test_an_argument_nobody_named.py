"""An argument that no caveat names slips in.

Class: fail-open
Refusal: AccessDenied argument_not_named
Check: src/scope/capability.rs:check: the closed world
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [("src/scope/capability.rs", "self.get(name).is_none() && !exempt(name)", "false")]


def test_an_argument_nobody_named(world: World) -> None:
    @ans.tool("pay.open")
    def pay_open(**kwargs: object) -> None:
        world.ran.append(kwargs)

    grant = world.grant(scope=ans.allow("pay.open", where={"amount": ans.at_most(5)}))
    for more in ({"admin": True}, {"Amount": 900}, {"amount.x": 1}):
        with pytest.raises(ans.AccessDenied), world.engine.acting(grant):
            pay_open(amount=5, **more)
    assert world.ran == []
