"""Opening a store, here or by way of the process that holds it; and letting all of them go."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import weakref
from typing import TYPE_CHECKING, Any

from answerable import _core, logs, watching
from answerable.engine import Engine, _Attached
from answerable.errors import InvalidInput, StoreBusy
from answerable.serving import Link, answer
from answerable.vault import master_key_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from pathlib import Path

__all__ = ["open"]


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
        accept_restore: Why an older state of the store is taken up than the checkpoint kept beside
            it, or than its log had been durable (as a plain copy of a store in use may be);
            recorded. Without it such a store is refused.
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
    if open_here(path):
        # Nobody else can let it go: to wait for it would be to wait for ourselves.
        raise StoreBusy(
            f"store `{os.fspath(path)}` is open in this process already (process {os.getpid()})",
            code="store_busy",
            hint="work through the engine that holds it, or close that one first",
        )
    try:
        engine = Engine(path, **given)
    except StoreBusy as busy:
        if not attach:
            raise
        engine = _attach(path, given, busy)
    _folders.add(os.path.realpath(engine.path))
    if not engine.attached:
        _holding[os.path.realpath(engine.path)] = weakref.ref(engine)
    if serve:
        _core.serve(engine, functools.partial(answer, weakref.ref(engine)))
    if rules and not engine.attached and engine.rules.list():
        engine._hub.run_rules()
    return engine


def open_here(path: str | Path) -> bool:
    """Whether an engine of this process that is in use holds the store in a folder."""
    try:
        real = os.path.realpath(path)
    except Exception:  # noqa: BLE001 - whatever a wrong path raises, opening says so.
        return False
    held = _holding.get(real)
    engine = held() if held is not None else None
    return engine is not None and not engine._ends and _is_locked(path)


def _is_locked(path: str | Path) -> bool:
    """Whether somebody holds the store that lies in the folder now."""
    import fcntl

    try:
        number = os.open(os.path.join(path, "LOCK"), os.O_RDWR | os.O_NOFOLLOW)  # noqa: PTH118
    except OSError:
        return False
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(number)
    return False


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
# The engines that hold them, by folder.
_holding: dict[str, weakref.ref[Engine]] = {}


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
    _holding.clear()


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
