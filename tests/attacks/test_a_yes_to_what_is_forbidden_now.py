"""A human's yes is kept, and used after a forbid was loaded.

Class: replay
Refusal: AccessDenied forbidden
Check: src/authorizer/policies.rs:reasons: a forbid that holds denies before a question is asked
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attacking import World
from policing import Policed

import answerable as ans

REMOVED = [
    ("src/authorizer/policies.rs", "self.verdict.effect() == Effect::Permit", "true"),
    ("src/authorizer/policies.rs", "&self.texts", "tool.as_str().as_bytes()"),
]

ASK = '@id("ask") @advice("ask") permit (principal, action == Action::"pay.wire", resource);'


def test_a_yes_to_what_is_forbidden_now(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    policed.load(ASK)
    with pytest.raises(ans.ApprovalRequired):
        policed.call()
    (pending,) = world.engine.approvals.pending()
    world.engine.approvals.approve(pending.id, by=world.alice)
    policed.load(ASK + '@id("no") forbid (principal, action == Action::"pay.wire", resource);')
    policed.denies("forbidden")
