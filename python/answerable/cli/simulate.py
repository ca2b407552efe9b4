"""A simulated company, to look at and to practise on."""

from __future__ import annotations

import sys

from answerable.cli.run import Argument, Run, command


@command(
    "simulate",
    Argument("--entries", type=int, default=200_000, metavar="N", help="about how many entries"),
    Argument("--seed", type=int, default=1, metavar="N", help="which company, which events"),
    Argument("--humans", type=int, default=50, metavar="N", help="how many humans"),
    Argument("--agents", type=int, default=300, metavar="N", help="how many agents"),
    Argument("--days", type=int, default=30, metavar="N", help="over how many days"),
)
def run(run: Run) -> None:
    """Simulate a company's month into a new store: calls, refusals, approvals, two incidents."""
    from answerable.simulation import simulate

    args = run.args
    facts = simulate(
        run.store,
        entries=args.entries,
        seed=args.seed,
        humans=args.humans,
        agents=args.agents,
        days=args.days,
        progress=_tell if sys.stderr.isatty() and not run.out.json else None,
    )
    record = {**facts.record(), "store": str(run.store)}
    if run.out.json:
        run.out.document(record)
        return
    incidents = record.pop("incidents")
    run.out.facts(record)
    columns = ["name", "agent", "task", "start", "end", "what"]
    run.out.table(incidents, columns)


def _tell(done: int, of: int) -> None:
    end = "\r" if done < of else "\r\x1b[K"
    print(f"  {done} of {of} entries", end=end, file=sys.stderr, flush=True)
