"""One wrapper for each kind of callable: judge, run once with the call in force, record the end.

Authority is captured when a call is made and judged when its body starts: a coroutine at its first
step, a generator at its first `next`. The outcome is written when the body ends, in whatever way.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import time
import types
import weakref
from typing import TYPE_CHECKING, Any

from answerable import _core
from answerable.context import (
    _authority,
    _call,
    adrive,
    drive,
    in_force,
    kind_of,
    marked,
)
from answerable.errors import ApprovalRequired

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator

__all__ = ["begin", "begin_async", "finish_async", "wrapped"]

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Begun = tuple[_core.Call, Args, Kwargs]
Opened = tuple[_core.Call, "AsyncGenerator[Any, Any]"]


def wrapped(spec: _core.Tool, function: Callable[..., Any]) -> Any:
    """A function of the same kind and signature, governed as `spec` says."""
    kind = kind_of(function)
    wrapper = _plain(spec, function) if kind == "function" else _later(spec, function, kind)
    wrapper.__answerable__ = spec
    return wrapper


def _plain(spec: _core.Tool, function: Callable[..., Any]) -> Any:
    begin, get_authority, get_call = spec.begin, _authority.get, _call.get
    enter, leave, late = _call.set, _call.reset, _LATE

    @_dressed(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        receiver = bool(args) and is_receiver(args[0])
        authority = get_authority()
        try:
            call, args, kwargs = begin(authority, get_call(), args, kwargs, receiver=receiver)
        except ApprovalRequired as asked:
            call, args, kwargs = _begin_answered(
                spec, asked, authority, get_call(), args, kwargs, receiver=receiver
            )
        token = enter(call)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.raised(error)
            raise
        finally:
            leave(token)
        if type(result) in late:
            # The body has not run yet: it is a coroutine or generator in a plain function's coat.
            return late[type(result)](call, result, authority)
        call.returned(result)
        return result

    is_receiver = _receiver_test(wrapper)
    return wrapper


def _later(spec: _core.Tool, function: Callable[..., Any], kind: Any) -> Any:
    run = {"coroutine": _coroutine, "generator": _generator, "async_generator": _async_generator}

    @_dressed(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        receiver = bool(args) and is_receiver(args[0])
        made = start(spec, function, _authority.get(), _call.get(), args, kwargs, receiver)
        with contextlib.suppress(AttributeError, TypeError):
            made.__name__, made.__qualname__ = wrapper.__name__, wrapper.__qualname__
        return made

    start: Any = run[kind]
    is_receiver = _receiver_test(wrapper)
    return marked(wrapper, kind)


async def _coroutine(
    spec: _core.Tool,
    function: Callable[..., Any],
    authority: _core.Authority | None,
    parent: _core.Call | None,
    args: Args,
    kwargs: Kwargs,
    receiver: bool,
) -> Any:
    call, args, kwargs = await begin_async(spec, authority, parent, args, kwargs, receiver=receiver)
    try:
        with in_force(authority, call):
            result = await function(*args, **kwargs)
    except BaseException as error:
        await finish_async(call, call.raised(error, wait=False))
        raise
    await finish_async(call, call.returned(result, wait=False))
    return result


def _generator(
    spec: _core.Tool,
    function: Callable[..., Any],
    authority: _core.Authority | None,
    parent: _core.Call | None,
    args: Args,
    kwargs: Kwargs,
    receiver: bool,
) -> Generator[Any, Any, Any]:
    call, args, kwargs = begin(spec, authority, parent, args, kwargs, receiver=receiver)
    try:
        with in_force(authority, call):
            body = function(*args, **kwargs)
        result = yield from drive(body, authority, call)
    except BaseException as error:
        call.raised(error)
        raise
    call.returned(result)
    return result


def _async_generator(
    spec: _core.Tool,
    function: Callable[..., Any],
    authority: _core.Authority | None,
    parent: _core.Call | None,
    args: Args,
    kwargs: Kwargs,
    receiver: bool,
) -> AsyncGenerator[Any, Any]:
    async def opened() -> Opened:
        call, own, named = await begin_async(
            spec, authority, parent, args, kwargs, receiver=receiver
        )
        try:
            with in_force(authority, call):
                return call, function(*own, **named)
        except BaseException as error:
            await finish_async(call, call.raised(error, wait=False))
            raise

    return _async_items(opened, authority)


async def _late_coroutine(
    call: _core.Call, body: Coroutine[Any, Any, Any], authority: _core.Authority | None
) -> Any:
    try:
        with in_force(authority, call):
            result = await body
    except BaseException as error:
        await finish_async(call, call.raised(error, wait=False))
        raise
    await finish_async(call, call.returned(result, wait=False))
    return result


def _late_generator(
    call: _core.Call, body: Generator[Any, Any, Any], authority: _core.Authority | None
) -> Generator[Any, Any, Any]:
    try:
        result = yield from drive(body, authority, call)
    except BaseException as error:
        call.raised(error)
        raise
    call.returned(result)
    return result


def _late_async_generator(
    call: _core.Call, body: AsyncGenerator[Any, Any], authority: _core.Authority | None
) -> AsyncGenerator[Any, Any]:
    async def opened() -> Opened:
        return call, body

    return _async_items(opened, authority)


async def _async_items(
    opened: Callable[[], Coroutine[Any, Any, Opened]], authority: _core.Authority | None
) -> AsyncGenerator[Any, Any]:
    call, body = await opened()
    items = adrive(body, authority, call)
    # There is no `yield from` here: what is sent and thrown in goes on by hand.
    step = items.asend(None)
    try:
        while True:
            try:
                item = await step
            except StopAsyncIteration:
                break
            try:
                sent = yield item
            except GeneratorExit:
                await items.aclose()
                raise
            except BaseException as error:  # noqa: BLE001 - it goes on into the body.
                step = items.athrow(error)
            else:
                step = items.asend(sent)
    except BaseException as error:
        await finish_async(call, call.raised(error, wait=False))
        raise
    await finish_async(call, call.returned(None, wait=False))


_LATE: dict[type, Any] = {
    types.CoroutineType: _late_coroutine,
    types.GeneratorType: _late_generator,
    types.AsyncGeneratorType: _late_async_generator,
}


def begin(
    spec: _core.Tool,
    authority: _core.Authority | None,
    parent: _core.Call | None,
    args: Args,
    kwargs: Kwargs,
    **facts: Any,
) -> Begun:
    """As `Tool.begin`; a call that asks waits for its answer where that is configured."""
    try:
        return spec.begin(authority, parent, args, kwargs, **facts)
    except ApprovalRequired as asked:
        return _begin_answered(spec, asked, authority, parent, args, kwargs, **facts)


def _begin_answered(
    spec: _core.Tool,
    asked: ApprovalRequired,
    authority: _core.Authority | None,
    parent: _core.Call | None,
    args: Args,
    kwargs: Kwargs,
    **facts: Any,
) -> Begun:
    """Waits for the answer, then has the same call judged anew: the answer is no judgement."""
    until: float | None = None
    while True:
        left, until = _left(spec, asked, until)
        if left is None or not asked.approval.wait(left):
            raise asked
        asked.answered = True
        try:
            return spec.begin(authority, parent, args, kwargs, **facts)
        except ApprovalRequired as again:
            asked = again


async def begin_async(
    spec: _core.Tool,
    authority: _core.Authority | None,
    parent: _core.Call | None,
    args: Args,
    kwargs: Kwargs,
    **facts: Any,
) -> Begun:
    """As `begin`, without blocking the loop while an entry becomes durable or a human thinks."""
    until: float | None = None
    while True:
        try:
            return await _begin_async(spec, authority, parent, args, kwargs, **facts)
        except ApprovalRequired as asked:
            left, until = _left(spec, asked, until)
            if left is None or not await _answered(asked.approval, left):
                raise
            asked.answered = True


def _left(
    spec: _core.Tool, asked: ApprovalRequired, until: float | None
) -> tuple[float | None, float | None]:
    """How long a call may go on waiting, and until when; `None` where it may not."""
    if asked.approval is None:
        return None, until
    if until is None:
        patience = spec.patience(asked.approval)
        if patience is None:
            return None, None
        until = time.monotonic() + patience
    left = until - time.monotonic()
    return (left if left > 0 else None), until


async def _answered(approval: _core.Approval, most: float) -> bool:
    """Whether an approval is answered in time, without blocking the loop."""
    import asyncio  # Only who uses it pays for it: it is most of what an import would cost.

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Driven by something else than asyncio: it cannot be told later, so it waits here.
        return approval.wait(most)
    told = asyncio.Event()
    token = approval.when_answered(lambda: loop.call_soon_threadsafe(told.set))
    try:
        await asyncio.wait_for(told.wait(), most)
    except TimeoutError:
        return False
    finally:
        approval.forget(token)
    return True


async def _begin_async(
    spec: _core.Tool,
    authority: _core.Authority | None,
    parent: _core.Call | None,
    args: Args,
    kwargs: Kwargs,
    **facts: Any,
) -> Begun:
    call, args, kwargs = spec.begin(authority, parent, args, kwargs, wait=False, **facts)
    if call.pending:
        try:
            error = await _durable(call, None)
        except BaseException as stopped:
            # Cancelled before the body ran: the allow that is recorded gets an end that says so.
            call.raised(stopped, wait=False)
            raise
        call.settle(error)
    return call, args, kwargs


async def finish_async(call: _core.Call, upto: int | None) -> None:
    """Waits for what must be durable before the result is released, if anything."""
    if upto is not None:
        error = await _durable(call, upto)
        if error is not None:
            raise error


async def _durable(call: _core.Call, upto: int | None) -> BaseException | None:
    import asyncio  # Only who uses it pays for it: it is most of what an import would cost.

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        # Driven by something else than asyncio: it cannot be told later, so it waits here.
        return call.wait(upto)
    future: asyncio.Future[BaseException | None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if not future.done():
            future.set_result(error)

    call.when_durable(upto, lambda error: loop.call_soon_threadsafe(settle, error))
    return await future


def _dressed(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """As `functools.wraps`; an object without a name is called after what it is made of."""
    named: Any = function
    while isinstance(named, functools.partial):
        named = named.func
    if not hasattr(named, "__name__"):
        named = type(named)

    def dress(wrapper: Any) -> Any:
        functools.update_wrapper(wrapper, function)
        for name in ("__module__", "__name__", "__qualname__"):
            setattr(wrapper, name, getattr(named, name, getattr(wrapper, name)))
        return wrapper

    return dress


_mro: Any = type.__dict__["__mro__"].__get__
_namespace: Any = type.__dict__["__dict__"].__get__


def _receiver_test(wrapper: Callable[..., Any]) -> Callable[[Any], bool]:
    """Whether a first argument is the instance or class that the wrapper was found on.

    Only what a descriptor bound is left out of judgement, never an argument by its name: the
    wrapper must stand in the class of the instance as a method, or in the class itself as a class
    method. A static method binds nothing. Types are looked at by the descriptors of `type`, since a
    metaclass may state what it likes.
    """
    known: dict[int, tuple[Any, bool, bool]] = {}
    name = wrapper.__name__

    def holds(owner: type, bound_as: str) -> bool:
        return any(
            _stands_as(_namespace(base).get(name), wrapper) == bound_as for base in _mro(owner)
        )

    def kind_is_class(kind: type) -> bool:
        return any(base is type for base in _mro(kind))

    def is_receiver(first: Any) -> bool:
        kind = type(first)
        key = id(kind)
        answer = known.get(key)
        if answer is None or answer[0]() is not kind:
            reference = weakref.ref(kind, lambda _: known.pop(key, None))
            # By the type's own word: `isinstance` would believe `__class__`.
            answer = known[key] = reference, holds(kind, "method"), kind_is_class(kind)
        return answer[1] or (answer[2] and holds(first, "class method"))

    return is_receiver


def _stands_as(found: Any, wrapper: Callable[..., Any]) -> str | None:
    """How a class holds the wrapper: as a `method`, a `class method`, or not so that it binds."""
    how = "method"
    for _ in range(32):
        if found is wrapper:
            return how
        kind = type(found)
        if kind is staticmethod:
            return None
        if kind is classmethod:
            how = "class method"
        elif kind is property:
            found = found.fget
            continue
        elif kind is functools.cached_property:
            found = found.func
            continue
        elif found is None or not inspect.isroutine(found):
            return None
        found = getattr(found, "__func__", None) or getattr(found, "__wrapped__", None)
    return None
