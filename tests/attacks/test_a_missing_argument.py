"""An argument that a caveat constrains is left out.

Class: fail-open
Refusal: AccessDenied argument_missing
Check: src/scope/capability.rs:check: a caveat on a missing argument
"""

from __future__ import annotations

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/scope/capability.rs",
        "!«caveat.allows(value, &request.arguments)» {",
        "(value.is_none() || caveat.allows(value, &request.arguments))",
    )
]


def test_a_missing_argument(world: World) -> None:
    @ans.tool("pay.open")
    def pay_open(**kwargs: object) -> None:
        world.ran.append(kwargs)

    grant = world.grant(scope=ans.allow("pay.open", where={"amount": ans.at_most(5)}))
    with pytest.raises(ans.AccessDenied) as denied, world.engine.acting(grant):
        pay_open()
    assert denied.value.code in ("argument_missing", "caveat_failed")
    assert world.ran == []
