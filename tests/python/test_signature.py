"""What a tool's signature says of its arguments to whoever writes policies."""

from __future__ import annotations

import enum
import functools
import inspect
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, NotRequired, Optional, TypedDict

import pytest

from answerable.signature import declaration

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]

Account = NewType("Account", str)


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Mixed(enum.Enum):
    TEXT = "s"
    NUMBER = 1


@dataclass
class Line:
    net: Decimal
    text: str | None = None


class Options(TypedDict):
    urgent: bool
    note: NotRequired[str]


@dataclass
class Tree:
    children: list[Tree]


def declared(function: Any, **facts: Any) -> dict[str, Any]:
    return declaration(function, inspect.signature(function), **facts)


def kinds(function: Any) -> dict[str, Any]:
    return {name: one["type"] for name, one in declared(function)["arguments"].items()}


def required(function: Any) -> set[str]:
    told = declared(function)["arguments"]
    return {name for name, one in told.items() if one["required"]}


def test_types_with_a_form_are_told() -> None:
    def tool(
        text: str,
        whole: int,
        number: float,
        exact: Decimal,
        both: int | Decimal,
        flag: bool,
        at: datetime,
        key: uuid.UUID,
        account: Account,
        tagged: Annotated[str, "a note"],
        size: Size,
        word: Literal["a", "b"],
        texts: list[str],
        pairs: tuple[int, int],
        many: Sequence[int],
        line: Line,
        options: Options,
    ) -> None: ...

    assert kinds(tool) == {
        "text": "str",
        "whole": "int",
        "number": "float",
        "exact": "float",
        "both": "float",
        "flag": "bool",
        "at": "datetime",
        "key": "uuid",
        "account": "str",
        "tagged": "str",
        "size": {"literal": ["s", "l"]},
        "word": {"literal": ["a", "b"]},
        "texts": {"list": "str"},
        "pairs": {"list": "int"},
        "many": {"list": "int"},
        "line": {
            "record": {
                "net": {"type": "float", "required": True},
                "text": {"type": "str", "required": False},
            }
        },
        "options": {
            "record": {
                "urgent": {"type": "bool", "required": True},
                "note": {"type": "str", "required": False, "not_none": True},
            }
        },
    }
    assert required(tool) == set(kinds(tool))


def test_what_may_be_none_is_not_required() -> None:
    def tool(
        given: str,
        maybe: str | None,
        old: Optional[int],  # noqa: UP045 - people write it so.
        default: str = "",
        nothing: str = None,  # type: ignore[assignment]  # noqa: RUF013 - as above.
    ) -> None: ...

    assert kinds(tool) == dict.fromkeys(("given", "maybe", "default", "nothing"), "str") | {
        "old": "int"
    }
    assert required(tool) == {"given", "default"}


@pytest.mark.parametrize(
    ("hint", "why"),
    [
        (inspect.Parameter.empty, "no type hint"),
        (Any, "leaves the type open"),
        (bytes, "no form"),
        (dict[str, int], "no form"),
        (set[str], "no form"),
        (int | str, "choice of several"),
        (None, "no form"),
        (list, "of what"),
        (list[int | None], "may be None"),
        (tuple[int, str], "several types"),
        (Mixed, "several types"),
        (object(), "no form"),
    ],
)
def test_types_without_a_form_say_why(hint: Any, why: str) -> None:
    def tool(it): ...  # type: ignore[no-untyped-def]

    if hint is not inspect.Parameter.empty:
        tool.__annotations__["it"] = hint
    (kind,) = kinds(tool).values()
    assert why in kind["other"]


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@pytest.mark.parametrize(
    ("hint", "kind"),
    [
        (Literal["a", "b"] | Literal["c"], {"literal": ["a", "b", "c"]}),
        (Literal["a"] | str, "str"),
        (Size | Literal["x"] | None, {"literal": ["s", "l", "x"]}),
        (Literal[Size.SMALL], {"literal": ["s"]}),
        (Literal[1, 2, 1], {"literal": [1, 2]}),
        (Literal[True], {"literal": [True]}),
        (list[Literal["a", "b"]], {"list": {"literal": ["a", "b"]}}),
        (tuple[Literal["a"], str], {"list": "str"}),
        (Access, "int"),
    ],
)
def test_a_choice_of_values_is_told_by_its_values(hint: Any, kind: Any) -> None:
    def tool(it): ...  # type: ignore[no-untyped-def]

    tool.__annotations__["it"] = hint
    (told,) = kinds(tool).values()
    assert told == kind
    assert (
        [type(one) for one in told.get("literal", [])]
        == [  # True is not 1.
            type(one) for one in kind.get("literal", [])
        ]
        if isinstance(kind, dict)
        else True
    )


@pytest.mark.parametrize(
    "hint",
    [
        Literal["a", 1],
        Literal[1, True],
        Literal[b"x"],
        Literal["a"] | int,
        Literal["a"] | Literal[1],
        Literal["a"] | list[str],
        Literal[2**63],
        Literal["\ud800"],
        Literal[tuple(f"v{number}" for number in range(1_001))],
        Literal["x" * 8_001],
    ],
)
def test_a_choice_of_other_values_is_out_of_reach(hint: Any) -> None:
    def tool(it): ...  # type: ignore[no-untyped-def]

    tool.__annotations__["it"] = hint
    (told,) = kinds(tool).values()
    assert list(told) == ["other"]


def test_a_name_that_is_not_there_costs_one_argument_only() -> None:
    def tool(known: int, unknown: Unknown) -> None: ...

    told = kinds(tool)
    assert told["known"] == "int"
    assert "not there at run time" in told["unknown"]["other"]


def test_a_type_that_holds_itself_ends() -> None:
    def tool(tree: Tree) -> None: ...

    assert "nests too deep" in str(kinds(tool))


def test_gathered_arguments_and_those_by_reference() -> None:
    def tool(client: Any, *rest: str, **more: int) -> None: ...

    told = declared(tool, pass_through=["client"])
    assert told["open"] is True
    assert told["arguments"]["rest"] == {"type": {"list": "str"}, "required": True}
    assert "by reference" in told["arguments"]["client"]["type"]["other"]
    assert "more" not in told["arguments"]


def test_callables_that_are_no_functions() -> None:
    def tool(a: int, b: str) -> None: ...

    class Callable:
        def __call__(self, a: int) -> None: ...

    assert kinds(functools.partial(tool, b="x")) == {"a": "int", "b": "str"}
    assert kinds(Callable()) == {"a": "int"}
