"""The guard: binds a call, has it judged and recorded, runs the tool once, records its end.

A real Python function comes out of the decorator, one wrapper each for functions and coroutine
functions, so that frameworks see the signature, name and kind of the tool itself. Before the body
runs a guarded call raises `AccessDenied` and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import sys
import weakref
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from answerable import _core
from answerable.context import _authority, _call
from answerable.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

__all__ = ["governed", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_tools: dict[str, tuple[str, str]] = {}


def tool(
    name: str,
    *,
    resource: str | None = None,
    record: Mapping[str, str] | None = None,
    dangerous: bool = False,
    pass_through: Iterable[str] = (),
    engine: _core.Engine | None = None,
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
        engine: The engine to ask; without it, that of the authority in force, else the last
            opened.

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
        if not callable(function):
            raise InvalidInput(f"expected a function, not {type(function).__name__}")
        spec = _spec(
            name,
            function,
            resource=resource,
            record=record,
            dangerous=dangerous,
            pass_through=pass_through,
            engine=engine,
        )
        _register(name, function)
        wrap = _async_wrapper if inspect.iscoroutinefunction(function) else _sync_wrapper
        wrapper = wrap(spec, function)
        wrapper.__answerable__ = spec
        return wrapper  # type: ignore[no-any-return]

    return decorate


def _spec(name: str, function: Callable[..., Any], **facts: Any) -> _core.Tool:
    parameters = [
        (
            parameter.name,
            int(parameter.kind),
            parameter.default is not inspect.Parameter.empty,
            parameter.default,
        )
        for parameter in inspect.signature(function).parameters.values()
    ]
    pass_through = facts.pop("pass_through")
    if isinstance(pass_through, str):
        raise InvalidInput(f"pass_through is a list of names: write [`{pass_through}`]")
    passed = list(pass_through)
    known = {name for name, *_ in parameters}
    for names, what in ((passed, "pass_through"), (facts["record"] or {}, "record")):
        unknown = [name for name in names if name not in known and name != "return"]
        if unknown and not any(kind == 4 for _, kind, *_ in parameters):
            raise InvalidInput(f"{what} names `{unknown[0]}`, which is no argument of the function")
    record = facts.pop("record")
    return _core.Tool(
        name,
        parameters=parameters,
        pass_through=passed,
        record=dict(record) if record else None,
        **facts,
    )


def _register(name: str, function: Callable[..., Any]) -> None:
    """One function a name. The same function again replaces itself: notebooks do that."""
    here = (
        getattr(function, "__module__", "") or "",
        getattr(function, "__qualname__", type(function).__qualname__),
    )
    known = _tools.setdefault(name, here)
    if known != here:
        raise InvalidInput(
            f"the tool name `{name}` belongs to {known[0]}.{known[1]} already",
            code="invalid_input",
            hint="give each tool its own name; names from outside get a prefix of their own",
        )


def _sync_wrapper(spec: _core.Tool, function: Callable[..., Any]) -> Any:
    begin, get_authority, get_call = spec.begin, _authority.get, _call.get
    enter, leave = _call.set, _call.reset

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        receiver = bool(args) and is_receiver(args[0])
        call, args, kwargs = begin(get_authority(), get_call(), args, kwargs, receiver=receiver)
        token = enter(call)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.raised(error)
            raise
        finally:
            leave(token)
        call.returned(result)
        return result

    is_receiver = _receiver_test(wrapper)
    return wrapper


def _async_wrapper(spec: _core.Tool, function: Callable[..., Any]) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        # Authority is captured when the call is made, and judged when the body starts.
        receiver = bool(args) and is_receiver(args[0])
        return run(_authority.get(), _call.get(), receiver, args, kwargs)

    async def run(
        authority: _core.Authority | None,
        parent: _core.Call | None,
        receiver: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        call, args, kwargs = await _begin(spec, authority, parent, args, kwargs, receiver=receiver)
        tokens = _authority.set(authority), _call.set(call)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            await _finish(call, call.raised(error, wait=False))
            raise
        finally:
            _call.reset(tokens[1])
            _authority.reset(tokens[0])
        await _finish(call, call.returned(result, wait=False))
        return result

    is_receiver = _receiver_test(wrapper)
    return _mark_coroutine_function(wrapper)


async def _begin(
    spec: _core.Tool,
    authority: _core.Authority | None,
    parent: _core.Call | None,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    receiver: bool = False,
    against: tuple[str, str] | None = None,
) -> tuple[_core.Call, tuple[Any, ...], dict[str, Any]]:
    """As `Tool.begin`, without blocking the loop while the entry becomes durable."""
    call, args, kwargs = spec.begin(
        authority, parent, args, kwargs, receiver=receiver, wait=False, against=against
    )
    if call.pending:
        call.settle(await _durable(call, None))
    return call, args, kwargs


async def _finish(call: _core.Call, upto: int | None) -> None:
    if upto is not None:
        error = await _durable(call, upto)
        if error is not None:
            raise error


async def _durable(call: _core.Call, upto: int | None) -> BaseException | None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[BaseException | None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if not future.done():
            future.set_result(error)

    call.when_durable(upto, lambda error: loop.call_soon_threadsafe(settle, error))
    return await future


def _receiver_test(wrapper: Callable[..., Any]) -> Callable[[Any], bool]:
    """Whether a first argument is the instance or class that the wrapper was found on.

    Only what the descriptor bound is left out of judgement, never an argument by its name: the
    wrapper must stand in the class of the instance, or in the class itself.
    """
    known: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()
    name = wrapper.__name__

    def holds(owner: type) -> bool:
        return any(_leads_to(vars(base).get(name), wrapper) for base in owner.__mro__)

    def is_receiver(first: Any) -> bool:
        kind = type(first)
        answer = known.get(kind)
        if answer is None:
            answer = known[kind] = holds(kind)
        return answer or (isinstance(first, type) and holds(first))

    return is_receiver


def _leads_to(found: Any, wrapper: Callable[..., Any]) -> bool:
    for _ in range(32):
        if found is wrapper:
            return True
        found = getattr(found, "__func__", None) or getattr(found, "__wrapped__", None)
        if found is None:
            return False
    return False


if sys.version_info >= (3, 12):
    _mark_coroutine_function = inspect.markcoroutinefunction
else:

    def _mark_coroutine_function(function: Any) -> Any:
        # Before 3.12 the flag on the code is all that inspect looks at. It decides nothing at run
        # time: what makes a coroutine is in the code itself.
        code = function.__code__
        function.__code__ = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)
        return function


class governed(contextlib.AbstractContextManager[Any], contextlib.AbstractAsyncContextManager[Any]):  # noqa: N801 - used as a verb.
    """One governed call of something that is no decorated function: what adapters use.

    Args:
        name: The tool's name.
        arguments: The arguments by name.
        resource: A resource template over them.
        engine: The engine to ask, as for `tool`.
        by_reference: What goes along unjudged, by name: recorded by its type.
        against: A code and a sentence: the call is denied for it, whatever the grant says.

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
            strict=False,
        )
        self._given = {**arguments, **passed}
        self._against = against
        self._authority = _authority.get()
        self._parent = _call.get()
        self.result = None

    def __enter__(self) -> governed:
        return self._entered(
            *self._spec.begin(
                self._authority, self._parent, (), self._given, against=self._against
            )
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _call.reset(self._token)
        if error is None:
            self._begun.returned(self.result)
        else:
            self._begun.raised(error)

    async def __aenter__(self) -> governed:
        return self._entered(
            *await _begin(
                self._spec, self._authority, self._parent, (), self._given, against=self._against
            )
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _call.reset(self._token)
        begun = self._begun
        if error is None:
            await _finish(begun, begun.returned(self.result, wait=False))
        else:
            await _finish(begun, begun.raised(error, wait=False))

    @property
    def entry(self) -> str | None:
        """The decision's entry."""
        return self._begun.entry

    def _entered(self, call: _core.Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> governed:
        self._begun = call
        self.arguments = kwargs
        self._token = _call.set(call)
        return self
