"""A grant that misspells an argument, and a call that brings one of another name or type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guarding import World

import answerable as ans


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


def pay(world: World) -> Any:
    @ans.tool("t.pay", resource="account/{account}", engine=world.engine)
    def pay(account: str, amount: int, memo: str = "") -> str:
        world.ran.append((account, amount, memo))
        return "paid"

    return pay


@pytest.mark.parametrize(
    "scope",
    [
        lambda: ans.allow("t.pay", where={"amuont": ans.at_most(5)}),
        lambda: ans.allow("t.pay", where={"amount": ans.any_(), "amoun.x": ans.at_most(5)}),
        lambda: ans.allow("t.pay", limits=ans.total("amounts", 5)),
    ],
)
def test_a_misspelt_argument_is_refused_when_it_is_granted(world: World, scope: Any) -> None:
    world.grant(scope())  # Nothing is known of the tool: it may be another process's.
    pay(world)
    wide = world.grant(max_depth=2)
    entries = len(world.engine.trail)
    with pytest.raises(ans.InvalidInput, match="did you mean `amount`") as refused:
        world.grant(scope())
    assert "`t.pay` has no argument" in str(refused.value)
    with pytest.raises(ans.InvalidInput, match="did you mean `amount`"):
        wide.delegate(world.agent, scope=[scope()])
    with (
        world.engine.acting(wide),
        pytest.raises(ans.InvalidInput, match="did you mean `amount`"),
        world.engine.delegating(world.agent, scope=[scope()]),
    ):
        pass
    assert len(world.engine.trail) == entries


def test_what_is_no_slip_of_the_pen_is_granted(world: World) -> None:
    pay(world)

    @ans.tool("t.open", engine=world.engine)
    def open_ended(amount: int, **more: int) -> None: ...

    world.grant(ans.allow("t.pay", where={"currency": ans.equals("EUR")}))
    world.grant(ans.allow("t.pay", where={"amuont": ans.absent(), "amount": ans.any_()}))
    world.grant(ans.allow("t.open", where={"amuont": ans.at_most(5)}))
    world.grant(ans.allow("t.*", where={"amuont": ans.at_most(5)}))


def test_an_argument_that_is_not_named_is_told_how_to_name_it(world: World) -> None:
    call = pay(world)
    with (
        world.acting(ans.allow("t.pay", resource="**", where={"memo": ans.any_()})),
        pytest.raises(ans.AccessDenied) as denied,
    ):
        call("a", 5)
    assert denied.value.code == "argument_not_named"
    fix = denied.value.decision.reasons[0].fix
    assert fix.startswith("ask for a grant that names `amount`, such as with `ans.any_()`")
    assert world.ran == []


def test_a_text_where_a_number_is_needed_is_called_one(world: World) -> None:
    call = pay(world)
    scope = ans.allow("t.pay", resource="**", where={"amount": ans.at_most(5)})
    for given, word in (("5", 'the text "5"'), (True, "the bool true"), ([5], "the list [5]")):
        with world.acting(scope), pytest.raises(ans.AccessDenied) as denied:
            call("a", given)
        assert f"`amount` is {word}; allowed is a number, at most 5" in str(denied.value)
        assert denied.value.decision.reasons[0].fix == "give `amount`: a number, at most 5"
    with world.acting(scope), pytest.raises(ans.AccessDenied) as denied:
        call("a", 6)
    assert "`amount` is 6; allowed is at most 5" in str(denied.value)
    with world.acting(scope):
        assert call("a", 5) == "paid"
