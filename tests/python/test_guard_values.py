"""Values: what has a canonical form is judged, recorded and passed on; the rest is denied."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import http
import sys
import threading
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import pydantic
import pytest
from guarding import World

import answerable as ans


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("values"), durability="relaxed")
    with world.acting():
        yield world
    world.engine.close()


received: list[Any] = []


@ans.tool("t.value")
def take(value: Any) -> None:
    received.append(value)


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    A = "a"


class Bits(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Plain:
    a: int
    b: list[int] = dataclasses.field(default_factory=list)
    c: ClassVar[int] = 5
    d: dataclasses.InitVar[int] = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: int
    b: dict[str, int]


@dataclasses.dataclass
class Child(Plain):
    e: str = "e"

    @functools.cached_property
    def size(self) -> int:
        return len(self.b)


class Model(pydantic.BaseModel):
    a: int
    b: list[Plain] = []


class Open(pydantic.BaseModel, extra="allow"):
    a: int
    inner: Model | None = None


class FrozenModel(pydantic.BaseModel, frozen=True):
    a: int


class Coloured(str, enum.Enum):  # noqa: UP042 - as many write it.
    RED = "red"


class Rate(float, enum.Enum):
    HALF = 0.5


class Price(Decimal, enum.Enum):
    ONE = "1.10"


class Pair(tuple[int, int], enum.Enum):
    A = (1, 2)


class Day(dt.datetime, enum.Enum):
    FIRST = (2026, 1, 1, 0, 0, 0, 0, dt.UTC)


class Raw(bytes, enum.Enum):
    A = b"a"


class Modes(enum.IntFlag):
    READ = 1


@dataclasses.dataclass(frozen=True)
class Size:
    width: int
    unit: ClassVar[str] = "mm"


class Sized(Size, enum.Enum):
    SMALL = 1


GOOD: list[Any] = [
    None, True, False, 0, -1, 2**4000, -(2**4000), 1.5, -0.0, 1e308, "", "é\u0000\U0001f600",
    b"", b"\x00\xff",
    Decimal("1.10"), Decimal("-0"), Decimal("1e-20"), uuid.UUID(int=5),
    Colour.RED, Number.ONE, Word.A, Coloured.RED, Rate.HALF, Price.ONE, Pair.A, Day.FIRST, Raw.A,
    Modes.READ, http.HTTPStatus.OK, Sized.SMALL,
    Bits.A, Bits.A | Bits.B, dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC),
    [], [[], [1]], (), (1, (2,)), {}, {"": None, "a.b": [1]}, {"a": {"b": {"c": ()}}},
    Plain(1, [2]), Frozen(1, {"a": 2}), Child(1, [2], e="x"), [Plain(1)],
    Model(a=1, b=[Plain(2, [3])]), FrozenModel(a=1), Open(a=1, z=[1], inner=Model(a=2)),
]  # fmt: skip


@pytest.mark.parametrize("value", GOOD, ids=lambda value: f"{type(value).__name__}")
def test_a_value_is_judged_recorded_and_passed_on(world: World, value: Any) -> None:
    received.clear()
    take(value)
    (got,) = received
    assert type(got) is type(value)
    assert got == value
    assert "value" in world.entries("t.value")[-1].arguments
    if not isinstance(value, (int, str, bytes, float, type(None), enum.Enum, Decimal, uuid.UUID)):
        immutable = isinstance(value, dt.datetime) or value == ()
        assert got is not value or immutable, "what can change is a snapshot"


def recursive_list() -> Any:
    items: list[Any] = []
    items.append(items)
    return items


def recursive_dict() -> Any:
    items: dict[str, Any] = {}
    items["self"] = items
    return items


def wide() -> Any:
    items: list[Any] = [1]
    for _ in range(20):
        items = [items, items, items]
    return items


class IntChild(int): ...


class StrChild(str): ...


class Lying:
    """Claims to be text, and breaks whatever asks."""

    @property
    def __class__(self) -> Any:
        return str

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __str__(self) -> str:
        raise RuntimeError("str")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class LyingEnum:
    _name_ = "RED"
    _value_ = "red"

    @property
    def __class__(self) -> Any:
        return Colour


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)


class Hostile(metaclass=Meta): ...


class Undeclared(Plain):
    """A child of a dataclass that is none itself."""


class Private(pydantic.BaseModel):
    a: int
    _secret: str = pydantic.PrivateAttr(default="s")


class Slotted:
    __slots__ = ("hidden",)


@dataclasses.dataclass(slots=True)
class WithSlot(Slotted):
    a: int = 1


@dataclasses.dataclass
class Text(str):
    a: int = 1


def with_attribute() -> Any:
    value = Plain(1)
    value.extra = 5  # type: ignore[attr-defined]
    return value


def with_slot() -> Any:
    value = WithSlot()
    value.hidden = 5
    return value


def unset() -> Any:
    value = Plain(1)
    del value.a
    return value


def model_with_attribute() -> Any:
    value = Model(a=1)
    value.__dict__["extra"] = 5
    return value


BAD: list[tuple[Any, str]] = [
    (object(), "object"),
    (Lying(), "Lying"),
    (LyingEnum(), "LyingEnum"),
    (Hostile(), "type"),
    (int, "type"),
    (IntChild(1), "pass int"),
    (StrChild("a"), "pass str"),
    (OrderedDict(a=1), "pass dict"),
    (defaultdict(list), "pass dict"),
    (type("Named", (tuple,), {})(), "pass tuple"),
    (float("nan"), "NaN"),
    (float("inf"), "infinities"),
    (Decimal("NaN"), "NaN"),
    (Decimal("sNaN"), "NaN"),
    (Decimal("-Infinity"), "infinities"),
    (Decimal("1e999999"), ""),
    (dt.date(2026, 1, 1), "datetime.date"),
    (dt.datetime(2026, 1, 1), "zone"),
    (dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))), "years 1 to 9999"),
    (dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=14))), "years 1 to 9999"),
    (dt.timedelta(1), "timedelta"),
    (Bits(0), "flag"),
    (2**5000, "4,096 bits"),
    (10**5000, "4,096 bits"),
    ("\ud800", "surrogates"),
    ({"\ud800": 1}, "surrogates"),
    ("x" * 10_000_000, "1 MiB"),
    (b"x" * 10_000_000, "1 MiB"),
    ([1] * 200_000, "100,000"),
    (recursive_list(), "holds itself"),
    (recursive_dict(), "holds itself"),
    (wide(), "100,000"),
    ({1: 2}, "not str"),
    ({StrChild("a"): 2}, "not str"),
    ({"a": {"b": [object()]}}, ".a.b[0]: a value of type object"),
    ({1, 2}, "set"),
    (bytearray(b"a"), "bytearray"),
    (memoryview(b"a"), "memoryview"),
    (range(3), "range"),
    (lambda: 1, "function"),
    (Undeclared(1), "Undeclared"),
    (with_attribute(), "`extra`"),
    (with_slot(), "`hidden`"),
    (unset(), "AttributeError"),
    (Text(), "Text"),
    (Private(a=1), "private"),
    (model_with_attribute(), "`extra`"),
]


@pytest.mark.parametrize(("value", "says"), BAD, ids=range(len(BAD)))
def test_what_has_no_canonical_form_is_denied_by_name(world: World, value: Any, says: str) -> None:
    received.clear()
    for wrapped in (value, [value], {"key": value}):
        with pytest.raises(ans.AccessDenied) as denied:
            take(wrapped)
        assert denied.value.code == "invalid_argument"
        assert says in str(denied.value)
        assert len(str(denied.value)) < 1000
        entry = world.entries("t.value")[-1]
        assert (entry.id, entry.effect) == (denied.value.decision.entry, "deny")
    assert received == []


def stating(base: type, held: tuple[Any, ...], stated: Any) -> Any:
    """A member that is one thing, and states that it is another."""

    def new(cls: Any, *_: Any) -> Any:
        made = base.__new__(cls, *held)
        made._value_ = stated
        return made

    namespace = enum.EnumMeta.__prepare__("Stating", (base, enum.Enum))
    namespace["__new__"] = new
    namespace["__init__"] = lambda self, *_: None
    namespace["ONE"] = "one"
    return enum.EnumMeta("Stating", (base, enum.Enum), namespace)["ONE"]  # type: ignore[misc]


class Overriding(int):
    """Says of itself what its enumeration states."""

    def bit_length(self) -> int:
        return 3

    def to_bytes(self, *_: Any, **__: Any) -> bytes:
        return b"\x05"

    def __index__(self) -> int:
        return 5


def mutated() -> Any:
    class Changed(Size, enum.Enum):
        SMALL = 1

    object.__setattr__(Changed.SMALL, "width", 500)
    return Changed.SMALL


LYING: list[Any] = [
    stating(int, (1_000_000,), 5),
    stating(int, (2**100,), 5),
    stating(Overriding, (2**100,), 5),
    stating(int, (1,), True),
    stating(int, (1,), 1.0),
    stating(int, (5,), "5"),
    stating(str, ("b",), "a"),
    stating(float, (1e9,), 5.0),
    stating(float, (5.0,), 5),
    stating(float, (float("nan"),), 5.0),
    stating(float, (-0.0,), 0.0),
    stating(bytes, (b"b",), b"a"),
    stating(tuple, ([1, 2],), (1,)),
    stating(Decimal, ("5000",), Decimal(5)),
    stating(dt.datetime, (2026, 1, 2, 0, 0, 0, 0, dt.UTC), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
    stating(dt.date, (2026, 1, 2), 5),
    stating(list, ([1],), [1]),
    stating(dict, ({"a": 1},), {"a": 1}),
    stating(frozenset, ([5000],), 5),
    stating(complex, (5000,), 5),
    mutated(),
]


@pytest.mark.parametrize("value", LYING, ids=range(len(LYING)))
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"k": (v,)}])
def test_a_member_that_states_what_it_is_not_is_denied(world: World, value: Any, wrap: Any) -> None:
    @ans.tool("t.declared")
    def declared(a: int | str | float | None = None, b: Any = None) -> None:
        received.append(a)

    received.clear()
    for call in (lambda: declared(wrap(value)), lambda: declared(b=wrap(value))):
        with pytest.raises(ans.AccessDenied) as denied:
            call()
        assert denied.value.code == "invalid_argument"
    if not isinstance(value, (list, dict)):  # These are no keys.
        with pytest.raises(ans.AccessDenied):
            declared(b={value: 1})
    assert received == []


def test_numpy_scalars_are_denied_by_name(world: World) -> None:
    numpy = pytest.importorskip("numpy")
    for scalar in (numpy.float64(1), numpy.int64(1), numpy.str_("a"), numpy.array([1])):
        with pytest.raises(ans.AccessDenied, match="numpy"):
            take(scalar)


def test_the_body_receives_what_was_judged_while_another_thread_changes_it(world: World) -> None:
    nested = {"items": [0] * 50, "amount": 0}
    stop, changed = threading.Event(), threading.Event()

    def mutate() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            changed.set()
            nested["items"] = [count] * (count % 60)  # type: ignore[assignment]
            nested["amount"] = count
            nested[f"k{count % 7}"] = count
            nested.pop(f"k{(count + 3) % 7}", None)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=mutate)
    thread.start()
    received.clear()
    before = len(world.entries("t.value"))
    try:
        for number in range(300):
            if number % 100 == 0:  # However little the other thread gets to run.
                changed.clear()
                assert changed.wait(300)
            take(nested)
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    recorded = [entry.arguments["value"] for entry in world.entries("t.value")[before:]]
    assert received == recorded
    assert len({str(value) for value in received}) > 1, "it did change meanwhile"


def test_a_snapshot_is_the_bodys_own(world: World) -> None:
    @ans.tool("t.mutates")
    def mutates(items: list[int], more: Plain, model: Model) -> None:
        items.append(1)
        more.b.append(1)
        model.b.append(Plain(5))

    items, more, model = [0], Plain(1), Model(a=1)
    mutates(items, more, model)
    assert (items, more, model) == ([0], Plain(1), Model(a=1))


def test_a_default_that_can_change_is_passed_on_as_it_was_judged(world: World) -> None:
    default: list[int] = []
    marker = object()

    @ans.tool("t.defaults", pass_through=["ref"])
    def body(
        place: Any = default,
        /,
        a: Any = default,
        *,
        b: Any = 5,
        ref: Any = default,
        odd: Any = marker,
    ) -> tuple[Any, ...]:
        return place, a, b, ref, odd

    place, a, b, ref, odd = body()
    assert place == a == []
    assert default is not place
    assert default is not a
    assert ref is default, "what goes by reference is the thing itself"
    assert (b, odd) == (5, marker)
    assert world.entries("t.defaults")[-1].arguments["a"] == []
    default.append(1)
    assert body()[:2] == ([1], [1]), "a default is read when the call is made"
    assert body([2], a=3)[:2] == ([2], 3)
    assert world.entries("t.defaults")[-2].arguments["a"] == [1]


def test_pass_through_goes_by_reference_and_is_recorded_by_type(world: World) -> None:
    client = object()

    @ans.tool("t.reference", pass_through=["client", "rest", "more"])
    def body(a: int, client: Any, *rest: Any, **more: Any) -> list[Any]:
        return [client, *rest, *more.values()]

    assert body(1, client, client, client, z=client) == [client] * 4
    recorded = world.engine.trail.story(world.entries("t.reference")[-1])
    assert "object" in str(recorded)


@pytest.mark.parametrize(
    "call",
    [
        lambda f: f(),
        lambda f: f(1, 2, 3),
        lambda f: f(1, a=1),
        lambda f: f(1, c=1),
        lambda f: f(**{"a": 1, "\ud800": 2}),
        lambda f: f(**{StrChild("a"): 1, StrChild("c"): 2}),
    ],
)
def test_a_call_that_does_not_fit_is_a_recorded_deny(world: World, call: Any) -> None:
    @ans.tool("t.fit")
    def fit(a: int, b: int = 0) -> None:
        received.append(a)

    received.clear()
    with pytest.raises(ans.AccessDenied) as denied:
        call(fit)
    assert denied.value.code == "invalid_argument"
    assert world.entries("t.fit")[-1].id == denied.value.decision.entry
    assert received == []
