"""Whether a store is well: its files, its key, its holder, its record, the clock."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from answerable.cli.run import Argument, Run, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from answerable.engine import Engine

CLOCK = timedelta(seconds=60)


class Finding(NamedTuple):
    """What one check found."""

    check: str
    state: str  # ok, warn or bad
    found: str
    hint: str = ""


@command(
    "doctor",
    Argument(
        "--accept-restore",
        metavar="REASON",
        help="take up an older store, as after a restore, or one that was cut short; recorded",
    ),
    Argument(
        "--repair",
        action="store_true",
        help="put in order what is left over, derived or in the way; recorded",
    ),
    Argument(
        "--compact",
        action="store_true",
        help="copy the records into fresh files, which are smaller",
    ),
)
def doctor(run: Run) -> int:
    """Check the store: format, modes, key, holder, checkpoint, trail, clock."""
    from answerable.errors import Error, StoreError

    repair, reason = run.args.repair, run.args.accept_restore
    mended = list(_tighten(run.store)) if repair else []
    findings = list(_files(run.store))
    code, started = 0, datetime.now(UTC)
    if findings[0].state == "ok":
        try:
            if repair or reason is not None:
                engine = run.open(accept_restore=reason, repair=repair)
            else:
                engine = run.engine
            findings += mended
            if reason is not None:
                findings.append(_restored(engine, started))
            if repair:
                findings += _repaired(engine)
            if run.args.compact:
                findings.append(_compacted(engine))
            findings += _opened(engine)
        except Error as error:
            findings.append(Finding("opens", "bad", str(error), error.hint))
            code = 3 if isinstance(error, StoreError) or error.code == "key" else 1
    else:
        code = 3
    run.out.table([finding._asdict() for finding in findings], ["check", "state", "found", "hint"])
    return code or int(any(finding.state == "bad" for finding in findings))


def _files(store: Path) -> Iterator[Finding]:
    """What can be seen without opening it."""
    try:
        text = (store / "FORMAT").read_text("utf-8", errors="replace")[:64].strip()
    except FileNotFoundError:
        yield Finding(
            "store", "bad", f"there is none in {store}", "make one with `answerable init`"
        )
        return
    except OSError as error:
        yield Finding("store", "bad", f"{store}: {error.strerror}", "run this as the store's owner")
        return
    yield Finding("store", "ok", f"{text} in {store.absolute()}")
    yield _modes(store)
    yield _key(store)
    yield _holder(store)
    yield from _torn(store)


def _torn(store: Path) -> Iterator[Finding]:
    """What a power cut left unfinished, or damage, and was put aside."""
    torn = sorted(store.glob("torn-*"))
    if torn:
        size = sum(file.stat().st_size for file in torn)
        found = f"{len(torn)} pieces of {size} bytes lay behind a torn end of the log"
        hint = f"kept as {torn[0].name}…; nothing acknowledged is in them after a power cut"
        yield Finding("torn", "warn", found, hint)


def _tighten(store: Path) -> Iterator[Finding]:
    """Takes from others what access they have to the store's own files."""
    own = os.geteuid()
    for path in (store, *store.rglob("*")):
        info = path.lstat()
        if path.is_symlink() or info.st_uid != own or not info.st_mode & 0o077:
            continue
        path.chmod(stat.S_IMODE(info.st_mode) & 0o700)
        yield Finding("repair", "ok", f"{path.relative_to(store.parent)} was open to others")


def _repaired(engine: Engine) -> Iterator[Finding]:
    """What the repair at the opening did, as its entry says."""
    entry = engine.trail.entries(kind="repair", order="newest")[0]
    for told in entry.values["detail"]:
        yield Finding("repair", "ok", told)
    yield Finding("repair", "ok", f"recorded as {entry.id}")


def _restored(engine: Engine, started: datetime) -> Finding:
    """What the entry of the restore says, if the opening made one."""
    made = engine.trail.entries(kind="restore", order="newest", since=started)
    entry = next(iter(made), None)
    if entry is None:
        return Finding("restore", "ok", "nothing was older than it should be: nothing is recorded")
    told = [f"went on after {entry.leaf['had']} entries"]
    if "lost" in entry.leaf:
        told.append(f"{entry.leaf['lost']} bytes of the log had been written behind them")
    if "size" in entry.leaf:
        told.append(f"the checkpoint kept beside it covers {entry.leaf['size']}")
    hint = "what was revoked, ended, erased or used up since is as it was before: do it again"
    return Finding("restore", "warn", f"{'; '.join(told)}; recorded as {entry.id}", hint)


def _compacted(engine: Engine) -> Finding:
    done = engine.trail.compact()
    found = f"{done['before']} bytes became {done['after']}, of {done['live']} in records"
    return Finding("compact", "ok", found)


def _modes(store: Path) -> Finding:
    open_ = [
        str(path.relative_to(store.parent))
        for path in (store, *store.rglob("*"))
        if not path.is_symlink() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    ]
    if not open_:
        return Finding("modes", "ok", "nobody else can read or change its files")
    more = f" and {len(open_) - 3} more" if len(open_) > 3 else ""
    found = f"others have access to {', '.join(open_[:3])}{more}"
    return Finding("modes", "bad", found, f"chmod -R go= {store}")


def _key(store: Path) -> Finding:
    if os.environ.get("ANSWERABLE_MASTER_KEY"):
        return Finding("key", "ok", "from ANSWERABLE_MASTER_KEY")
    path = store.absolute().with_name(store.absolute().name + ".key")
    try:
        mode = path.lstat().st_mode
    except OSError:
        hint = "restore it from a backup, or set ANSWERABLE_MASTER_KEY"
        return Finding("key", "bad", f"{path} is not there", hint)
    if stat.S_IMODE(mode) & 0o077:
        found = f"{path} has mode {stat.S_IMODE(mode):04o}"
        return Finding("key", "bad", found, "chmod 600 it, and replace it if others may have it")
    return Finding("key", "ok", f"{path}, for its owner alone")


def _holder(store: Path) -> Finding:
    try:
        told = json.loads((store / "holder.json").read_bytes()[:4096])
        pid, host = int(told["pid"]), str(told["host"])
        since = datetime.fromtimestamp(int(told["started"]) / 1e6, UTC)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return Finding("holder", "ok", "no process says that it holds the store")
    found = f"process {pid} on {host} said so at {since:%Y-%m-%d %H:%M:%S} UTC"
    if host == os.uname().nodename and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
        return Finding("holder", "warn", f"{found}, and is gone", "it ended without closing")
    return Finding("holder", "ok", found)


def _opened(engine: Engine) -> Iterator[Finding]:
    from answerable.errors import TrailCorrupted

    yield Finding("authority", "ok", engine.authority)
    # Before `verify`, which signs a new one.
    checkpoints, size = engine.trail.checkpoints(), len(engine.trail)
    if checkpoints:
        last = checkpoints[-1].size
        yield Finding("checkpoint", "ok", f"the newest covers {last} of {size} entries")
    else:
        hint = "answerable trail checkpoint --out FILE signs one, to be kept elsewhere"
        found = f"none was signed over its {size} entries before this check, which signs one"
        yield Finding("checkpoint", "warn", found, hint)
    try:
        yield Finding("trail", "ok", str(engine.trail.verify()))
    except TrailCorrupted as corrupted:
        hint = "keep the store as it is; answerable trail verify shows every fault"
        yield Finding("trail", "bad", str(corrupted), hint)
    kept = engine.path.with_name(engine.path.name + ".checkpoint")
    if kept.is_file():
        yield Finding("kept", "ok", f"the newest checkpoint is in {kept}; keep copies elsewhere")
    else:
        hint = "the folder above the store has to be yours; or publish checkpoints elsewhere"
        yield Finding("kept", "warn", f"no checkpoint is kept in {kept}", hint)
    yield _clock(engine.trail.get(size - 1).at)


def _clock(newest: Any) -> Finding:
    behind = newest - datetime.now(UTC)
    if behind > CLOCK:
        found = f"{behind.total_seconds():.0f} s behind the newest entry"
        return Finding("clock", "bad", found, "set it right: nothing is allowed until then")
    return Finding("clock", "ok", "not behind the newest entry")
