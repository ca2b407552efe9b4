"""The authority in force: which chain stands behind the calls of a block.

Authority is a value, the ContextVar is a convenience: it follows asyncio tasks by itself, and
`carry` takes it into threads. A block that has ended ends the authority of everything that was
started in it and still runs.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from answerable import _core
from answerable.errors import AccessDenied, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

__all__ = ["Engine", "acting", "carry", "current", "open"]

P = ParamSpec("P")
R = TypeVar("R")

_authority: ContextVar[_core.Authority | None] = ContextVar("answerable_authority", default=None)
_call: ContextVar[_core.Call | None] = ContextVar("answerable_call", default=None)


class Engine(_core.Engine):
    """One authority, one tenant, one store; made by `answerable.open`."""

    def acting(self, grant: _core.Grant) -> acting:
        """Puts a grant in force for the calls of a block.

        Args:
            grant: What `engine.grant`, `grant.delegate` or `engine.accept` returned.

        Returns:
            A context manager; `with engine.acting(grant):` answers the grant.
        """
        return acting(grant)

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
    ) -> acting:
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


class acting(contextlib.AbstractContextManager[_core.Grant]):  # noqa: N801 - used as a verb.
    """Puts a grant in force for the calls of a block, in this thread or asyncio task."""

    def __init__(self, grant: _core.Grant) -> None:
        if not isinstance(grant, _core.Grant):
            raise InvalidInput(
                f"expected a grant, not {type(grant).__name__}",
                code="invalid_input",
                hint="engine.accept(token) makes one from its text",
            )
        self._grant = grant
        self._entered: list[tuple[_core.Authority, Token[_core.Authority | None]]] = []

    def __enter__(self) -> _core.Grant:
        outer = _authority.get()
        if outer is not None and _call.get() is not None and not self._grant.extends(outer.grant):
            raise AccessDenied(
                "inside a tool only the grant in force, or one below it, may act",
                code="authority_conflict",
                hint="delegate from the grant in force instead of acting under another",
            )
        nested = outer is not None and self._grant.extends(outer.grant)
        authority = _core.Authority(self._grant, outer if nested else None)
        self._entered.append((authority, _authority.set(authority)))
        return self._grant

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        authority, token = self._entered.pop()
        authority.end()
        _authority.reset(token)


def current() -> _core.Grant | None:
    """The grant in force here, if there is one and its block still runs."""
    authority = _authority.get()
    return authority.grant if authority is not None and authority.alive else None


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Takes the authority in force now along, into a thread or an executor.

    Example:
        pool.submit(ans.carry(transfer), "travel-1", 80)
    """
    authority, call = _authority.get(), _call.get()

    @functools.wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        tokens = _authority.set(authority), _call.set(call)
        try:
            return function(*args, **kwargs)
        finally:
            _authority.reset(tokens[0])
            _call.reset(tokens[1])

    return carried


def open(
    path: str | Path,
    *,
    durability: str = "before",
    flush_ms: int = 50,
    master_key: bytes | str | Callable[[], bytes | str] | None = None,
    clock: Any = None,
    max_hops: int = 8,
) -> Engine:
    """Opens a store, and makes it and its authority the first time.

    Args:
        path: The store's folder.
        durability: `"before"`, `"strict"`, `"after"` or `"relaxed"`: when an entry must be on disk.
        flush_ms: How long entries may wait for the disk where nobody waits for them, 1 to 10000.
        master_key: 32 bytes, `k4.local.…` text, a callable that returns one of them, or
            `"keyring"`. Without it the environment variable ANSWERABLE_MASTER_KEY, else the file
            `<path>.key`, which the first opening makes with mode 0600.
        clock: A fixed time, for tests; `engine.set_clock` moves it.
        max_hops: How many hops a chain may have, 1 to 64.

    Returns:
        The engine: a context manager that closes itself.

    Raises:
        StoreBusy: Another process holds the store.
        StoreError: The store is damaged or newer than this version.
        InvalidInput: The key is missing or can be read by others.
    """
    engine = Engine(
        path,
        durability=durability,
        flush_ms=flush_ms,
        master_key=_master_key(master_key),
        clock=clock,
        max_hops=max_hops,
    )
    _folders.add(os.path.realpath(engine.path))
    return engine


def _master_key(given: bytes | str | Callable[[], bytes | str] | None) -> bytes | str | None:
    if given is None:
        return os.environ.get("ANSWERABLE_MASTER_KEY")
    if given == "keyring":
        return _from_keyring()
    return given() if callable(given) else given


def _from_keyring() -> str:
    import base64
    import secrets

    try:
        import keyring
    except ImportError as error:
        raise InvalidInput(
            "the operating system's key ring needs the package keyring",
            code="key",
            hint="pip install keyring, or give the key in another way",
        ) from error
    stored: str | None = keyring.get_password("answerable", "master-key")
    if stored is None:
        encoded = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        stored = f"k4.local.{encoded}"
        keyring.set_password("answerable", "master-key", stored)
    return stored


# The folders of the stores that this process has opened.
_folders: set[str] = set()


def _close_all() -> None:
    """Writes what was appended and lets every store go, before threads and modules end."""
    failed = _core.close_all()
    if failed is not None:
        import logging

        logging.getLogger("answerable").error("not everything could be written: %s", failed)


def _let_go() -> None:
    """In a forked child: closes the inherited files of the parent's stores.

    The child can use none of them, and would keep the stores locked after the parent has closed
    them or is gone. Whoever works through an open engine here is told `EngineClosed`.
    """
    if not _folders:
        return
    with contextlib.suppress(OSError):
        for link in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(OSError):
                if str(link.readlink().parent) in _folders:
                    os.close(int(link.name))
    _folders.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
