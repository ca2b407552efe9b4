"""A small demonstration, from a grant to a record that an outsider has checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from answerable.cli.run import Run, command


@command("demo")
def demo(run: Run) -> int:
    """Watch an allowed call, a refused one, and a forged record; leaves nothing behind."""
    import tempfile

    import answerable as ans

    with tempfile.TemporaryDirectory(prefix="answerable-demo-") as folder:
        with ans.open(Path(folder) / "governance") as engine:
            facts = _act(run, engine)
            authority, checkpoint = engine.authority, engine.trail.checkpoint()
            export = Path(folder) / "trail.jsonl"
            engine.trail.export(export)
        facts |= _check(run, export, authority, checkpoint)
    if run.out.json:
        run.out.document(facts)
    sound = facts["paid"] == [["travel-1", 80]] and facts["verified"] and facts["forgery_found"]
    return 0 if sound else 1


def _act(run: Run, engine: Any) -> dict[str, Any]:
    import answerable as ans

    paid: list[list[Any]] = []

    @ans.tool("bank.transfer", resource="account/{account}", engine=engine)
    def transfer(account: str, amount: int) -> str:
        paid.append([account, amount])
        return f"paid {amount} to {account}"

    alice = engine.humans.register("alice@example.com", name="Alice")
    pay = ans.allow("bank.*")
    planner, booker = (
        engine.agents.issue(name, owner=alice, purpose=purpose, ceiling=pay, ttl="8h")
        for name, purpose in (("planner", "plans trips"), ("booker", "books and pays"))
    )
    travel = ans.allow(
        "bank.transfer",
        resource="account/travel-*",
        where={"account": ans.any_(), "amount": ans.at_most(500)},
    )
    grant = engine.grant(
        alice, planner, task="Book the Lisbon offsite", ttl="30m", max_depth=1, scope=travel
    )
    deposit = ans.allow(
        "bank.transfer",
        resource="account/travel-1",
        where={"account": ans.any_(), "amount": ans.at_most(100)},
    )
    _title(run, "Alice lets planner pay up to 500; planner lets booker pay up to 100")
    with engine.acting(grant), engine.delegating(booker, scope=deposit, task="Pay the deposit"):
        _say(run, f"booker calls transfer('travel-1', 80): {transfer('travel-1', 80)}")
        try:
            transfer("travel-1", 400)
        except ans.AccessDenied as denied:
            _say(run, f"booker calls transfer('travel-1', 400): {denied}")
    allowed, refused = engine.trail.entries(tool="bank.transfer")
    stories = [engine.trail.story(allowed), engine.trail.story(refused)]
    for title, story in zip(
        ("The call that was allowed", "And the one that was not"), stories, strict=True
    ):
        _title(run, title)
        if not run.out.json:
            run.out.block(story.text(time=run.out.time))
    return {"paid": paid, "stories": [story.headline for story in stories]}


def _check(run: Run, export: Path, authority: str, checkpoint: Any) -> dict[str, Any]:
    import answerable as ans

    _title(run, "An outsider checks the record with the public key and a checkpoint alone")
    report = ans.verify(export, authority=authority, since=checkpoint)
    _say(run, str(report))
    forged = export.with_name("forged.jsonl")
    honest = export.read_bytes()
    forged.write_bytes(honest.replace(b"travel-1", b"travel-9", 1))
    try:
        ans.verify(forged, authority=authority, since=checkpoint)
    except ans.TrailCorrupted as corrupted:
        _say(run, "one edited byte was found:")
        for fault in corrupted.faults:
            _say(run, f"  {fault}")
        found = True
    else:
        found = False
    return {"verified": report.size, "forgery_found": found}


def _title(run: Run, text: str) -> None:
    if not run.out.json:
        run.out.line()
        run.out.text(text, colour="1")


def _say(run: Run, text: str) -> None:
    if not run.out.json:
        run.out.text(text)
