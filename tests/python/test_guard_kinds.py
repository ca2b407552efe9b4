"""Every kind of callable: what it looks like, when it is judged, what its outcome says."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
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


def function(a: int, b: str = "x") -> int:
    """Doc."""
    return a


async def coroutine(a: int, b: str = "x") -> int:
    """Doc."""
    await asyncio.sleep(0)
    return a


def generator(a: int, b: str = "x") -> Generator[int, str, str]:
    """Doc."""
    sent = yield a
    yield sent  # type: ignore[misc]
    return b


async def async_generator(a: int, b: str = "x") -> AsyncGenerator[Any, Any]:
    """Doc."""
    sent = yield a
    yield sent


KINDS: list[tuple[Callable[..., Any], Callable[..., bool]]] = [
    (function, inspect.isfunction),
    (coroutine, inspect.iscoroutinefunction),
    (generator, inspect.isgeneratorfunction),
    (async_generator, inspect.isasyncgenfunction),
]
TESTS = [kind for _, kind in KINDS[1:]]


@pytest.mark.parametrize(("bare", "is_kind"), KINDS)
def test_the_decorated_function_looks_like_the_bare_one(
    bare: Callable[..., Any], is_kind: Callable[..., bool]
) -> None:
    decorated = ans.tool("t.looks")(bare)
    assert inspect.isfunction(decorated)
    assert is_kind(decorated)
    assert [test(decorated) for test in TESTS] == [test(bare) for test in TESTS]
    assert inspect.signature(decorated) == inspect.signature(bare)
    assert (decorated.__name__, decorated.__doc__) == (bare.__name__, bare.__doc__)
    assert decorated.__annotations__ == bare.__annotations__


@pytest.mark.parametrize("bare", [bare for bare, _ in KINDS])
def test_carry_keeps_the_kind(bare: Callable[..., Any]) -> None:
    carried = ans.carry(bare)
    assert [test(carried) for test in TESTS] == [test(bare) for test in TESTS]
    assert inspect.signature(carried) == inspect.signature(bare)


def test_a_generator_is_judged_at_its_first_next_and_ends_with_its_last(world: World) -> None:
    guarded = ans.tool("t.gen")(generator)
    with world.acting():
        items = guarded(1)
        assert inspect.isgenerator(items)
        assert world.entries() == [], "nothing is judged before it starts"
        assert next(items) == 1
        assert [(e.effect, e.outcome) for e in world.entries()] == [("allow", None)]
        assert items.send("sent") == "sent"
        with pytest.raises(StopIteration) as stop:
            next(items)
    assert stop.value.value == "x"
    assert world.outcome() == ("returned", "str")


def test_the_authority_of_a_generator_is_that_of_its_making(world: World) -> None:
    guarded = ans.tool("t.gen")(generator)
    outside = guarded(1)
    with world.acting():
        inside = guarded(1)
        with pytest.raises(ans.AccessDenied) as denied:
            next(outside)
        assert denied.value.code == "no_authority"
    with pytest.raises(ans.AccessDenied) as denied:
        next(inside)
    assert denied.value.code == "authority_ended"


def test_a_generator_that_is_closed_or_thrown_into_says_so(world: World) -> None:
    seen: list[BaseException] = []

    @ans.tool("t.gen.thrown")
    def body() -> Generator[int, Any, None]:
        try:
            yield 1
        except ValueError as error:
            seen.append(error)
            yield 2
        except GeneratorExit:
            seen.append(GeneratorExit())
            raise

    with world.acting():
        items = body()
        next(items)
        assert items.throw(error := ValueError("mine")) == 2
        assert seen == [error], "what is thrown in arrives"
        items.close()
        assert world.outcome() == ("raised", "GeneratorExit")
        items = body()
        next(items)
        items.close()
        assert isinstance(seen[-1], GeneratorExit)
        items = body()
        next(items)
        with pytest.raises(ZeroDivisionError):
            items.throw(ZeroDivisionError())
        assert world.outcome() == ("raised", "ZeroDivisionError")
        items = body()
        next(items)
        del items
        gc.collect()
        assert world.outcome() == ("raised", "GeneratorExit")


def test_what_runs_between_two_items_is_not_inside_the_generator(world: World) -> None:
    @ans.tool("t.inner")
    def inner() -> None: ...

    @ans.tool("t.gen.outer")
    def outer() -> Iterator[int]:
        inner()
        yield 1
        inner()
        yield 2

    with world.acting():
        for _ in outer():
            inner()
    gen, *calls = world.entries()
    assert [call.parent for call in calls] == [gen.id, None, gen.id, None]


async def test_an_async_generator_is_judged_and_ended_like_a_generator(world: World) -> None:
    guarded = ans.tool("t.agen")(async_generator)
    with world.acting():
        items = guarded(1)
        assert inspect.isasyncgen(items)
        assert world.entries() == []
        assert await anext(items) == 1
        assert await items.asend("sent") == "sent"
        with pytest.raises(StopAsyncIteration):
            await anext(items)
        assert world.outcome() == ("returned", "None")
        items = guarded(1)
        await anext(items)
        with pytest.raises(KeyError):
            await items.athrow(KeyError("mine"))
        assert world.outcome() == ("raised", "KeyError")
        items = guarded(1)
        await anext(items)
        await items.aclose()
        assert world.outcome() == ("raised", "GeneratorExit")
        late = guarded(1)
    with pytest.raises(ans.AccessDenied):
        await anext(late)


async def test_an_async_generator_handles_what_is_thrown_in(world: World) -> None:
    @ans.tool("t.agen.handles")
    async def body() -> AsyncGenerator[int, None]:
        try:
            yield 1
        except KeyError:
            yield 2

    with world.acting():
        items = body()
        assert await anext(items) == 1
        assert await items.athrow(KeyError()) == 2
        with pytest.raises(StopAsyncIteration):
            await anext(items)
    assert world.outcome() == ("returned", "None")


def test_methods_below_and_above_the_descriptors(world: World) -> None:
    class Bank:
        def __init__(self) -> None:
            self.name = "bank"

        @ans.tool("t.bank.method")
        def method(self, a: int) -> str:
            return f"{self.name} {a}"

        @staticmethod
        @ans.tool("t.bank.static_below")
        def static_below(a: int) -> int:
            return a

        @ans.tool("t.bank.static_above")
        @staticmethod
        def static_above(a: int) -> int:
            return a

        @classmethod
        @ans.tool("t.bank.class_below")
        def class_below(cls, a: int) -> str:
            return f"{cls.__name__} {a}"

        @ans.tool("t.bank.class_above")
        @classmethod
        def class_above(cls, a: int) -> str:
            return f"{cls.__name__} {a}"

        @ans.tool("t.bank.call")
        def __call__(self, a: int) -> int:
            return a

        @property
        @ans.tool("t.bank.prop")
        def prop(self) -> str:
            return self.name

        @ans.tool("t.bank.amethod")
        async def amethod(self, a: int) -> str:
            return self.name

    class Branch(Bank): ...

    with world.acting():
        for owner in (Bank, Branch):
            bank = owner()
            assert bank.method(1) == "bank 1"
            assert owner.method(bank, 1) == "bank 1"
            assert bank.static_below(1) == bank.static_above(1) == bank(1) == 1
            assert bank.class_below(1) == bank.class_above(1) == f"{owner.__name__} 1"
            assert bank.prop == "bank"
            assert asyncio.run(bank.amethod(1)) == "bank"
    recorded = [entry.arguments for entry in world.entries("t.bank.*")]
    assert all(arguments in ({"a": 1}, {}) for arguments in recorded), "no receiver is recorded"
    assert world.effects() == ["allow"] * 18


def test_an_instance_handed_to_a_static_method_is_judged(world: World) -> None:
    """Only what a descriptor bound is left out, never an argument that looks like a receiver."""

    class Wallet:
        @staticmethod
        @ans.tool("t.wallet.pay")
        def pay(wallet: Any) -> None:
            world.ran.append(wallet)

        @ans.tool("t.wallet.keep")
        def keep(self) -> None:
            world.ran.append(self)

    class Liar:
        @property
        def __class__(self) -> Any:
            return Wallet

    with world.acting():
        for call in (
            lambda: Wallet.pay(Wallet()),
            lambda: Wallet().pay(Wallet()),
            lambda: Wallet.keep(Liar()),  # type: ignore[arg-type]
            lambda: Wallet.keep(Wallet),  # type: ignore[arg-type]
        ):
            with pytest.raises(ans.AccessDenied) as denied:
                call()
            assert denied.value.code == "invalid_argument"
    assert world.ran == []


def test_a_metaclass_cannot_break_the_test_for_receivers(world: World) -> None:
    class Meta(type):
        __mro__ = property(lambda cls: 1 / 0)  # type: ignore[assignment]

        def __eq__(cls, other: object) -> bool:
            raise RuntimeError

        def __hash__(cls) -> int:
            raise RuntimeError

        def __instancecheck__(cls, instance: object) -> bool:
            raise RuntimeError

    class Odd(metaclass=Meta): ...

    @ans.tool("t.odd")
    def odd(a: Any) -> None: ...

    with world.acting(), pytest.raises(ans.AccessDenied) as denied:
        odd(Odd())
    assert denied.value.code == "invalid_argument"


def test_partials_lambdas_objects_and_functions_that_others_decorated(world: World) -> None:
    class Adder:
        def __call__(self, a: int, b: int = 2) -> int:
            return a + b

    class AsyncAdder:
        async def __call__(self, a: int) -> int:
            return a

    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    def bare(a: int, b: int) -> int:
        return a + b

    with world.acting():
        assert ans.tool("t.partial")(functools.partial(bare, b=2))(1) == 3
        assert ans.tool("t.lambda")(lambda a: a)(1) == 1
        assert ans.tool("t.object")(Adder())(1) == 3
        assert ans.tool("t.decorated")(logged(bare))(1, b=2) == 3
        made = ans.tool("t.partial.async")(functools.partial(coroutine, b="y"))
        assert inspect.iscoroutinefunction(made)
        assert asyncio.run(made(1)) == 1
        assert asyncio.run(ans.tool("t.object.async")(AsyncAdder())(1)) == 1
    assert [entry.arguments for entry in world.entries()] == [
        {"a": 1, "b": 2},
        {"a": 1},
        {"a": 1, "b": 2},
        {"a": 1, "b": 2},
        {"a": 1, "b": "y"},
        {"a": 1},
    ]


async def test_a_coroutine_in_a_plain_function_ends_when_its_body_does(world: World) -> None:
    @ans.tool("t.inner")
    def inner() -> None: ...

    async def body() -> int:
        inner()
        raise ZeroDivisionError

    def items() -> Iterator[int]:
        inner()
        yield 1

    async def aitems() -> AsyncGenerator[int, None]:
        inner()
        yield 1

    with world.acting():
        pending = ans.tool("t.late")(lambda: body())()
        assert world.outcome("t.late") == (None, None), "the body has not run yet"
        with pytest.raises(ZeroDivisionError):
            await pending
        assert world.outcome("t.late") == ("raised", "ZeroDivisionError")
        assert list(ans.tool("t.late.items")(lambda: items())()) == [1]
        assert [i async for i in ans.tool("t.late.aitems")(lambda: aitems())()] == [1]
    outer = [entry.id for entry in world.entries("t.late.**")]
    outer = [entry.id for entry in world.entries() if entry.tool != "t.inner"]
    assert [entry.parent for entry in world.entries("t.inner")] == outer


@pytest.mark.parametrize(
    "wrong", [5, None, "text", int, object(), min, type("Odd", (), {"__signature__": 5})()]
)
def test_what_cannot_be_decorated_is_told_at_decoration(wrong: Any) -> None:
    with pytest.raises(ans.InvalidInput):
        ans.tool("t.wrong")(wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"name": 5},
        {"name": ""},
        {"name": "a b"},
        {"name": "t.x", "resource": 5},
        {"name": "t.x", "resource": "account/{nobody}"},
        {"name": "t.x", "record": {"a": "shred"}},
        {"name": "t.x", "record": {"nobody": "mask"}},
        {"name": "t.x", "record": {5: "mask"}},
        {"name": "t.x", "record": {"a": 5}},
        {"name": "t.x", "record": "mask"},
        {"name": "t.x", "record": {"a.b": "digest"}},
        {"name": "t.x", "pass_through": "a"},
        {"name": "t.x", "pass_through": 5},
        {"name": "t.x", "pass_through": [5]},
        {"name": "t.x", "pass_through": ["nobody"]},
        {"name": "t.x", "engine": "mine"},
        {"name": "t.x", "resource": "account/{a}", "record": {"a": "mask"}},
    ],
)
def test_wrong_options_are_told_at_decoration(options: dict[str, Any]) -> None:
    with pytest.raises(ans.InvalidInput):
        ans.tool(**options)(lambda a, b=1: a)


def test_a_name_is_replaced_by_the_same_function_and_kept_from_another(world: World) -> None:
    def make(value: int) -> Callable[[], int]:
        @ans.tool("t.notebook")
        def cell() -> int:
            return value

        return cell

    first, second = make(1), make(2)
    with world.acting():
        assert (first(), second()) == (1, 2)

    with pytest.raises(ans.InvalidInput, match=r"belongs to test_guard_kinds\..*cell"):
        ans.tool("t.notebook")(function)
    del first, second
    assert ans.tool("t.notebook")(function), "what nobody can call holds no name"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, ZeroDivisionError])
def test_whatever_a_body_raises_is_recorded_and_arrives_itself(
    world: World, error: type[BaseException]
) -> None:
    raised = error("mine")

    @ans.tool("t.raises")
    def body() -> None:
        raise raised

    @ans.tool("t.araises")
    async def abody() -> None:
        raise raised

    with world.acting():
        with pytest.raises(error) as caught:
            body()
        assert caught.value is raised
        assert world.outcome("t.raises") == ("raised", error.__name__)
        with pytest.raises(error) as caught:
            abody().send(None)  # Without a loop, as other frameworks drive coroutines.
        assert caught.value is raised
        assert world.outcome("t.araises") == ("raised", error.__name__)
