"""An argument that makes a forbid's condition err switches the forbid off.

Class: fail-open
Refusal: AccessDenied policy_error
Check: src/policy/verdict.rs:effect: a forbid that failed forbids
"""

from __future__ import annotations

from pathlib import Path

from attacking import World
from policing import ALL, Policed

REMOVED = [
    (
        "src/policy/verdict.rs",
        "self.errors.iter().any(|error| error.effect == Effect::Forbid)",
        "false",
    )
]


def test_a_forbid_that_cannot_be_evaluated(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    policed.load(
        ALL + '@id("cap") forbid (principal, action == Action::"pay.wire", resource)'
        ' when { context.arguments.amount.greaterThan(decimal("100.0")) };'
    )
    policed.call("a", 10.0)
    policed.denies("forbidden", "a", 500.0)
    # More digits than the language has; more than it can hold; another type; none at all.
    for amount in (500.00001, 10**15, "500", None, [500.0], {"amount": 1}, True):
        policed.denies("policy_error", "a", amount)
