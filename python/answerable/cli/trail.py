"""The trail on the command line: show, count, follow, tell, verify, checkpoint, export."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from answerable.cli.run import Argument, Run, UsageError, command
from answerable.keeping import read_text, write_own

if TYPE_CHECKING:
    from answerable import _core

NEWEST = 30
MOST_BYTES = 1024 * 1024  # More than a proof or a request of a witness has.

FILTERS = (
    Argument("--human", help="who is accountable, by id or account; `none` for nobody"),
    Argument("--agent", help="who acted, by id or name"),
    Argument("--via", metavar="AGENT", help="an agent anywhere on the chain"),
    Argument("--grant", metavar="ID", help="a grant anywhere on the chain"),
    Argument("--tool", metavar="PATTERN", help="the tool"),
    Argument("--resource", metavar="PATTERN", help="the resource"),
    Argument("--task", metavar="ID", help="the task"),
    Argument("--effect", choices=["allow", "deny", "ask"], help="what was decided"),
    Argument("--reason", metavar="CODE", help="a reason's code, such as caveat_failed"),
    Argument("--kind", help="the kind of entry, such as decision or grant"),
    Argument("--action", help="what an administrative entry did, such as issued"),
    Argument("--by", metavar="HUMAN", help="the human who did it"),
)
TIMES = (
    Argument("--since", metavar="WHEN", help="not before: 24h, or 2026-01-31T09:00:00Z"),
    Argument("--until", metavar="WHEN", help="before"),
)
AFTER = Argument("--after", metavar="ENTRY", help="only what comes after this entry")
BEFORE = Argument("--before", metavar="ENTRY", help="only what comes before this entry")
COUNTED = (
    "kind", "human", "agent", "via", "tool", "resource", "task", "effect", "reason", "action", "by",
    "hour", "day",
)  # fmt: skip


@command(
    "trail show",
    *FILTERS,
    *TIMES,
    AFTER,
    BEFORE,
    Argument("--oldest", type=int, metavar="N", help="the first N, not the newest"),
    Argument("-n", "--newest", type=int, default=NEWEST, metavar="N", help="how many"),
    Argument("--all", action="store_true", help="all of them"),
)
def show(run: Run) -> None:
    """Show entries, by their filters; the newest unless all are asked for."""
    args = run.args
    if args.newest < 1 or (args.oldest is not None and args.oldest < 1):
        raise UsageError("--newest and --oldest are numbers above zero")
    entries = run.engine.trail.entries(**filters(args, "since", "until"), **places(args))
    if args.all:
        found = entries
    elif args.oldest is not None:
        found = entries[: args.oldest]
    else:
        found = entries[-args.newest :]
    if run.out.json:
        for entry in found:
            run.out.raw_json(entry.json())
        return
    wide = run.out.width is None or run.out.width >= 130
    columns = ["#", "time", "who", "what", "decided", "reasons"]
    run.out.table(map(row, found), [*columns, "id"] if wide else columns)
    if args.all or not found:
        return
    if args.oldest is not None:
        run.out.note(f"the oldest {len(found)}; go on with --after {found[-1].id}")
    elif len(found) == args.newest and entries[0].index != found[0].index:
        older = f"--before {found[0].id} goes on"
        run.out.note(f"the newest {len(found)} of {len(entries)}; --all shows every one, {older}")


@command(
    "trail count",
    *FILTERS,
    *TIMES,
    AFTER,
    BEFORE,
    Argument("--per", choices=COUNTED, metavar="FIELD", help=f"by: {', '.join(COUNTED)}"),
)
def count(run: Run) -> None:
    """Count entries, by their filters, or by the values of a field."""
    args = run.args
    entries = run.engine.trail.entries(**filters(args, "since", "until"), **places(args))
    if args.per is None:
        number = len(entries)
        run.out.sentence(f"{number} entries", {"entries": number})
        return
    counts = entries.count_by(args.per)
    rows = [{args.per: value, "entries": number} for value, number in counts.items()]
    run.out.table(rows, [args.per, "entries"])


@command("trail follow", *FILTERS, AFTER)
def follow(run: Run) -> None:
    """Show entries as they come, until interrupted; for a filter too."""
    args = run.args
    after = None if args.after is None else entry_of(args.after)
    for entry in run.engine.trail.follow(after=after, **filters(args)):
        if run.out.json:
            run.out.raw_json(entry.json())
        else:
            cells = row(entry)
            parts = (cells[name] for name in ("#", "time", "who", "what", "decided", "reasons"))
            run.out.text("  ".join(text for text in map(run.out.cell, parts) if text))
        run.out.flush()


@command(
    "trail reconstruct",
    Argument("what", help="an entry's id or number, a task's id, or a human"),
)
def reconstruct(run: Run) -> None:
    """Tell what happened as a tree: human, task, hops of authority, calls within calls."""
    what = entry_of(run.args.what)
    tree = run.engine.trail.reconstruct(what)
    if run.out.json:
        run.out.document({"calls": tree.calls, "cut": tree.cut, "tree": tree.tree})
        return
    run.out.block(str(tree))
    run.out.note(f"{tree.calls} calls{', and more' if tree.cut else ''}")


@command(
    "trail who-could",
    Argument("tool", help="a tool's name"),
    Argument("resource", nargs="?", help="a resource; any without it"),
    Argument("--at", metavar="WHEN", help="the moment: 24h ago, or a time; now without it"),
)
def who_could(run: Run) -> None:
    """Show who held authority over a tool, and a resource, at a moment; from the trail alone."""
    args = run.args
    found = run.engine.trail.who_could(args.tool, args.resource, at=args.at)
    names = ("human_name", "via", "capability", "since", "until", "recorded", "grant", "task")
    rows = [{name: getattr(could, name) for name in (*names, "human", "agent")} for could in found]
    run.out.table(rows, ["human_name", "via", "capability", "since", "until", "grant"])


def filters(args: Any, *more: str) -> dict[str, Any]:
    """The filters that were given."""
    names = (
        "human", "agent", "via", "grant", "tool", "resource", "task", "effect", "reason", "kind",
        "action", "by",
    )  # fmt: skip
    return {name: getattr(args, name) for name in (*names, *more)}


def places(args: Any) -> dict[str, Any]:
    """The entries that the command was told to stay between."""
    given = {"after": args.after, "before": args.before}
    return {name: entry_of(text) for name, text in given.items() if text is not None}


@command(
    "trail story",
    Argument("entry", help="an entry's id, or its number in `trail show`"),
)
def story(run: Run) -> None:
    """Tell one call: who, through which agents, what and where, and why."""
    told = run.engine.trail.story(entry_of(run.args.entry))
    if run.out.json:
        run.out.document(story_record(told))
        return
    text = told.text(time=run.out.time)
    head, _, rest = text.partition("\n")
    run.out.text(head, colour={"allow": "32", "deny": "31"}.get(told.effect, "33"))
    run.out.block(rest)


@command(
    "trail explain",
    Argument("entry", help="an entry's id, or its number in `trail show`"),
)
def explain(run: Run) -> None:
    """Say why a call was allowed or not, and the smallest fix."""
    told = run.engine.explain(run.engine.trail.get(entry_of(run.args.entry)))
    # `policy explain` tells the policies in full.
    names = [name for name in told._fields if name != "policies"]
    record = {name: getattr(told, name) for name in names}
    run.out.document(record) if run.out.json else run.out.block(told.for_operator)


@command(
    "trail verify",
    Argument(
        "file",
        nargs="?",
        help="what `trail export` or `trail archive` wrote; the live trail without",
    ),
    Argument("--authority", metavar="KEY", help="the authority's public key; the store's without"),
    Argument(
        "--since",
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint that left the machine earlier; may be repeated",
    ),
    Argument(
        "--witness",
        action="append",
        default=[],
        metavar="KEY",
        help="a witness's key: it must have cosigned a checkpoint; may be repeated",
    ),
)
def verify(run: Run) -> int:
    """Verify the store's trail, or an exported file."""
    from answerable._core import verify as verify_file
    from answerable.errors import TrailCorrupted

    args = run.args
    since = [Path(file) for file in args.since]
    if args.file is None and args.authority is not None:
        raise UsageError("--authority goes with a file: the live trail is under the store's own")
    try:
        if args.file is None:
            report = run.engine.trail.verify(since=since or None, witnesses=args.witness or None)
        else:
            authority = args.authority or run.engine.authority
            report = verify_file(
                Path(args.file),
                authority,
                since=since or None,
                witnesses=args.witness or None,
                progress=progress(),
            )
    except TrailCorrupted as corrupted:
        return tell_faults(run, corrupted)
    run.out.sentence(str(report), {"ok": True, **report_record(report)})
    if not since and not args.witness:
        run.out.note("without --since, a cut tail or a rolled-back store cannot be seen")
    return 0


@command(
    "trail checkpoint",
    Argument("--out", metavar="FILE", help="write it there"),
    Argument("--force", action="store_true", help="replace the file if it is there"),
    Argument("--key", action="store_true", help="print the key that signs it, for witnesses"),
)
def checkpoint(run: Run) -> None:
    """Sign the trail's head; keep it outside this machine."""
    if run.args.key:
        key = run.engine.trail.checkpoint_key()
        run.out.document({"key": key}) if run.out.json else run.out.block(key)
        return
    must_be_new(run, run.args.out)
    signed = run.engine.trail.checkpoint()
    if run.args.out is not None:
        write_own(run.args.out, signed.text)
    record = {
        "origin": signed.origin,
        "size": signed.size,
        "root": signed.root,
        "text": signed.text,
        "file": run.args.out,
    }
    if run.args.out is not None:
        run.done(f"{signed.size} entries under a checkpoint in {run.args.out}", record)
    elif run.out.json:
        run.out.document(record)
    else:
        run.out.block(signed.text.rstrip("\n"))


@command(
    "trail export",
    Argument("file", help="a new file"),
    Argument("--force", action="store_true", help="replace the file if it is there"),
)
def export(run: Run) -> None:
    """Write the whole trail into a file that anybody can verify."""
    file = Path(run.args.file)
    must_be_new(run, file)
    engine = run.engine
    written = engine.trail.export(file)
    record = {"file": str(file), "entries": written, "authority": engine.authority}
    run.done(f"{written} entries in {file}, under the authority {engine.authority}", record)


@command("trail archive", Argument("folder", help="a new folder, or that of an earlier archive"))
def archive(run: Run) -> None:
    """Write leaves and tree into a folder, as C2SP tlog-tiles, or add what came since."""
    folder = Path(run.args.folder)
    engine = run.engine
    entries = engine.trail.archive(folder)
    record = {"folder": str(folder), "entries": entries, "authority": engine.authority}
    run.done(f"{entries} entries in {folder}, under the authority {engine.authority}", record)


def text_of(file: str) -> str:
    """A file's text, where it can be what a command reads."""
    try:
        return read_text(file, MOST_BYTES)
    except ValueError as error:
        raise UsageError(f"cannot read {file}: {str(error)[:200]}") from error


def must_be_new(run: Run, *files: str | Path | None) -> None:
    """Refuses to write over a file, unless that was asked for; before anything is done."""
    for file in files:
        if file is not None and os.path.lexists(file) and not run.args.force:
            raise UsageError(f"{file} is there already", "--force replaces it")


def entry_of(text: str) -> str | int:
    """An entry's id or its place."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def row(entry: _core.Entry) -> dict[str, Any]:
    """An entry as a table's row."""
    decision = entry.kind == "decision"
    via = " → ".join(entry.via)
    who = entry.human_name or entry.leaf.get("by") or ""
    if entry.human == "none":
        who = "(nobody)"
    what = entry.kind
    if decision:
        what = entry.tool or "(invalid name)"
        if entry.resource is not None:
            what += f" on {entry.resource}"
    else:
        what = " ".join(str(part) for part in (entry.kind, entry.leaf.get("action")) if part)
        if entry.agent_name:
            what += f" {entry.agent_name}"
    return {
        "#": entry.index,
        "time": entry.at,
        "who": f"{who} → {via}" if via else who,
        "what": what,
        "decided": entry.effect,
        "reasons": entry.reasons or entry.outcome,
        "id": entry.id,
    }


def story_record(told: _core.Story) -> dict[str, Any]:
    """A story's facts."""
    return {
        "entry": told.entry,
        "index": told.index,
        "at": told.at,
        "headline": told.headline,
        "human": told.human,
        "human_name": told.human_name,
        "assurance": told.assurance,
        "task": told.task,
        "tool": told.tool,
        "resource": told.resource,
        "arguments": told.arguments,
        "effect": told.effect,
        "policy": told.policy,
        "outcome": told.outcome,
        "parent": told.parent,
        "reasons": [
            {"code": r.code, "hop": r.hop, "message": r.message, "allowed": r.allowed, "fix": r.fix}
            for r in told.reasons
        ],
        "via": [
            {
                "agent": hop.agent,
                "name": hop.name,
                "grant": hop.grant,
                "until": hop.until,
                "statement": hop.statement,
                "scope": hop.scope,
                "limits": hop.limits,
                "narrowed": hop.narrowed,
                "allowed_by": hop.allowed_by,
                "closest": hop.closest,
            }
            for hop in told.via
        ],
    }


def report_record(report: _core.Report) -> dict[str, Any]:
    """A report's facts."""
    names = (
        "size", "root", "origin", "checkpoints", "since_agreed", "kinds", "unknown_kinds",
        "newest_checkpoint_size", "unanchored", "disclosed", "withheld",
        "grants_verified", "grants_unverified", "decisions_without_outcome",
        "decisions_followed", "not_followed", "witnessed",
    )  # fmt: skip
    return {name: getattr(report, name) for name in names}


def tell_faults(run: Run, corrupted: Any) -> int:
    """Faults as a table; as JSON one document."""
    names = ("code", "place", "what", "expected", "found", "line", "index", "through", "entry")
    faults = [
        {name: getattr(fault, name) for name in (*names, "field")} for fault in corrupted.faults
    ]
    if run.out.json:
        run.out.document({"ok": False, "faults": faults})
    else:
        run.out.text(str(corrupted).partition("; the first")[0], colour="31")
        run.out.table(faults, ["code", "place", "what", "expected", "found"])
    return 1


def progress() -> Any:
    """Shows on a terminal how far a verification is."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int, of: int) -> None:
        end = "\r" if done < of else "\r\x1b[K"
        print(f"  {done} of {of} entries", end=end, file=sys.stderr, flush=True)

    return tell
