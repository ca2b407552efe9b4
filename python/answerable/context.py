"""The authority in force: which chain stands behind the calls of a block.

Authority is a value, the ContextVar is a convenience: it follows asyncio tasks by itself, and
`carry` takes it into threads. A block that has ended ends the authority of everything that was
started in it and still runs.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import threading
from contextvars import ContextVar, Token
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from answerable import _core
from answerable.errors import AccessDenied, InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

__all__ = ["acting", "cancelled", "carry", "current"]

Kind = Literal["function", "coroutine", "generator", "async_generator"]
P = ParamSpec("P")
R = TypeVar("R")

_authority: ContextVar[_core.Authority | None] = ContextVar("answerable_authority", default=None)
_left: ContextVar[tuple[tuple[_core.Authority, _core.Authority | None], ...]] = ContextVar(
    "answerable_left", default=()
)
_call: ContextVar[_core.Call | None] = ContextVar("answerable_call", default=None)


def somebody_acts() -> bool:
    """Whether code runs here for an agent: a grant is in force, or a tool's body runs."""
    return _authority.get() is not None or _call.get() is not None


class acting(contextlib.AbstractContextManager[_core.Grant]):  # noqa: N801 - used as a verb.
    """Puts a grant in force for the calls of a block, in this thread or asyncio task.

    The same object may be entered again, also at the same time by other threads and tasks: each
    block ends on its own.
    """

    def __init__(self, grant: _core.Grant, *, own: dict[str, Any] | None = None) -> None:
        if not isinstance(grant, _core.Grant):
            raise InvalidInput(
                f"expected a grant, not {type(grant).__name__}",
                code="invalid_input",
                hint="engine.accept(token) makes one from its text",
            )
        self._grant = grant
        self._own = own
        self._entered: dict[int, tuple[_core.Authority, Token[_core.Authority | None]]] = {}

    def __enter__(self) -> _core.Grant:
        outer = _authority.get()
        nested = outer is not None and self._grant.extends(outer.grant)
        if _call.get() is not None and not nested:
            raise AccessDenied(
                "inside a tool only the grant in force, or one below it, may act",
                code="authority_conflict",
                hint="delegate from the grant in force instead of acting under another",
            )
        left = _left_by(sys._getframe(1))
        authority = _core.Authority(self._grant, outer if nested else None, left, self._own)
        self._entered[id(authority)] = authority, _authority.set(authority)
        return self._grant

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        here = _authority.get()
        entered = self._entered.pop(id(here), None)
        if entered is None:
            # Left out of order, or in another context, as generators and fixtures are: what is in
            # force here belongs to somebody else and stays, and what ended does not come back.
            _, (authority, token) = self._entered.popitem()
            authority.end()
            before = None if token.old_value is Token.MISSING else token.old_value
            _left.set((*_left.get()[-15:], (authority, before)))
            return
        authority, token = entered
        authority.end()
        try:
            _authority.reset(token)
        except ValueError:  # Entered in a context that this one is a copy of.
            _authority.set(None)
        left = {id(gone): before for gone, before in _left.get()}
        while id(here := _authority.get()) in left:
            _authority.set(left.pop(id(here)))


# Whoever drives a generator from here means its block to reach beyond it.
_BLOCKS = {"contextlib", "_pytest", "pytest_asyncio", "anyio"}


def _left_by(frame: FrameType | None) -> Callable[[], bool] | None:
    """For a block that a generator enters: whether the generator stands still in its caller.

    A context variable that a generator sets is its caller's too. So at each call under the block it
    is asked whether the generator's body runs; work that it started elsewhere, in a thread or task
    of its own, goes on.
    """
    while frame is not None and frame.f_globals.get("__name__") == "contextlib":
        frame = frame.f_back  # An ExitStack's own.
    if frame is None or not frame.f_code.co_flags & _GENERATORS:
        return None
    driver = frame.f_back
    name = driver.f_globals.get("__name__") if driver is not None else None
    if isinstance(name, str) and name.split(".")[0] in _BLOCKS:
        return None
    body, thread, task = frame, threading.get_ident(), _task()

    def left() -> bool:
        # What stands still has no caller.
        return body.f_back is None and threading.get_ident() == thread and _task() == task

    return left


def _task() -> int | None:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else id(task)


def current() -> _core.Grant | None:
    """The grant in force here, if there is one and its block still runs."""
    authority = _authority.get()
    return authority.grant if authority is not None and authority.alive else None


def cancelled() -> bool:
    """Whether the authority of the running tool has ended since its call was allowed.

    A grant, task, agent or human on its chain was revoked, ended, suspended or halted, the grant
    ran out, or the block around the call has ended. A tool that runs long asks now and then, and
    stops. Outside of a tool nothing was allowed that could end: False.

    Example:
        for page in pages:
            if ans.cancelled():
                break
            send(page)
    """
    call, authority = _call.get(), _authority.get()
    if call is None:
        return False
    return call.cancelled or (authority is not None and not authority.alive)


class in_force:  # noqa: N801 - used as a phrase: `with in_force(authority, call):`.
    """Puts an authority and a call in force while a part of a body runs."""

    __slots__ = ("_authority", "_call", "_tokens")

    def __init__(self, authority: _core.Authority | None, call: _core.Call | None) -> None:
        self._authority = authority
        self._call = call

    def __enter__(self) -> None:
        self._tokens = _authority.set(self._authority), _call.set(self._call)

    def __exit__(self, *error: object) -> None:
        # A body that is closed in another context leaves nothing behind in it.
        with contextlib.suppress(ValueError):
            _call.reset(self._tokens[1])
        with contextlib.suppress(ValueError):
            _authority.reset(self._tokens[0])


def drive(
    body: Generator[Any, Any, R], authority: _core.Authority | None, call: _core.Call | None
) -> Generator[Any, Any, R]:
    """Runs a generator with an authority in force while its body runs, and only then."""
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        with in_force(authority, call):
            try:
                item = body.send(sent) if thrown is None else body.throw(thrown)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
        sent = thrown = None
        try:
            sent = yield item
        except GeneratorExit:
            with in_force(authority, call):
                body.close()
            raise
        except BaseException as error:  # noqa: BLE001 - it goes on into the body.
            thrown = error


async def adrive(
    body: AsyncGenerator[Any, Any], authority: _core.Authority | None, call: _core.Call | None
) -> AsyncGenerator[Any, Any]:
    """As `drive`, for an async generator."""
    sent: Any = None
    thrown: BaseException | None = None
    while True:
        with in_force(authority, call):
            try:
                item = await (body.asend(sent) if thrown is None else body.athrow(thrown))
            except StopAsyncIteration:
                return
        sent = thrown = None
        try:
            sent = yield item
        except GeneratorExit:
            with in_force(authority, call):
                await body.aclose()
            raise
        except BaseException as error:  # noqa: BLE001 - it goes on into the body.
            thrown = error


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Takes the authority in force now along, into a thread or an executor.

    Functions, coroutine functions, generators and async generators keep their kind.

    Example:
        pool.submit(ans.carry(transfer), "travel-1", 80)

    Raises:
        InvalidInput: It is nothing that can be called.
    """
    if not callable(function):
        raise InvalidInput(f"expected a function, not {type(function).__name__}")
    authority, call = _authority.get(), _call.get()
    body: Any = function
    try:
        kind = kind_of(function)
        functools.wraps(function)(lambda: None)
    except Exception as error:
        raise InvalidInput(
            f"a {type(function).__name__} cannot be carried: it cannot be read"
        ) from error

    @functools.wraps(function)
    def carried(*args: Any, **kwargs: Any) -> Any:
        with in_force(authority, call):
            return body(*args, **kwargs)

    @functools.wraps(function)
    async def carried_async(*args: Any, **kwargs: Any) -> Any:
        with in_force(authority, call):
            return await body(*args, **kwargs)

    @functools.wraps(function)
    def carried_generator(*args: Any, **kwargs: Any) -> Any:
        with in_force(authority, call):
            generator = body(*args, **kwargs)
        return run(generator, authority, call)

    if kind == "function":
        return carried
    if kind == "coroutine":
        return carried_async  # type: ignore[return-value]
    run: Any = drive if kind == "generator" else adrive
    return marked(carried_generator, kind)  # type: ignore[no-any-return]


def kind_of(function: Any) -> Kind:
    """Which of the four kinds a callable is; a callable object is what its `__call__` is."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not inspect.isclass(function):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - its kind matters.
    if inspect.iscoroutinefunction(function):
        return "coroutine"
    if inspect.isasyncgenfunction(function):
        return "async_generator"
    return "generator" if inspect.isgeneratorfunction(function) else "function"


_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
_FLAGS = {
    "coroutine": inspect.CO_COROUTINE,
    "generator": inspect.CO_GENERATOR,
    "async_generator": inspect.CO_ASYNC_GENERATOR,
}


def marked(function: Any, kind: Kind) -> Any:
    """Makes a plain function that returns what `kind` says known to `inspect` as that kind."""
    if kind == "coroutine" and sys.version_info >= (3, 12):
        return inspect.markcoroutinefunction(function)
    if kind != "function":
        # The flag on the code is all that `inspect` looks at. It decides nothing at run time: what
        # makes a generator is in the instructions.
        code = function.__code__
        function.__code__ = code.replace(co_flags=code.co_flags | _FLAGS[kind])
    return function
