"""A wide permit is loaded beside one that asks, so that nobody is asked any more.

Class: fail-open
Refusal: ApprovalRequired approval_required
Check: src/authorizer/policies.rs:asks: any permit that holds and asks is enough
"""

from __future__ import annotations

from pathlib import Path

from attacking import World
from policing import ALL, Policed

# The first of the permits that hold would answer for all.
REMOVED = [
    (
        "src/authorizer/policies.rs",
        "self.verdict.permits.iter().find(|p| rules.mark(*p).is_some_and(|mark| mark.asks))",
        "self.verdict.permits.iter().take(1)"
        ".find(|p| rules.mark(*p).is_some_and(|mark| mark.asks))",
    )
]
ASK = '@id("ask") @advice("ask") permit (principal, action == Action::"pay.wire", resource);'


def test_an_ask_answered_by_a_plain_permit(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    policed.load(ASK)
    policed.denies("approval_required")
    policed.load(ALL + ASK + ALL.replace('"all"', '"more"'))
    policed.denies("approval_required")
    policed.load(ALL)
    policed.call()
