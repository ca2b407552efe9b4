"""What leaves a tool that redacts: every kind of value, every field of an exception."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import enum
import io
import re
import subprocess
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import pydantic
import pytest
from guarding import World

import answerable as ans
from answerable import redacting

SECRET = "sk-live-Zq9/w+7=äöü"
CLEAN = "(credential bank-api)"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.engine.vault.put("bank-api", SECRET, for_tools=["t.**"], by=world.alice)
    world.engine.vault.put("number", "9876543210", for_tools=["t.**"], by=world.alice)
    yield world
    world.engine.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    text: str
    more: Any = None


class Plain:
    def __init__(self) -> None:
        self.text = SECRET
        self.inner = {SECRET: [Answer("x", SECRET)]}


class Hidden:
    __slots__ = ("__text",)

    def __init__(self) -> None:
        self.__text = SECRET

    def text(self) -> str:
        return self.__text


class Model(pydantic.BaseModel):
    model_config = {"extra": "allow"}
    text: str
    _private: str = pydantic.PrivateAttr(default=SECRET)


class Word(enum.Enum):
    SECRET = SECRET


class Sly(list[str]):
    """Shows nothing of what it holds."""

    def __iter__(self) -> Iterator[str]:
        return iter(())


Pair = collections.namedtuple("Pair", "first second")

VALUES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "dataclass": (lambda: Answer(SECRET, [SECRET]), dataclasses.astuple),
    "object": (Plain, lambda made: (made.text, made.inner)),
    "slots": (Hidden, Hidden.text),
    "pydantic": (lambda: Model(text=SECRET, more=SECRET), lambda m: (m, m._private)),
    "enum": (lambda: Word.SECRET, lambda made: getattr(made, "value", made)),
    "key": (lambda: {(SECRET,): 1}, dict),
    "namedtuple": (lambda: Pair(1, SECRET), tuple),
    "deque": (lambda: collections.deque([SECRET], 3), list),
    "ordered": (lambda: collections.OrderedDict({"a": SECRET}), dict),
    "default": (lambda: collections.defaultdict(list, {"a": [SECRET]}), dict),
    "proxy": (lambda: types.MappingProxyType({"a": SECRET}), dict),
    "bytearray": (lambda: bytearray(SECRET.encode()), lambda made: made),
    "memoryview": (lambda: memoryview(SECRET.encode()), lambda made: made),
    "path": (lambda: PurePosixPath("/keys") / SECRET, str),
    "number": (lambda: [9876543210, Decimal("9876543210"), 9876543210.0], list),
    "sly": (lambda: Sly([SECRET]), list.copy),
    "exception": (lambda: [ValueError(SECRET)], str),
}


@pytest.mark.parametrize("kind", VALUES)
def test_every_kind_of_value_is_searched(world: World, kind: str) -> None:
    make, look = VALUES[kind]

    @ans.tool("t.give", redact_result=True)
    def give() -> Any:
        return make()

    with world.acting():
        given = give()
    shown = repr(look(given))
    assert SECRET not in shown
    assert repr(SECRET)[1:-1] not in shown
    assert "9876543210" not in shown
    assert "credential" in shown or kind == "enum"
    assert SECRET in repr(look(make())) or kind in ("number", "bytearray", "memoryview")


def test_what_holds_no_secret_is_the_very_same(world: World) -> None:
    cyclic: list[Any] = [1]
    cyclic.append(cyclic)
    for value in (Answer("x"), cyclic, {"a": (1, 2.5, None)}, Model.model_construct(text="x"), len):
        if isinstance(value, Model):
            value._private = "y"
        assert world.engine.vault.redact(value) is value


class Text(str):
    pass


class Number(int):
    pass


class Share(float):
    pass


class Octets(bytes):
    pass


class Marked(enum.Enum):
    ONE = 1


def marked(value: Any) -> Any:
    """A value with an attribute of somebody's own that holds a secret."""
    value.more = [SECRET]
    return value


CANNOT: dict[str, Callable[[], Any]] = {
    "an attribute of text": lambda: marked(Text("x")),
    "an attribute of a number": lambda: [marked(Number(1))],
    "an attribute of a share": lambda: {"a": marked(Share(1.5))},
    "an attribute of bytes": lambda: marked(Octets(b"x")),
    "an attribute of a member": lambda: marked(Marked.ONE),
    "a bound method": lambda: Hidden().text,
    "a bound built-in": lambda: [SECRET].append,
    "a factory": lambda: collections.defaultdict(Hidden().text, {"a": 1}),
    "the name of a zone": lambda: [datetime.timezone(datetime.timedelta(0), SECRET)],
    "the name of a datetime's zone": lambda: datetime.datetime(
        2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(0), SECRET)
    ),
    "a view of what is no bytes": lambda: memoryview(array.array("b", SECRET.encode())),
    "stream": lambda: io.StringIO(SECRET),
    "pattern": lambda: [re.compile(re.escape(SECRET))],
    "generator": lambda: (one for one in [SECRET]),
    "iterator": lambda: {"a": iter([SECRET])},
    "a subclass of a stream": lambda: type("Own", (io.BytesIO,), {})(SECRET.encode()),
}


@pytest.mark.parametrize("kind", CANNOT)
def test_what_cannot_be_searched_does_not_leave_the_tool(world: World, kind: str) -> None:
    @ans.tool("t.give", redact_result=True)
    def give() -> Any:
        return CANNOT[kind]()

    with world.acting(), pytest.raises(ans.VaultError) as refused:
        give()
    Marked.ONE.__dict__.pop("more", None)
    assert refused.value.code == "not_searched"
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def failing(key: str) -> BaseException:
    """An exception whose traceback leads to a frame with a secret among its variables."""
    try:
        raise ValueError(len(key))
    except ValueError as error:
        return error


RETURNED: dict[str, Callable[[], Any]] = {
    "an exception": lambda: {"error": failing(SECRET)},
    "one in another": lambda: RuntimeError("x", [failing(SECRET)]),
    "its traceback": lambda: [failing(SECRET).__traceback__],
    "its context": lambda: chained(failing(SECRET)),
}


def chained(error: BaseException) -> BaseException:
    made = KeyError("x")
    made.__context__ = error
    return made


def frames_of(value: Any) -> list[types.FrameType]:
    if isinstance(value, types.TracebackType):
        return [value.tb_frame, *frames_of(value.tb_next)]
    if isinstance(value, BaseException):
        inner = [value.__traceback__, value.__cause__, value.__context__, *value.args]
        return [frame for one in inner for frame in frames_of(one)]
    if isinstance(value, (list, dict)):
        items = value.values() if isinstance(value, dict) else value
        return [frame for one in items for frame in frames_of(one)]
    return []


@pytest.mark.parametrize("kind", RETURNED)
def test_an_exception_that_is_returned_leads_to_no_secret(world: World, kind: str) -> None:
    @ans.tool("t.give", redact_result=True)
    def give() -> Any:
        return RETURNED[kind]()

    with world.acting():
        frames = frames_of(give())
    assert any(frame.f_code is failing.__code__ for frame in frames)
    assert SECRET not in "".join(repr(frame.f_locals) for frame in frames)


def test_a_view_of_a_part_of_a_secret_is_the_secret(world: World) -> None:
    whole = SECRET.encode()
    assert world.engine.vault.redact(memoryview(whole)[:3]) == "(credential)"
    short = memoryview(b"harmless")[:3]
    assert world.engine.vault.redact(short) is short
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)  # noqa: UP017
    assert world.engine.vault.redact(noon) is noon


def test_what_has_attributes_without_secrets_leaves_the_tool_as_it_is(world: World) -> None:
    text = Text("x")
    text.more = ["y"]  # type: ignore[attr-defined]
    factory = collections.defaultdict(list, {"a": [text]})
    for value in (text, Number(1), Share(0.5), Octets(b"x"), Marked.ONE, Answer("x").__repr__,
                  [1].append, factory, re.escape):  # fmt: skip
        assert world.engine.vault.redact(value) is value


def os_error() -> None:
    open(f"/nowhere/{SECRET}")  # noqa: PTH123, SIM115 - the field of the exception is meant.


def syntax_error() -> None:
    raise SyntaxError(SECRET, ("file", 1, 1, SECRET))


def encode_error() -> None:
    SECRET.encode("ascii")


def attribute_error() -> None:
    getattr(Answer(SECRET), SECRET)


def import_error() -> None:
    raise ImportError(SECRET, name=SECRET, path=SECRET)


def noted() -> None:
    error = ValueError("x")
    error.add_note(SECRET)
    raise error


def with_field() -> None:
    error = ValueError("x")
    error.answer = Answer(SECRET)  # type: ignore[attr-defined]
    error.stream = io.StringIO(SECRET)  # type: ignore[attr-defined]
    raise error


def caused() -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise ValueError("x") from error


def in_context() -> None:
    try:
        raise KeyError(SECRET)
    except KeyError:
        raise ValueError("x") from None


def grouped() -> None:
    inner = ExceptionGroup("inner", [KeyError(SECRET)])
    raise ExceptionGroup(f"all of {SECRET}", [ValueError(SECRET), inner])


def in_a_variable() -> None:
    kept = SECRET
    raise ValueError(len(kept))


RAISED = [
    os_error, syntax_error, encode_error, attribute_error, import_error, noted, with_field, caused,
    in_context, grouped, in_a_variable,
]  # fmt: skip


def all_of(error: BaseException) -> str:
    """An exception with all that hangs on it, and the variables of its frames."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown = ["".join(whole.format()), repr(error), repr(vars(error)), repr(error.args)]
    for name in ("filename", "msg", "text", "object", "obj", "name", "path", "strerror"):
        shown.append(repr(getattr(error, name, None)))
    for other in (error.__cause__, error.__context__):
        if other is not None:
            shown.append(all_of(other))
    return "".join(shown)


def told(raises: Callable[[], Any]) -> str:
    """All of what something raises."""
    try:
        raises()
    except Exception as error:  # noqa: BLE001 - each raises its own.
        return all_of(error)
    return "nothing was raised"


@pytest.mark.parametrize("raises", RAISED)
@pytest.mark.parametrize("kind", ["plain", "generator"])
def test_every_field_of_an_exception_is_searched(
    world: World, raises: Callable[[], None], kind: str
) -> None:
    @ans.tool("t.plain", redact_result=True)
    def plain() -> None:
        raises()

    @ans.tool("t.generator", redact_result=True)
    def generator() -> Iterator[int]:
        yield 1
        raises()

    assert SECRET in told(raises)
    with world.acting():
        shown = told(plain if kind == "plain" else lambda: list(generator()))
    assert SECRET not in shown
    assert "nothing was raised" not in shown
    assert CLEAN in shown or raises in (in_a_variable, encode_error)


def many_causes() -> None:
    error: BaseException = ValueError(SECRET)
    for number in range(5_000):
        made = ValueError(f"{SECRET} {number}")
        made.__cause__ = error if number % 2 else None
        made.__context__ = error
        error = made
    raise error


def in_a_ring() -> None:
    first, second = ValueError(SECRET), KeyError(SECRET)
    first.__cause__, second.__context__ = second, first
    raise first


def deep_in_arguments() -> None:
    error = ValueError(SECRET)
    for _ in range(5_000):
        error = ValueError(error)
    raise ValueError(error) from KeyError(SECRET)


def deep_in_groups() -> None:
    error: Exception = ValueError(SECRET)
    for _ in range(5_000):
        error = ExceptionGroup(SECRET, [error])
    raise error


def deep_in_notes() -> None:
    note: Any = SECRET
    for _ in range(50_000):
        note = [note]
    error = ValueError("x")
    error.__notes__ = note
    raise error


def a_group_in_its_own_context() -> None:
    inner = ValueError("x")
    inner.__context__ = ExceptionGroup(SECRET, [inner])
    raise inner.__context__


class Cunning(type):
    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError(SECRET)


class Stubborn(Exception, metaclass=Cunning):
    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError(SECRET)


def that_resists() -> None:
    raise Stubborn from KeyError(SECRET)


def all_reached(error: BaseException) -> list[BaseException]:
    """An exception and all that its causes, contexts, groups and arguments lead to."""
    todo, found = [error], {}
    while todo:
        one = todo.pop()
        if id(one) in found:
            continue
        found[id(one)] = one
        inner = [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
        arguments = () if isinstance(one, Stubborn) else one.args
        todo.extend(each for each in (*inner, *arguments) if isinstance(each, BaseException))
    return list(found.values())


SHAPES = {
    many_causes: 5_001, in_a_ring: 2, deep_in_arguments: 1, deep_in_groups: 1, deep_in_notes: 1,
    a_group_in_its_own_context: 1, that_resists: 1,
}  # fmt: skip


@pytest.mark.parametrize("raises", SHAPES)
def test_an_exception_of_any_shape_leads_to_no_secret(
    world: World, raises: Callable[[], None]
) -> None:
    tool = ans.tool("t.shape", redact_result=True)(raises)
    raised: BaseException | None = None
    with world.acting():
        try:
            tool()
        except BaseException as error:  # noqa: BLE001 - each raises its own.
            raised = error
    assert raised is not None
    reached = all_reached(raised)
    assert len(reached) == SHAPES[raises]
    for error in reached:
        assert SECRET not in f"{error!r} {error!s} {vars(error)!r}"
    if len(reached) == 1 and raises is not deep_in_notes:
        assert getattr(raised, "code", None) == "not_searched"
        assert raised.__context__ is None
        assert raised.__cause__ is None


def test_an_interrupt_while_searching_leads_to_no_secret(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    @ans.tool("t.slow", redact_result=True)
    def slow() -> None:
        raise ValueError(SECRET)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(redacting, "_let_go", interrupted)
    with world.acting(), pytest.raises(KeyboardInterrupt) as raised:
        slow()
    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


def test_a_second_rotation_ends_the_overlap_of_the_first(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store", clock="2026-01-01T00:00:00Z") as engine:
        alice = engine.humans.register("alice")
        engine.vault.put("key", "the-first-one", for_tools="t.**", by=alice)
        engine.vault.rotate("key", "the-second-one", overlap="1h", by=alice)
        engine.vault.rotate("key", "the-third-one", overlap="10m", by=alice)
        ends = [one["until"] for one in engine.vault.history("key")]
        assert [end and end.isoformat() for end in ends] == [
            "2026-01-01T00:10:00+00:00", "2026-01-01T00:10:00+00:00", None,
        ]  # fmt: skip
        # And never makes it longer.
        engine.vault.rotate("key", "the-fourth-one", overlap="1d", by=alice)
        ends = [one["until"] for one in engine.vault.history("key")]
        assert [end and end.isoformat() for end in ends] == [
            "2026-01-01T00:10:00+00:00", "2026-01-01T00:10:00+00:00",
            "2026-01-02T00:00:00+00:00", None,
        ]  # fmt: skip


def test_a_second_rotation_without_overlap_ends_a_running_lease(world: World) -> None:
    seen: list[str] = []

    @ans.tool("t.use", credential="bank-api")
    def use() -> None:
        credential = ans.credential("bank-api")
        world.engine.vault.rotate("bank-api", "the-second-one", overlap="1h", by=world.alice)
        seen.append(credential.reveal())
        world.engine.vault.rotate("bank-api", "the-third-one", by=world.alice)
        with pytest.raises(ans.VaultError) as ended:
            credential.reveal()
        seen.append(ended.value.code)

    with world.acting():
        use()
    assert seen == [SECRET, "lease_ended"]


def test_what_another_process_says_is_masked_where_the_store_is_held(world: World) -> None:
    code = """
import sys
import answerable as ans

engine, secret = ans.open(sys.argv[1]), sys.argv[2]
assert engine.attached
engine.halt(reason=f"because of {secret}", tool="never.*")
agent = engine.agents.issue(
    "other", owner="alice@example.com", purpose=secret, ttl="1h", ceiling=[ans.allow("t.**")]
)
print(agent.purpose)
try:
    print(engine.vault.redact(secret))
except ans.StoreBusy as error:
    print(error.code)
engine.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(world.engine.path), SECRET],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split("\n") == [CLEAN, "store_attached", ""], done.stderr
    assert SECRET not in world.everything()
    assert SECRET not in repr(world.engine.halts())
