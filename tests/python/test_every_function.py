"""Every public function and method against everything that is not what it takes.

They are listed from the package itself, so that a new one is tried without being named here: each
parameter in turn gets each of the values below while the others have sound ones, and then all of
them get anything. What comes out is a value, or one of our own errors.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import inspect
import itertools
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import answerable as ans
from answerable import _core

# The binary's own doorways, which only our Python files walk through.
DOORWAYS = {
    "Authority", "Call", "Follower", "Rules", "Tool", "ask", "close_all", "declare",
    "forget_declared", "holder", "limits_from_wire", "log_flush", "log_level", "log_to",
    "scope_from_wire", "serve", "to_wire",
}  # fmt: skip
# What there is only inside a call that was allowed, and is tried there.
INSIDE = {"Credential", "Lease"}
# What would end the trial itself.
ENDS = {"Engine.close", "open"}
# What is called back raises what it likes.
CALLED = {"progress", "time", "done", "master_key"}
FULL = os.environ.get("ANSWERABLE_CASES") == "full"
# How long the processor may work on one call: a hundred times what any takes, on any machine.
LONGEST = 60.0


class Boom(Exception):
    """What hostile objects raise."""


def boom(*_: object, **__: object) -> Any:
    raise Boom("s3cr3t")


HOSTILE: dict[str, Any] = dict.fromkeys(
    (
        "__eq__", "__hash__", "__repr__", "__str__", "__bool__", "__len__", "__iter__",
        "__getitem__", "__contains__", "__int__", "__index__", "__float__", "__fspath__",
        "__lt__", "__le__", "__format__", "__bytes__", "__call__", "__reduce__", "__add__",
        "__floordiv__", "__sub__", "__getattr__", "__next__",
    ),
    boom,
)  # fmt: skip
Evil = type("Evil", (), HOSTILE)
EvilText = type("EvilText", (str,), {k: v for k, v in HOSTILE.items() if k != "__getattr__"})
EvilNumber = type("EvilNumber", (int,), HOSTILE)
EvilList = type("EvilList", (list,), HOSTILE)
EvilDict = type("EvilDict", (dict,), HOSTILE)
EvilPath = type("EvilPath", (), {"__fspath__": boom})
EvilIterable = type("EvilIterable", (), {"__iter__": boom})


class Quiet(enum.Enum):
    ONE = 1


def recursive() -> tuple[list[Any], dict[str, Any]]:
    items: list[Any] = []
    items.append(items)
    named: dict[str, Any] = {}
    named["self"] = named
    return items, named


def deep() -> list[Any]:
    nested: list[Any] = []
    for _ in range(5000):
        nested = [nested]
    return nested


ENDLESS = "A" * 10_000_000
WRONG: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**30, -(10**400), 1.5, -0.0,
    1e308,
    float("nan"), float("inf"), 1j, Decimal("NaN"), Decimal("1e999999"), Decimal("0.1"),
    "", " ", "x", "**", "a.b", "-", "\0", "\n", "\ud800", "a\ud800b", "\x1b[2J", "\u202e", ENDLESS,
    "1h", "-1h", "9" * 400 + "h", "k4.public.x", "v4.public." + "A" * 5000, "ent_x", "nan",
    b"", b"x", b"\xff" * 32, bytearray(b"x"), memoryview(b"x"),
    dt.datetime(2026, 1, 1), dt.datetime.max.replace(tzinfo=dt.UTC),
    dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=23))), dt.date(2026, 1, 1),
    dt.timedelta.max, dt.timedelta.min, dt.timedelta(0), uuid.UUID(int=0), Quiet.ONE,
    [], (), {}, set(), frozenset(), [[]], [None], ["\ud800"], {1: 2}, {"": {}}, ["x"] * 1000,
    *recursive(), deep(), range(10**12), iter(()), object(), type, Evil, len, lambda: 1,
    Evil(), EvilText("x"), EvilNumber(1), EvilList([1]), EvilDict(a=1), EvilPath(), EvilIterable(),
    [Evil()], {"x": Evil()}, (Evil(),), Exception("x"), Path(), Path("x\ud800"), Path("a/b/c/d"),
    NotImplemented, ..., os, itertools.count(),
]  # fmt: skip


def named(value: Any) -> str:
    kind = type.__repr__(type(value))
    with contextlib.suppress(Exception):
        return f"{kind} {value!r}"[:80]
    return kind


class World:
    """An engine with one of everything, and what each class's methods are tried on."""

    def __init__(self, folder: Path) -> None:
        self.engine = engine = ans.open(folder / "store", durability="relaxed")
        alice = engine.humans.register("alice@example.com")
        booker = engine.agents.issue(
            "booker", owner=alice, purpose="books", ceiling=ans.allow("**"), ttl="8h"
        )
        grant = engine.grant(alice, booker, task="t", scope=ans.allow("**"), ttl="1h", max_depth=3)

        @ans.tool("pay.every")
        def pay(amount: int) -> int:
            return amount

        with engine.acting(grant):
            pay(1)
        approval = engine.request_access(grant, scope=ans.allow("mail"), reason="r", ttl="1h")
        # What nobody ever answers would be waited for without end, as is promised.
        answered = engine.request_access(grant, scope=ans.allow("post"), reason="r", ttl="1h")
        engine.approvals.refuse(answered.id, by=alice)
        gone = engine.humans.register("gone@example.com")
        self.offboarding = engine.humans.offboard(gone, reason="r")
        self.revoked = engine.revoke(
            engine.grant(alice, booker, task="t", scope=ans.allow("a"), ttl="1h"), reason="r"
        )
        engine.halt(reason="r", tool="never")
        entries = engine.trail.entries()
        call = engine.trail.entries(tool="pay.every")[0]
        checkpoint = engine.trail.checkpoint()
        engine.trail.export(folder / "trail.jsonl")
        story = engine.trail.story(call)
        chain = engine.trail.chain(grant)
        decision = engine.check("pay.every", arguments={"amount": 1}, grant=grant)
        found: list[Any] = [
            engine, engine.agents, engine.humans, engine.tasks, engine.trail, engine.approvals,
            engine.policies, engine.vault,
            alice, booker, grant, answered, entries, call, checkpoint, story, chain, decision,
            engine.review(), self.offboarding, self.revoked, ans.SecretKey.generate(),
            engine.tasks.list()[0], engine.halts()[0], ans.allow("x"), ans.any_(), ans.calls(1),
            engine.trail.verify(), story.via[0], engine.explain(call), engine.trail.receipt(call),
            ans.verify_receipt(engine.trail.receipt(call), authority=engine.authority),
        ]  # fmt: skip
        rules = folder / "rules"
        rules.mkdir()
        (rules / "all.cedar").write_text('@id("all") permit (principal, action, resource);')
        found.append(_core.PolicySet.read(rules))
        found.append(_core.Witness.generate("witness.example"))
        self.things = {type(thing).__name__: thing for thing in found}
        self.sound: dict[str, Any] = {
            "account": "carol@example.com", "agent": "booker", "agents": "booker",
            "approval": approval.id, "argument": "amount", "arguments": {"amount": 1},
            "authority": engine.authority, "by": alice, "caveat": ans.any_(), "code": "x",
            "directory": "/data", "domain": "example.com", "durability": "before", "effect": "deny",
            "entry": call, "function": len, "grant": grant, "high": 9, "human": alice,
            "hosts": "example.com", "kind": "grant", "kinds": ["decision"], "low": 1, "max": 5,
            "min": 0, "n": 3, "name": "pay.sound", "network": "10.0.0.0/8", "note": "n",
            "note_": "n", "other": grant, "owner": alice, "path": str(folder / "new" / "x"),
            "per": "1m", "proof": self.offboarding.text, "purpose": "p", "reason": "r",
            "resource": None, "scope": ans.allow("a"), "severity": "low", "since": None,
            "status": None, "successor": None, "suffix": "x", "pattern": "a*",
            "prefix": "x",
            "task": "t", "text": checkpoint.text, "timeout": 0, "token": grant.token,
            "tool": "pay.every",
            "ttl": "1h", "value": 1, "values": 1, "item": 1, "items": 1, "target": "booker",
            "ceiling": ans.allow("a"), "start": 0, "count": 1, "old": 1, "new": 2, "size": 1,
            "lines": "x", "seconds": 1,
        }  # fmt: skip

    def targets(self) -> Iterator[tuple[str, Callable[..., Any]]]:
        """Everything that can be called, with a name that says what it is."""
        for name in sorted({*ans.__all__, *(set(_core.__all__) - DOORWAYS)}):
            thing = getattr(ans, name, None) or getattr(_core, name)
            if inspect.isclass(thing):
                if issubclass(thing, BaseException):
                    continue
                target = self.things.get(name)
                methods = [
                    attribute
                    for attribute in dir(thing)
                    if not attribute.startswith("_")
                    and callable(getattr(thing, attribute))
                    # What a named tuple has of `tuple` is Python's own.
                    and not (issubclass(thing, tuple) and hasattr(tuple, attribute))
                ]
                if name in INSIDE:
                    continue
                assert target is not None or not methods, f"{name}: say what to try it on"
                for method in methods:
                    yield f"{name}.{method}", getattr(target, method)
            elif callable(thing):
                yield name, thing


def tried(name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> list[str]:
    """Calls it; answers what is wrong with what came out, if it was neither a value nor ours."""
    started = time.process_time()
    shown = f"{name}({', '.join(named(value) for value in (*args, *kwargs.values()))})"
    try:
        call(*args, **kwargs)
    except ans.Error as error:
        if "s3cr3t" in str(error) or not error.code or len(str(error)) > 20_000:
            return [f"{shown} told too much: {error!s:.100}"]
    except BaseException as error:  # noqa: BLE001 - which is what this is about.
        return [f"{shown} raised {type(error).__name__}: {error!s:.100}"]
    took = time.process_time() - started
    return [f"{shown} worked for {took:.1f} s"] if took > LONGEST else []


def patience(name: str, value: Any) -> bool:
    """Whether it is a time for which the call would wait, as it should."""
    return name == "timeout" and isinstance(value, (int, float)) and value > 0


def parameters(call: Callable[..., Any]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(call).parameters.values() if p.name != "self"]


def filled(
    call: Callable[..., Any], values: dict[str, Any], sound: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call: given ones, and sound ones where there is no default."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for one in parameters(call):
        if one.name in values:
            value = values[one.name]
        elif one.default is not one.empty or one.kind is one.VAR_KEYWORD:
            continue
        else:
            value = sound.get(one.name, "x")
        if one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL):
            args.append(value)
        elif one.kind is not one.VAR_KEYWORD:
            kwargs[one.name] = value
    return args, kwargs


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("every")
    before = Path.cwd()
    os.chdir(folder)
    world = World(folder)
    yield world
    world.engine.close()
    os.chdir(before)


def test_each_parameter_gets_each_wrong_value(world: World) -> None:
    count = place = 0
    wrong_ones: list[str] = []
    for name, call in world.targets():
        if name in ENDS:
            continue
        for one in parameters(call):
            place += 1
            for number, wrong in enumerate(WRONG):
                # One in six, each parameter others; all of them in the full run.
                if not FULL and (place + number) % 6:
                    continue
                if (one.name in CALLED and callable(wrong)) or patience(one.name, wrong):
                    continue
                args, kwargs = filled(call, {one.name: wrong}, world.sound)
                wrong_ones += tried(name, call, args, kwargs)
                count += 1
    assert not wrong_ones, "\n".join(wrong_ones)
    # Far more than this; fewer means that the listing has broken.
    assert count > (8000 if FULL else 1300), count
    assert world.engine.trail.verify().size > 0


def test_a_store_is_opened_by_what_makes_sense_only(world: World, tmp_path: Path) -> None:
    for one in inspect.signature(ans.open).parameters.values():
        for number, wrong in enumerate(WRONG):
            if one.name == "path" and wrong.__class__ in (str, Path) and not str(wrong).strip("."):
                continue  # The working directory, which is no empty folder.
            given = {"path": str(tmp_path / f"{one.name}{number}"), one.name: wrong}
            if wrong is True or wrong is False:
                continue

            def opened(**options: Any) -> None:
                ans.open(**options).close()

            if one.name == "master_key" and callable(wrong):
                continue  # What it raises is its own.
            assert not tried("open", opened, (), given)


anything = st.recursive(
    st.one_of(
        st.text(max_size=20), st.integers(), st.floats(), st.binary(), st.datetimes(),
        st.timedeltas(), st.decimals(), st.uuids(), st.none(), st.booleans(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)  # fmt: skip


@settings(
    max_examples=300 if FULL else 8,
    derandomize=not FULL,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # What a call changed stays changed: a smaller one is another trial.
    suppress_health_check=list(HealthCheck),
)
@given(pool=st.lists(anything, min_size=20, max_size=20), seed=st.integers(0, 2**32))
def test_anything_in_every_place(world: World, pool: list[Any], seed: int) -> None:
    chance = random.Random(seed)
    wrong_ones: list[str] = []
    for name, call in world.targets():
        if name in ENDS:
            continue
        values = {
            one.name: chance.choice(chance.choice((WRONG, pool)))
            for one in parameters(call)
            if one.name not in CALLED
        }
        values = {place: value for place, value in values.items() if not patience(place, value)}
        args, kwargs = filled(call, values, world.sound)
        wrong_ones += tried(name, call, args, kwargs)
    assert not wrong_ones, "\n".join(wrong_ones)
