"""The authority in force: which chain stands behind the calls of a block.

Authority is a value, the ContextVar is a convenience: it follows asyncio tasks by itself, and
`carry` takes it into threads. A block that has ended ends the authority of everything that was
started in it and still runs.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import inspect
import os
import sys
import threading
import weakref
from contextvars import ContextVar, Token
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from answerable import _core, logs, watching
from answerable.approvals import Approvals
from answerable.errors import AccessDenied, InvalidInput, StoreBusy
from answerable.explain import Explanation
from answerable.serving import GROUPS, OWN, THERE_ONLY, Link, answer
from answerable.vault import Vault, master_key_of
from answerable.watching import Hub, Rules

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence
    from datetime import timedelta
    from pathlib import Path

    from answerable.watching import Event, Watch

__all__ = ["Engine", "acting", "cancelled", "carry", "current", "open"]

Kind = Literal["function", "coroutine", "generator", "async_generator"]
P = ParamSpec("P")
R = TypeVar("R")

_authority: ContextVar[_core.Authority | None] = ContextVar("answerable_authority", default=None)
_left: ContextVar[tuple[tuple[_core.Authority, _core.Authority | None], ...]] = ContextVar(
    "answerable_left", default=()
)
_call: ContextVar[_core.Call | None] = ContextVar("answerable_call", default=None)


class Engine(_core.Engine):
    """One authority, one tenant, one store; made by `answerable.open`."""

    def acting(
        self, grant: _core.Grant, *, own: dict[str, Any] | None = None
    ) -> contextlib.AbstractContextManager[_core.Grant]:
        """Puts a grant in force for the calls of a block.

        Args:
            grant: What `engine.grant`, `grant.delegate` or `engine.accept` returned.
            own: Attributes of your own, such as a tenant: policies read them as `context.own`, and
                they are recorded with each call. A block within this one has them too.

        Returns:
            A context manager; `with engine.acting(grant):` answers the grant.
        """
        return acting(grant, own=own)

    def delegating(
        self,
        agent: _core.Agent | str,
        *,
        scope: _core.Capability | Sequence[_core.Capability],
        task: str | None = None,
        ttl: str | float | timedelta | None = None,
        limits: _core.Limit | Sequence[_core.Limit] | None = None,
        max_depth: int = 0,
        key: _core.SecretKey | None = None,
    ) -> contextlib.AbstractContextManager[_core.Grant]:
        """Delegates from the grant in force and puts the new grant in force for a block.

        Args:
            agent: Who acts in the block.
            scope: What it may do there, within the grant in force.
            task: What this hop is for, in a sentence.
            ttl: How long; without it, to the earlier of the parent's and the holder's end.
            limits: Limits over all capabilities of the hop.
            max_depth: How many further hops may follow.
            key: The delegating agent's secret key, where the engine does not keep it.

        Returns:
            A context manager; `with engine.delegating(…) as grant:` answers the new grant.

        Raises:
            AccessDenied: Nothing is in force here, or its block has ended.
            InvalidGrant: The hop would not be within the grant in force.
        """
        authority = _authority.get()
        if authority is None:
            raise AccessDenied(
                "no grant is in force here, so there is nothing to delegate",
                code="no_authority",
                hint="delegate inside `with engine.acting(grant):`",
            )
        if not authority.alive:
            raise AccessDenied(
                "the block that gave this authority has ended",
                code="authority_ended",
                hint="delegate before `with engine.acting(grant):` ends",
            )
        grant = authority.grant.delegate(
            agent, scope=scope, task=task, ttl=ttl, limits=limits, max_depth=max_depth, key=key
        )
        return acting(grant)

    @property
    def approvals(self) -> Approvals:
        """What waits for a human, and the answers."""
        return Approvals(self, _somebody_acts)

    @property
    def vault(self) -> Vault:
        """The credentials that tools use and agents never hold."""
        return Vault(self)

    @property
    def rules(self) -> Rules:
        """What is done by itself when a review finds something."""
        return Rules(self, self._hub.run_rules)

    def watch(
        self,
        callback: Callable[[Event], object],
        *,
        kinds: Sequence[str] = ("decision",),
        findings: bool = True,
        since: int | None = None,
    ) -> Watch:
        """Tells a callable what happens, from a thread of its own.

        The trail is the queue: a slow callable lags behind and misses nothing, one that raises is
        counted and logged, and no governed call feels either. Findings are looked for at most once
        a second, and told when they are new.

        Args:
            callback: Called with each `Event`, one at a time.
            kinds: Which kinds of entries to tell, such as `"halt"`; an empty list for all of them.
            findings: Whether to tell what reviews find.
            since: The place in the trail to begin at, such as another watch's `position`; without
                it, from now on.

        Returns:
            The watch: `close()` ends it, and so does `engine.close()`.
        """
        return self._hub.watch(callback, kinds=kinds, findings=findings, since=since)

    def close(self) -> None:
        """Ends watches and rules, writes all that was appended and lets the store go."""
        self._hub.close()
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @functools.cached_property
    def _hub(self) -> Hub:
        return Hub(self)

    def explain(self, entry: _core.Entry | str) -> Explanation:
        """Says why a call was allowed or not, for whoever has to act on it.

        Args:
            entry: A decision's entry or its outcome's, or its id, as in `denied.decision.entry`.

        Returns:
            A short text that is safe for a model, a long one for an operator, and their parts.

        Raises:
            InvalidInput: There is no such entry, or it records no call.
        """
        return Explanation.of(self.trail.story(entry), self.policies.explain(entry))

    @property
    def attached(self) -> bool:
        """Whether another process holds the store, and this engine reaches it through that one."""
        return False


class _Attached(Engine):
    """An engine on a store that another process holds: reads here, has changes made there."""

    _link: Link

    @property
    def attached(self) -> bool:
        return True

    def close(self) -> None:
        self._link.close()
        super().close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattribute__(self, name: str) -> Any:
        # What the binary knows is asked of an engine that is new enough, or of the holder; what
        # stands above it, such as `explain`, is built on that.
        if name.startswith("_") or name in OWN:
            return super().__getattribute__(name)
        if name in GROUPS or name in THERE_ONLY or hasattr(_core.Engine, name):
            return super().__getattribute__("_link").get(name)
        return super().__getattribute__(name)


def _somebody_acts() -> bool:
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


def open(
    path: str | Path,
    *,
    durability: str = "before",
    flush_ms: int = 50,
    master_key: bytes | str | Callable[[], bytes | str] | None = None,
    clock: Any = None,
    max_hops: int = 8,
    approval_ttl: str | float | timedelta = "1h",
    approval_wait: str | float | timedelta | None = None,
    serve: bool = True,
    attach: bool = True,
    accept_restore: str | None = None,
    repair: bool = False,
    rules: bool = True,
    policy_shadow: int | None = None,
    retention: str | float | timedelta | dict[str, str | float | timedelta] | None = None,
) -> Engine:
    """Opens a store, and makes it and its authority the first time.

    One process holds a store. It serves the others of the same user: where another process holds
    the store, this answers an engine that is attached to it. That one reads all there is to read,
    and has what changes something (revoke, suspend, halt, approve, …) done by the holder, for the
    account that both run under; calls are judged in the holder alone, so `acting` and every guarded
    call are refused with `store_attached`.

    Args:
        path: The store's folder.
        durability: `"before"`, `"strict"`, `"after"` or `"relaxed"`: when an entry must be on disk.
        flush_ms: How long entries may wait for the disk where nobody waits for them, 1 to 10000.
        master_key: 32 bytes, `k4.local.…` text, a callable that returns one of them, or
            `"keyring"`. Without it the environment variable ANSWERABLE_MASTER_KEY, else the file
            `<path>.key`, which the first opening makes with mode 0600.
        clock: A fixed time, for tests; `engine.set_clock` moves it.
        max_hops: How many hops a chain may have, 1 to 64.
        approval_ttl: How long an approval waits for its answer, and its yes for the call.
        approval_wait: How long a call that needs a human's approval waits for it; without it such
            a call raises `ApprovalRequired` at once. A tool's own `wait` goes first.
        serve: Whether this process, holding the store, serves others of the same user.
        attach: Whether to attach where another process holds the store; an application that is to
            judge calls itself says False, and is told `StoreBusy` at once.
        accept_restore: Why an older state of the store than the checkpoint kept beside it is taken
            up; recorded. Without it such a store is refused.
        repair: Whether what is left over, derived or in the way is put in order: half-written
            files are removed, an unreadable checkpoint beside the store is moved aside, the index
            is made anew; recorded as an entry of kind `repair`. Damaged records stay refused.
        rules: Whether the rules that were set act while this engine is open.
        policy_shadow: One of so many judged calls, 1 to 1000000, is judged again by Cedar's own
            evaluator, after it was answered; where the two differ, nothing is allowed under those
            policies any more. Off without it.
        retention: For how long the values of decisions and outcomes are kept, or, as a dict, those
            of each kind that it names; 180 days at least. Housekeeping then drops them as
            `engine.trail.expire` does, and records it. Without it all are kept.

    Returns:
        The engine: a context manager that closes itself.

    Raises:
        StoreBusy: Another process holds the store, and does not serve this user.
        StoreError: The store is damaged or newer than this version.
        InvalidInput: The key is missing or can be read by others.
    """
    logs.start()
    for name, flag in (("serve", serve), ("attach", attach), ("repair", repair), ("rules", rules)):
        if not isinstance(flag, bool):
            raise InvalidInput(f"expected True or False as {name}, not {type(flag).__name__}")
    given: dict[str, Any] = {
        "durability": durability,
        "flush_ms": flush_ms,
        "master_key": _master_key(master_key),
        "clock": clock,
        "max_hops": max_hops,
        "approval_ttl": approval_ttl,
        "approval_wait": approval_wait,
        "accept_restore": accept_restore,
        "repair": repair,
        "policy_shadow": policy_shadow,
        "retention": retention,
    }
    try:
        engine = Engine(path, **given)
    except StoreBusy as busy:
        if not attach:
            raise
        engine = _attach(path, given, busy)
    _folders.add(os.path.realpath(engine.path))
    if serve:
        _core.serve(engine, functools.partial(answer, weakref.ref(engine)))
    if rules and not engine.attached and engine.rules.list():
        engine._hub.run_rules()
    return engine


def _attach(path: str | Path, given: dict[str, Any], busy: StoreBusy) -> Engine:
    """An engine attached to the holder of a store, or why there is none."""
    try:
        attached = _Attached(path, **given, attach=True)
    except StoreBusy:
        raise busy from None
    attached._link = Link(attached, lambda engine: Engine(path, **given, attach=engine))
    return attached


def _master_key(given: bytes | str | Callable[[], bytes | str] | None) -> bytes | str | None:
    return os.environ.get("ANSWERABLE_MASTER_KEY") if given is None else master_key_of(given)


# The folders of the stores that this process has opened.
_folders: set[str] = set()


def _close_all() -> None:
    """Writes what was appended and lets every store go, before threads and modules end."""
    watching.close_all()
    failed = _core.close_all()
    _core.log_flush(end=True)
    if failed is not None:
        logs.ours().error("not everything could be written: %s", failed)


def _let_go() -> None:
    """In a forked child: closes the inherited files of the parent's stores.

    The child can use none of them, and would keep the stores locked, and whoever speaks with the
    parent waiting, after the parent has closed them or is gone. Whoever works through an open
    engine here is told `EngineClosed`.
    """
    if not _folders:
        return
    with contextlib.suppress(OSError):
        with os.scandir("/proc/self/fd") as links:
            found = list(links)
        for link in found:
            with contextlib.suppress(OSError):
                at = os.readlink(link.path)  # noqa: PTH115 - `pathlib` is loaded by who uses it.
                if at.rpartition("/")[0] in _folders or _is_holders(at, int(link.name)):
                    os.close(int(link.name))
    _folders.clear()


def _is_holders(at: str, number: int) -> bool:
    """Whether a descriptor is one of a store's socket, at either end."""
    if not at.startswith("socket:"):
        return False
    import _socket  # Not `socket`: a fork is to stay cheap.

    known = _socket.socket(fileno=number)
    try:
        for name in (known.getsockname, known.getpeername):
            with contextlib.suppress(OSError):
                named = name()
                if isinstance(named, str) and named.endswith("/.new-holder.sock"):
                    return True
    finally:
        known.detach()
    return False


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
