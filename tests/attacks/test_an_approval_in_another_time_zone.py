"""A human approves a meeting at noon; the body is handed the same instant of another zone's day.

Class: grant substitution
Refusal: ApprovalRequired approval_required
Check: src/engine/approvals.rs:approval_digest: what the body gets beside the canonical form
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pydantic
import pytest
from approving import ASKS, Asking

import answerable as ans

REMOVED = [("src/engine/approvals.rs", "call.beside", "&[]")]

NOON = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)


class Place(pydantic.BaseModel):
    name: str
    room: str = "A"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Asking]:
    world = Asking(tmp_path / "governance")
    world.load(ASKS.replace('action == Action::"pay.send"', "action"))
    yield world
    world.engine.close()


@pytest.mark.parametrize(
    ("approved", "other"),
    [
        (NOON, NOON.astimezone(dt.timezone(dt.timedelta(hours=14)))),
        (NOON, NOON.astimezone(dt.timezone(dt.timedelta(0), "Z"))),
        # The same now, and an hour off in summer.
        (NOON, NOON.astimezone(ZoneInfo("Europe/Lisbon"))),
        (NOON.astimezone(ZoneInfo("Europe/Lisbon")), NOON.astimezone(ZoneInfo("Europe/London"))),
        ([NOON], [NOON.astimezone(dt.timezone(dt.timedelta(hours=14)))]),
        ({"at": NOON}, {"at": NOON.astimezone(dt.timezone(dt.timedelta(hours=14)))}),
        (Decimal("1.10"), Decimal("1.1")),
        (Place(name="x"), Place(name="x", room="A")),
    ],
    ids=range(8),
)
def test_an_approval_in_another_time_zone(world: Asking, approved: Any, other: Any) -> None:
    ran: list[Any] = []

    @ans.tool("pay.book", engine=world.engine)
    def book(at: Any, *rest: Any, **more: Any) -> None:
        ran.append((at, rest, more))

    def asked(*args: Any, **kwargs: Any) -> Any:
        with pytest.raises(ans.ApprovalRequired) as asked, world.engine.acting(world.grant):
            book(*args, **kwargs)
        return asked.value.approval

    for call in (
        lambda one: ((one,), {}),
        lambda one: ((0, 1, one), {}),
        lambda one: ((0,), {"z": 1, "a": one}),
    ):
        (args, kwargs), (others, more) = call(approved), call(other)
        approval = asked(*args, **kwargs)
        world.engine.approvals.approve(approval, by=world.bob)
        assert asked(*others, **more) != approval
        assert ran == []
        with world.engine.acting(world.grant):
            book(*args, **kwargs)
        assert len(ran) == 1, "the very call goes through"
        ran.clear()


def test_the_order_of_names_makes_no_other_call(world: Asking) -> None:
    @ans.tool("pay.book", engine=world.engine)
    def book(**more: Any) -> None: ...

    first, second = {"b": NOON, "a": Decimal("1.0")}, {"a": Decimal("1.0"), "b": NOON}
    with pytest.raises(ans.ApprovalRequired) as asked, world.engine.acting(world.grant):
        book(one=first, two=NOON)
    world.engine.approvals.approve(asked.value.approval, by=world.bob)
    with world.engine.acting(world.grant):
        book(two=NOON, one=second)
