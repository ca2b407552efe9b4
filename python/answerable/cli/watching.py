"""Review, rules and metrics: what somebody should look at, and what is done by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from answerable.cli.run import BY, REASON, Argument, Run, command

if TYPE_CHECKING:
    from answerable import _core

SEVERITIES = ["info", "low", "medium", "high"]


@command(
    "review",
    Argument(
        "--fail-on", choices=SEVERITIES, default="high", help="exit with 1 from this severity on"
    ),
    Argument("--attest", metavar="NOTE", help="record that you stand for what is there"),
    BY,
)
def review(run: Run) -> int:
    """Look through all agents and grants for what somebody should look at."""
    args = run.args
    found = run.engine.review()
    rows = [
        {
            "severity": one.severity,
            "code": one.code,
            "why": one.why,
            "suggestion": one.suggestion,
            "subjects": one.subjects,
        }
        for one in found.findings
    ]
    attested = None
    if args.attest is not None:
        attested = found.attest(note=args.attest, by=args.by)
    if run.out.json:
        about = {"at": found.at, "entries_read": found.size, "agents": len(found.agents)}
        run.out.document({**about, "findings": rows, "attested": attested})
    else:
        run.out.table(rows, ["severity", "code", "why", "suggestion"])
        if attested is not None:
            run.out.text(f"attested as {attested}")
    return 1 if found.above(args.fail_on) else 0


@command("rules list")
def rules_list(run: Run) -> None:
    """List what is done by itself when a review finds something."""
    columns = ["id", "on", "severity", "then", "url", "reason"]
    run.out.table(map(rule, run.engine.rules.list()), columns)


@command(
    "rules add",
    Argument("then", metavar="suspend|halt|URL", help="what is done: an https:// address is told"),
    Argument("--on", metavar="CODE", help="the code of the findings; any without it"),
    Argument("--severity", choices=SEVERITIES, default="info", help="from this severity on"),
    Argument("--secret-file", metavar="FILE", help="holds what the messages are signed with"),
    REASON,
    BY,
)
def rules_add(run: Run) -> None:
    """Set a rule; it lasts until it is removed."""
    from pathlib import Path

    args = run.args
    secret = None
    if args.secret_file is not None:
        secret = Path(args.secret_file).read_text("utf-8").strip()
    made = run.engine.rules.add(
        then=args.then,
        on=args.on,
        severity=args.severity,
        secret=secret,
        reason=args.reason,
        by=args.by,
    )
    run.done(f"{made.id} is set", rule(made))


@command("rules remove", Argument("rule", help="a rule's id"), REASON, BY)
def rules_remove(run: Run) -> None:
    """Remove a rule."""
    args = run.args
    run.engine.rules.remove(args.rule, reason=args.reason, by=args.by)
    run.done(f"{args.rule} is removed", {"id": args.rule, "removed": True})


@command("metrics")
def metrics(run: Run) -> None:
    """Print what the process that holds the store has counted, for Prometheus."""
    text = run.engine.metrics()
    if run.out.json:
        run.out.document({"metrics": text})
    else:
        run.out.block(text.rstrip("\n"))


def rule(made: _core.Rule) -> dict[str, Any]:
    """A rule as a record."""
    return {
        "id": made.id,
        "on": made.on,
        "severity": made.severity,
        "then": made.then,
        "url": made.url,
        "by": made.by,
        "at": made.at,
        "reason": made.reason,
    }
