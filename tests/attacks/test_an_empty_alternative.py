"""A caveat of no values allows any.

Class: fail-open
Refusal: InvalidInput, or AccessDenied caveat_failed
Check: src/scope/caveat.rs:judge: no value is one of none
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/scope/caveat.rs",
        "Kind::OneOf(wanted) => «wanted.contains(value)»",
        "wanted.is_empty() || wanted.contains(value)",
    )
]


def test_an_empty_alternative(world: World) -> None:
    for made in (lambda: ans.one_of(), lambda: ans.subset_of()):
        try:
            caveat = made()
        except ans.InvalidInput:
            continue
        where = {"amount": caveat, "memo": ans.any_()}
        grant = world.grant(scope=ans.allow("pay.transfer", resource="**", where=where))
        world.denies(grant, "caveat_failed", "a", [1])
