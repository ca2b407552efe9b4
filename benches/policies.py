"""Policies from Python: `engine.check` at 10 to 10,000 policies, beside cedarpy where it is
installed (`pip install cedarpy`), and callers' times while policies are loaded every second.

python benches/policies.py            all of it, about a minute
python benches/policies.py --smoke    each part once, to see that it runs
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import answerable as ans

SMOKE = "--smoke" in sys.argv
SIZES = [10, 100] if SMOKE else [10, 100, 1_000, 10_000]
BUDGET = 0.02 if SMOKE else 1.5


def policies(count: int) -> str:
    """Five rules for all, and the rest each for one agent and one of fifty tools."""
    rules = [
        '@id("f0") forbid (principal, action, resource) when { context.chain.depth > 4 };',
        '@id("f1") forbid (principal, action, resource) when { context.host == "nowhere" };',
        '@id("p0") permit (principal, action == Action::"pay.t0", resource)'
        " when { context.arguments.amount <= 500 };",
    ]
    for n in range(max(0, count - len(rules))):
        rules.append(
            f'@id("r{n}") permit (principal == Agent::"agent-{n % 97}",'
            f' action == Action::"pay.t{n % 50}", resource)'
            f' when {{ context.arguments.amount <= {n} && context.human.assurance == "oidc" }};'
        )
    return "\n".join(rules)


def measure(body: Callable[[], Any]) -> float:
    """The median of a call, in microseconds."""
    body()
    times: list[float] = []
    end = time.perf_counter() + BUDGET
    while time.perf_counter() < end or not times:
        start = time.perf_counter_ns()
        for _ in range(10):
            body()
        times.append((time.perf_counter_ns() - start) / 10_000)
    return statistics.median(times)


def world(folder: Path) -> tuple[ans.Engine, ans.Grant]:
    engine = ans.open(folder / "governance", durability="relaxed")
    for n in range(50):
        ans.tool(f"pay.t{n}", engine=engine)(_tool(n))
    alice = engine.humans.register("alice@example.com")
    agent = engine.agents.issue(
        "booker", owner=alice, purpose="pays", ceiling=[ans.allow("pay.*")], ttl="8h"
    )
    grant = engine.grant(alice, agent, task="Pay", ttl="4h", scope=[ans.allow("pay.*")])
    return engine, grant


def _tool(n: int) -> Callable[..., Any]:
    def tool(account: str, amount: int) -> None: ...

    tool.__qualname__ = f"tool_{n}"
    return tool


def load(engine: ans.Engine, folder: Path, count: int) -> float:
    file = folder / "policies.cedar"
    file.write_text(policies(count), encoding="utf-8")
    start = time.perf_counter()
    engine.policies.load(file)
    return time.perf_counter() - start


def check_rows(folder: Path) -> None:
    engine, grant = world(folder)
    arguments = {"account": "a", "amount": 80}

    def check() -> None:
        assert engine.check("pay.t0", arguments=arguments, grant=grant).allowed

    print(f"{'engine.check without policies':<44} {measure(check):>10.2f} µs")
    for count in SIZES:
        took = load(engine, folder, count)
        ours = measure(check)
        print(
            f"{f'engine.check, {count:,} policies':<44} {ours:>10.2f} µs   loaded in {took:.2f} s"
        )
        theirs = cedarpy_row(count)
        if theirs is not None:
            print(f"{'  cedarpy, prepared handles':<44} {theirs:>10.2f} µs   {theirs / ours:.0f} ×")
    engine.close()


def cedarpy_row(count: int) -> float | None:
    """The same rules and request through cedarpy with everything prepared that it can prepare."""
    try:
        import cedarpy
    except ImportError:
        return None
    handle = cedarpy.PolicySet.from_str(policies(count))
    known = [
        {"uid": {"type": "Agent", "id": "booker"}, "attrs": {}, "parents": []},
        {"uid": {"type": "Human", "id": "h"}, "attrs": {"assurance": "asserted"}, "parents": []},
    ]
    entities = cedarpy.Entities.from_json_str(json.dumps(known))
    request = {
        "principal": 'Agent::"booker"',
        "action": 'Action::"pay.t0"',
        "resource": 'Resource::""',
        "context": {
            "arguments": {"account": "a", "amount": 80},
            "chain": {"depth": 1},
            "host": "here",
            "human": {"__entity": {"type": "Human", "id": "h"}},
        },
    }

    def check() -> None:
        assert cedarpy.is_authorized(request, handle, entities).allowed

    return measure(check)


def reload_rows(folder: Path) -> None:
    """Callers' p99 of `engine.check`, with 1,000 policies at rest and loaded every second."""
    engine, grant = world(folder)
    count, seconds = (100, 0.5) if SMOKE else (1_000, 6.0)
    load(engine, folder, count)
    arguments = {"account": "a", "amount": 80}

    def calls() -> list[float]:
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter_ns()
            engine.check("pay.t0", arguments=arguments, grant=grant)
            times.append((time.perf_counter_ns() - start) / 1_000)
            time.sleep(0.0001)
        return sorted(times)

    def p(times: list[float], share: float) -> float:
        return times[min(len(times) - 1, int(len(times) * share))]

    rest = calls()
    stop, loads = threading.Event(), 0

    def loader() -> None:
        nonlocal loads
        while not stop.wait(1.0 if not SMOKE else 0.1):
            load(engine, folder, count + loads % 2)
            loads += 1

    thread = threading.Thread(target=loader)
    thread.start()
    busy = calls()
    stop.set()
    thread.join()
    for name, times in ((f"at rest, {count:,} policies", rest), (f"{loads} loads meanwhile", busy)):
        told = f"p50 {p(times, 0.5):.1f}  p99 {p(times, 0.99):.1f}  p99.9 {p(times, 0.999):.1f} µs"
        print(f"{f'callers {name}':<44} {told}")
    print(f"{'  p99 with loads to p99 at rest':<44} {p(busy, 0.99) / p(rest, 0.99):>10.2f} ×")
    engine.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_rows(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        reload_rows(Path(folder))


if __name__ == "__main__":
    main()
