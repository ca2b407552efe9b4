"""One store, one process that holds it, and the others of the same user that reach it.

What is read goes through the holder's socket in the binary: an attached engine reads like any
other. What changes something is sent by name and runs in the holder, through the same public
methods and for the account that both run under. Nothing else can be sent: a request names one of
`VERBS` and gives plain values.
"""

from __future__ import annotations

import functools
import json
import os
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from answerable import _core, errors
from answerable.errors import Error, InvalidInput, StoreBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["GROUPS", "OWN", "THERE_ONLY", "VERBS", "Link", "answer"]

# What changes state, or is in the holder's memory alone, by its dotted name on the engine: all that
# another process may ask for.
VERBS = frozenset(
    {
        "agents.issue",
        "agents.renew",
        "agents.resume",
        "agents.retire",
        "agents.rotate",
        "agents.suspend",
        "agents.transfer",
        "approvals.approve",
        "approvals.refuse",
        "backup",
        "grant",
        "halt",
        "humans.offboard",
        "humans.operator",
        "humans.register",
        "metrics",
        "policies.load",
        "review.attest",
        "revoke",
        "rotate_authority",
        "rotate_checkpoint_key",
        "rules.add",
        "rules.remove",
        "samples",
        "tasks.end",
        "trail.erase",
        "trail.expire",
        "unhalt",
        "vault.put",
        "vault.remove",
        "vault.rotate",
    }
)

# What judges, records or follows calls, and so happens where the store is held.
THERE_ONLY = frozenset({"acting", "check", "delegating", "request_access", "set_clock", "watch"})
# What an attached engine answers itself.
OWN = frozenset({"attached", "authority", "close", "durability", "path"})
# Properties whose methods are looked up anew each time.
GROUPS = frozenset({name.partition(".")[0] for name in VERBS if "." in name} - {"review"}) | {
    "trail"
}

# Verbs that want to hear who decides: it is the account.
_DECIDED = frozenset({"approvals.approve", "approvals.refuse"})

# Arguments that name a file: the holder has another working directory.
_PATHS = frozenset({("backup", "path"), ("policies.load", "path")})

_RECORD = {
    "Revocation": ("entry", "target", "id", "seen", "children", "holder", "issuer", "hint"),
}


# ------------------------------------------------------------------------------ in the holder


def answer(own: Callable[[], Any], text: str, native: _core.Engine) -> str:
    """Does what another process of the same user asked for; what goes wrong is its answer too.

    Args:
        own: Answers the engine as its opener knows it, or None if that is gone.
        text: The request, as JSON.
        native: The same engine, as it always can be had.
    """
    try:
        name, arguments = _request(text)
        engine = own() or native
        made = _do(engine, name, arguments)
        return json.dumps({"done": _packed(made)})
    except Error as error:
        return json.dumps(
            {
                "error": type(error).__name__,
                "message": str(error),
                "code": error.code,
                "hint": error.hint,
                "details": {
                    name: getattr(error, name, None)
                    for name in ("hop", "line", "column")
                    if hasattr(type(error), name)
                },
            }
        )
    except (TypeError, RecursionError):
        # A name that the verb does not have; its text could show values.
        return json.dumps(
            {
                "error": "InvalidInput",
                "message": "the holder does not know these arguments",
                "code": "invalid_input",
                "hint": "use the same version of answerable in both processes",
            }
        )


def _request(text: str) -> tuple[str, dict[str, Any]]:
    try:
        request = json.loads(text)
        name, arguments = request["verb"], request["arguments"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput("the request cannot be read", code="invalid_input") from error
    if name not in VERBS if isinstance(name, str) else True:
        raise InvalidInput(
            "there is no such verb to be asked for through the store's socket",
            hint="call it in the process that holds the store",
        )
    if not isinstance(arguments, dict):
        raise InvalidInput("the request's arguments are named")
    if "by" in arguments:
        raise InvalidInput(
            "through the store's socket nobody is named as by=: it is the account that asks",
            code="by_is_fixed",
            hint="leave by= out, or call it in the process that holds the store",
        )
    return name, {key: _unpacked(value) for key, value in arguments.items()}


def _do(engine: Any, name: str, arguments: dict[str, Any]) -> Any:
    if name == "review.attest":
        return _attest(engine, arguments)
    if name in _DECIDED:
        arguments["by"] = engine.humans.operator()
    target = engine
    for part in name.split("."):
        target = getattr(target, part)
    return target(**arguments)


def _attest(engine: Any, arguments: dict[str, Any]) -> Any:
    """Attests what is there, if it is what was looked at."""
    seen = arguments.pop("seen", None)
    note = arguments.pop("note", None)
    review = engine.review(**arguments)
    if seen != _findings(review):
        raise errors.IllegalTransition(
            "something has changed since the review was made", hint="review again"
        )
    return review.attest(note=note)


def _findings(review: Any) -> list[Any]:
    agents = [[use.agent.id, use.agent.status] for use in review.agents]
    return [agents, [[one.severity, one.code, list(one.subjects)] for one in review.findings]]


# ------------------------------------------------------------------------------ on the wire


def _named(value: Any) -> Any:
    """What a request gives for a grant: the digest that names it."""
    return value.digest if isinstance(value, _core.Grant) else value


def _packed(value: Any) -> Any:
    """A value as JSON can hold it: plain, or an object with one key that begins with `$`."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return {"$bytes": value.hex()}
        case timedelta():
            return {"$seconds": value.total_seconds()}
        case datetime():
            return {"$moment": value.isoformat()}
        case date():
            return value.isoformat()
        case os.PathLike():
            from pathlib import Path  # Only who uses it pays for it.

            return str(Path(value).absolute())
        case _core.Capability():
            return {"$scope": _core.to_wire([value])}
        case _core.Limit():
            return {"$limits": _core.to_wire([value])}
        case _core.Grant():
            return {"$grant": [value.token, value.statements]}
        case _core.CredentialFacts():
            return {"$credential": value.name}
        case _core.Offboarding():
            return {"$offboarding": value.text}
        case _core.PolicySet():
            return {"$policies": value.version}
        case list() | tuple() if value and all(isinstance(v, _core.Capability) for v in value):
            return {"$scope": _core.to_wire(list(value))}
        case list() | tuple() if value and all(isinstance(v, _core.Limit) for v in value):
            return {"$limits": _core.to_wire(list(value))}
        case list() | tuple():
            return [_packed(one) for one in value]
        case dict():
            return {"$dict": [[_packed(k), _packed(v)] for k, v in value.items()]}
    kind = type(value).__name__
    if kind in _RECORD:
        return {"$record": [kind, {name: getattr(value, name) for name in _RECORD[kind]}]}
    named = getattr(value, "id", None) if type(value).__module__.startswith("answerable") else None
    if isinstance(named, str):
        return {"$id": [kind, named]}
    raise InvalidInput(
        f"a {kind} cannot be sent to the process that holds the store",
        hint="call it there",
    )


def _unpacked(value: Any, engine: Any = None) -> Any:
    """The value that `_packed` packed; of things with an id, the id, or the thing on `engine`."""
    if isinstance(value, list):
        return [_unpacked(one, engine) for one in value]
    if not isinstance(value, dict):
        return value
    try:
        ((key, held),) = value.items()
        match key:
            case "$seconds":
                return timedelta(seconds=held)
            case "$bytes":
                return bytes.fromhex(held)
            case "$credential":
                return engine.vault.get(held) if engine else held
            case "$moment":
                return datetime.fromisoformat(held)
            case "$scope":
                return _core.scope_from_wire(held)
            case "$limits":
                return _core.limits_from_wire(held)
            case "$dict":
                return {_unpacked(k, engine): _unpacked(v, engine) for k, v in held}
            case "$grant":
                token, statements = held
                return engine.accept(token, statements=statements) if engine else token
            case "$offboarding":
                return _core.verify_offboarding(held, engine.authority) if engine else held
            case "$policies":
                return engine.policies.read(version=held) if engine else held
            case "$id":
                kind, name = held
                return getattr(engine, f"{kind.lower()}s").get(name) if engine else name
            case "$record":
                kind, facts = held
                return getattr(_core, kind)(**facts) if kind in _RECORD else None
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidInput("a value of the request cannot be read") from error
    raise InvalidInput("a value of the request cannot be read")


# ------------------------------------------------------------------------------ in the others


class Link:
    """The way from an attached engine to the one that holds the store."""

    def __init__(self, first: _core.Engine, again: Callable[[_core.Engine], _core.Engine]) -> None:
        self._again = again
        self._native = again(first)
        # What was read so far was read before it was asked how new it is.
        self._version: tuple[int, int, int] | None = None

    def native(self) -> _core.Engine:
        """An engine that reads the holder's state as it is now."""
        version = _core.holder(self._native)
        if version != self._version:
            # Asked before it is read: what changes meanwhile is seen the next time.
            self._native = self._again(self._native)
            self._version = version
        return self._native

    def close(self) -> None:
        """Lets go of the holder."""
        self._native.close()

    def get(self, name: str) -> Any:
        """What an attached engine answers for a name of the binary's."""
        if name in THERE_ONLY:
            return functools.partial(self._refuse, name)
        if name in VERBS:
            return Verb(self, name)
        if name in GROUPS:
            return Group(self, name)
        if name == "review":
            return self._review
        if callable(getattr(_core.Engine, name)):
            return lambda *args, **kwargs: getattr(self.native(), name)(*args, **kwargs)
        return getattr(self.native(), name)

    def send(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Has the holder do something by name; answers what it answered, as a value here."""
        by = arguments.get("by")
        if by is not None and not self._is_operator(by):
            raise InvalidInput(
                "the store is held by another process, and through it nobody is named as by=",
                code="by_is_fixed",
                hint="leave by= out: it is your own account; or call it in that process",
            )
        from pathlib import Path  # Only who uses it pays for it.

        given = {
            key: _packed(Path(value) if (name, key) in _PATHS else _named(value))
            for key, value in arguments.items()
            if key != "by"
        }
        text = _core.ask(self._native, json.dumps({"verb": name, "arguments": given}))
        told = json.loads(text)
        if "error" in told:
            raise _error(told)
        return _unpacked(told["done"], self.native())

    def _is_operator(self, by: Any) -> bool:
        """Whether somebody is the account that all is done for anyway."""
        operator = self.send("humans.operator", {})
        return bool(self.native().humans.get(by) == operator)

    def _refuse(self, name: str, *_: Any, **__: Any) -> NoReturn:
        held = f"process {self._version[0]}" if self._version else "another process"
        raise StoreBusy(
            f"engine.{name} is not done here: {held} holds the store, and calls are judged and "
            "recorded there",
            code="store_attached",
            hint="run the tool in that process, or stop it and open the store again",
        )

    def _review(self, **spans: Any) -> Any:
        return Reviewed(self, self.native().review(**spans), spans)


class Verb:
    """A method that runs in the process that holds the store."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name
        target: Any = _core.Engine
        if "." in name:
            group, name = name.split(".")
            target = getattr(_core, group.capitalize(), None)
        self.__wrapped__ = getattr(target, name, None)
        self.__doc__ = getattr(self.__wrapped__, "__doc__", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Sends the arguments by their names."""
        return self._link.send(self._name, {**self._named(args), **kwargs})

    def _named(self, args: tuple[Any, ...]) -> dict[str, Any]:
        import inspect

        if not args:
            return {}
        known = inspect.signature(self.__wrapped__).parameters.values()  # type: ignore[arg-type]
        names = [one.name for one in known if one.kind is one.POSITIONAL_OR_KEYWORD]
        names = names[1:] if names[:1] == ["self"] else names
        if len(args) > len(names):
            raise TypeError(f"{self._name}() takes {len(names)} positional arguments")
        return dict(zip(names, args, strict=False))

    def __repr__(self) -> str:
        return f"<engine.{self._name}, done by the process that holds the store>"


class Group:
    """One of an attached engine's groups, such as `engine.agents`."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{self._name}.{name}"
        if full in VERBS:
            return Verb(self._link, full)
        if callable(getattr(getattr(_core, self._name.capitalize(), None), name, None)):
            return lambda *args, **kwargs: getattr(self._now(), name)(*args, **kwargs)
        return getattr(self._now(), name)

    def _now(self) -> Any:
        return getattr(self._link.native(), self._name)

    def __len__(self) -> int:
        return len(self._now())

    def __dir__(self) -> list[str]:
        return dir(self._now())

    def __repr__(self) -> str:
        return repr(self._now())


class Reviewed:
    """A review that was made here and is attested where the store is held."""

    def __init__(self, link: Link, review: _core.Review, spans: Mapping[str, Any]) -> None:
        self._link = link
        self._review = review
        self._spans = spans

    def attest(self, *, note: str, by: Any = None) -> Any:
        """Records that somebody looked through it and stands for what is there."""
        seen = _findings(self._review)
        arguments = {**self._spans, "note": note, "by": by}
        return self._link.send("review.attest", {**arguments, "seen": seen})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._review, name)

    def __len__(self) -> int:
        return len(self._review)

    def __repr__(self) -> str:
        return repr(self._review)


def _error(told: Mapping[str, Any]) -> Error:
    kind = getattr(errors, str(told.get("error")), None)
    known = isinstance(kind, type) and issubclass(kind, Error)
    made: type[Error] = kind if known else Error  # type: ignore[assignment]
    known_details = {name for name in told.get("details", {}) if hasattr(made, name)}
    details = {name: told["details"][name] for name in known_details}
    return made(str(told["message"]), code=told["code"], hint=told["hint"], **details)
