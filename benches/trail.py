"""What a trail of a million entries costs: to fill, to keep, to ask, to verify, to hand over.

`python benches/trail.py` simulates a company into a temporary store (`--entries`, `--store` to keep
it, `--smoke` for a small one) and prints each figure beside what it aims at. Each part runs in a
process of its own, so that its peak of memory is its own. It asserts nothing about time.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PARTS = ("load", "open", "ask", "verify", "parquet", "pandas", "polars")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="keep the store here, or use the one there")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--part", choices=PARTS)
    args = parser.parse_args()
    if args.part is not None:
        print(json.dumps(globals()[args.part](args.store, args.entries)))
        return
    entries = 3_000 if args.smoke else args.entries
    with tempfile.TemporaryDirectory() as folder:
        store = args.store or Path(folder) / "store"
        print(f"{'':<44} {'measured':>12} {'aim':>10}   peak memory")
        for part in PARTS:
            if part == "load" and (store / "FORMAT").exists():
                continue
            command = [sys.executable, __file__, "--part", part, "--store", str(store)]
            done = subprocess.run(
                [*command, "--entries", str(entries)], check=True, stdout=subprocess.PIPE
            )
            for name, measured, aim, peak in json.loads(done.stdout):
                print(f"{name:<44} {measured:>12} {aim:>10}   {peak}")


def peak() -> str:
    """The most memory that this process had, in MB."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"


def timed(run: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def load(store: Path, entries: int) -> list[Any]:
    from answerable.simulation import simulate

    took, facts = timed(lambda: simulate(store, entries=entries, days=60))
    files = [file for file in store.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    index = sum(file.stat().st_size for file in files if file.suffix == ".idx")
    of = facts.entries
    return [
        (f"load, guarded calls, of {of} entries", f"{of / took:.0f}/s", "", peak() + " (≤ 400)"),
        ("bytes an entry on disk, all in", f"{size / of:.0f}", "≤ 700", ""),
        ("  of these the index", f"{index / of:.0f}", "", ""),
    ]


def engine_of(store: Path) -> Any:
    import answerable as ans

    return ans.open(store)


def open(store: Path, _: int) -> list[Any]:  # noqa: A001 - the part's name.
    took, engine = timed(lambda: engine_of(store))
    first, _ = timed(lambda: list(engine.trail.entries(effect="deny", order="newest")[:20]))
    engine.close()
    return [
        ("open", f"{took:.2f} s", "≤ 1 s", peak()),
        ("the first question after it", f"{1000 * first:.1f} ms", "", ""),
    ]


def ask(store: Path, _: int) -> list[Any]:
    engine = engine_of(store)
    entries = engine.trail.entries
    one = entries(effect="deny", order="newest")[0]
    agent = next(iter(entries().count_by("agent")))
    rare = list(entries(kind="identity").count_by("agent"))[-1]
    size = len(engine.trail)
    middle = engine.trail.get(size // 2).at
    questions: dict[str, dict[str, Any]] = {
        "by effect": {"effect": "deny"},
        "by human": {"human": engine.humans.list()[3]},
        "by agent": {"agent": agent},
        "by a rare agent": {"agent": rare},
        "by any agent on the chain": {"via": agent},
        "by tool": {"tool": "bank.transfer"},
        "by tool pattern": {"tool": "code.**"},
        "by resource": {"resource": "customer/77"},
        "by what a resource begins with": {"resource": "repository/service-3/**"},
        "by a rare resource": {"resource": "account/offshore-1"},
        "by reason": {"reason": "caveat_failed"},
        "by kind": {"kind": "halt"},
        "by task": {"task": engine.trail.get(size // 3).task or one.task},
        "by time": {"since": middle},
        "all": {},
    }
    rows = []
    for name, given in questions.items():
        for order in ("newest", "oldest"):
            times = [
                timed(lambda: list(entries(order=order, **given)[:20]))[0]  # noqa: B023
                for _ in range(5)
            ]
            label = f"first page {name}, {order} first"
            figure = f"{1000 * statistics.median(times):.2f} ms"
            rows.append((label, figure, "≤ 5 ms", f"the first time {1000 * times[0]:.1f} ms"))
    times = [timed(lambda: engine.trail.get(one.id))[0] for _ in range(20)]
    rows.append(("one entry by id", f"{1000 * statistics.median(times):.2f} ms", "≤ 5 ms", ""))
    for field in ("effect", "tool", "agent", "task", "day"):
        took, _ = timed(lambda: entries().count_by(field))  # noqa: B023
        rows.append((f"count all by {field}", f"{1000 * took:.0f} ms", "", ""))
    took, _ = timed(lambda: engine.trail.who_could("bank.transfer", at=middle))
    rows.append(("who could, in the middle", f"{took:.2f} s", "", peak()))
    engine.close()
    return rows


def verify(store: Path, _: int) -> list[Any]:
    engine = engine_of(store)
    took, report = timed(engine.trail.verify)
    engine.close()
    return [(f"verify {report.size} entries", f"{took:.1f} s", "≤ 20 s", peak() + " (≤ 300)")]


def parquet(store: Path, _: int) -> list[Any]:
    import pyarrow
    import pyarrow.parquet as pq

    engine = engine_of(store)

    def write(file: Path) -> int:
        reader = pyarrow.RecordBatchReader.from_stream(engine.trail.entries())
        with pq.ParquetWriter(file, reader.schema) as writer:
            return sum(1 for batch in reader if writer.write_batch(batch) is None)

    with tempfile.TemporaryDirectory() as folder:
        processor = time.process_time()
        took, _ = timed(lambda: write(Path(folder) / "trail.parquet"))
        processor = time.process_time() - processor
        size = (Path(folder) / "trail.parquet").stat().st_size
    engine.close()
    rows = [("Parquet through Arrow", f"{took:.1f} s", "≤ 20 s", f"{peak()}, {size >> 20} MB file")]
    return [*rows, ("  of the processors", f"{processor:.2f} s", "", "")]


def frame(store: Path, name: str, aim: str, size_of: Any) -> list[Any]:
    engine = engine_of(store)
    entries = engine.trail.entries()
    len(entries)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    processor = time.process_time()
    took, made = timed(getattr(entries, f"to_{name}"))
    processor = time.process_time() - processor
    engine.close()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    size = max(size_of(made) >> 20, 1)
    memory = f"{most} MB, {before} MB before, frame {size} MB: {(most - before) / size:.2f} frames"
    rows = [(f"to {name}: {len(made)} rows", f"{took:.2f} s", aim, f"{memory} (≤ 3)")]
    return [*rows, ("  of the processors", f"{processor:.2f} s", "", "")]


def pandas(store: Path, _: int) -> list[Any]:
    __import__("pandas")
    return frame(store, "pandas", "≤ 3 s", lambda made: int(made.memory_usage(deep=False).sum()))


def polars(store: Path, _: int) -> list[Any]:
    __import__("polars")
    return frame(store, "polars", "≤ 1.5 s", lambda made: int(made.estimated_size()))


if __name__ == "__main__":
    main()
