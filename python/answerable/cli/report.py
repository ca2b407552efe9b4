"""A case on the command line: what `answerable.analysis.case` makes, into a file or a folder."""

from __future__ import annotations

from pathlib import Path

from answerable.cli.run import Argument, Run, UsageError, command
from answerable.cli.trail import entry_of


@command(
    "trail report",
    Argument("out", help="a new file that ends in .html, or a new folder"),
    Argument("--task", metavar="ID", help="the case of a task"),
    Argument(
        "--entry",
        action="append",
        default=[],
        metavar="ENTRY",
        help="the case of a call, by its id or number; may be repeated",
    ),
    Argument("--title", help="what stands at its top"),
    Argument("--file", metavar="FILE", help="of an exported trail, not of the store"),
    Argument("--authority", metavar="KEY", help="verifies the exported trail under this key"),
    Argument("--force", action="store_true", help="replace the file if it is there"),
)
def report(run: Run) -> None:
    """Make a case to hand over: summary, graph, timeline, entries, receipts, verification."""
    from answerable import analysis

    args, out = run.args, Path(run.args.out)
    if (args.task is None) == (not args.entry):
        raise UsageError("a report is of a task or of entries", "give --task or --entry")
    if args.authority is not None and args.file is None:
        raise UsageError("--authority goes with --file: the live trail is under the store's own")
    if out.is_file() and not args.force:
        raise UsageError(f"{out} is there already", "--force replaces it")
    if args.file is not None:
        source = analysis.read(Path(args.file), authority=args.authority)
        if any(isinstance(entry_of(one), int) for one in args.entry):
            raise UsageError("entries of a file go by their ids", "ent_…, as `trail show` has them")
        entries = list(args.entry)
    else:
        source = analysis.read(run.engine)
        entries = [run.engine.trail.get(entry_of(one)).id for one in args.entry]
    made = analysis.case(source, task=args.task, entries=entries or None, title=args.title)
    written = made.save(out)
    calls, receipts = len(made.calls), len(made.receipts)
    record = {"file": str(written), "calls": calls, "receipts": receipts}
    run.done(f"{calls} calls and {receipts} receipts in {written}", record)
