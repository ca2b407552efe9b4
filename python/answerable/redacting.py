"""Redaction of Python values: secrets that the vault knows are looked for in all that one holds.

What Python code defined is searched through its attributes: dataclasses, attrs, pydantic models and
plain objects. What keeps its state where it cannot be seen (streams, frames of data, generators) is
not let through: `not_searched`.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import fractions
import pathlib
import traceback
import types
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Never

from answerable.errors import Error, VaultError

if TYPE_CHECKING:
    from answerable import _core

__all__ = ["redacted", "scrubbed"]

_MOST_DEEP = 200
# What is code, or has no room for a secret.
_ATOMS = (
    type(None), bool, range, type, type(...), type(NotImplemented),
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo,
    types.FunctionType, types.ModuleType, types.TracebackType,
)  # fmt: skip
# Code, and what it is bound to.
_BOUND = (types.MethodType, types.BuiltinFunctionType)
# What can be a secret, written out.
_WRITTEN = (
    int, float, complex, decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath,
)  # fmt: skip
_BYTES = (bytes, bytearray, memoryview)
_LISTS = (list, tuple, set, frozenset, deque)
# What has no attributes of somebody's own: nothing but these very types.
_BARE = frozenset((
    type(None), bool, range, type, type(...), type(NotImplemented), int, float, complex, str,
    bytes, bytearray, memoryview, types.FunctionType, types.ModuleType, types.TracebackType,
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
    decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePosixPath, pathlib.PosixPath,
    pathlib.PureWindowsPath, pathlib.WindowsPath,
))  # fmt: skip
# Exceptions that were seen to, by id, and what stands for each.
_Done = dict[int, BaseException]
_HEAD = object.__basicsize__
_WORD = 8


def redacted(core: _core.Vault, value: Any) -> Any:
    """A value without any secret that the vault knows; the same object if it holds none.

    Text keeps what stands around a secret; bytes, numbers and enumeration members with one become
    text. Containers and objects are copied where they change.

    Raises:
        VaultError: `not_searched`: it holds a secret or might, where none can be taken out.
    """
    done: _Done = {}
    made = _redacted(core, value, done)
    # Exceptions are changed in place, whatever else leads to them.
    if done and not _is_clear(core, made):
        _refused(value, "cannot be searched for secrets")
    return made


def _is_clear(core: _core.Vault, value: Any) -> bool:
    try:
        return not _holds(core, value)
    except Exception:  # noqa: BLE001 - a class of somebody's own raises what it likes.
        return False


def _redacted(core: _core.Vault, value: Any, done: _Done) -> Any:
    try:
        return value if not _holds(core, value) else _clean(core, value, (), done)
    except Error:
        raise
    except Exception:  # noqa: BLE001 - a class of somebody's own raises what it likes.
        failed = value
    return _refused(failed, "cannot be searched for secrets")


def _refused(value: Any, why: str) -> Never:
    raise _not_searched(value, why)


def _not_searched(value: Any, why: str) -> VaultError:
    # By `type` itself: a metaclass may say what it likes, or raise.
    module, name = (
        vars(type)[word].__get__(type(value)) for word in ("__module__", "__qualname__")
    )
    return VaultError(
        f"a {module}.{name} {why}",
        code="not_searched",
        hint="return text, bytes, containers or plain objects, or leave redact_result out",
    )


def _holds(core: _core.Vault, value: Any) -> bool:
    """Whether anything that can be reached from a value is a secret or holds one."""
    seen: set[int] = set()
    found = False
    # What is looked at lives until the end: ids are not used twice.
    todo, kept = [value], []
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        kept.append(one)
        if isinstance(one, _BOUND):
            todo.append(one.__self__)
            continue
        _let_go(one)
        if isinstance(one, (datetime.datetime, datetime.time)):
            todo.append(one.tzinfo)
        elif isinstance(one, datetime.tzinfo) and core.redact(f"{one!s} {one!r}") is not None:
            _refused(one, "is named after a secret")
        leaf = one if isinstance(one, _ATOMS) else _leaf(core, one)
        if leaf is None:
            todo.extend(_parts(one))
        elif leaf is not one:
            found = True
        else:
            todo.extend(_attached(one))
    return found


def _let_go(value: Any) -> None:
    """Has an exception, or its traceback, let go of the variables of frames that have ended."""
    trace = value.__traceback__ if isinstance(value, BaseException) else value
    if isinstance(trace, types.TracebackType):
        # Frames that still run keep theirs.
        traceback.clear_frames(trace)


def _attached(value: Any) -> Iterable[Any]:
    """What hangs on text, a number or an enumeration's member of a class of somebody's own."""
    return () if type(value) in _BARE or isinstance(value, type) else _attributes(value).values()


def _leaf(core: _core.Vault, value: Any) -> Any:
    """What stands for text, bytes or a number: itself without a secret. `None` for all else."""
    if isinstance(value, enum.Enum):
        inner = value.value if not isinstance(value.value, _BYTES) else bytes(value.value)
        held = core.holds(inner) if isinstance(inner, bytes) else core.redact(_text(inner))
        return f"({type(value).__name__})" if held else value
    if isinstance(value, str):
        clean = core.redact(value)
        return value if clean is None else clean
    if isinstance(value, memoryview) and not isinstance(value.obj, (bytes, bytearray)):
        _refused(value, "looks at what cannot be searched for secrets")
    if isinstance(value, _BYTES):
        # A view leads to all that it looks at.
        whole = value.obj if isinstance(value, memoryview) else value
        return "(credential)" if core.holds(bytes(value)) or core.holds(bytes(whole)) else value
    if isinstance(value, _WRITTEN):
        clean = core.redact(_text(value))
        return value if clean is None else clean
    return None


def _text(value: Any) -> str:
    if not isinstance(value, int):
        return str(value)
    # Python writes no longer ones in decimal.
    return int.__repr__(value) if int.bit_length(value) <= 14_000 else hex(int(value))


def _parts(value: Any) -> Iterator[Any]:
    """What a value holds."""
    if isinstance(value, BaseException):
        yield from _attributes(value).values()
        yield from (value.args, value.__cause__, value.__context__)
        return
    if isinstance(value, (dict, types.MappingProxyType)):
        for pair in _pairs(value):
            yield from pair
        if isinstance(value, defaultdict):
            yield value.default_factory
    elif isinstance(value, _LISTS):
        yield from _items(value)
    elif type(value).__module__ in ("answerable", "answerable._core"):
        # Ours: what it shows was masked when it was recorded.
        return
    elif not _is_plain(type(value)):
        _refused(value, "cannot be searched for secrets")
    if not isinstance(value, types.MappingProxyType):
        yield from _attributes(value).values()


def _pairs(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(dict.items(value) if isinstance(value, dict) else value.items())


def _items(value: Any) -> list[Any]:
    """The items themselves, whatever a class of somebody's own would show."""
    kind: Any = next(kind for kind in _LISTS if isinstance(value, kind))
    return list(kind.__iter__(value))


def _is_plain(kind: type) -> bool:
    """Whether an object of a class keeps all that it holds in attributes that can be seen."""
    return kind.__basicsize__ == (
        _HEAD
        + _WORD * len(set(_slots(kind)))
        + _WORD * (kind.__weakrefoffset__ > 0)
        + _WORD * (kind.__dictoffset__ > 0)
    )


def _slots(kind: type) -> Iterator[tuple[type, str]]:
    for base in kind.__mro__:
        given = vars(base).get("__slots__", ())
        for name in (given,) if isinstance(given, str) else given:
            if name in ("__dict__", "__weakref__"):
                continue
            hidden = name.startswith("__") and not name.endswith("__")
            yield base, f"_{base.__name__.lstrip('_')}{name}" if hidden else name


# What exceptions of Python's own keep beside their arguments.
_KEPT: tuple[tuple[type[BaseException], tuple[str, ...]], ...] = (
    (OSError, ("filename", "filename2", "strerror")),
    (SyntaxError, ("msg", "filename", "text")),
    (ImportError, ("msg", "name", "path")),
    (AttributeError, ("name", "obj")),
    (NameError, ("name",)),
    (StopIteration, ("value",)),
    (SystemExit, ("code",)),
    (UnicodeError, ("object", "reason", "encoding")),
    (BaseExceptionGroup, ("message", "exceptions")),
)


def _attributes(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base, name in _slots(type(value)):
        # By the slot itself: a subclass may hide it, or compute it.
        member = vars(base).get(name)
        if isinstance(member, types.MemberDescriptorType):
            try:
                found[name] = member.__get__(value)
            except AttributeError:
                continue
    own = getattr(value, "__dict__", None)
    if isinstance(own, dict):
        found.update(own)
    if isinstance(value, BaseException):
        for kind, names in _KEPT:
            if isinstance(value, kind):
                found.update({name: getattr(value, name, None) for name in names})
    return found


def _clean(core: _core.Vault, value: Any, above: tuple[int, ...], done: _Done) -> Any:
    """A copy of a value without secrets; itself if it holds none."""
    if isinstance(value, _BOUND):
        if _holds(core, value):
            _refused(value, "is bound to what holds a secret")
        return value
    leaf = value if isinstance(value, _ATOMS) else _leaf(core, value)
    if leaf is not None:
        if leaf is value and any(_holds(core, held) for held in _attached(value)):
            _refused(value, "holds a secret in an attribute, and cannot be copied without it")
        return leaf
    if id(value) in above or len(above) >= _MOST_DEEP:
        if _holds(core, value):
            _refused(value, "holds a secret and itself, or lies too deep")
        return value
    above = (*above, id(value))

    def clean(inner: Any) -> Any:
        return _clean(core, inner, above, done)

    if isinstance(value, BaseException):
        return _scrubbed(core, value, done)
    if isinstance(value, (dict, types.MappingProxyType)):
        return _mapping(value, clean)
    if isinstance(value, _LISTS):
        held = _items(value)
        items = [clean(item) for item in held]
        if all(new is old for new, old in zip(items, held, strict=True)):
            return _object(value, clean)
        return _object(_sequence(value, items), clean)
    return _object(value, clean)


def _mapping(value: Mapping[Any, Any], clean: Callable[[Any], Any]) -> Any:
    if isinstance(value, defaultdict):
        clean(value.default_factory)
    held = _pairs(value)
    pairs = [(clean(key), clean(item)) for key, item in held]
    same = all(new[0] is old[0] and new[1] is old[1] for new, old in zip(pairs, held, strict=True))
    if isinstance(value, types.MappingProxyType):
        return value if same else types.MappingProxyType(dict(pairs))
    if same:
        return _object(value, clean)
    if type(value) in (dict, OrderedDict, defaultdict):
        made = type(value)() if type(value) is not defaultdict else defaultdict(
            value.default_factory
        )  # fmt: skip
        made.update(pairs)  # type: ignore[attr-defined]
        return made
    made = _copied(value)
    dict.clear(made)
    dict.update(made, pairs)
    return _object(made, clean)


def _sequence(value: Any, items: list[Any]) -> Any:
    kind = type(value)
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(items)
    try:
        made = kind(items, value.maxlen) if isinstance(value, deque) else kind(items)
    except Exception:  # noqa: BLE001 - a class of somebody's own, made in some other way.
        _refused(value, "holds a secret and cannot be copied without it")
    return made


def _object(value: Any, clean: Callable[[Any], Any]) -> Any:
    """A copy of an object with clean attributes; itself if they are clean."""
    changed = {}
    for name, held in _attributes(value).items():
        new = clean(held)
        if new is not held:
            changed[name] = new
    if not changed:
        return value
    made = _copied(value)
    for name, held in changed.items():
        # Frozen ones too: the copy is nobody's yet.
        object.__setattr__(made, name, held)
    return made


def _copied(value: Any) -> Any:
    try:
        made = copy.copy(value)
    except Exception:  # noqa: BLE001 - a class of somebody's own, copied in some other way.
        made = value
    if made is value or type(made) is not type(value):
        _refused(value, "holds a secret and cannot be copied without it")
    return made


def scrubbed(core: _core.Vault, error: BaseException) -> BaseException:
    """Takes secrets out of an exception and all that hangs on it.

    Those are its arguments, fields and notes, its cause and context, the exceptions of its group,
    and the variables of the frames in its traceback. It is changed in place; where Python does not
    allow that (the message of a group), another stands for it. What cannot be searched is replaced
    by its type's name. Where the search itself fails, as in what lies too deep, the answer is an
    error that says so, `not_searched`, which nothing of the exception hangs on.
    """
    instead: BaseException
    try:
        made = _scrubbed(core, error, {})
        if _is_clear(core, made):
            return made
        instead = _not_searched(error, "holds a secret still")
    except Exception:  # noqa: BLE001 - whatever it was: it leads to what was not searched.
        instead = _not_searched(error, "cannot be searched for secrets")
    except BaseException as stopped:  # noqa: BLE001 - such as an interrupt, which is to be raised.
        instead = stopped.with_traceback(None)
        instead.__cause__ = None
    # What is made or raised while another is handled leads to that one.
    instead.__context__ = None
    return instead


def _scrubbed(core: _core.Vault, error: BaseException, done: _Done) -> BaseException:
    # Causes follow causes as far as a program went round; they are followed without recursion.
    todo, links = [error], []
    while todo:
        one = todo.pop()
        if id(one) in done:
            continue
        suppressed, cause, context = one.__suppress_context__, one.__cause__, one.__context__
        made = _alone(core, one, done)
        links.append((made, suppressed, cause, context))
        todo.extend(other for other in (context, cause) if other is not None)
    for made, suppressed, cause, context in links:
        made.__cause__ = None if cause is None else done[id(cause)]
        made.__context__ = None if context is None else done[id(context)]
        made.__suppress_context__ = suppressed
    return done[id(error)]


def _alone(core: _core.Vault, error: BaseException, done: _Done) -> BaseException:
    """An exception without secrets, but for its cause and context."""
    done[id(error)] = error
    _let_go(error)
    error.args = tuple(_told(core, argument, done) for argument in error.args)
    group = isinstance(error, BaseExceptionGroup)
    for name, value in _attributes(error).items():
        if group and name in ("message", "exceptions"):
            continue
        new = _told(core, value, done)
        if new is not value:
            _set(error, name, new)
    return _grouped(core, error, done) if isinstance(error, BaseExceptionGroup) else error


def _grouped(
    core: _core.Vault, error: BaseExceptionGroup[BaseException], done: _Done
) -> BaseException:
    """A group of clean exceptions under a clean message: itself, or another in its place."""
    inner = [_scrubbed(core, one, done) for one in error.exceptions]
    message = _told(core, error.message, done)
    same = all(new is old for new, old in zip(inner, error.exceptions, strict=True))
    if same and message is error.message:
        return error
    made = BaseExceptionGroup(message, inner).with_traceback(error.__traceback__)
    if hasattr(error, "__notes__"):
        made.__notes__ = error.__notes__
    done[id(error)] = made
    return made


def _told(core: _core.Vault, value: Any, done: _Done) -> Any:
    """What an exception may hold of a value."""
    if isinstance(value, BaseException):
        return _scrubbed(core, value, done)
    try:
        return _redacted(core, value, done)
    except VaultError:
        return f"({type(value).__name__}, not searched)"


def _set(error: BaseException, name: str, value: Any) -> None:
    if isinstance(error, (UnicodeEncodeError, UnicodeDecodeError)) and name == "object":
        # It has to be of its own type, and the places are places in it.
        error.object = type(error.object)()
        error.start = error.end = 0
        return
    own = error.__dict__
    if name in own:
        own[name] = value
        return
    try:
        object.__setattr__(error, name, value)
    except (AttributeError, TypeError):
        object.__setattr__(error, name, None)
