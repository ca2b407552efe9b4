"""The lives of humans, agents, grants and keys: every step the engine can take, as a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from answerable.cli.people import AGENT, agent, capability, human
from answerable.cli.run import BY, REASON, Argument, Run, UsageError, command
from answerable.cli.trail import text_of
from answerable.keeping import write_own

if TYPE_CHECKING:
    from answerable import _core

HUMAN = Argument("human", help="a human's id or account")
MAYBE_REASON = Argument("--reason", help="why, in a sentence; recorded")
TTL = Argument("--ttl", required=True, metavar="DURATION", help="how long, such as 8h or 30d")
OVERLAP = Argument(
    "--overlap", metavar="DURATION", help="how long grants by the old key go on; none without it"
)
HALTED = (
    Argument("--agent", help="only this agent, with all it delegated"),
    Argument("--owner", metavar="HUMAN", help="only the agents of this human"),
    Argument("--tool", metavar="PATTERN", help="only these tools"),
)


# ---------------------------------------------------------------------------------------- agents


@command("agents suspend", AGENT, REASON, BY)
def agents_suspend(run: Run) -> None:
    """Suspend an agent: what it holds or delegated is denied until it is resumed."""
    made = run.engine.agents.suspend(run.args.agent, reason=run.args.reason, by=run.args.by)
    run.done(f"{made.name} is suspended", agent(made))


@command("agents resume", AGENT, MAYBE_REASON, BY)
def agents_resume(run: Run) -> None:
    """Resume a suspended agent: its grants hold again as far as nothing else ended them."""
    made = run.engine.agents.resume(run.args.agent, reason=run.args.reason, by=run.args.by)
    run.done(f"{made.name} is active", agent(made))


@command(
    "agents rotate",
    AGENT,
    Argument("--key", metavar="k4.public.…", help="its own new public key; else one is made"),
    OVERLAP,
    MAYBE_REASON,
    BY,
)
def agents_rotate(run: Run) -> None:
    """Give an agent another key."""
    args = run.args
    made = run.engine.agents.rotate(
        args.agent, key=args.key, overlap=args.overlap, reason=args.reason, by=args.by
    )
    run.done(f"{made.name} has the key {made.key}", agent(made))


@command(
    "agents transfer",
    AGENT,
    Argument("--owner", required=True, metavar="HUMAN", help="who answers for it from now on"),
    MAYBE_REASON,
    BY,
)
def agents_transfer(run: Run) -> None:
    """Give an agent another owner; its grants go on, for the humans they name."""
    args = run.args
    made = run.engine.agents.transfer(args.agent, owner=args.owner, reason=args.reason, by=args.by)
    run.done(f"{made.name} belongs to {args.owner}", agent(made))


@command("agents renew", AGENT, TTL, MAYBE_REASON, BY)
def agents_renew(run: Run) -> None:
    """Move the end of an agent's term: from now, for so long."""
    args = run.args
    made = run.engine.agents.renew(args.agent, ttl=args.ttl, reason=args.reason, by=args.by)
    run.done(f"{made.name} may act until {run.out.time(made.expires_at)}", agent(made))


# ---------------------------------------------------------------------------------------- humans


@command("humans show", HUMAN)
def humans_show(run: Run) -> None:
    """Show one human, and the agents they own."""
    found = run.engine.humans.get(run.args.human)
    owned = [one.name for one in run.engine.agents.list(owner=found)]
    run.out.facts({**human(found), "offboarded": found.offboarded, "agents": owned})


@command(
    "humans offboard",
    HUMAN,
    REASON,
    Argument("--successor", metavar="HUMAN", help="who takes over their agents"),
    Argument("--out", metavar="FILE", help="write the signed proof there"),
    BY,
)
def humans_offboard(run: Run) -> None:
    """Let a human leave: what they own and what was granted for them ends."""
    args = run.args
    if args.out is not None and Path(args.out).exists():
        raise UsageError(f"{args.out} is there already", "name a new file for the proof")
    gone = run.engine.humans.offboard(
        args.human, reason=args.reason, successor=args.successor, by=args.by
    )
    if args.out is not None:
        write_own(args.out, gone.text)
    told = f"{args.human} has left: {gone.agents} agents and {gone.grants} grants"
    run.done(told, {**offboarding(gone), "file": args.out})


@command(
    "humans proof",
    Argument("file", help="a proof that `humans offboard --out` wrote"),
    Argument("--authority", metavar="KEY", help="the authority's public key; the store's without"),
)
def humans_proof(run: Run) -> None:
    """Check the proof of an offboarding."""
    from answerable._core import verify_offboarding

    text = text_of(run.args.file)
    gone = verify_offboarding(text, run.args.authority or run.engine.authority)
    told = f"sound: {gone.human} left with {gone.agents} agents and {gone.grants} grants"
    run.done(told, offboarding(gone))


# ---------------------------------------------------------------------------------------- grants


@command(
    "grants make",
    HUMAN,
    AGENT,
    Argument("--task", required=True, help="what for, in a sentence, or an open task's id"),
    Argument(
        "--allow",
        required=True,
        action="append",
        metavar="'TOOL [on RESOURCE]'",
        help="a capability, as for `agents issue`; may be repeated",
    ),
    TTL,
    Argument("--calls", type=int, metavar="N", help="how many calls in all"),
    Argument("--max-depth", type=int, default=0, metavar="N", help="how many hops may follow; 0"),
    Argument("--out", metavar="FILE", help="write the grant's token there; it is not printed"),
    BY,
)
def grants_make(run: Run) -> None:
    """Grant an agent a scope, for a human and a task, until a time."""
    from answerable._core import calls

    args = run.args
    if args.out is not None and Path(args.out).exists():
        raise UsageError(f"{args.out} is there already", "name a new file for the token")
    made = run.engine.grant(
        args.human,
        args.agent,
        task=args.task,
        scope=[capability(text) for text in args.allow],
        ttl=args.ttl,
        limits=None if args.calls is None else [calls(args.calls)],
        max_depth=args.max_depth,
        by=args.by,
    )
    if args.out is not None:
        write_own(args.out, f"{made.token}\n")
    record = {
        "id": made.id,
        "digest": made.digest,
        "human": made.human,
        "agent": made.agent,
        "task": made.task,
        "expires_at": made.expires_at,
        "scope": [str(one) for one in made.scope],
        "token": made.token,
        "file": args.out,
    }
    run.done(f"{made.id} holds until {run.out.time(made.expires_at)}", record)


# ---------------------------------------------------------------------------------------- halts


@command("halt", REASON, *HALTED, BY)
def halt(run: Run) -> None:
    """Halt everything, or one agent, one owner's agents, or some tools."""
    args = run.args
    entry = run.engine.halt(
        reason=args.reason, agent=args.agent, owner=args.owner, tool=args.tool, by=args.by
    )
    what = args.agent or args.owner or args.tool or "everything"
    run.done(f"{what} stands still", {"halted": what, "entry": entry})


@command("unhalt", MAYBE_REASON, *HALTED, BY)
def unhalt(run: Run) -> None:
    """Lift a halt; the options are those it was made with."""
    args = run.args
    entry = run.engine.unhalt(
        reason=args.reason, agent=args.agent, owner=args.owner, tool=args.tool, by=args.by
    )
    what = args.agent or args.owner or args.tool or "everything"
    run.done(f"{what} goes on", {"lifted": what, "entry": entry})


@command("halts")
def halts(run: Run) -> None:
    """List the halts in force."""
    names = {one.id: one.name or one.account for one in run.engine.humans.list()}
    names |= {one.id: one.name for one in run.engine.agents.list()}
    rows = [
        {
            "target": one.target,
            "name": names.get(one.name, one.name),
            "at": one.at,
            "by": names.get(one.by or "", one.by),
            "reason": one.reason,
        }
        for one in run.engine.halts()
    ]
    run.out.table(rows, ["target", "name", "at", "by", "reason"])


# ---------------------------------------------------------------------------------------- keys


@command("keys show")
def keys_show(run: Run) -> None:
    """Show the authority's public keys."""
    engine = run.engine
    run.out.facts({"authority": engine.authority, "signs_now": engine.signing_key})


@command("keys rotate-authority", REASON, OVERLAP, BY)
def rotate_authority(run: Run) -> None:
    """Give the authority another key; the first one stays enough to verify with."""
    args = run.args
    entry = run.engine.rotate_authority(reason=args.reason, overlap=args.overlap, by=args.by)
    key = run.engine.signing_key
    run.done(f"the authority signs with {key}", {"signs_now": key, "entry": entry})


@command("keys rotate-checkpoint", REASON, BY)
def rotate_checkpoint(run: Run) -> None:
    """Give the trail another checkpoint key."""
    entry = run.engine.rotate_checkpoint_key(reason=run.args.reason, by=run.args.by)
    run.done("checkpoints are signed with another key", {"entry": entry})


def offboarding(gone: _core.Offboarding) -> dict[str, Any]:
    """A departure as a record."""
    return {
        "human": gone.human,
        "successor": gone.successor,
        "by": gone.by,
        "at": gone.at,
        "entry": gone.entry,
        "revocation": gone.revocation,
        "agents": gone.agents,
        "grants": gone.grants,
        "leases": gone.leases,
        "approvals": gone.approvals,
        "items": [
            {"kind": one.kind, "id": one.id, "action": one.action, "entry": one.entry}
            for one in gone.items
        ],
        "proof": gone.text,
    }
