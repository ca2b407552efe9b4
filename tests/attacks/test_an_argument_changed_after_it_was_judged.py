"""A list is changed between the judgement and the body.

Class: Unicode and canonicalization
Refusal: the body sees what was judged
Check: src/python/convert/snapshot.rs:snapshot: the copy is passed on
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
    (
        "src/python/convert/snapshot.rs",
        "return Ok((Value::List(values), «copy.into_any()»));",
        "{ let _ = copy; same }",
    ),
    (
        "src/python/convert/snapshot.rs",
        "return Ok((Value::Map(map), «copy.into_any()»));",
        "{ let _ = copy; same }",
    ),
]


def test_an_argument_changed_after_it_was_judged(world: World) -> None:
    amounts = [1]

    @ans.tool("pay.many")
    def many(amounts: list[int]) -> None:
        shared.append(999)
        world.ran.append(list(amounts))

    shared = amounts
    caveat = ans.each(ans.at_most(10))
    grant = world.grant(scope=ans.allow("pay.many", where={"amounts": caveat}))
    with world.engine.acting(grant):
        many(amounts)
    assert world.ran == [[1]]
    world.denies(grant, "caveat_failed", amounts, tool=many)
