"""An argument that is given as its function's own default counts as left at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living import World

import answerable as ans


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "governance")
    yield world
    world.engine.close()


def test_a_default_that_is_given_need_not_be_named_by_the_grant(world: World) -> None:
    ran: list[Any] = []

    @ans.tool("pay.transfer")
    def transfer(amount: int, memo: str = "", times: int = 1, tags: Any = None) -> None:
        ran.append((amount, memo, times, tags))

    scope = ans.allow("pay.transfer", where={"amount": ans.at_most(5)})
    with world.engine.acting(world.grant(scope=scope)):
        transfer(1)
        transfer(2, "", 1, None)
        transfer(3, memo="", times=1, tags=None)
        for wrong in ({"memo": "x"}, {"times": 2}, {"times": True}, {"times": 1.0}, {"tags": ""}):
            with pytest.raises(ans.AccessDenied) as caught:
                transfer(4, **wrong)  # type: ignore[arg-type]
            assert caught.value.code == "argument_not_named"
    assert ran == [(1, "", 1, None), (2, "", 1, None), (3, "", 1, None)]


def test_a_caveat_on_an_argument_still_holds_for_its_default(world: World) -> None:
    @ans.tool("pay.transfer")
    def transfer(amount: int = 900) -> None:
        pytest.fail("the body ran")

    scope = ans.allow("pay.transfer", where={"amount": ans.at_most(5)})
    with world.engine.acting(world.grant(scope=scope)):
        for call in (transfer, lambda: transfer(900), lambda: transfer(amount=900)):
            with pytest.raises(ans.AccessDenied) as caught:
                call()
            assert caught.value.code == "caveat_failed"


def test_a_default_that_compares_as_it_likes_is_not_asked(world: World) -> None:
    class Same(str):
        def __eq__(self, other: object) -> bool:
            pytest.fail("asked")

        __hash__ = str.__hash__

    @ans.tool("pay.transfer")
    def transfer(amount: int, memo: str = "") -> None:
        pytest.fail("the body ran")

    scope = ans.allow("pay.transfer", where={"amount": ans.at_most(5)})
    with world.engine.acting(world.grant(scope=scope)), pytest.raises(ans.AccessDenied):
        transfer(1, Same("x"))
