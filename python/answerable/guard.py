"""The guard: binds a call, has it judged and recorded, runs the tool once, records its end.

A real Python function comes out of the decorator, of the same kind as what went in, so that
frameworks see the signature, name and kind of the tool itself. Before the body runs a guarded call
raises `AccessDenied` and nothing else.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import json
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from answerable import _core
from answerable.context import _authority, _call, in_force
from answerable.errors import InvalidInput
from answerable.leasing import Credential, Lent, leasing
from answerable.leasing import credential as lent_credential
from answerable.signature import declaration
from answerable.vault import Vault
from answerable.wrappers import begin, begin_async, finish_async, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from types import TracebackType

__all__ = ["governed", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_tools: dict[str, tuple[str, str, weakref.ref[Any]]] = {}


def tool(
    name: str,
    *,
    resource: str | None = None,
    record: Mapping[str, str] | None = None,
    dangerous: bool = False,
    pass_through: Iterable[str] = (),
    credential: str | Iterable[str] = (),
    redact_result: bool = False,
    engine: _core.Engine | None = None,
    wait: str | float | timedelta | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function a governed tool: no call of it runs without a recorded allow.

    Args:
        name: The tool's name in grants and in the trail: segments of `[A-Za-z0-9_-]` and dots.
        resource: What it acts on, with arguments in braces: `"account/{account}"`.
        record: How arguments are recorded, by name: `"keep"` (the default), `"mask"` or
            `"digest"`; `"return"` stands for the result.
        dangerous: Whether `policy check` warns where its arguments are not constrained.
        pass_through: Arguments that go by reference, unjudged and recorded by type only: what a
            framework injects.
        credential: The name of a credential in the vault, or several, that a call of it is lent;
            `ans.credential(name)` inside the body is it. The function's own signature, which a
            model sees, does not change.
        redact_result: Whether secrets that the vault knows are taken out of what the tool returns
            and raises. What is recorded never holds them.
        engine: The engine to ask; without it, that of the authority in force, else the last
            opened.
        wait: How long a call that needs a human's approval waits for it; without it, as the engine
            was opened with `approval_wait`, and without that it raises `ApprovalRequired` at once.

    Returns:
        A decorator that keeps signature, name, documentation and kind of the function.

    Raises:
        InvalidInput: A name, template or `record` that cannot be, or a name that belongs to
            another function already.

    Example:
        @ans.tool("pay.transfer", resource="account/{account}", record={"memo": "mask"})
        def transfer(account: str, amount: int, memo: str = "") -> str: ...
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        body: Any = function
        if isinstance(body, (staticmethod, classmethod)):
            return type(body)(decorate(body.__func__))  # type: ignore[return-value]
        if inspect.isclass(body) or not callable(body):
            raise InvalidInput(
                f"expected a function, not {'a class' if inspect.isclass(body) else type(body)}",
                hint="decorate the methods of a class; one that is called as its `__call__`",
            )
        spec = _spec(
            name,
            body,
            resource=resource,
            record=record,
            dangerous=dangerous,
            pass_through=pass_through,
            credential=credential,
            redacts=bool(redact_result),
            engine=engine,
            wait=wait,
        )
        if spec.credentials or redact_result:
            body = leasing(body, redact=bool(redact_result))
        wrapper = wrapped(spec, body)
        _register(name, wrapper)
        _core.declare(spec)
        return wrapper  # type: ignore[no-any-return]

    return decorate


def _spec(name: str, function: Callable[..., Any], **facts: Any) -> _core.Tool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"the arguments of {_described(function)} cannot be read: it states no signature",
            hint="wrap it in a function that names its arguments",
        ) from error
    parameters = [
        (
            parameter.name,
            int(parameter.kind),
            parameter.default is not inspect.Parameter.empty,
            parameter.default,
        )
        for parameter in signature.parameters.values()
    ]
    record, pass_through = facts.pop("record"), facts.pop("pass_through")
    if record is not None and not isinstance(record, Mapping):
        raise InvalidInput(f"record is a dict of names and ways, not {type(record).__name__}")
    if isinstance(pass_through, (str, bytes)):
        raise InvalidInput("pass_through is a list of names, not one text")
    try:
        passed = list(pass_through)
    except TypeError as error:
        raise InvalidInput("pass_through is a list of names") from error
    known = {name for name, *_ in parameters}
    gathering = {(name, kind) for name, kind, *_ in parameters}
    for names, what in ((passed, "pass_through"), (list(record or ()), "record")):
        for given in names:
            if not isinstance(given, str):
                raise InvalidInput(f"{what} names arguments by text, not {type(given).__name__}")
            first = given.split(".", 1)[0] if what == "record" else given
            open_ended = any(kind == inspect.Parameter.VAR_KEYWORD for _, kind, *_ in parameters)
            if first not in known and first != "return" and not open_ended:
                raise InvalidInput(f"{what} names `{given}`, which is no argument of the function")
            if what == "record" and (first, inspect.Parameter.VAR_KEYWORD) in gathering:
                # Its arguments go by their own names: a way for the gathering name masks nothing.
                raise InvalidInput(f"record names `**{first}`: name the arguments in it instead")
    facts["credentials"] = _names(facts.pop("credential", ()))
    engine = facts["engine"]
    if engine is not None and not isinstance(engine, _core.Engine):
        raise InvalidInput(f"expected an engine, not {type(engine).__name__}")
    facts["dangerous"] = bool(facts["dangerous"])
    return _core.Tool(
        name,
        parameters=parameters,
        declares=json.dumps(declaration(function, signature, passed)),
        pass_through=passed,
        record=dict(record) if record else None,
        **facts,
    )


def _names(given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else given
    try:
        names = list(dict.fromkeys(names))
    except TypeError as error:
        raise InvalidInput("credential is a name, or a list of names") from error
    if not all(isinstance(name, str) for name in names):
        raise InvalidInput("credential is a name, or a list of names")
    return names


def _register(name: str, wrapper: Any) -> None:
    """One function a name. The same function again replaces itself: notebooks do that."""
    module, qualname = wrapper.__module__ or "", wrapper.__qualname__
    known = _tools.get(name)
    if known is not None and known[:2] != (module, qualname) and known[2]() is not None:
        gc.collect()  # One that nobody can call any more does not hold its name.
        if known[2]() is not None:
            raise InvalidInput(
                f"the tool name `{name}` belongs to {known[0]}.{known[1]} already",
                hint="give each tool its own name; names from outside get a prefix of their own",
            )
    _tools[name] = module, qualname, weakref.ref(wrapper)


def _described(function: Any) -> str:
    name = getattr(function, "__qualname__", None)
    return f"`{name}`" if isinstance(name, str) else f"a {type(function).__name__}"


class governed(contextlib.AbstractContextManager[Any], contextlib.AbstractAsyncContextManager[Any]):  # noqa: N801 - used as a verb.
    """One governed call of something that is no decorated function: what adapters use.

    Args:
        name: The tool's name.
        arguments: The arguments by name.
        resource: A resource template over them.
        engine: The engine to ask, as for `tool`.
        by_reference: What goes along unjudged, by name: recorded by its type.
        against: A code and a sentence: the call is denied for it, whatever the grant says.
        defaulted: Arguments that nobody gave, by name: they stand at the tool's own default.
        record: How arguments are recorded, as for `tool`.
        credential: What it is lent, as for `tool`.

    Example:
        with governed("invoice.read", {"path": path}) as call:
            call.result = read(**call.arguments)
    """

    arguments: dict[str, Any]
    result: Any

    def __init__(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        resource: str | None = None,
        engine: _core.Engine | None = None,
        by_reference: Mapping[str, Any] | None = None,
        against: tuple[str, str] | None = None,
        defaulted: Iterable[str] = (),
        record: Mapping[str, str] | None = None,
        credential: str | Iterable[str] = (),
    ) -> None:
        passed = dict(by_reference or {})
        self._spec = _core.Tool(
            name,
            resource=resource,
            parameters=[
                *((key, 3, False, None) for key in passed),
                ("arguments", 4, False, None),
            ],
            pass_through=list(passed),
            engine=engine,
            record=dict(record) if record else None,
            credentials=_names(credential),
            strict=False,
        )
        self._given = {**arguments, **passed}
        self._facts: dict[str, Any] = {"against": against, "defaulted": list(defaulted)}
        self._authority = _authority.get()
        self._parent = _call.get()
        self.result = None

    def __enter__(self) -> governed:
        return self._entered(
            *begin(self._spec, self._authority, self._parent, (), self._given, **self._facts)
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._block.__exit__()
        if error is None:
            self._begun.returned(self.result)
        else:
            self._begun.raised(error)

    async def __aenter__(self) -> governed:
        return self._entered(
            *await begin_async(
                self._spec, self._authority, self._parent, (), self._given, **self._facts
            )
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._block.__exit__()
        begun = self._begun
        if error is None:
            await finish_async(begun, begun.returned(self.result, wait=False))
        else:
            await finish_async(begun, begun.raised(error, wait=False))

    @property
    def entry(self) -> str | None:
        """The decision's entry."""
        return self._begun.entry

    @property
    def call(self) -> _core.Call:
        """The call that was begun."""
        return self._begun

    def _entered(self, call: _core.Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> governed:
        self._begun = call
        self.arguments = kwargs
        self._block = in_force(self._authority, call)
        self._block.__enter__()
        return self


class _leased(contextlib.AbstractContextManager[Credential]):  # noqa: N801 - used as a verb.
    """A credential leased to a block that is no tool: a governed call of its own."""

    def __init__(self, engine: _core.Engine, name: str) -> None:
        if not isinstance(name, str):
            raise InvalidInput(f"a credential's name is text, not {type(name).__name__}")
        self._name = name
        self._governed = governed(
            "vault.lease", {}, resource=f"credential/{name}", engine=engine, credential=name
        )

    def __enter__(self) -> Credential:
        self._governed.__enter__()
        self._lent = Lent(self._governed.call)
        try:
            self._lent.__enter__()
            return lent_credential(self._name)
        except BaseException as error:
            self._governed.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lent.__exit__(kind, error, trace)
        self._governed.__exit__(kind, error, trace)


Vault._block = _leased
