"""Humans, agents, grants and tasks: who there is, and the verbs on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from answerable.cli.run import BY, REASON, Argument, Run, UsageError, command

if TYPE_CHECKING:
    from answerable import _core

AGENT = Argument("agent", help="an agent's id or name")


@command("humans list")
def humans_list(run: Run) -> None:
    """List all humans, oldest first."""
    run.out.table(map(human, run.engine.humans.list()), ["account", "name", "issuer", "id"])


@command(
    "humans register",
    Argument("account", help="the name at an identity provider, such as an e-mail address"),
    Argument("--name", help="what people call them"),
    BY,
)
def humans_register(run: Run) -> None:
    """Register a human, asserted by whoever runs this."""
    args = run.args
    made = run.engine.humans.register(args.account, name=args.name, by=args.by)
    run.done(f"{made.account} is registered as {made.id}", human(made))


@command(
    "agents list",
    Argument("--status", choices=["active", "suspended", "retired"], help="only of this status"),
)
def agents_list(run: Run) -> None:
    """List all agents, oldest first."""
    found = run.engine.agents.list(status=run.args.status)
    owners = {one.id: one.name or one.account for one in run.engine.humans.list()}
    rows = [{**agent(one), "owner": owners.get(one.owner, one.owner)} for one in found]
    run.out.table(rows, ["name", "status", "owner", "expires_at", "purpose", "id"])


@command("agents show", AGENT)
def agents_show(run: Run) -> None:
    """Show one agent."""
    run.out.facts(agent(run.engine.agents.get(run.args.agent)))


@command(
    "agents issue",
    Argument("name", help="the agent's name, of which there is one"),
    Argument("--owner", required=True, metavar="HUMAN", help="who answers for it"),
    Argument("--purpose", required=True, help="what it is for, in a sentence"),
    Argument(
        "--allow",
        required=True,
        action="append",
        metavar="'TOOL [on RESOURCE]'",
        help="the ceiling: a tool pattern, maybe on resource patterns with `or` between them; "
        "may be repeated. Conditions on arguments are stated in Python",
    ),
    Argument("--ttl", required=True, metavar="DURATION", help="its term, such as 8h or 30d"),
    Argument("--key", metavar="k4.public.…", help="its own public key; else one is made and kept"),
    BY,
)
def agents_issue(run: Run) -> None:
    """Issue an agent: a name, an owner, a ceiling, a term."""
    args = run.args
    ceiling = [capability(text) for text in args.allow]
    made = run.engine.agents.issue(
        args.name,
        owner=args.owner,
        purpose=args.purpose,
        ceiling=ceiling,
        ttl=args.ttl,
        key=args.key,
        by=args.by,
    )
    run.done(f"{made.name} is issued as {made.id}", agent(made))


@command(
    "agents retire",
    AGENT,
    REASON,
    BY,
)
def agents_retire(run: Run) -> None:
    """End an agent for good, with all that it holds or delegated."""
    retired = run.engine.agents.retire(run.args.agent, reason=run.args.reason, by=run.args.by)
    run.done(f"{retired.name} is retired", agent(retired))


@command(
    "grants list",
    Argument("--human", help="for whom"),
    Argument("--agent", help="who holds it"),
    Argument("--task", help="for which task, by id"),
)
def grants_list(run: Run) -> None:
    """List the grants that were made, oldest first."""
    args = run.args
    found = run.engine.trail.entries(
        kind="grant", human=args.human, agent=args.agent, task=args.task
    )
    rows = [
        {
            "id": entry.leaf.get("grant"),
            "agent": entry.agent_name,
            "human": entry.human_name,
            "task": entry.task,
            "made_at": entry.at,
            "until": entry.leaf.get("until"),
            "depth": entry.leaf.get("depth"),
        }
        for entry in found
    ]
    run.out.table(rows, ["human", "agent", "depth", "until", "id"])


@command(
    "grants show",
    Argument("grant", help="a grant's id, or its token"),
)
def grants_show(run: Run) -> int:
    """Show a grant: who gave what to whom, until when, and whether it still holds."""
    chain = run.engine.trail.chain(run.args.grant)
    if run.out.json:
        run.out.document(chain_record(chain))
    else:
        told(run, chain)
    return 1 if chain.against else 0


@command("tasks list")
def tasks_list(run: Run) -> None:
    """List the tasks that were opened, oldest first."""
    tasks: dict[str, dict[str, Any]] = {}
    for entry in run.engine.trail.entries(kind="task"):
        ended = entry.leaf.get("action") == "ended"
        task = tasks.setdefault(entry.task or "", {"id": entry.task, "ended_at": None})
        if ended:
            task["ended_at"] = entry.at
        else:
            task |= {
                "opened_at": entry.at,
                "human": entry.human_name,
                "task": entry.values.get("sentence", "(erased)"),
            }
    run.out.table(tasks.values(), ["opened_at", "ended_at", "human", "task", "id"])


@command(
    "tasks end",
    Argument("task", help="the task's id"),
    REASON,
    BY,
)
def tasks_end(run: Run) -> None:
    """End a task, and with it every grant made for it."""
    entry = run.engine.tasks.end(run.args.task, reason=run.args.reason, by=run.args.by)
    run.done(f"{run.args.task} has ended", {"task": run.args.task, "entry": entry})


@command(
    "revoke",
    Argument("target", help="the id of a grant, task, agent or human, or a grant's digest"),
    REASON,
    BY,
)
def revoke(run: Run) -> None:
    """Revoke a grant, task, agent or human, and everything below it."""
    made = run.engine.revoke(run.args.target, reason=run.args.reason, by=run.args.by)
    names = ("entry", "target", "id", "seen", "children", "holder", "issuer", "hint")
    run.done(f"{run.args.target} is revoked", {name: getattr(made, name) for name in names})
    if made.hint:
        run.out.note(f"hint: {made.hint}")


def capability(text: str) -> _core.Capability:
    """A capability from `TOOL [on RESOURCE [or RESOURCE]…]`: the words that tables show it in."""
    from answerable._core import allow

    tool, on, resources = text.partition(" on ")
    if on and not resources.strip():
        raise UsageError("a resource is missing after `on`")
    many = [one.strip() for one in resources.split(" or ")] if on else None
    return allow(tool.strip(), resource=many)


def human(one: _core.Human) -> dict[str, Any]:
    """A human's facts."""
    return {
        "id": one.id,
        "account": one.account,
        "name": one.name,
        "issuer": one.issuer,
        "assurance": one.assurance,
        "registered_at": one.registered_at,
    }


def agent(one: _core.Agent) -> dict[str, Any]:
    """An agent's facts."""
    return {
        "id": one.id,
        "name": one.name,
        "status": one.status,
        "owner": one.owner,
        "purpose": one.purpose,
        "ceiling": [str(capability) for capability in one.ceiling],
        "key": one.key,
        "managed": one.managed,
        "issued_at": one.issued_at,
        "expires_at": one.expires_at,
    }


def chain_record(chain: _core.Chain) -> dict[str, Any]:
    """A chain's facts."""
    return {
        "grant": chain.grant,
        "digest": chain.digest,
        "human": chain.human,
        "task": chain.task,
        "sentence": chain.sentence,
        "further_hops": chain.further_hops,
        "against": [{"code": one.code, "message": one.message} for one in chain.against],
        "hops": [
            {
                "agent": hop.agent,
                "name": hop.name,
                "grant": hop.grant,
                "until": hop.until,
                "statement": hop.statement,
                "scope": hop.scope,
                "limits": hop.limits,
                "narrowed": hop.narrowed,
            }
            for hop in chain.hops
        ],
    }


def told(run: Run, chain: _core.Chain) -> None:
    """A chain in words."""
    from datetime import datetime

    out = run.out
    out.text(f"{chain.human_name} · {chain.human}")
    out.text(f"for {chain.sentence or '(the task is not told here)'} · {chain.task}")
    for place, hop in enumerate(chain.hops, 1):
        until = out.time(datetime.fromisoformat(hop.until))
        out.text(f"{place}. {hop.name} · {hop.grant} until {until}")
        if hop.statement is not None:
            out.text(f"   stated: {out.cell(hop.statement, 500)}")
        for label, lines in (
            ("may", hop.scope),
            ("at most", hop.limits),
            ("narrowed", hop.narrowed),
        ):
            for line in lines:
                out.text(f"   {label}: {out.cell(line, 500)}")
    out.text(f"{chain.further_hops} further hops may follow")
    for reason in chain.against:
        out.text(f"does not hold: {reason.code}: {reason.message}", colour="31")
