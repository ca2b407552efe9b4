"""A member of an enumeration is a million, and states that it is five.

Class: Unicode and canonicalization
Refusal: AccessDenied invalid_argument
Check: src/python/convert/members.rs:member: what a member states is what it is
"""

from __future__ import annotations

import enum
from pathlib import Path

from attacking import World
from policing import ALL, Policed

REMOVED = [
    (
        "src/python/convert/members.rs",
        "!plain && «!holds(object, &class, &value, types, budget, depth)?»",
        "false",
    )
]


class Amount(int, enum.Enum):
    FIVE = 5

    def __new__(cls, value: int) -> Amount:
        made = int.__new__(cls, 1_000_000)
        made._value_ = value
        return made


def test_a_member_that_states_another_value(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    policed.load(
        ALL + '@id("cap") forbid (principal, action == Action::"pay.wire", resource)'
        ' when { context.arguments.amount.greaterThan(decimal("100.0")) };'
    )
    policed.call("a", 5)
    policed.denies("forbidden", "a", 1_000_000)
    policed.denies("invalid_argument", "a", Amount.FIVE)
