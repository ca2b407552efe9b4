"""The trail as evidence on the command line: erase, receipts, backup, witnesses, anchors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from answerable.cli.run import BY, REASON, Argument, UsageError, command
from answerable.cli.trail import entry_of, must_be_new, text_of
from answerable.keeping import write_own

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
        choices=["decision", "outcome", "grant", "task", "revocation", "approval"],
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
    Argument("--proof", metavar="FILE", help="write the place in the log there (C2SP tlog-proof)"),
    Argument("--force", action="store_true", help="replace files that are there"),
)
def receipt(run: Run) -> None:
    """Make a receipt that convinces a third party, and tell what it proves."""
    from answerable.receipts import verify_receipt

    args = run.args
    if (args.entry is None) == (args.task is None):
        raise UsageError("name an entry or --task, one of them")
    must_be_new(run, args.out, args.html, args.proof)
    engine = run.engine
    entry = None if args.entry is None else entry_of(args.entry)
    made = engine.trail.receipt(entry, task=args.task)
    told = verify_receipt(made, authority=engine.authority)
    if args.out is not None:
        made.save(args.out)
    if args.html is not None:
        write_own(args.html, told.html())
    if args.proof is not None:
        write_own(args.proof, made.proof)
    files = [file for file in (args.out, args.html, args.proof) if file is not None]
    if files:
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


FOLDER = Argument("folder", help="the witness's folder")


@command(
    "trail publish",
    Argument("--file", action="append", default=[], metavar="FILE", help="a file, replaced"),
    Argument("--folder", action="append", default=[], metavar="FOLDER", help="one file a size"),
    Argument("--url", action="append", default=[], metavar="URL", help="by PUT"),
    Argument(
        "--git", action="append", default=[], metavar="FOLDER", help="a commit in a repository"
    ),
    Argument("--witness", action="append", default=[], metavar="URL=KEY", help="to be cosigned"),
)
def publish(run: Run) -> None:
    """Sign the trail's head and bring it to where it can be kept."""
    from answerable.net import anchors

    args = run.args
    places = [
        *map(anchors.to_file, args.file),
        *map(anchors.to_folder, args.folder),
        *map(anchors.to_url, args.url),
        *map(anchors.to_git, args.git),
    ]
    for text in args.witness:
        url, mark, key = text.partition("=")
        if not mark:
            raise UsageError("--witness is URL=KEY, with the key that `witness init` printed")
        places.append(anchors.to_witness(url, key))
    if not places:
        raise UsageError("name where: --file, --folder, --url, --git or --witness")
    size = anchors.Publisher(run.engine, places, every=None).publish()
    run.done(f"a checkpoint over {size} entries is in {len(places)} places", {"size": size})


@command(
    "trail send",
    Argument("--otlp", metavar="URL", help="a collector of OpenTelemetry, such as localhost:4318"),
    Argument("--file", metavar="FILE", help="a file that lines are appended to"),
    Argument("--folder", metavar="FOLDER", help="a folder with a file for each batch"),
    Argument("--shape", choices=["jsonl", "ocsf", "cloudevents"], default="jsonl", help="of lines"),
    Argument(
        "--state", required=True, metavar="FILE", help="where the place is kept, of this sink"
    ),
)
def send(run: Run) -> None:
    """Send what came since the last time to a sink, and keep the place."""
    from answerable.net import exporters

    args = run.args
    given = [name for name in ("otlp", "file", "folder") if getattr(args, name) is not None]
    if len(given) != 1:
        raise UsageError("name where: --otlp, --file or --folder, one of them")
    shapes = {
        "jsonl": exporters.as_jsonl,
        "ocsf": exporters.as_ocsf,
        "cloudevents": exporters.as_cloud_events,
    }
    sink: Any
    if args.otlp is not None:
        sink = exporters.otlp(args.otlp)
    elif args.file is not None:
        sink = exporters.to_file(args.file, shapes[args.shape]())
    else:
        sink = exporters.to_folder(args.folder, shapes[args.shape]())
    exporter = exporters.Exporter(run.engine, sink, state=args.state, start=False)
    sent = exporter.run()
    run.done(
        f"{sent} entries sent, {exporter.position} in all",
        {"sent": sent, "position": exporter.position},
    )


@command(
    "witness init",
    FOLDER,
    Argument(
        "--name", required=True, help="a URL without a scheme, such as witness.example.com/w1"
    ),
)
def witness_init(run: Run) -> None:
    """Make a witness with a key of its own."""
    from answerable.net.witness import Witness

    made = Witness.make(run.args.folder, run.args.name)
    run.done(f"the witness's key: {made.key}", {"folder": run.args.folder, "key": made.key})


@command(
    "witness trust",
    FOLDER,
    Argument("key", help="a log's key, which `trail checkpoint --key` prints"),
)
def witness_trust(run: Run) -> None:
    """Trust a log's key, beside those trusted before."""
    from answerable.net.witness import Witness

    origin = Witness(run.args.folder).trust(run.args.key)
    run.done(f"checkpoints of {origin} are looked at", {"origin": origin})


@command("witness list", FOLDER)
def witness_list(run: Run) -> None:
    """List the logs that a witness trusts, and what it cosigned last."""
    from answerable.net.witness import Witness

    run.out.table(Witness(run.args.folder).logs(), ["origin", "size", "root"])


@command(
    "witness cosign",
    FOLDER,
    Argument("file", help="a request: old size, consistency proof, checkpoint (C2SP tlog-witness)"),
)
def witness_cosign(run: Run) -> None:
    """Check a checkpoint against what was seen before, and cosign it."""
    from answerable.net.witness import Witness

    request = text_of(run.args.file)
    line = Witness(run.args.folder).add_checkpoint(request)
    run.out.document({"line": line}) if run.out.json else run.out.block(line.rstrip("\n"))


@command(
    "witness serve",
    FOLDER,
    Argument("--host", default="127.0.0.1", help="where to listen"),
    Argument("--port", type=int, default=8477, metavar="N", help="on which port"),
)
def witness_serve(run: Run) -> None:
    """Serve C2SP tlog-witness over HTTP until interrupted; TLS is for what stands before it."""
    from answerable.net import witness

    server = witness.serve(witness.Witness(run.args.folder), run.args.host, run.args.port)
    host, port = server.server_address[:2]
    run.out.note(f"cosigning at http://{host!s}:{port}/add-checkpoint")
    with server:
        server.serve_forever()
