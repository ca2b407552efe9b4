"""What a governed call costs from Python: medians over rounds that take turns, in microseconds.

Run by `make bench`; `--smoke` takes a second and only shows that it runs. Machines are shared and
noisy: read the ratios. `burst` fits the recorder's queue and shows what the caller pays;
`sustained` is as fast as one core can also pack, seal and hash what was recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import answerable as ans

SCOPE = ans.allow("pay.transfer", resource="account/travel-*", where={"amount": ans.at_most(500)})


def transfer(account: str, amount: int) -> str:
    return "ok"


@functools.wraps(transfer)
def wrapped(*args: object, **kwargs: object) -> str:
    """The least that any decorator costs."""
    return transfer(*args, **kwargs)  # type: ignore[arg-type]


def per_call(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count * 1e6


def denied(tool: Callable[[str, int], str]) -> None:
    try:
        tool("travel-1", 501)
    except ans.AccessDenied:
        return
    raise SystemExit("a call beyond the grant was allowed")


def governed(engine: ans.Engine) -> tuple[ans.Grant, Callable[[str, int], str]]:
    alice = engine.humans.register("alice@example.com", name="Alice")
    planner = engine.agents.issue(
        "planner", owner=alice, purpose="bench", ceiling=ans.allow("pay.*"), ttl="8h"
    )
    grant = engine.grant(alice, planner, task="Measure", ttl="4h", scope=SCOPE)
    return grant, ans.tool("pay.transfer", resource="account/{account}", engine=engine)(transfer)


def leasing(engine: ans.Engine) -> tuple[ans.Grant, Callable[[int], int], Callable[[int], int]]:
    """The same tool with and without a credential, which it reveals."""
    engine.vault.put("bank-api", "sk-live-0123456789", for_tools="vault.*", by="alice@example.com")

    def with_one(amount: int) -> int:
        return len(ans.credential("bank-api").reveal()) + amount

    def without(amount: int) -> int:
        return len("sk-live-0123456789") + amount

    agent = engine.agents.issue(
        "teller", owner="alice@example.com", purpose="bench", ceiling=ans.allow("vault.*"), ttl="8h"
    )
    scope = ans.allow("vault.*")
    grant = engine.grant("alice@example.com", agent, task="Measure", ttl="4h", scope=scope)
    leased = ans.tool("vault.leased", credential="bank-api", engine=engine)(with_one)
    return grant, leased, ans.tool("vault.bare", engine=engine)(without)


def show(rows: dict[str, list[float]], base: str) -> None:
    least = statistics.median(rows[base])
    print(f"{'':44}{'median µs':>10}{'least':>9}{'most':>9}{'ratio':>9}")
    for name, times in rows.items():
        middle = statistics.median(times)
        print(f"{name:44}{middle:10.2f}{min(times):9.2f}{max(times):9.2f}{middle / least:9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    smoke = parser.parse_args().smoke
    rounds, burst, durable = (2, 50, 5) if smoke else (15, 1_500, 60)
    rows: dict[str, list[float]] = {}

    def note(name: str, time_per_call: float) -> None:
        rows.setdefault(name, []).append(time_per_call)

    with tempfile.TemporaryDirectory() as folder:
        relaxed = ans.open(Path(folder) / "relaxed", durability="relaxed", flush_ms=200)
        before = ans.open(Path(folder) / "before")
        grant, tool = governed(relaxed)
        grant_before, tool_before = governed(before)
        lending = ans.open(Path(folder) / "lending", durability="relaxed", flush_ms=200)
        governed(lending)
        grant_lease, leased, bare = leasing(lending)
        pause = 0.0 if rounds < 5 else 0.3
        for _ in range(rounds):
            note("plain function", per_call(lambda: transfer("travel-1", 80), burst))
            note("functools.wraps around it", per_call(lambda: wrapped("travel-1", 80), burst))
            with relaxed.acting(grant):
                call = functools.partial(tool, "travel-1", 80)
                relaxed.trail.checkpoint()  # Empties the queue.
                note("allowed, relaxed, burst", per_call(call, burst))
                time.sleep(pause)
                note("denied, relaxed, burst", per_call(lambda: denied(tool), burst // 2))
                time.sleep(pause)
                note("allowed, relaxed, sustained", per_call(call, burst * 8))
                check = functools.partial(
                    relaxed.check,
                    "pay.transfer",
                    resource="account/travel-1",
                    arguments={"amount": 80},
                    grant=grant,
                )
                note("engine.check, nothing recorded", per_call(check, burst))
            with lending.acting(grant_lease):
                lending.trail.checkpoint()
                note("allowed, relaxed, no lease", per_call(lambda: bare(1), burst))
                time.sleep(pause)
                note("the same with a lease, revealed", per_call(lambda: leased(1), burst))
                time.sleep(pause)
            with before.acting(grant_before):
                call = functools.partial(tool_before, "travel-1", 80)
                note("allowed, before: on disk first", per_call(call, durable))

        async def many() -> float:
            aio = ans.tool("pay.later", engine=before)(_later)
            start = time.perf_counter()
            await asyncio.gather(*(aio(number) for number in range(durable * 4)))
            return (time.perf_counter() - start) / (durable * 4) * 1e6

        wide = before.grant(
            "alice@example.com", "planner", task="Measure", ttl="1h", scope=ans.allow("pay.later")
        )
        for _ in range(rounds):
            with before.acting(wide):
                note("allowed, before, gathered coroutines", asyncio.run(many()))
        relaxed.close()
        lending.close()
        before.close()
    show(rows, "plain function")
    redacting(smoke)
    sharing(smoke)


def redacting(smoke: bool) -> None:
    """What looking for 20 secrets takes, by kind and length of the text: linear in the length."""
    secret = "sk-live-0123456789"
    kinds = {
        "prose": "The quick brown fox pays 80 into travel-1, and 12 more on 2026-01-01. ",
        "lines": "The quick brown fox pays 80 into travel-1,\n",
        "beginnings of a secret": secret[:-1],
        "percent-encoded": "%73%6b%2D",
        "escapes in escapes": '\\\\\\\\u0073\\\\"&amp;#x25;73',
        "hexadecimal with separators": "73:6b:2d:6c ",
        "base64 over lines": "c2stbGl2ZS0wMTIzNDU2\n",
    }
    sizes = (1_000, 10_000) if smoke else (1_000, 1_000_000, 10_000_000)
    print(f"\n{'redaction, ns a byte':44}" + "".join(f"{size:>12,}" for size in sizes))
    with tempfile.TemporaryDirectory() as folder, ans.open(Path(folder) / "store") as engine:
        for number in range(20):
            engine.vault.put(f"key-{number}", f"{secret}{number:02}", for_tools="pay.*")
        for kind, piece in kinds.items():
            told = []
            for size in sizes:
                text = (piece * (size // len(piece) + 1))[:size]
                count = max(1, sizes[-1] // 10 // size)
                if engine.vault.redact(text) is not text:
                    raise SystemExit(f"a secret was found in {kind}")
                told.append(per_call(functools.partial(engine.vault.redact, text), count))
            cells = "".join(f"{t * 1e3 / size:12.2f}" for t, size in zip(told, sizes, strict=True))
            print(f"{kind:44}{cells}")


def sharing(smoke: bool) -> None:
    """What looking for many secrets that begin alike takes where a text repeats that beginning: no
    more than for one of them, in the length of the text."""
    head = "sk-live-51H8"
    counts = (1, 20) if smoke else (1, 100, 1_000)
    text = head * (20_000 // len(head))
    print(f"\n{'a head that secrets share, ns a byte':44}" + "".join(f"{n:>12,}" for n in counts))
    cells = ""
    for count in counts:
        with tempfile.TemporaryDirectory() as folder, ans.open(Path(folder) / "store") as engine:
            for number in range(count):
                engine.vault.put(f"key-{number}", f"{head}{number:020}", for_tools="pay.*")
            told = per_call(functools.partial(engine.vault.redact, text), 3 if smoke else 50)
            cells += f"{told * 1e3 / len(text):12.2f}"
    print(f"{'20,000 characters of it':44}{cells}")


async def _later(number: int) -> int:
    return number


if __name__ == "__main__":
    main()
