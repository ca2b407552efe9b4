"""The keys of what is masked stand nowhere either, whatever speaks against a call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from guarding import World

import answerable as ans

KEY = "planted-key"
DOTTED = "planted.key"
ITEM: Any = object()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, durability="relaxed")
    yield world
    GRANTS.clear()
    world.engine.close()


@ans.tool("t.mask", record={"memo": "mask", "config.part": "mask"})
def masks(memo: Any = None, config: Any = None) -> Any:
    raise KeyError(next(iter(memo or config["part"])))


@ans.tool("t.digest", record={"memo": "digest"})
def digests(memo: Any = None, config: Any = None) -> Any:
    return {"seen": list(memo or config["token"])}


@ans.tool("t.name")
def names(secret: Any = None, config: Any = None) -> Any:
    return f"found {next(iter(secret or config['token']))}"


@ans.tool("t.generator", record={"memo": "mask"})
def generates(memo: Any = None) -> Iterator[str]:
    yield "one"
    raise LookupError(next(iter(memo)))


@dataclasses.dataclass
class Holder:
    held: Any


def planted(key: str, item: Any) -> list[Any]:
    """A dict with a key, and some that hold it."""
    inner = {key: item}
    return [inner, {"a": inner}, {"a": [{"b": (inner,)}]}, {"a": Holder(inner)}, [1, inner]]


SCOPES: list[dict[str, Any]] = [
    {},
    {"where": {}},
    {"where": {"memo": ans.any_(), "secret": ans.any_()}},
    {"where": {"memo.a": ans.any_(), "secret.a": ans.any_(), "config.part.a": ans.any_()}},
    {"where": {"memo.a.b": ans.any_(), "secret.a.b": ans.any_(), "config.token.a": ans.any_()}},
    {"where": {"memo": ans.equals({"right": 1}), "secret": ans.length(9, 99)}},
    {"where": {"memo": ans.absent(), "secret": ans.absent(), "config": ans.absent()}},
    {"where": {"memo": ans.one_of("x"), "secret": ans.same_as("config"), "config": ans.any_()}},
    {"where": {"config.part": ans.any_(), "config.token": ans.any_()}},
]


GRANTS: dict[tuple[int, str, str], ans.Grant] = {}


def hunt(world: World, tool: Callable[..., Any], arguments: dict[str, Any], scope: Any) -> str:
    """Everything that is told of a call where it is made."""
    name = tool.__answerable__.name  # type: ignore[attr-defined]
    told = []
    grant = GRANTS.get((id(world), name, str(scope))) or world.grant(ans.allow(name, **scope))
    GRANTS[id(world), name, str(scope)] = grant
    with world.engine.acting(grant):
        try:
            result = tool(**arguments)
            if isinstance(result, Iterator):
                list(result)
        except ans.AccessDenied as denied:
            decision = denied.decision
            notes = getattr(denied, "__notes__", [])
            told += [str(denied), repr(denied), repr(decision), *notes, str(denied.args)]
            told += [f"{r!r} {r.message} {r.allowed} {r.fix}" for r in decision.reasons]
        except LookupError:
            pass  # The body's own, for its caller.
        if tool is names:
            # A dry run knows no declaration, and goes by the names.
            checked = world.engine.check(name, arguments=arguments, grant=grant)
            told.append(repr(checked))
            told += [f"{r!r} {r.message} {r.allowed} {r.fix}" for r in checked.reasons]
    return "\n".join(told)


def told_later(world: World) -> str:
    """Everything that is told of all calls afterwards."""
    told = [world.everything()]
    for entry in world.entries()[:: max(1, len(world.entries()) // 20)]:
        explained = world.engine.explain(entry)
        told += [str(explained), explained.for_model, repr(explained)]
        story = world.engine.trail.story(entry)
        told += [str(story), repr(story), story._repr_html_(), repr(entry), str(entry.arguments)]
    return "\n".join(told)


@pytest.mark.parametrize("tool", [masks, digests, names, generates], ids=lambda tool: tool.__name__)
@pytest.mark.parametrize("key", [KEY, DOTTED])
def test_no_key_of_a_masked_argument_is_told(world: World, tool: Any, key: str) -> None:
    name = "secret" if tool is names else "memo"
    for scope in SCOPES:
        for item in (1, ITEM):
            for value in planted(key, item):
                told = hunt(world, tool, {name: value}, scope)
                assert "planted" not in told, (scope, value)
    assert "planted" not in told_later(world)


@pytest.mark.parametrize(("tool", "field"), [(masks, "part"), (digests, "token"), (names, "token")])
@pytest.mark.parametrize("key", [KEY, DOTTED])
def test_no_key_of_a_masked_field_is_told(world: World, tool: Any, field: str, key: str) -> None:
    for scope in SCOPES:
        for item in (1, ITEM):
            for value in planted(key, item):
                told = hunt(world, tool, {"config": {field: value, "user": "alice"}}, scope)
                assert "planted" not in told, (scope, value)
    assert "planted" not in told_later(world)


def test_the_hunt_finds_what_is_not_masked(world: World) -> None:
    for scope, item in (({"where": {"config.a": ans.any_()}}, 1), ({}, ITEM), ({}, 1)):
        told = hunt(world, names, {"config": {KEY: item, "token": {"b": 1}}}, scope)
        assert KEY in told + told_later(world)
    other = World(world.engine.path.parent / "other")
    told = hunt(other, names, {"config": {"a": {DOTTED: 1}}}, {"where": {"config.a.b": ans.any_()}})
    assert "rename the key `planted.key`" in told
    other.engine.close()


def test_a_denial_says_what_it_may(world: World) -> None:
    where = {"memo.a": ans.any_(), "config.part": ans.any_()}
    empty: dict[str, Any] = {"memo": {"a": 1}, "config": {"part": 1}}
    with world.acting(ans.allow("t.mask", where=where)):
        for arguments, told in (
            ({"memo": {KEY: 1}}, "a key (masked) of the argument `memo` is not named"),
            ({"memo": {DOTTED: 1}}, "a key (masked) of the argument `memo` holds a dot"),
            ({"memo": {"a": 1}, "config": {"b": 1}}, "the argument `config.b` is not named"),
            (
                {"memo": {KEY: ITEM}},
                "the argument `memo` cannot be judged: it, or something in it, has no canonical "
                "form (masked)",
            ),
            (
                {"config": {"part": [{KEY: ITEM}]}},
                "the argument `config` cannot be judged: at .part: it, or something in it, has no "
                "canonical form (masked)",
            ),
            (
                {"config": {"other": [{KEY: ITEM}]}},
                "the argument `config` cannot be judged: at .other[0].planted-key: a value of type "
                "object has no canonical form",
            ),
        ):
            with pytest.raises(ans.AccessDenied) as denied:
                masks(**{**empty, **arguments})
            assert told in str(denied.value), str(denied.value)


def test_a_body_gets_the_zero_that_was_judged(world: World) -> None:
    from decimal import Decimal

    @ans.tool("t.zero")
    def body(one: Any, many: Any = -0.0) -> None:
        world.ran.append(f"{one!r} {many!r}")

    with world.acting():
        body(-0.0, [{"a": -0.0}, (-0.0, 1.0)])
        body(Decimal("-0.00"))
        body(Decimal("-0.50"), Holder(-0.0))
    assert world.ran == [
        "0.0 [{'a': 0.0}, (0.0, 1.0)]",
        "Decimal('0.00') 0.0",
        "Decimal('-0.50') Holder(held=0.0)",
    ]
