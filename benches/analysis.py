"""What the questions of `answerable.analysis` cost on a trail of a million entries.

`python benches/analysis.py` simulates a company into a temporary store (`--entries`, `--store` to
keep it, `--smoke` for a small one), reads it as a live store, as an export and as a folder of
Parquet, and prints each question beside what it aims at, in wall-clock and processor time. It
asserts nothing about time.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import answerable as ans
from answerable import analysis
from answerable.simulation import simulate

AIM = "≤ 2 s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="keep the store here, or use the one there")
    parser.add_argument("--live", action="store_true", help="the live store alone")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = args.store or Path(folder) / "store"
        if not (store / "FORMAT").exists():
            simulate(store, entries=3_000 if args.smoke else args.entries, days=60)
        print(f"{'':<52} {'wall':>9} {'processor':>10} {'aim':>8}")
        with ans.open(store) as engine:
            asked_live(engine)
            record = analysis.read(engine)
            row("read a live store: calls", lambda: record.calls, "")
            row("read a live store: grants and parties", lambda: record.book, "")
            asked(record, "")
            if args.live:
                return
            row("save as Parquet", lambda: record.save(Path(folder) / "parquet"), "")
            row("export", lambda: engine.trail.export(Path(folder) / "trail.jsonl"), "")
        for name in ("parquet", "trail.jsonl"):
            record = analysis.read(Path(folder) / name)
            row(f"read {name}: calls", lambda: record.calls, "")  # noqa: B023
            row(f"read {name}: grants and parties", lambda: record.book, "")  # noqa: B023
            asked(record, f"{name}: ")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def row(name: str, run: Callable[[], Any], aim: str = AIM) -> Any:
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{name:<52} {wall:>7.2f} s {processor:>8.2f} s {aim:>8}", flush=True)
    return result


def asked_live(engine: ans.Engine) -> None:
    """Of an engine that nothing was read from: its indexes answer."""
    agent, human = engine.agents.list()[0], engine.humans.list()[3]
    grant = engine.trail.entries(kind="grant")[20].leaf["grant"]
    for name, ask in {
        "who did this, a tool and a resource": lambda: analysis.who_did(
            engine, "bank.transfer", "account/offshore-1", effect=None
        ),
        "in the name of a human": lambda: analysis.in_name_of(engine, human),
        "below a grant": lambda: analysis.below(engine, grant),
        "blast radius of an agent": lambda: analysis.blast_radius(engine, agent),
        "refusals of the last week": lambda: analysis.refusals(engine, since="7d"),
    }.items():
        row(f"live, nothing read: {name}", ask)


def asked(record: analysis.Record, where: str) -> None:
    book = record.book
    agent, human = next(iter(book.agents)), next(iter(book.humans))
    grant = next(iter(book.grants))
    task = next(iter(book.grants.values())).task
    for name, ask in {
        "who did this": lambda: analysis.who_did(record, "bank.**"),
        "in the name of a human": lambda: analysis.in_name_of(record, human),
        "below a grant": lambda: analysis.below(record, grant),
        "blast radius of an agent": lambda: analysis.blast_radius(record, agent),
        "refusals": lambda: analysis.refusals(record),
        "unused": lambda: analysis.unused(record),
        "first times": lambda: analysis.first_times(record),
        "rate anomalies": lambda: analysis.rate_anomalies(record),
        "access review": lambda: analysis.access_review(record),
        "approvals": lambda: analysis.approvals(record),
        "gaps": lambda: analysis.gaps(record),
        "delegation graph": lambda: analysis.delegation_graph(record),
        "timeline": lambda: analysis.timeline(record, task),
        "heat map": lambda: analysis.heat_map(record),
        "refusals over time": lambda: analysis.refusals_over_time(record),
        "scope and use": lambda: analysis.scope_use(record),
    }.items():
        row(f"{where}{name}", ask)


if __name__ == "__main__":
    main()
