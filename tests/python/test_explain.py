"""`engine.explain`: what was asked, what is allowed, who narrowed it, and the smallest fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import answerable as ans
from answerable.guard import governed


class World:
    """Alice → planner → booker, with two capabilities each."""

    def __init__(self, engine: ans.Engine) -> None:
        self.engine = engine
        self.alice = engine.humans.register("alice@example.com", name="Alice")
        pay = ans.allow("pay.*")
        self.planner, self.booker = (
            engine.agents.issue(name, owner=self.alice, purpose="tests", ceiling=pay, ttl="8h")
            for name in ("planner", "booker")
        )
        self.grant = engine.grant(
            self.alice,
            self.planner,
            task="Book the offsite",
            ttl="1h",
            max_depth=2,
            scope=[
                ans.allow("pay.refund"),
                ans.allow("pay.transfer", where={"amount": ans.at_most(500), "memo": ans.any_()}),
                ans.allow("pay.transfer", where={"amount": ans.at_most(900)}),
            ],
        )
        self.child = self.grant.delegate(
            self.booker,
            task="Pay the deposit",
            scope=ans.allow("pay.transfer", where={"amount": ans.at_most(100), "memo": ans.any_()}),
        )

    def call(self, grant: ans.Grant, tool: str, **arguments: Any) -> str:
        """Makes a call and answers its decision's entry."""
        with self.engine.acting(grant):
            call = governed(tool, arguments, engine=self.engine)
            try:
                with call:
                    pass
            except ans.AccessDenied as denied:
                return str(denied.decision.entry)
        assert call.entry is not None
        return call.entry


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ans.open(tmp_path / "store", durability="relaxed") as engine:
        yield World(engine)


def test_a_refusal_names_the_closest_capability_and_who_narrowed(world: World) -> None:
    entry = world.call(world.child, "pay.transfer", amount=300, memo="x")
    told = world.engine.explain(entry)
    assert (told.entry, told.effect, told.code) == (entry, "deny", "caveat_failed")
    assert told.asked == 'pay.transfer(amount=300, memo="x")'
    assert told.allowed == "pay.transfer where amount at most 100 and memo anything"
    assert told.narrowed_by == "booker"
    assert told.fix == "give `amount`: at most 100"
    assert told.for_model == (
        "`pay.transfer` was not allowed: the argument `amount` is 300; allowed is at most 100 "
        f"(grant of `booker`) (entry {entry})"
    )
    assert "given by planner" in str(told)
    assert "narrowed" in str(told)
    assert str(told) == told.for_operator


def test_the_first_hop_that_refuses_decides(world: World) -> None:
    told = world.engine.explain(world.call(world.child, "pay.transfer", amount=1000))
    assert told.narrowed_by == "planner"
    assert told.allowed == "pay.transfer where amount at most 500 and memo anything"
    assert told.fix is not None
    assert told.fix.endswith("only the human can grant more")
    assert "given by Alice" in told.for_operator
    assert "also" in told.for_operator


def test_a_tool_that_nothing_covers(world: World) -> None:
    told = world.engine.explain(world.call(world.grant, "mail.send"))
    assert told.code == "tool_not_covered"
    assert told.allowed == "`pay.refund`, `pay.transfer`, `pay.transfer`"
    assert told.for_model.startswith("`mail.send` was not allowed: the tool is not covered;")
    assert "to fix it: ask for a grant with the tool `mail.send`" in told.for_model


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ({"amount": 80, "memo": "x"}, "amount at most 500 and memo anything"),
        ({"amount": 700}, "amount at most 900"),
    ],
)
def test_an_allow_names_the_capability_that_covered(
    world: World, arguments: dict[str, Any], allowed: str
) -> None:
    told = world.engine.explain(world.call(world.grant, "pay.transfer", **arguments))
    assert (told.effect, told.code, told.fix, told.narrowed_by) == ("allow", None, None, None)
    assert told.allowed == f"pay.transfer where {allowed}"
    assert f"{allowed} (grant of planner)" in told.for_operator


def test_an_allow_with_masked_arguments_names_all_it_could_have_been(world: World) -> None:
    @ans.tool("pay.hidden", record={"amount": "mask"}, engine=world.engine)
    def hidden(amount: int) -> None: ...

    scope = [ans.allow("pay.hidden", where={"amount": ans.at_most(most)}) for most in (500, 900)]
    grant = world.engine.grant(world.alice, world.planner, task="t", ttl="1h", scope=scope)
    with world.engine.acting(grant):
        hidden(700)
    told = world.engine.explain(world.engine.trail.entries(tool="pay.hidden")[0])
    assert told.allowed == (
        "pay.hidden where amount at most 500 or pay.hidden where amount at most 900"
    )
    assert "700" not in told.for_operator


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda w: w.engine.revoke(w.grant, reason="leak"), "revoked"),
        (lambda w: w.engine.agents.retire("planner", reason="done"), "agent_retired"),
    ],
)
def test_a_chain_that_ended_names_the_agent(world: World, end: Any, code: str) -> None:
    end(world)
    told = world.engine.explain(world.call(world.child, "pay.transfer", amount=1, memo=""))
    assert (told.code, told.narrowed_by) == (code, "planner")
    assert "`planner`" in told.for_model
    assert "hop 0" not in told.for_operator


def test_nobody_in_force_is_explained_too(world: World) -> None:
    with pytest.raises(ans.AccessDenied) as denied, governed("pay.x", {}, engine=world.engine):
        pytest.fail("the body ran")
    told = world.engine.explain(denied.value.decision.entry)
    assert (told.code, told.narrowed_by, told.allowed) == ("no_authority", None, None)


def test_the_text_for_the_model_is_short_safe_and_names_no_human(world: World) -> None:
    hostile = "\x1b[31m\u202e" + "A" * 500_000
    entry = world.call(world.grant, "pay.transfer", amount=hostile, **{hostile[:50]: hostile})
    told = world.engine.explain(entry)
    assert len(told.for_model) < 1_000
    assert len(told.for_operator) < 10_000
    for text in (told.for_model, told.for_operator.replace("\n", ""), told.asked):
        assert not re.search(r"[\x00-\x1f\x7f\u202e]", text)
    assert "Alice" not in told.for_model
    assert world.alice.id not in told.for_model


def test_what_is_no_call_cannot_be_explained(world: World) -> None:
    for entry in ("ent_nothing", world.engine.trail.entries(kind="grant")[0]):
        with pytest.raises(ans.InvalidInput):
            world.engine.explain(entry)


def test_the_denial_itself_says_the_same(world: World) -> None:
    with (
        world.engine.acting(world.grant),
        pytest.raises(ans.AccessDenied) as denied,
        governed("pay.transfer", {"amount": 800, "memo": ""}, engine=world.engine),
    ):
        pytest.fail("the body ran")
    told = world.engine.explain(denied.value.decision.entry)
    assert told.for_model == f"{denied.value} (entry {denied.value.decision.entry})"
