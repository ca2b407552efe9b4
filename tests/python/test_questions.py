"""Questions to the trail from Python: views, counts, following, trees, who could; frames."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

import answerable as ans
from answerable.errors import EngineClosed, InvalidInput, NotFound
from answerable.simulation import START, simulate

pl = pytest.importorskip("polars")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small company, simulated once, and what was simulated."""
    folder = tmp_path_factory.mktemp("company") / "store"
    facts = simulate(folder, entries=2500, humans=10, agents=40, days=5)
    with ans.open(folder, clock=facts.end) as engine:
        yield engine, facts


@pytest.fixture
def engine(company: Any) -> Any:
    return company[0]


def scan(engine: Any, keep: Any) -> list[Any]:
    """Every entry but outcomes, one by one: the slow way."""
    every = (engine.trail.get(index) for index in range(len(engine.trail)))
    return [entry for entry in every if entry.kind != "outcome" and keep(entry)]


def test_views_are_sequences(engine: Any) -> None:
    view = engine.trail.entries(effect="deny")
    expected = scan(engine, lambda entry: entry.effect == "deny")
    assert list(view) == expected
    assert len(view) == len(expected) > 20
    for place in (0, 3, -1, -7, len(expected) - 1, -len(expected)):
        assert view[place] == expected[place]
    for cut in (
        slice(None, 5), slice(2, 5), slice(-5, None), slice(-9, -3), slice(None),
        slice(None, None, -1),
        slice(1, 50, 7), slice(40, 2, -3), slice(5, 2), slice(10**9, None), slice(-(10**9), 2),
        slice(0, 10**30),
    ):  # fmt: skip
        assert list(view[cut]) == expected[cut], cut
        assert len(view[cut]) == len(expected[cut]), cut
        assert list(view[cut][1:3]) == expected[cut][1:3], cut
    for beyond in (len(expected), -len(expected) - 1, 10**12):
        with pytest.raises(IndexError):
            view[beyond]
    newest = engine.trail.entries(effect="deny", order="newest")
    assert list(newest) == expected[::-1]
    assert newest[0] == expected[-1]
    assert list(newest[:4]) == expected[::-1][:4]
    assert list(newest[-4:]) == expected[::-1][-4:]
    nothing = engine.trail.entries(tool="no.such.tool")
    assert (list(nothing), len(nothing), bool(nothing), bool(view)) == ([], 0, False, True)


def test_pages_go_on_where_they_ended(engine: Any) -> None:
    expected = scan(engine, lambda entry: entry.tool == "mail.send")
    forward: list[Any] = []
    after = None
    while page := list(engine.trail.entries(tool="mail.send", after=after)[:7]):
        forward += page
        after = page[-1]
    assert forward == expected
    back: list[Any] = []
    before = None
    while page := list(engine.trail.entries(tool="mail.send", before=before, order="newest")[:7]):
        back += page
        before = page[-1].id
    assert back == expected[::-1]


def test_filters_of_every_kind(engine: Any, company: Any) -> None:
    invoice = company[1].incidents[0]
    grant = engine.trail.entries(kind="grant", task=invoice.task)[0].leaf["grant"]
    entries = engine.trail.entries
    assert len(entries(grant=grant, kind="decision")) == len(
        entries(task=invoice.task, kind="decision")
    )
    suspended = list(entries(action="suspended"))
    assert suspended == scan(engine, lambda entry: entry.leaf.get("action") == "suspended")
    assert {entry.agent_name for entry in suspended} >= {invoice.agent}
    owner = engine.agents.get(invoice.agent).owner
    assert list(entries(by=owner)) == scan(engine, lambda entry: entry.leaf.get("by") == owner)
    inner = entries(tool="crm.read", kind="decision")
    parent = next(entry.parent for entry in inner if entry.parent)
    assert [entry.parent for entry in entries(parent=parent)] == [parent]
    middle = START + timedelta(days=2)
    early = scan(engine, lambda entry: entry.at < middle)
    assert len(entries(until=middle)) == len(early)
    assert len(entries(since=middle)) == len(entries()) - len(early)
    for wrong in ({"order": "upwards"}, {"effect": "maybe"}, {"tool": "a..b"}, {"parent": "x"}):
        with pytest.raises((InvalidInput, NotFound)):
            list(entries(**wrong))
    with pytest.raises(NotFound):
        entries(after="ent_aaaaaaaaaaaaaaaaaaaaaaaaaa")


@pytest.mark.parametrize("given", [{}, {"effect": "deny"}, {"resource": "customer/1*"}])
def test_counts(engine: Any, given: dict[str, str]) -> None:
    view = engine.trail.entries(**given)
    entries = list(view)
    assert entries

    def counted(values: Any) -> dict[Any, int]:
        counts: dict[Any, int] = {}
        for entry in entries:
            for value in {v for v in values(entry) if v is not None}:
                counts[value] = counts.get(value, 0) + 1
        return counts

    assert view.count_by("effect") == counted(lambda e: [e.effect])
    assert view.count_by("tool") == counted(lambda e: [e.tool])
    assert view.count_by("agent") == counted(lambda e: [e.agent_name])
    assert view.count_by("via") == counted(lambda e: e.via)
    assert view.count_by("reason") == counted(lambda e: e.reasons)
    assert view.count_by("resource") == counted(lambda e: [e.resource])
    day = view.count_by("day")
    assert day == counted(lambda e: [e.at.replace(hour=0, minute=0, second=0, microsecond=0)])
    assert list(day) == sorted(day)
    sliced = view[: len(entries) // 2]
    entries = entries[: len(entries) // 2]
    assert sliced.count_by("tool") == counted(lambda e: [e.tool])
    with pytest.raises(InvalidInput):
        view.count_by("weather")


def test_a_name_that_two_have_is_told_apart(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        twins = [engine.humans.register(f"{n}@example.com", name="Twin") for n in (1, 2)]
        counts = engine.trail.entries(action="registered").count_by("human")
        assert {f"Twin ({twin.id})" for twin in twins} <= set(counts)


# ------------------------------------------------------------------------------ following


def test_following_meets_every_entry_once(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store", flush_ms=5) as engine:
        engine.humans.register("first@example.com")  # And with them, who runs this.
        before = len(engine.trail)
        follow = engine.trail.follow(kind="identity")
        names = [f"{n}@example.com" for n in range(30)]

        def work() -> None:
            for name in names:
                engine.humans.register(name)

        worker = threading.Thread(target=work)
        worker.start()
        seen = [next(follow) for _ in names]
        worker.join()
        assert [engine.humans.get(entry.human).account for entry in seen] == names
        assert follow.cursor.startswith(f"{seen[-1].index + 1},{seen[-1].index}:{seen[-1].id},")
        again = engine.trail.follow(after=before - 1, kind="identity")
        assert [next(again) for _ in names] == seen
        engine.close()
        assert list(follow) == []


async def test_following_without_blocking(tmp_path: Path) -> None:
    engine = ans.open(tmp_path / "store", flush_ms=5)
    engine.humans.register("first@example.com")
    follow = engine.trail.follow(kind="identity")
    waiting = asyncio.ensure_future(anext(follow))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    waiting.cancel()  # An entry that comes now must not be lost with the task.
    await asyncio.to_thread(engine.humans.register, "a@example.com")
    await asyncio.to_thread(engine.humans.register, "b@example.com")
    entries = [await anext(follow), await anext(follow)]
    assert [engine.humans.get(e.human).account for e in entries] == [
        "a@example.com",
        "b@example.com",
    ]
    await asyncio.to_thread(engine.close)
    assert [entry async for entry in follow] == []


def test_a_filter_that_cannot_be_is_told_at_once(engine: Any) -> None:
    with pytest.raises(InvalidInput):
        engine.trail.follow(effect="maybe")
    with pytest.raises(TypeError):
        engine.trail.follow(order="newest")


# ------------------------------------------------------------------------------ trees


def flat(tree: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for node in tree for one in (node, *flat(node["below"]))]


def test_a_task_is_reconstructed(engine: Any, company: Any) -> None:
    invoice = company[1].incidents[0]
    told = engine.trail.reconstruct(invoice.task)
    calls = [node for node in flat(told.tree) if node["what"] == "call"]
    expected = list(engine.trail.entries(task=invoice.task, kind="decision"))
    assert sorted(node["id"] for node in calls) == sorted(entry.id for entry in expected)
    assert told.calls == len(calls)
    assert not told.cut
    text = str(told)
    assert "Settle the invoices of customer 7" in text
    assert "account/offshore-1: refused (" in text
    assert "Settle the invoices of customer 7" in told._repr_html_()


def test_a_call_is_told_with_what_was_done_within_it(engine: Any) -> None:
    inner = next(e for e in engine.trail.entries(tool="crm.read", kind="decision") if e.parent)
    told = engine.trail.reconstruct(inner)
    (human,) = told.tree
    node = human
    while node["what"] != "call":
        (node,) = node["below"]
    assert node["id"] == inner.parent
    assert [below["id"] for below in node["below"]] == [inner.id]
    assert told == told
    assert str(engine.trail.reconstruct(inner.parent)) == str(told)


def test_a_human_is_told_whole(engine: Any) -> None:
    owner = engine.humans.list()[1]
    told = engine.trail.reconstruct(owner)
    assert told.calls == len(engine.trail.entries(human=owner, kind="decision"))
    assert str(engine.trail.reconstruct(owner.account)) == str(told)
    with pytest.raises(InvalidInput):
        engine.trail.reconstruct(engine.trail.entries(kind="grant")[0])
    with pytest.raises((InvalidInput, NotFound)):
        engine.trail.reconstruct("ent_aaaaaaaaaaaaaaaaaaaaaaaaaa")


# ------------------------------------------------------------------------------ who could


def test_who_could_follows_every_end_of_authority(tmp_path: Path) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    moments = iter(start + timedelta(minutes=n) for n in range(100))
    with ans.open(tmp_path / "store", clock=start) as engine:

        def step() -> datetime:
            """A moment after what was done, and before what comes."""
            now = next(moments)
            engine.set_clock(next(moments))
            return now

        def could(at: datetime, tool: str = "pay.out", resource: str | None = "account/a") -> Any:
            return {c.agent_name for c in engine.trail.who_could(tool, resource, at=at)}

        step()
        alice = engine.humans.register("alice@example.com", name="Alice")
        bob = engine.humans.register("bob@example.com", name="Bob")
        allow = [ans.allow("pay.*", resource="account/*")]
        agents = {
            name: engine.agents.issue(name, owner=owner, purpose="x", ceiling=allow, ttl="8h")
            for name, owner in (("root", alice), ("below", alice), ("other", bob))
        }
        nobody = step()
        root = engine.grant(alice, agents["root"], task="t", scope=allow, ttl="40m", max_depth=1)
        with engine.acting(root), engine.delegating(agents["below"], scope=allow) as below:
            granted = step()
            other = engine.grant(bob, agents["other"], task="o", scope=allow, ttl="2h")
        both = step()
        engine.agents.suspend("root", reason="r", by=alice)
        suspended = step()
        engine.agents.resume("root", reason="r", by=alice)
        resumed = step()
        engine.revoke(below, reason="r", by=alice)
        revoked = step()
        engine.halt(tool="pay.*", reason="r", by=alice)
        halted = step()
        engine.unhalt(tool="pay.*", reason="r", by=alice)
        lifted = step()
        engine.tasks.end(other.task, reason="r", by=bob)
        ended = step()
        engine.humans.offboard(alice, reason="r", by=bob)
        gone = step()

        assert could(nobody) == set()
        assert could(granted) == {"root", "below"}
        assert could(both) == {"root", "below", "other"}
        assert could(suspended) == {"other"}
        assert could(resumed) == {"root", "below", "other"}
        assert could(revoked) == {"root", "other"}
        assert could(halted) == set()
        assert could(lifted) == {"root", "other"}
        assert could(ended) == {"root"}
        assert could(gone) == set()
        assert could(start + timedelta(hours=1)) == set()
        assert could(both, "mail.send") == set()
        assert could(both, resource="account/a/b") == set()
        assert could(both, resource=None) == {"root", "below", "other"}
        (found,) = (
            c for c in engine.trail.who_could("pay.out", at=both) if c.agent_name == "below"
        )
        assert (found.human_name, found.via) == ("Alice", ["root", "below"])
        assert found.grant == below.id
        assert found.since <= granted < found.until
        assert "Alice → root → below" in repr(found)
        with pytest.raises(InvalidInput):
            engine.trail.who_could("pay.*")


def test_who_could_agrees_with_what_was_decided(engine: Any) -> None:
    """Whoever was allowed a call could have made it, then."""
    for entry in list(engine.trail.entries(kind="decision", effect="allow"))[::97]:
        could = engine.trail.who_could(entry.tool, entry.resource, at=entry.at)
        assert entry.agent in {c.agent for c in could}, entry


# ------------------------------------------------------------------------------ frames

WORDS = ("kind", "human", "human_name", "agent", "agent_name", "tool", "effect", "task", "policy")


def test_frames_hold_what_entries_hold(engine: Any) -> None:
    view = engine.trail.entries()
    entries, table = list(view), view.to_arrow()
    assert table.num_rows == len(entries)
    rows = table.to_pylist()
    for row, entry in zip(rows, entries, strict=True):
        assert (row["index"], row["id"], row["at"]) == (entry.index, entry.id, entry.at)
        human = None if entry.human == "none" else entry.human_name
        expected = {name: getattr(entry, name) for name in WORDS} | {"human_name": human}
        assert {name: row[name] for name in WORDS} == expected
        assert row["resource"] == entry.resource
        assert row["parent"] == entry.parent
        assert row["reasons"] == entry.reasons
        assert row["reason"] == (entry.reasons[0] if entry.reasons else None)
        assert row["outcome"] == entry.outcome
        assert row["duration_us"] == entry.leaf.get("duration_us", row["duration_us"])
        assert [hop["agent_name"] for hop in row["chain"]] == entry.via
        assert row["via"] == (" → ".join(entry.via) if entry.via else None)
    assert sum(row["outcome"] is not None for row in rows) > 500
    newest = engine.trail.entries(order="newest").to_arrow()
    assert newest["index"].to_pylist() == [entry.index for entry in entries][::-1]
    some = view[5:500:7]
    assert some.to_arrow()["id"].to_pylist() == [entry.id for entry in some]
    assert engine.trail.entries(tool="no.such").to_arrow().num_rows == 0


def readers() -> int:
    """How many threads read entries for frames now."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        pytest.skip("threads are counted where /proc is")
    names = []
    for task in tasks.iterdir():
        with contextlib.suppress(OSError):  # It ended meanwhile.
            names.append((task / "comm").read_text("utf-8").strip())
    return sum(name.startswith("answerable-read") for name in names)


def test_frames_come_in_batches_that_are_made_side_by_side(engine: Any) -> None:
    view = engine.trail.entries()
    for entries, asked in ((list(view), {}), (list(view)[::-1], {"order": "newest"})):
        stream = pyarrow.RecordBatchReader.from_stream(engine.trail.entries(**asked))
        batches = list(stream)
        sizes = [batch.num_rows for batch in batches]
        assert sizes == [512, 1024, len(entries) - 512 - 1024]
        told = [row for batch in batches for row in batch.to_pylist()]
        assert [row["id"] for row in told] == [entry.id for entry in entries]
        # A call that ended in another batch than it began in has its outcome all the same.
        assert [row["outcome"] for row in told] == [entry.outcome for entry in entries]
        assert [[hop["agent_name"] for hop in row["chain"]] for row in told] == [
            entry.via for entry in entries
        ]


def test_a_frame_that_is_let_go_leaves_no_thread(engine: Any) -> None:
    before = readers()
    stream = pyarrow.RecordBatchReader.from_stream(engine.trail.entries())
    stream.read_next_batch()
    stream.close()
    del stream
    # The system may show a thread that was joined for a moment longer.
    deadline = time.monotonic() + 60
    while readers() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert readers() <= before


def test_a_frame_of_an_engine_that_was_closed_is_not_half_a_frame(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store", durability="relaxed") as engine:
        for number in range(600):
            engine.humans.register(f"human-{number}@example.com")
        stream = pyarrow.RecordBatchReader.from_stream(engine.trail.entries())
        assert stream.read_next_batch().num_rows == 512
    with pytest.raises((OSError, pyarrow.ArrowException), match="closed"):
        stream.read_next_batch()


def test_pandas_and_polars_take_them(engine: Any, tmp_path: Path) -> None:
    view = engine.trail.entries(kind="decision")
    frame, other = view.to_pandas(), view.to_polars()
    assert len(frame) == other.height == len(view)
    assert str(frame["at"].dt.tz) == "UTC"
    assert frame["tool"].dtype == "category"
    assert other.schema["at"] == pl.Datetime("us", "UTC")
    counts = view.count_by("tool")
    assert frame["tool"].value_counts().to_dict() == counts
    assert dict(other["tool"].drop_nulls().value_counts().iter_rows()) == counts
    assert pl.DataFrame(view[:10]).height == 10
    for place in (0, 3):
        chain = [hop["agent_name"] for hop in frame["chain"].iloc[place]]
        assert chain == [hop["agent_name"] for hop in other["chain"][place]] == view[place].via
    file = tmp_path / "trail.parquet"
    pyarrow.parquet.write_table(view.to_arrow(), file)
    assert pl.read_parquet(file).height == len(view)


def test_frames_take_them_piece_by_piece(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store", durability="relaxed") as engine:
        for number in range(600):
            engine.humans.register(f"human-{number}@example.com")
        for view in (engine.trail.entries(), engine.trail.entries(order="newest")):
            frame = view.to_polars()
            assert frame["id"].to_list() == [entry.id for entry in view]
            assert frame["id"].n_chunks() > 1
            assert frame.equals(pl.DataFrame(view))
            other = view.to_pandas()
            assert other["id"].to_list() == frame["id"].to_list()
            assert list(other.columns) == frame.columns
            assert other["kind"].astype(str).to_list() == frame["kind"].cast(pl.String).to_list()
            assert [len(hops) for hops in other["chain"]] == frame["chain"].list.len().to_list()
        none = engine.trail.entries(tool="no.such").to_polars()
        assert none.height == 0
        assert none.schema == frame.schema
        assert len(engine.trail.entries(tool="no.such").to_pandas()) == 0
        pieces = engine.trail.entries()._pieces()
        first = next(pieces)
        assert pl.DataFrame(first).height == 512
        assert pl.DataFrame(first).height == 0, "it is taken once"
        assert first.columns() == []
        parts = next(pieces).columns()
        assert [pyarrow.table(part).column_names[0] for part in parts] == frame.columns
    with pytest.raises(EngineClosed):
        next(pieces)


def test_a_frame_is_asked_for_without_its_library(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(InvalidInput, match="polars is not installed"):
        engine.trail.entries().to_polars()
