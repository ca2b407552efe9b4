"""The trail as evidence on the command line: erase, expire, back up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from answerable.cli.run import BY, REASON, Argument, UsageError, command
from answerable.cli.trail import entry_of

if TYPE_CHECKING:
    from answerable.cli.run import Run


@command(
    "trail erase",
    Argument("--human", help="a human who has left, by id or account: all that is theirs"),
    Argument("--entry", help="one entry's values and its outcome's, by id or number"),
    REASON,
    BY,
)
def erase(run: Run) -> None:
    """Forget a human, or the values of one entry; proofs stay as they are."""
    args = run.args
    if (args.human is None) == (args.entry is None):
        raise UsageError("name --human or --entry, one of them")
    entry = None if args.entry is None else entry_of(args.entry)
    told = run.engine.trail.erase(human=args.human, entry=entry, reason=args.reason, by=args.by)
    run.done(f"erased, and nothing of it is left in the store's files: {told}", {"entry": told})


@command(
    "trail expire",
    Argument(
        "--kind",
        action="append",
        choices=["decision", "outcome", "grant", "task", "revocation"],
        help="the kind of entry, decision and outcome without it; may be repeated",
    ),
    Argument("--older-than", default="180d", metavar="AGE", help="180d, which is also the least"),
    REASON,
    BY,
)
def expire(run: Run) -> None:
    """Drop the values of old entries; proofs stay as they are."""
    args = run.args
    kinds = args.kind or ["decision", "outcome"]
    told = run.engine.trail.expire(
        kinds=kinds, older_than=args.older_than, reason=args.reason, by=args.by
    )
    what = f"values older than {args.older_than} are gone ({', '.join(kinds)}): {told}"
    run.done(what, {"entry": told, "kinds": kinds, "older_than": args.older_than})


@command(
    "trail receipt",
    Argument("entry", nargs="?", help="an entry's id, or its number in `trail show`"),
    Argument("--task", metavar="ID", help="a whole task instead"),
    Argument("--out", metavar="FILE", help="write the JSON there"),
    Argument("--html", metavar="FILE", help="write a page to print there"),
)
def receipt(run: Run) -> None:
    """Make a receipt that convinces a third party, and tell what it proves."""
    from answerable.receipts import verify_receipt

    args = run.args
    if (args.entry is None) == (args.task is None):
        raise UsageError("name an entry or --task, one of them")
    engine = run.engine
    entry = None if args.entry is None else entry_of(args.entry)
    made = engine.trail.receipt(entry, task=args.task)
    told = verify_receipt(made, authority=engine.authority)
    if args.out is not None:
        made.save(args.out)
    if args.html is not None:
        Path(args.html).write_text(told.html(), encoding="utf-8")
    if args.out is not None or args.html is not None:
        files = [file for file in (args.out, args.html) if file is not None]
        record = {"about": told.about, "entries": len(made), "files": files}
        run.done(f"{len(made)} entries about {told.about} in {' and '.join(files)}", record)
    elif run.out.json:
        run.out.document(json.loads(made.text))
    else:
        run.out.block(str(told))


@command("backup", Argument("folder", help="a new folder"))
def backup(run: Run) -> None:
    """Copy the live store into a new folder, at one moment; keep the key file apart."""
    count = run.engine.backup(run.args.folder)
    run.done(
        f"{count} records in {run.args.folder}; the master key is not among them",
        {"folder": run.args.folder, "records": count},
    )
