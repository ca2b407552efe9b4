"""Properties: judged is what the body got; exact grants; whose authority; wrong types."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import string
import threading
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from guarding import World
from hypothesis import given, settings
from hypothesis import strategies as st

import answerable as ans

FULL = os.environ.get("ANSWERABLE_CASES") == "full"
many = settings(max_examples=3000 if FULL else 100)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=10),
    st.decimals(allow_nan=False, allow_infinity=False, places=3),
    st.uuids(),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text("abcd é", max_size=3), inner, max_size=3),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("properties"), durability="relaxed")
    yield world
    world.engine.close()


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, Decimal):
        return a == b
    return bool(a == b)


KINDS = ["only", "either", "rest", "named", "more"]


@st.composite
def signatures(draw: Any) -> tuple[str, dict[str, Any]]:
    """The text of a parameter list, and its defaults by name."""
    names = iter(string.ascii_lowercase)
    only, either, named = (draw(st.integers(0, 2)) for _ in range(3))
    rest, more = draw(st.booleans()), draw(st.booleans())
    defaults: dict[str, Any] = {}
    must_default = False
    parts: list[str] = []

    def one(sticky: bool) -> str:
        nonlocal must_default
        name = next(names)
        if (must_default and sticky) or draw(st.booleans()):
            must_default = must_default or sticky
            defaults[name] = draw(values)
            return f"{name}=D[{name!r}]"
        return name

    parts += [one(True) for _ in range(only)]
    if only:
        parts.append("/")
    parts += [one(True) for _ in range(either)]
    if rest:
        parts.append("*rest")
    elif named:
        parts.append("*")
    parts += [one(False) for _ in range(named)]
    if more:
        parts.append("**more")
    return ", ".join(parts), defaults


@many
@given(signature=signatures(), data=st.data(), use_async=st.booleans())
def test_the_judged_arguments_are_those_the_body_received(
    world: World, signature: tuple[str, dict[str, Any]], data: st.DataObject, use_async: bool
) -> None:
    text, defaults = signature
    names: dict[str, Any] = {"D": defaults, "got": []}
    word = "async def" if use_async else "def"
    exec(f"{word} body({text}): got.append(dict(locals()))", names)
    tool = f"t.random.{uuid.uuid4().hex}"
    guarded = ans.tool(tool)(names["body"])
    args = data.draw(st.lists(values, max_size=5))
    kwargs = data.draw(st.dictionaries(st.sampled_from("abcdefxyz"), values, max_size=5))
    try:
        bound = inspect.signature(names["body"]).bind(*args, **kwargs)
    except TypeError:
        bound = None
    with world.acting():
        try:
            result = guarded(*args, **kwargs)
            if use_async:
                asyncio.run(result)
        except ans.AccessDenied as denied:
            code, recorded = denied.code, denied.decision.entry
        else:
            code = recorded = None
    if code is not None:
        parameters = inspect.signature(names["body"]).parameters
        twice = bound is not None and set(bound.arguments.get("more", {})) & set(parameters)
        assert code == "invalid_argument"
        assert bound is None or twice, "what Python would bind runs"
        assert names["got"] == []
        (entry,) = world.entries(tool)
        assert (entry.effect, entry.id) == ("deny", recorded)
        return
    assert bound is not None, "what Python would not bind does not run"
    bound.apply_defaults()
    (got,) = names["got"]
    assert same(got, dict(bound.arguments)), "the body gets what the caller gave"
    (entry,) = world.entries(tool)
    judged = {name: list(v) if name == "rest" else v for name, v in got.items() if name != "more"}
    judged |= got.get("more", {})
    assert entry.effect == "allow"
    assert same(entry.arguments, judged), "and what was judged"


def changed(value: Any) -> Any:
    """The same with one thing changed, and of the same type where that is possible."""
    match value:
        case None:
            return False
        case bool():
            return int(value)
        case int():
            return value + 1
        case float():
            return value + 1.0 if value + 1.0 != value else -value
        case str():
            return value + " "
        case bytes():
            return value + b"\x00"
        case Decimal():
            return value + 1
        case uuid.UUID():
            return uuid.UUID(int=(value.int + 1) % 2**128)
        case list() | tuple() | dict() if not value:
            return {list: (), tuple: [], dict: {"": None}}[type(value)]
        case list():
            return [*value[:-1], changed(value[-1])]
        case tuple():
            return (*value[:-1], changed(value[-1]))
        case dict():
            last = list(value)[-1]
            return {**value, last: changed(value[last])}
    raise AssertionError(value)


@settings(many, max_examples=3000 if FULL else 300)
@given(st.dictionaries(st.sampled_from("abcdef"), values, min_size=1), st.data())
def test_an_exact_grant_covers_its_call_and_no_other(
    world: World, arguments: dict[str, Any], data: st.DataObject
) -> None:
    exact = ans.allow("t.exact", where={name: ans.equals(v) for name, v in arguments.items()})
    grant = world.grant(exact)
    check = world.engine.check
    assert check("t.exact", arguments=arguments, grant=grant).allowed
    name = data.draw(st.sampled_from(sorted(arguments)))
    other = {**arguments, name: changed(arguments[name])}
    assert not same(other, arguments)
    assert not check("t.exact", arguments=other, grant=grant).allowed
    fewer = {key: v for key, v in arguments.items() if key != name}
    assert not check("t.exact", arguments=fewer, grant=grant).allowed
    assert not check("t.exact", arguments={**arguments, "z": None}, grant=grant).allowed


@ans.tool("t.whose")
def whose(human: str, at: int) -> str:
    return human


@ans.tool("t.awhose")
async def awhose(human: str, at: int) -> str:
    await asyncio.sleep(0)
    return whose(human, at)


def test_no_call_is_judged_under_anothers_authority(tmp_path: Path) -> None:
    """Threads and tasks of different humans at once; the trail says who each call was for."""
    humans, tasks, turns = (200, 1000, 40) if FULL else (25, 1000, 1)
    in_thread = 2500 if FULL else 250
    with ans.open(tmp_path / "governance", durability="relaxed") as engine:
        grants = []
        for number in range(humans):
            human = engine.humans.register(f"h{number}@example.com")
            agent = engine.agents.issue(
                f"a{number}", owner=human, purpose="t", ceiling=[ans.allow("t.*")], ttl="1h"
            )
            scope = [ans.allow("t.*")]
            grant = engine.grant(human, agent, task="t", ttl="30m", scope=scope)
            grants.append((human.id, grant))
        blocks = [(human, engine.acting(grant)) for human, grant in grants]
        failures: list[BaseException] = []

        async def task(number: int) -> None:
            human, block = blocks[number % humans]
            for at in range(turns):
                with block:
                    await asyncio.sleep(0)
                    assert await awhose(human, at) == human
                assert ans.current() is None

        async def all_tasks() -> None:
            await asyncio.gather(*(task(number) for number in range(tasks)))

        def thread(number: int) -> None:
            try:
                for at in range(in_thread):
                    human, block = blocks[(number + at) % humans]
                    with block:
                        assert whose(human, at) == human
            except BaseException as error:  # noqa: BLE001 - told in the main thread.
                failures.append(error)

        threads = [threading.Thread(target=thread, args=(number,)) for number in range(8)]
        for one in threads:
            one.start()
        asyncio.run(all_tasks())
        for one in threads:
            one.join()
        assert failures == []
        entries = list(engine.trail.entries(tool="t.*", kind="decision"))
        assert len(entries) == 2 * tasks * turns + 8 * in_thread
        wrong = [entry for entry in entries if entry.human != entry.arguments["human"]]
        assert wrong == []
        assert {entry.effect for entry in entries} == {"allow"}
        assert {entry.outcome for entry in entries} == {"returned"}


class Broken:
    """Breaks whatever asks it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


ODD: dict[str, Any] = {
    "broken": Broken(),
    "object": object(),
    "class": int,
    "nan": float("nan"),
    "surrogate": "\ud800",
    "10 MB": "x" * 10_000_000,
    "5,000 digits": 10**5000,
}
anything = st.one_of(st.sampled_from(sorted(ODD)), values)  # By name: they cannot be shown.


@many
@given(st.data())
def test_wrong_types_meet_documented_errors_only(world: World, data: st.DataObject) -> None:
    public = [
        "absent", "all_of", "allow", "any_", "at_least", "at_most", "between", "calls", "contains",
        "each", "email_at", "ends_with", "equals", "host_in", "in_network", "length", "matches",
        "one_of", "present", "rate", "same_as", "starts_with", "subset_of", "total", "under",
        "carry", "tool", "verify",
    ]  # fmt: skip
    engine = world.engine
    calls = {name: getattr(ans, name) for name in public} | {
        "check": engine.check,
        "acting": engine.acting,
        "humans.get": engine.humans.get,
        "agents.get": engine.agents.get,
        "revoke": lambda grant: engine.revoke(grant, reason="t"),
        "entries": lambda value: engine.trail.entries(since=value),
        "tool()": lambda value: ans.tool("t.any")(value),
    }
    name = data.draw(st.sampled_from(sorted(calls)))
    drawn = data.draw(st.lists(anything, min_size=1, max_size=2))
    args = [ODD.get(one, one) if isinstance(one, str) else one for one in drawn]
    with contextlib.suppress(ans.Error, TypeError, OSError):
        calls[name](*args)
