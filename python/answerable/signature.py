"""What a tool's signature says of its arguments' types, for the schema that policies are held to.

A type is told as JSON has it: `"int"`, `{"list": "str"}`, `{"literal": ["EUR", "USD"]}`,
`{"record": {…}}`. A type that policies have no form for is `{"other": why}`: the argument is then
out of every policy's reach, and a policy that names it is refused with that sentence.
"""

from __future__ import annotations

import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["declaration"]

MAX_DEPTH = 8  # How deep types may nest in the schema.
MAX_VALUES, MAX_BYTES = 1_000, 8_000  # How many values a Literal may list, and how long they are.
EMPTY = inspect.Parameter.empty
OPTIONAL = typing.NotRequired
VAR_POSITIONAL, VAR_KEYWORD = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD

# By module and name, so that nothing is imported for a tool that does not use it.
PLAIN = {
    ("builtins", "str"): "str",
    ("builtins", "int"): "int",
    ("builtins", "float"): "float",
    ("builtins", "bool"): "bool",
    ("decimal", "Decimal"): "float",
    ("datetime", "datetime"): "datetime",
    ("uuid", "UUID"): "uuid",
}


class Told(NamedTuple):
    """A type, and whether None may stand in its place."""

    kind: Any
    nullable: bool = False


def declaration(
    function: Callable[..., Any], signature: inspect.Signature, pass_through: Iterable[str] = ()
) -> dict[str, Any]:
    """A tool's arguments with their types, and whether it takes further ones by any name."""
    hints = _hints(function, signature)
    by_reference = set(pass_through)
    arguments: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if parameter.kind == VAR_KEYWORD:
            continue
        if name in by_reference:
            arguments[name] = _field(_other("it goes by reference and is not judged"), False)
            continue
        told = _told(hints.get(name, EMPTY), 0)
        if parameter.kind == VAR_POSITIONAL:
            told = _list(told)
        # A default is filled in before anything is judged; None is as if it were not there.
        arguments[name] = _field(told, not told.nullable and parameter.default is not None)
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    return {"arguments": arguments, "open": VAR_KEYWORD in kinds}


def _hints(function: Callable[..., Any], signature: inspect.Signature) -> Mapping[str, Any]:
    """The annotations; those written as text are read where their names can be found."""
    body: Any = inspect.unwrap(function)
    if not inspect.isroutine(body):
        body = getattr(body, "func", None) or type(body).__call__
    try:
        return typing.get_type_hints(body)
    except Exception:  # noqa: BLE001 - an annotation is foreign code and may raise anything.
        return {
            name: _evaluated(parameter.annotation, body)
            for name, parameter in signature.parameters.items()
        }


def _evaluated(annotation: Any, function: Any) -> Any:
    """One annotation, when not all of them can be read."""
    if not isinstance(annotation, str):
        return annotation
    stand_in = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(stand_in, getattr(function, "__globals__", {}))["it"]
    except Exception:  # noqa: BLE001 - as above.
        return typing.ForwardRef


def _told(hint: Any, depth: int) -> Told:
    why = _without_form(hint, depth)
    if why:
        return _other(why)
    if isinstance(hint, typing.NewType):
        return _told(hint.__supertype__, depth + 1)
    if type(hint).__name__ == "TypeAliasType":
        return _told(hint.__value__, depth + 1)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Annotated, typing.Required, typing.NotRequired):
        return _told(inner[0], depth + 1)
    if origin is typing.Union or origin is types.UnionType:
        return _union(inner, depth)
    if origin is typing.Literal:
        return _of_values(inner, "Literal")
    if _is_many(origin or hint):
        return _many(hint, inner, depth)
    return _class(hint, depth)


def _without_form(hint: Any, depth: int) -> str:
    if depth > MAX_DEPTH:
        return "its type nests too deep"
    if hint is EMPTY:
        return "it has no type hint"
    if hint is Any or isinstance(hint, typing.TypeVar):
        return "its type hint leaves the type open"
    if hint is typing.ForwardRef:
        return "its type hint cannot be read: a name in it is not there at run time"
    return ""


def _union(inner: tuple[Any, ...], depth: int) -> Told:
    """`T | None`, or alternatives that come to the same type."""
    rest = [_told(one, depth + 1) for one in inner if one is not type(None)]
    nullable = len(rest) < len(inner) or any(told.nullable for told in rest)
    kind = _joined([told.kind for told in rest])
    if kind is None:
        return _other("its type is a choice of several, and policies know one type each")
    return Told(kind, nullable)


def _joined(kinds: list[Any]) -> Any:
    """The one type that values of these types have in policies; None if there is none."""
    first = kinds[0] if kinds else None
    if all(kind == first for kind in kinds):
        return first
    if all(kind in ("int", "float") for kind in kinds):
        return "float"  # A number, whatever its kind.
    plain = {kind for kind in kinds if isinstance(kind, str)}
    listed = [kind["literal"] for kind in kinds if isinstance(kind, dict) and "literal" in kind]
    base = {type(values[0]).__name__ for values in listed}
    if not all(isinstance(kind, str) or "literal" in kind for kind in kinds):
        return None
    if len(base | plain) != 1:
        return None
    return plain.pop() if plain else _of_values([v for vs in listed for v in vs], "Literal").kind


def _many(hint: Any, inner: tuple[Any, ...], depth: int) -> Told:
    told = [_told(one, depth + 1) for one in inner if one is not Ellipsis]
    if not told:
        return _other(f"its type hint {_name(hint)} does not say of what")
    kind = _joined([one.kind for one in told])
    if kind is None:
        return _other("its items are of several types")
    return _list(Told(kind, any(one.nullable for one in told)))


def _list(told: Told) -> Told:
    if told.nullable:
        return _other("its items may be None")
    return told if _is_other(told) else Told({"list": told.kind})


def _class(hint: Any, depth: int) -> Told:
    import enum

    nothing = _other(f"its type {_name(hint)} has no form in policies")
    if not inspect.isclass(hint):
        return nothing
    plain = PLAIN.get((hint.__module__, hint.__qualname__))
    if plain is not None:
        return Told(plain)
    if issubclass(hint, enum.Flag):
        return Told("int")  # Members are joined into values of their own.
    if issubclass(hint, enum.Enum):
        return _of_values([member.value for member in hint], "enum")
    fields = _fields(hint)
    if fields is None:
        return nothing
    record = {}
    for name, (one, required) in fields.items():
        told = _told(one, depth + 1)
        record[name] = _field(told, required and not told.nullable, left_out=not required)
    return Told({"record": record})


def _fields(hint: Any) -> dict[str, tuple[Any, bool]] | None:
    """The fields of a dataclass, TypedDict or model, and whether each is always there."""
    try:
        if "__dataclass_fields__" in vars(hint):
            hints = typing.get_type_hints(hint)
            return {name: (hints.get(name, EMPTY), True) for name in hint.__dataclass_fields__}
        if typing.is_typeddict(hint):
            hints = typing.get_type_hints(hint, include_extras=True)
            # The class itself does not see through annotations that are written as text.
            left_out = {n for n, one in hints.items() if typing.get_origin(one) is OPTIONAL}
            always = hint.__required_keys__ - left_out
            return {name: (one, name in always) for name, one in hints.items()}
        model = getattr(hint, "model_fields", None)
        if isinstance(model, dict):
            return {name: (field.annotation, True) for name, field in model.items()}
    except Exception:  # noqa: BLE001 - a foreign class may raise anything.
        return None
    return None


def _of_values(values: Iterable[Any], what: str) -> Told:
    import enum

    plain = [value.value if isinstance(value, enum.Enum) else value for value in values]
    listed = [value for value in plain if value is not None]
    kinds = {type(value) for value in listed}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        return _other(
            f"its {what} has values of several types, or of one without a form in policies"
        )
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in listed):
        return _other(f"its {what} has values beyond 64 bits")
    size = sum(len(str(value).encode(errors="surrogatepass")) for value in listed)
    if len(listed) > MAX_VALUES or size > MAX_BYTES:
        return _other(f"its {what} lists more than {MAX_VALUES} values or {MAX_BYTES} bytes")
    if kinds == {str} and any("\ud800" <= c <= "\udfff" for value in listed for c in value):
        return _other(f"its {what} has values that are no Unicode text")
    return Told({"literal": list(dict.fromkeys(listed))}, len(listed) < len(plain))


def _is_many(hint: Any) -> bool:
    import collections.abc as abc

    return hint in (list, tuple, abc.Sequence, abc.Iterable, abc.Collection, abc.MutableSequence)


def _field(told: Told, required: bool, left_out: bool = False) -> dict[str, Any]:
    field = {"type": told.kind, "required": required}
    # One that may be left out is not None where it is there, unless its type says so.
    return {**field, "not_none": True} if left_out and not told.nullable else field


def _other(why: str) -> Told:
    return Told({"other": why})


def _is_other(told: Told) -> bool:
    return isinstance(told.kind, dict) and "other" in told.kind


def _name(hint: Any) -> str:
    return f"`{getattr(hint, '__qualname__', None) or hint}`"[:80]
