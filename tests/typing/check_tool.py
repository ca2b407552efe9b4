"""What a type checker must know of the public face; run by mypy and pyright, never executed."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, assert_type

import answerable as ans

engine = ans.open("./governance")


@ans.tool("pay.transfer", resource="account/{account}", record={"memo": "mask"})
def transfer(account: str, amount: float, *, memo: str = "") -> str:
    return account


@ans.tool("pay.quote")
async def quote(amount: int) -> bytes:
    return b""


@ans.tool("log.lines")
def lines(path: str) -> Iterator[str]:
    yield path


@ans.tool("log.follow")
async def follow(path: str) -> AsyncIterator[str]:
    yield path


class Bank:
    @ans.tool("pay.refund")
    def refund(self, amount: int) -> int:
        return amount

    @staticmethod
    @ans.tool("pay.fee")
    def fee(amount: int) -> float:
        return amount * 0.1

    @classmethod
    @ans.tool("pay.open")
    def open(cls, name: str) -> "Bank":
        return cls()


class Desk:
    @ans.tool("pay.desk")
    def __call__(self, amount: int) -> int:
        return amount


def paid(account: str, amount: int) -> str:
    return account


def noted(function: Callable[[str], int]) -> Callable[[str], int]:
    return function


@ans.tool("log.count")
@noted
def count(path: str) -> int:
    return len(path)


travel = ans.tool("pay.travel")(functools.partial(paid, "travel-1"))
desk = ans.tool("pay.called")(Desk())


async def calls() -> None:
    assert_type(Desk()(1), int)
    assert_type(desk(1), int)
    assert_type(count("x"), int)
    assert_type(travel(80), str)
    assert_type(transfer("travel-1", 80), str)
    assert_type(transfer(account="travel-1", amount=0.5, memo="x"), str)
    assert_type(await quote(1), bytes)
    assert_type(lines("x"), Iterator[str])
    assert_type(follow("x"), AsyncIterator[str])
    assert_type(Bank().refund(1), int)
    assert_type(Bank.fee(1), float)
    assert_type(Bank.open("x"), Bank)
    assert_type(ans.carry(transfer)("travel-1", 80), str)
    awaitable: Callable[[int], Awaitable[bytes]] = quote
    await awaitable(1)


def administration() -> None:
    alice = engine.humans.register("alice@example.com", name="Alice")
    scope = ans.allow("pay.*", resource=["account/a"], where={"amount": ans.at_most(500)})
    planner = engine.agents.issue("planner", owner=alice, purpose="p", ceiling=scope, ttl="8h")
    grant = engine.grant(alice, planner, task="t", scope=[scope], ttl=60, limits=ans.calls(3))
    assert_type(grant, ans.Grant)
    with engine.acting(grant) as held:
        assert_type(held, ans.Grant)
        with engine.delegating("booker", scope=scope) as child:
            assert_type(child, ans.Grant)
    decision = engine.check("pay.transfer", arguments={"amount": 80}, grant=grant)
    assert_type(decision.allowed, bool)
    assert_type(decision.reasons[0].code, str)


def auditing() -> None:
    entries = engine.trail.entries(tool="pay.*", effect="deny", since="24h")
    assert_type(entries[0], ans.Entry)
    assert_type(entries[:3], ans.Entries)
    for entry in entries:
        assert_type(entry, ans.Entry)
        assert_type(entry.arguments, dict[str, Any] | None)
        assert_type(engine.explain(entry).for_model, str)
    checkpoint = engine.trail.checkpoint()
    report = ans.verify("trail.jsonl", authority=engine.authority, since=[checkpoint, "x"])
    assert_type(report.size, int)
    try:
        transfer("travel-1", 80)
    except ans.AccessDenied as denied:
        assert_type(denied.code, str)
