"""An argument nests, or grows, without end.

Class: depth and size bombs
Refusal: AccessDenied invalid_argument
Check: src/python/convert/budget.rs:spend: the budget of a call
"""

from __future__ import annotations

from typing import Any

from attacking import World

import answerable as ans

REMOVED = [
    ("src/python/convert/budget.rs", "items > self.nodes", "false"),
    (
        "src/python/convert/budget.rs",
        'self.nodes.checked_sub(1).ok_or("it holds more than 100,000 values")?',
        "self.nodes",
    ),
    (
        "src/python/convert/budget.rs",
        'self.bytes.checked_sub(bytes).ok_or("it holds more than 1 MiB")?',
        "self.bytes",
    ),
]


def test_a_bomb_of_an_argument(world: World) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    itself: list[Any] = []
    itself.append(itself)
    grant = world.grant(scope=ans.allow("pay.transfer", resource="account/travel-1"))
    for bomb in (deep, itself, [0] * 5_000_000, "x" * 100_000_000):
        world.denies(grant, "invalid_argument", "travel-1", bomb)
