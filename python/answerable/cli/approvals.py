"""Approvals: what agents ask, and a human's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from answerable.cli.run import BY, Argument, Run, command

if TYPE_CHECKING:
    from answerable import _core

APPROVAL = Argument("approval", help="an approval's id, as `approvals list` prints it")
NOTE = Argument("--note", help="what you say to it; recorded under your key")
STATUSES = ["pending", "approved", "refused", "used", "expired", "ended"]


@command(
    "approvals list",
    Argument("--status", choices=STATUSES, help="only of this status; pending without it"),
    Argument("--all", action="store_true", help="of every status"),
)
def approvals_list(run: Run) -> None:
    """List what waits for a human, oldest first."""
    args = run.args
    status = None if args.all else args.status or "pending"
    found = run.engine.approvals.list(status=status)
    columns = ["id", "status", "agent", "human", "asks_for", "expires_at"]
    run.out.table(map(approval, found), columns)


@command("approvals show", APPROVAL)
def approvals_show(run: Run) -> None:
    """Show one approval: who asks for what, why, and what became of it."""
    run.out.facts(approval(run.engine.approvals.get(run.args.approval)))


@command("approvals approve", APPROVAL, NOTE, BY)
def approvals_approve(run: Run) -> None:
    """Say yes: exactly that call may be made once, or the access is granted."""
    args = run.args
    by = args.by or run.engine.humans.operator()
    made = run.engine.approvals.approve(args.approval, by=by, note=args.note)
    run.done(f"{made.id} is approved", approval(made))


@command("approvals refuse", APPROVAL, NOTE, BY)
def approvals_refuse(run: Run) -> None:
    """Say no: the same call is refused until the approval lapses."""
    args = run.args
    by = args.by or run.engine.humans.operator()
    made = run.engine.approvals.refuse(args.approval, by=by, note=args.note)
    run.done(f"{made.id} is refused", approval(made))


def approval(made: _core.Approval) -> dict[str, Any]:
    """An approval as a record."""
    on = f" on {made.resource}" if made.resource is not None else ""
    arguments = ", ".join(f"{name}={value}" for name, value in made.arguments.items())
    call = f"{made.tool}({arguments}){on}"
    return {
        "id": made.id,
        "status": made.status,
        "kind": made.kind,
        "asks_for": call if made.kind == "call" else "; ".join(made.scope),
        "because_of": [f"{one.code}: {one.message}" for one in made.reasons],
        "reason": made.reason,
        "for_seconds": made.ttl,
        "human": made.human_name,
        "agent": " → ".join(made.via),
        "task": made.sentence,
        "asked_at": made.asked_at,
        "expires_at": made.expires_at,
        "policy_version": made.policy_version,
        "answered_by": made.by_name,
        "assurance": made.assurance,
        "answered_at": made.answered_at,
        "note": made.note,
        "ended_because": made.because,
        "used": made.used,
        "entry": made.entry,
        "decision": made.decision,
    }
