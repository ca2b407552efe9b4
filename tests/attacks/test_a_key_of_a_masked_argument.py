"""A model learns the keys of a masked dict from what a denial says is not named or not readable.

Class: fail-open
Refusal: AccessDenied argument_not_named and invalid_argument, without the key
Check: src/authorizer.rs:reason_of: the keys of what is masked are left out
Check: src/python/convert/unfit.rs:told_of: the place is told up to what is masked
"""

from __future__ import annotations

from typing import Any

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/authorizer.rs", "veil.hides_keys(&holder)", "false"),
    (
        "src/python/convert/unfit.rs",
        "let Some(keys) = «masking.shows(name, keys)» else",
        "{ let _ = keys; None::<usize> }",
    ),
]


@pytest.mark.parametrize("planted", [{"planted": 1}, {"a": {"planted": object()}}])
def test_a_key_of_a_masked_argument(world: World, planted: Any) -> None:
    @ans.tool("pay.note", record={"memo": "mask"})
    def note(memo: Any) -> None:
        world.ran.append(memo)

    where = {"memo.a.b": ans.any_()}
    grant = world.grant(scope=ans.allow("pay.note", where=where))
    with world.engine.acting(grant), pytest.raises(ans.AccessDenied) as denied:
        note(memo=planted)
    decision = denied.value.decision
    told = f"{denied.value} {decision!r} {[(r.message, r.fix) for r in decision.reasons]}"
    told += str(world.engine.explain(decision.entry))
    world.engine.trail.export(path := world.path / "all.jsonl")
    assert "planted" not in told + path.read_text("utf-8")
    assert world.ran == []
