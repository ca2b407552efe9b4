"""Every question of `answerable.analysis`, against a slow and obvious recomputation."""

from __future__ import annotations

import collections
import json
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from obvious import covers_resource

import answerable as ans
from answerable import analysis
from answerable.analysis.patterns import covers_tool
from answerable.analysis.record import COLUMNS, Record
from answerable.simulation import simulate


class Company:
    """A simulated trail, and its entries as plain Python."""

    def __init__(self, folder: Path) -> None:
        self.facts = simulate(folder / "store", entries=4_000, humans=8, agents=30, days=6, seed=7)
        self.engine = ans.open(folder / "store", clock=self.facts.end)
        self.export = folder / "trail.jsonl"
        self.engine.trail.export(self.export)
        self.calls = list(self.engine.trail.entries(kind="decision"))
        self.grants = list(self.engine.trail.entries(kind="grant"))
        self.by_digest = {entry.leaf["digest"]: entry for entry in self.grants}
        self.records = {
            "engine": analysis.read(self.engine),
            "export": analysis.read(self.export, authority=self.engine.authority),
        }
        self.records["parquet"] = analysis.read(self.records["engine"].save(folder / "parquet"))
        self.frame = folder / "frame.parquet"
        pq.write_table(self.engine.trail.entries().to_arrow(), self.frame)

    def chain(self, entry: ans.Entry) -> list[ans.Entry]:
        return [self.by_digest[digest] for digest in entry.leaf.get("chain", [])]

    def parent(self, grant: ans.Entry) -> ans.Entry | None:
        return self.by_digest.get(grant.leaf.get("parent", b""))

    def end(self) -> datetime:
        return max(entry.at for entry in self.calls)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    made = Company(tmp_path_factory.mktemp("company"))
    yield made
    made.engine.close()


@pytest.fixture(params=["engine", "export", "parquet"])
def record(request: pytest.FixtureRequest, company: Company) -> Record:
    made: Record = company.records[request.param]
    return made


# ---------------------------------------------------------------------------------- reading


def test_each_source_reads_the_same(company: Company, record: Record) -> None:
    for place, entry in enumerate(company.calls):
        if place % 7 == 0:
            row = record.calls.table.slice(place, 1).to_pylist()[0]
            for name in ("index", "id", "at", "human", "agent", "task", "effect", "policy"):
                assert row[name] == getattr(entry, name), name
            assert row["reasons"] == entry.reasons
            assert row["resource"] == entry.resource
            assert row["outcome"] == entry.outcome
            assert row["via"] == (" → ".join(entry.via) or None)
            assert row["duration_us"] == (
                None if entry.duration is None else round(entry.duration * 1e6)
            )
    own = company.records["engine"]
    for name in COLUMNS:
        assert record.calls[name].to_pylist() == own.calls[name].to_pylist(), name
    assert record.calls.hops.to_pylist() == own.calls.hops.to_pylist()
    assert record.book.grants == own.book.grants
    assert record.book.agents == own.book.agents
    assert record.book.humans == own.book.humans
    assert record.book.tasks == own.book.tasks


def test_the_hops_are_those_of_the_chain(company: Company, record: Record) -> None:
    expected = [
        (place, grant.agent, grant.agent_name, grant.leaf["grant"])
        for place, entry in enumerate(company.calls)
        for grant in company.chain(entry)
    ]
    names = ("row", "agent", "agent_name", "grant")
    assert [tuple(row[n] for n in names) for row in record.calls.hops.to_pylist()] == expected


def test_a_frame_alone_answers_what_needs_no_grants(company: Company) -> None:
    record = analysis.read(company.frame)
    own = company.records["engine"]
    assert analysis.refusals(record).frame["refused"] == analysis.refusals(own).frame["refused"]
    assert analysis.who_did(record, "crm.*").rows() == analysis.who_did(own, "crm.*").rows()
    with pytest.raises(ans.InvalidInput, match="holds calls alone"):
        analysis.unused(record)


def test_what_was_asked_of_an_engine_need_not_be_read_whole(company: Company) -> None:
    fresh = analysis.read(company.engine)
    assert analysis.who_did(fresh, "bank.transfer").rows() == (
        analysis.who_did(company.records["engine"], "bank.transfer").rows()
    )
    agent, own = company.engine.agents.list()[0], company.records["engine"]
    radius = analysis.blast_radius(fresh, agent)
    assert radius.rows() == analysis.blast_radius(own, agent).rows()
    assert radius.sentence == analysis.blast_radius(own, agent).sentence
    grant = next(g.leaf["grant"] for g in company.grants if g.leaf["depth"] == 1)
    assert analysis.below(fresh, grant).rows() == analysis.below(own, grant).rows()
    human = company.engine.humans.list()[1]
    assert analysis.in_name_of(fresh, human).rows() == analysis.in_name_of(own, human).rows()
    assert analysis.refusals(fresh).rows() == analysis.refusals(own).rows()
    week = analysis.refusals(fresh, since="30h")
    assert week.rows() == analysis.refusals(own, since="30h").rows()
    assert 0 < len(week) < len(analysis.refusals(own))
    assert fresh._calls is None
    assert fresh._book is None


@pytest.mark.parametrize(
    "asked",
    [
        {"tool": "bank.*"},
        {"tool": "crm.read"},
        {"tool": "**"},
        {"tool": "c*.read"},
        {"resource": "account/*"},
        {"resource": "account/vendor-1*"},
        {"resource": "account/**"},
        {"resource": "customer/7"},
        {"resource": "repository/*/fix-1*"},
        {"resource": "url:https://docs.example.com/**"},
        {"resource": "url:https://*/index"},
        {"resource": "url:**"},
        {"resource": "path:**"},
        {"resource": "*/**"},
        {"resource": "**"},
        {"effect": "deny"},
        {"reason": "tool_not_covered"},
        {"reason": "agent_suspended"},
        {"human": "none"},
    ],
    ids=str,
)
def test_a_filter_means_what_it_means_to_the_engine(company: Company, asked: Any) -> None:
    expected = [entry.id for entry in company.engine.trail.entries(kind="decision", **asked)]
    for name in ("export", "parquet"):
        found = company.records[name].select(**asked)
        assert found["id"].to_pylist() == expected


def test_a_moment_and_a_party_filter_as_the_engine_does(company: Company) -> None:
    trail, record = company.engine.trail, company.records["export"]
    agent = company.engine.agents.list()[3]
    human = company.engine.humans.list()[2]
    grant = next(g for g in company.grants if g.leaf["depth"] == 1)
    middle = company.calls[len(company.calls) // 2].at
    for asked in (
        {"agent": agent},
        {"via": agent},
        {"human": human},
        {"human": human.account},
        {"task": grant.task},
        {"grant": grant.leaf["grant"]},
        {"since": middle},
        {"until": middle},
        {"since": middle, "until": middle + timedelta(hours=3), "via": agent},
    ):
        expected = [entry.id for entry in trail.entries(kind="decision", **asked)]
        assert record.select(**asked)["id"].to_pylist() == expected
    span = record.select(since="24h")["at"].to_pylist()
    assert len(span) == sum(e.at >= company.end() - timedelta(hours=24) for e in company.calls)


def test_what_is_no_trail_is_said(company: Company, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("{}\n")
    with pytest.raises(ans.InvalidInput, match="no exported trail"):
        analysis.read(other)
    with pytest.raises(ans.InvalidInput, match="there is no trail"):
        analysis.read(tmp_path / "nothing")
    with pytest.raises(ans.InvalidInput, match="is a store"):
        analysis.read(company.engine.path)
    with pytest.raises(ans.InvalidInput, match="under a key"):
        analysis.read(company.export, authority=True)
    assert analysis.read(company.engine, authority=True).verified is not None
    with pytest.raises(ans.InvalidInput, match="cannot be verified"):
        analysis.read(company.frame, authority=company.engine.authority)
    with pytest.raises(ans.InvalidInput, match="there is no agent"):
        analysis.blast_radius(company.records["export"], "nobody")
    with pytest.raises(ans.InvalidInput, match="no moment"):
        analysis.refusals(company.records["export"], since=datetime(2026, 1, 1))


def test_a_changed_export_is_not_read_as_verified(company: Company, tmp_path: Path) -> None:
    text = company.export.read_text("utf-8")
    assert '"effect":"deny"' in text
    forged = tmp_path / "forged.jsonl"
    forged.write_text(text.replace('"effect":"deny"', '"effect":"allow"', 1), "utf-8")
    with pytest.raises(ans.TrailCorrupted):
        analysis.read(forged, authority=company.engine.authority)
    assert analysis.read(forged).verified is None
    assert company.records["export"].verified is not None


@pytest.mark.parametrize("damage", ["at", "agent", "garbage"])
def test_a_damaged_export_is_refused_and_not_half_read(
    company: Company, tmp_path: Path, damage: str
) -> None:
    lines = company.export.read_text("utf-8").splitlines()
    place = next(n for n, line in enumerate(lines) if '"kind":"grant"' in line)
    if damage == "garbage":
        lines[place] = '{"index":'
    else:
        lines[place] = lines[place].replace(f'"{damage}":', '"other":', 1)
    if damage == "at":
        lines[place] = lines[place].replace('"from":', '"other2":', 1)
    file = tmp_path / "damaged.jsonl"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    with pytest.raises(ans.InvalidInput, match=r"cannot be read|not what an entry is") as raised:
        _ = analysis.read(file).book
    assert "verify it first" in raised.value.hint


# ---------------------------------------------------------------------------------- questions


def counted(entries: list[ans.Entry], key: Any) -> dict[Any, list[ans.Entry]]:
    groups: dict[Any, list[ans.Entry]] = collections.defaultdict(list)
    for entry in entries:
        groups[key(entry)].append(entry)
    return groups


def test_who_did(company: Company, record: Record) -> None:
    for tool, resource in (("bank.transfer", None), ("crm.*", "customer/1*"), (None, None)):
        did = [
            entry
            for entry in company.calls
            if entry.effect == "allow"
            and (tool is None or covers_tool(tool, entry.tool or ""))
            and (resource is None or covers_resource([resource], entry.resource))
        ]
        expected = {
            key: (
                len(some),
                len({e.resource for e in some} - {None}),
                len({e.task for e in some}),
                min(e.at for e in some),
                max(e.at for e in some),
            )
            for key, some in counted(did, lambda e: (e.human, tuple(e.via), e.tool)).items()
        }
        answer = analysis.who_did(record, tool, resource)
        found = {
            (row["human"], tuple(row["via"].split(" → ")), row["tool"]): tuple(
                row[name] for name in ("calls", "resources", "tasks", "first", "last")
            )
            for row in answer
        }
        assert found == expected
        assert f"{len(did):,} calls" in answer.sentence


def test_an_export_says_the_same_however_it_is_spelt(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        human = engine.humans.register("ada@example.com", name="Ada")
        scope = [ans.allow("pay.t", where={"kind": ans.any_()})]
        agent = engine.agents.issue("payer", owner=human, purpose="p", ceiling=scope, ttl="8h")
        grant = engine.grant(human, agent, task="Pay", scope=scope, ttl="1h")
        with engine.acting(grant):
            for argument in ("x", {"kind": "grant"}, "decision"):
                with ans.guard.governed("pay.t", {"kind": argument}):
                    pass
        engine.trail.export(tmp_path / "trail.jsonl")
        authority = engine.authority
    lines = (tmp_path / "trail.jsonl").read_text("utf-8").splitlines()
    escaped = [("leaf", "\\u006ceaf"), ("kind", "\\u006bind"), ("decision", "\\u0064ecision")]
    escaped += [("grant", "\\u0067rant"), ("identity", "\\u0069dentity")]

    def respelt(line: str) -> str:
        for word, other in escaped:
            line = line.replace(f'"{word}"', f'"{other}"')
        return line

    for number, spelt in enumerate(
        (lines, [json.dumps(json.loads(line)) for line in lines], [respelt(line) for line in lines])
    ):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("\n".join(spelt) + "\n", "utf-8")
        assert ans.verify(path, authority).decisions_followed == 3
        record = analysis.read(path)
        assert analysis.who_did(record, "pay.t").sentence.startswith("3 calls in the name of 1")
        assert analysis.in_name_of(record, human.id).sentence.startswith("3 calls")
        assert analysis.unused(record).sentence.startswith("Of 1 capabilities that 1 agents held")


def test_a_pattern_that_means_nothing_is_refused_by_every_source(
    company: Company, record: Record
) -> None:
    for source in (record, company.engine):
        for tool, resource in (("**.t", None), ("pay.t", "https://example.com/a"), (None, "a/")):
            with pytest.raises(ans.InvalidInput):
                analysis.who_did(source, tool, resource)


def test_an_address_means_the_same_however_it_is_written(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        human = engine.humans.register("ada@example.com", name="Ada")
        scope = [ans.allow("web.get", resource="url:https://example.com/**")]
        agent = engine.agents.issue("reader", owner=human, purpose="p", ceiling=scope, ttl="8h")
        grant = engine.grant(human, agent, task="Read", scope=scope, ttl="1h")
        with (
            engine.acting(grant),
            ans.guard.governed("web.get", {}, resource="url:https://example.com/a"),
        ):
            pass
        for source in (engine, analysis.read(engine)):
            answer = analysis.who_did(source, "web.get", "url:https://EXAMPLE.com/a")
            assert "1 call" in answer.sentence
        # Whoever has no history is not judged, and that is said.
        answer = analysis.first_times(engine, since="1h")
        assert (len(answer), len(answer.notes)) == (0, 1)
        assert "reader" in answer.notes[0]


def test_what_was_erased_is_no_acquittal(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        human = engine.humans.register("ada@example.com", name="Ada")
        scope = [ans.allow("pay.t", resource="account/*", where={"to": ans.any_()})]
        agent = engine.agents.issue("payer", owner=human, purpose="p", ceiling=scope, ttl="8h")
        grant = engine.grant(human, agent, task="Pay", scope=scope, ttl="1h")
        with (
            engine.acting(grant),
            ans.guard.governed("pay.t", {"to": "x7"}, resource="account/x7") as call,
        ):
            pass
        assert analysis.who_did(engine, "pay.t", "account/x8").sentence == "Nobody."
        assert "1 call" in analysis.who_did(engine, "pay.t", "account/x7").sentence
        assert "not shown" not in str(analysis.unused(engine).notes)
        engine.trail.erase(entry=call.entry, reason="asked for")
        answer = analysis.who_did(engine, "pay.t", "account/x7")
        assert answer.sentence == "Nobody that can be told."
        assert "erased or withheld" in answer.notes[0]
        engine.humans.offboard(human, reason="left")
        engine.trail.erase(human=human, reason="asked for")
        answer = analysis.unused(engine)
        assert "the scopes of 1 grants are not shown" in answer.notes[0]
        assert "0 agents used nothing" in answer.sentence


def test_a_tool_that_nobody_ever_called_is_no_acquittal(company: Company, record: Record) -> None:
    for source in (record, company.engine):
        for tool in ("bank.tranfer", "banks.**"):
            answer = analysis.who_did(source, tool)
            assert (answer.sentence, len(answer)) == ("Nobody.", 0)
            assert answer.notes == (
                f"no call in all of this trail was of a tool that `{tool}` means",
            )
        # It was called, though on nothing of that name, or by nobody in that time.
        assert analysis.who_did(source, "bank.transfer", "account/none").notes == ()
        assert analysis.who_did(source, "bank.*", "account/none").notes == ()


def test_who_made_one_call(company: Company, record: Record) -> None:
    entry = next(e for e in company.calls if len(e.via) == 2 and e.effect == "allow")
    told = analysis.who_did(record, entry=entry.id)
    assert len(told) == 1
    assert f"{entry.human_name} through {' → '.join(entry.via)}" in told.sentence
    assert "allowed" in told.sentence
    with pytest.raises(ans.InvalidInput, match="no such call"):
        analysis.who_did(record, entry="ent_" + "a" * 26)


def test_in_the_name_of(company: Company, record: Record) -> None:
    human = company.engine.humans.list()[1]
    mine = [entry for entry in company.calls if entry.human == human.id]
    expected = {
        key: (len(some), sum(e.effect != "allow" for e in some))
        for key, some in counted(mine, lambda e: (e.task, tuple(e.via), e.tool)).items()
    }
    answer = analysis.in_name_of(record, human.account)
    found = {
        (row["task"], tuple(row["via"].split(" → ")), row["tool"]): (row["calls"], row["refused"])
        for row in answer
    }
    assert found == expected
    for row in answer.rows()[:5]:
        assert row["stated"] == company.engine.tasks.get(row["task"]).sentence


def test_below_a_grant(company: Company, record: Record) -> None:
    root = max(
        (g for g in company.grants if g.leaf["depth"] == 0),
        key=lambda g: sum(company.parent(one) == g for one in company.grants),
    )

    def is_below(grant: ans.Entry | None) -> bool:
        while grant is not None and grant != root:
            grant = company.parent(grant)
        return grant is not None

    grants = [grant for grant in company.grants if is_below(grant)]
    assert len(grants) > 2
    expected = {}
    for grant in grants:
        under = [e for e in company.calls if company.chain(e)[-1:] == [grant]]
        expected[grant.leaf["grant"]] = (len(under), sum(e.effect != "allow" for e in under))
    answer = analysis.below(record, root.leaf["grant"])
    assert {row["grant"]: (row["calls"], row["refused"]) for row in answer} == expected
    for row in answer:
        hop = company.engine.trail.chain(row["grant"]).hops[-1]
        assert row["may"] == hop.scope
        assert row["agent"] == hop.name


def test_the_blast_radius_is_what_was_signed_and_done(company: Company, record: Record) -> None:
    for agent in company.engine.agents.list()[:6]:
        own = [entry for entry in company.calls if entry.agent == agent.id]
        through = [
            entry
            for entry in company.calls
            if any(grant.agent == agent.id for grant in company.chain(entry))
        ]
        answer = analysis.blast_radius(record, agent.key)
        rows = answer.rows()
        assert sum(row["allowed"] for row in rows) == sum(e.effect == "allow" for e in own)
        assert sum(row["refused"] for row in rows) == sum(e.effect != "allow" for e in own)
        did = answer.more["did"].to_pylist()
        groups = counted(own, lambda e: (e.tool, e.resource, e.effect == "allow"))
        assert {(r["tool"], r["resource"], r["allowed"]): r["calls"] for r in did} == {
            key: len(some) for key, some in groups.items()
        }
        assert sum(answer.more["below"].to_pydict().get("calls", [])) == len(through) - len(own)
        held = [grant for grant in company.grants if grant.agent == agent.id]
        assert f"held {len(held):,} grants" in answer.sentence


def test_who_could_agrees_with_the_blast_radius(company: Company, record: Record) -> None:
    """Another way to the same: the engine's own judgement of the grants of a moment."""
    # No halt stands then, which is no grant's end.
    lifted = company.engine.trail.entries(kind="halt", action="lifted")[0]
    at = next(call for call in company.calls if call.index > lifted.index + 50).at
    held = {
        agent.id: [row for row in analysis.blast_radius(record, agent, at=at) if row["grants"]]
        for agent in company.engine.agents.list()
    }
    suspended = {
        entry.agent
        for entry in company.engine.trail.entries(kind="identity", action="suspended")
        if entry.at <= at
    }
    for tool in ("bank.transfer", "bank.balance", "mail.send", "crm.update", "code.merge"):
        could = {one.agent for one in company.engine.trail.who_could(tool, at=at)} - suspended
        found = {
            agent
            for agent, rows in held.items()
            if any(covers_tool(row["tool"], tool) for row in rows)
        }
        assert found - suspended == could, tool


def test_refusals_by_cause(company: Company, record: Record) -> None:
    refused = [entry for entry in company.calls if entry.effect == "deny"]
    expected = counted(refused, lambda e: (e.reasons[0], e.tool))
    answer = analysis.refusals(record)
    assert {(row["reason"], row["tool"]): row["refused"] for row in answer} == {
        key: len(some) for key, some in expected.items()
    }
    for row in answer:
        some = expected[row["reason"], row["tool"]]
        newest = max(some, key=lambda entry: entry.index)
        assert row["entry"] == newest.id
        assert row["agents"] == len({e.agent for e in some} - {None})
        told = company.engine.explain(newest)
        assert row["smallest_fix"] == told.fix
    counts = [row["refused"] for row in answer]
    assert counts == sorted(counts, reverse=True)


def test_unused_is_what_no_call_needed(company: Company, record: Record) -> None:
    answer = analysis.unused(record)
    granted: dict[str, set[str]] = collections.defaultdict(set)
    for grant in company.grants:
        granted[grant.agent or ""] |= {
            may.partition(", ")[0] if " calls" in may else may
            for may in company.engine.trail.chain(grant.leaf["grant"]).hops[-1].scope
        }
    used: dict[str, list[ans.Entry]] = collections.defaultdict(list)
    for entry in company.calls:
        if entry.effect == "allow":
            for grant in company.chain(entry):
                used[grant.agent or ""].append(entry)
    assert {row["agent_id"] for row in answer} == set(granted)
    for row in answer:
        enough = [eval(code) for code in row["enough"]]
        wire = json.loads(ans._core.to_wire(enough)) if enough else []
        tool = row["may"].split(" ")[0].rstrip(",")
        mine = [e for e in used[row["agent_id"]] if covers_tool(tool, e.tool or "")]
        if " on " in row["may"]:
            mine = [e for e in mine if (e.resource or "").startswith("account/vendor-")]
        assert row["allowed"] == len(mine), row["may"]
        assert (row["verdict"] == "never used") == (not mine)
        if mine:
            assert row["last_allowed"] == max(e.at for e in mine)
        for entry in mine:
            assert any(
                covers_tool(one["tool"], entry.tool or "")
                and covers_resource(one.get("resource"), entry.resource)
                for one in wire
            )


def test_what_is_suggested_lies_within_what_was_granted_and_is_enough(
    company: Company, tmp_path: Path
) -> None:
    """The engine itself says so: it issues the narrower grant under the wider as a ceiling, and
    under the narrower it allows each call that was made under the wider."""
    record = company.records["export"]
    answer = analysis.unused(record)
    wide: dict[str, dict[str, Any]] = {}
    for grant in record.book.grants.values():
        name = record.book.agents[grant.agent].name
        wide.setdefault(name, {}).update({json.dumps(one): one for one in grant.scope})
    used: dict[str, dict[str, ans.Entry]] = collections.defaultdict(dict)
    for entry in company.calls:
        if entry.effect == "allow":
            for grant in company.chain(entry):
                said = f"{entry.tool} {entry.resource} {entry.arguments}"
                used[grant.agent_name or ""].setdefault(said, entry)
    assert set(answer.suggested) == set(used)
    assert sum(map(len, used.values())) > 1_000
    with ans.open(tmp_path / "store", durability="relaxed") as engine:
        human = engine.humans.register("a@example.com")
        for name in answer.suggested:
            scopes: dict[str, Any] = {}
            exec(answer.code(name), {"ans": ans}, scopes)
            assert json.loads(ans._core.to_wire(scopes["scope"])) == answer.suggested[name]
            ceiling = ans._core.scope_from_wire(json.dumps(list(wide[name].values())))
            agent = engine.agents.issue(name, owner=human, purpose="x", ceiling=ceiling, ttl="1h")
            grant = engine.grant(human, agent, task="x", ttl="30m", scope=scopes["scope"])
            for said, entry in used[name].items():
                judged = engine.check(
                    entry.tool or "",
                    resource=entry.resource,
                    arguments=entry.arguments,
                    grant=grant,
                )
                assert judged.allowed, (name, said, judged.reasons)


def test_the_suggested_policies_allow_all_that_was_done(company: Company, tmp_path: Path) -> None:
    """Every call of the month is judged again, with the arguments that it had."""
    answer = analysis.unused(company.records["engine"])
    (tmp_path / "narrower.cedar").write_text(answer.policy(), "utf-8")
    replay = company.engine.policies.replay(tmp_path)
    assert replay.examined > 1_500
    assert replay.undecided == []
    # Whom to ask is said by the policies that are in force, not by grants: those are kept beside.
    assert {(one.before, one.after) for one in replay.changes} == {("ask", "allow")}
    # The same test finds a policy that is too narrow.
    some = answer.policy().replace("customer-*", "customer-1*")
    (tmp_path / "narrower.cedar").write_text(some, "utf-8")
    changes = company.engine.policies.replay(tmp_path).changes
    assert ("allow", "deny") in {(one.before, one.after) for one in changes}


@pytest.mark.parametrize(("effect", "days", "least"), [(None, 3, 20), ("allow", 5, 3)])
def test_first_times(
    company: Company, record: Record, effect: str | None, days: int, least: int
) -> None:
    since = company.end() - timedelta(days=days)
    expected = set()
    calls = [entry for entry in company.calls if effect in (None, entry.effect)]
    for agent, some in counted(calls, lambda e: e.agent).items():
        for what, of in (("tool", lambda e: e.tool), ("area", area)):
            seen: dict[Any, ans.Entry] = {}
            for place, entry in enumerate(some):
                value = of(entry)
                if agent and value is not None and value not in seen:
                    seen[value] = entry
                    if entry.at >= since and place >= least:
                        expected.add((agent, what, value, entry.id, place))
    assert expected
    answer = analysis.first_times(record, since=since, least=least, effect=effect)
    ids = {agent.name: agent.id for agent in company.engine.agents.list()}
    found = {
        (ids[row["agent"]], row["what"], row["new"], row["entry"], row["before"]) for row in answer
    }
    assert found == expected
    for row in answer:
        assert row["expected_below"] == pytest.approx(3 / row["before"])
        new = row["new"] if row["what"] == "tool" else f"anything in {row['new']}"
        assert row["why"] == (
            f"in {row['before']:,} calls before it, never {new}: below "
            f"{3 / row['before']:.2%} of its calls, with 95 % confidence"
        )


def test_who_has_no_habit_yet_is_named_and_not_acquitted(tmp_path: Path) -> None:
    start = datetime(2026, 1, 5, 9, tzinfo=UTC)
    with ans.open(tmp_path / "store", durability="relaxed", clock=start) as engine:
        human = engine.humans.register("a@example.com")
        scope = ans.allow("data.read")
        agents = {}
        for name in ["steady", "new", "gone"]:
            agent = engine.agents.issue(name, owner=human, purpose="x", ceiling=scope, ttl="9d")
            grant = engine.grant(human, agent, task="x", ttl="8d", scope=scope)
            agents[name] = grant

        @ans.tool("data.read")
        def read() -> None:
            return None

        def calls(name: str, hour: int, count: int) -> None:
            engine.set_clock(start + timedelta(hours=hour))
            with engine.acting(agents[name]):
                for _ in range(count):
                    read()

        calls("gone", 0, 3)
        for hour in range(4):
            calls("steady", hour, 4)
        calls("new", 5, 60)
        calls("new", 6, 90)
        calls("steady", 6, 80)
        answer = analysis.rate_anomalies(engine)
        assert [row["agent"] for row in answer] == ["steady"]
        assert answer.notes == ("not judged, with calls in fewer than 3 hours: gone, new",)
        since = start + timedelta(hours=5)
        (note,) = analysis.rate_anomalies(engine, since=since).notes
        assert note.endswith("hours: new")
        assert analysis.rate_anomalies(engine, since=start + timedelta(hours=7)).notes == ()


def area(entry: ans.Entry) -> str | None:
    if entry.resource is None:
        return None
    if entry.resource.startswith("url:"):
        return "/".join(entry.resource.split("/")[:3])
    return entry.resource.split("/")[0]


@pytest.mark.parametrize("per", ["minute", "hour", "day"])
def test_rate_anomalies(company: Company, record: Record, per: str) -> None:
    size = {"minute": 60, "hour": 3600, "day": 86400}[per]
    expected, young = {}, []
    for agent, some in counted(company.calls, lambda e: e.agent).items():
        if agent is None:
            continue
        slots = collections.Counter(int(e.at.timestamp()) // size for e in some)
        median = statistics.median(slots.values())
        spread = 1.4826 * statistics.median(abs(n - median) for n in slots.values())
        floor = max(spread, median**0.5)
        if len(slots) < 3:
            young.append(str(some[0].agent_name))
        for slot, count in slots.items():
            if count >= 20 and count >= median + 4 * floor:
                at = datetime.fromtimestamp(slot * size, UTC)
                busiest = max(n for other, n in slots.items() if other != slot)
                why = (
                    f"{count:,} calls in {'an' if per == 'hour' else 'a'} {per}; the median of its "
                    f"{len(slots):,} busy {per}s is {median:g}, the busiest other {busiest:,}: "
                    f"{(count - median) / floor:.1f} spreads of {floor:.3g} above"
                )
                expected[agent, at] = (count, pytest.approx((count - median) / floor), why)
    answer = analysis.rate_anomalies(record, per=per, score=4)
    found = {(r["agent_id"], r["at"]): (r["calls"], r["score"], r["why"]) for r in answer}
    assert found == expected
    some = ", ".join(sorted(young)[:5]) + (f" and {len(young) - 5} more" if young[5:] else "")
    told = f"not judged, with calls in fewer than 3 {per}s: {some}"
    assert answer.notes == ((told,) if young else ())
    if per == "hour":
        bulk = next(one for one in company.facts.incidents if one.name == "bulk_read")
        assert answer.rows()[0]["agent"] == bulk.agent


def test_the_access_review(company: Company, record: Record) -> None:
    agents = {agent.id: agent for agent in company.engine.agents.list()}
    left = {human.id for human in company.engine.humans.list() if human.offboarded}
    answer = analysis.access_review(record, dormant="2d")
    assert {row["agent_id"] for row in answer} == set(agents)
    for row in answer:
        agent = agents[row["agent_id"]]
        own = [entry for entry in company.calls if entry.agent == agent.id]
        allowed = [entry for entry in own if entry.effect == "allow"]
        assert (row["allowed"], row["refused"]) == (len(allowed), len(own) - len(allowed))
        assert row["last_allowed"] == max((e.at for e in allowed), default=None)
        assert row["status"] == agent.status
        assert row["owner_id"] == agent.owner
        assert row["ceiling"] == [str(one) for one in agent.ceiling]
        assert row["grants"] == sum(grant.agent == agent.id for grant in company.grants)
        assert ("its owner has left" in row["ask"]) == (agent.owner in left)
        quiet = not allowed or max(e.at for e in allowed) < company.end() - timedelta(days=2)
        asked = {"never used", "no allowed call for 2d"} & set(row["ask"])
        assert bool(asked) == (agent.status == "active" and quiet)
    standing = {use.agent.id: use.standing for use in company.engine.review().agents}
    assert {row["agent_id"]: row["standing"] for row in answer} == standing


def test_gaps_are_the_allowed_calls_that_no_outcome_names(company: Company, record: Record) -> None:
    lines = company.export.read_text("utf-8").splitlines()
    leaves = [json.loads(line)["leaf"] for line in lines[1:] if '"kind":"outcome"' in line]
    named = {leaf["decision"] for leaf in leaves if leaf["kind"] == "outcome"}
    expected = [e for e in company.calls if e.effect == "allow" and e.id not in named]
    answer = analysis.gaps(record)
    assert [row["id"] for row in answer] == [entry.id for entry in expected]
    assert {entry.tool for entry in expected} == {"crm.update", "crm.read"}
    assert [row["end"] for row in answer] == [1, 1], "one end of one process"
    for row, entry in zip(answer, expected, strict=True):
        assert (row["at"], row["resource"], row["task"]) == (entry.at, entry.resource, entry.task)
        assert row["via"] == " → ".join(entry.via)
    allowed = sum(entry.effect == "allow" for entry in company.calls)
    assert answer.sentence == f"2 allowed calls of {allowed:,} without an outcome, in 1 cluster."


def test_approvals_are_what_was_asked_and_answered(company: Company, record: Record) -> None:
    entries = list(company.engine.trail.entries(kind="approval"))
    names = {human.id: human.name for human in company.engine.humans.list()}
    names |= {agent.id: agent.name for agent in company.engine.agents.list()}
    expected = []
    for asked in entries:
        if asked.leaf["action"] != "asked":
            continue
        id_ = asked.leaf["approval"]
        later = [e for e in entries if e.leaf["approval"] == id_ and e.index > asked.index]
        answer, by, took = None, None, None
        if later:
            answer = later[0].leaf["action"]
            by = names.get(later[0].leaf.get("by", ""))
            took = (later[0].at - asked.at).total_seconds()
        expected.append((id_, asked.at, names[asked.agent or ""], answer, by, took))
    answered = [one for one in expected if one[3] in ("approved", "refused")]
    assert len(expected) == company.facts.asked > len(answered) > 0
    answer = analysis.approvals(record)
    columns = ("approval", "asked", "agent", "answer", "by", "seconds")
    assert [tuple(row[name] for name in columns) for row in answer] == expected
    yes = sum(one[3] == "approved" for one in expected)
    took = [one[5] for one in answered]
    assert f"asked {len(expected)} times: {yes} approved" in answer.sentence
    assert f"{len(answered) - yes} refused, {len(expected) - len(answered)} not" in answer.sentence
    assert f"took {span(statistics.median(took))} in the median" in answer.sentence
    assert f"{span(max(took))} at most" in answer.sentence
    calls = {entry.id: entry for entry in company.calls}
    assert all(calls[row["decision"]].effect == "ask" for row in answer)


def span(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return "0 s"


def test_every_answer_has_its_forms(company: Company) -> None:
    record = company.records["export"]
    for answer in (
        analysis.who_did(record, "bank.*"),
        analysis.refusals(record),
        analysis.unused(record),
        analysis.access_review(record),
        analysis.rate_anomalies(record, score=3),
    ):
        assert len(answer.to_pandas()) == len(answer.to_polars()) == len(answer) > 0
        assert answer.to_arrow().num_rows == len(answer)
        assert answer.sentence[:40] in repr(answer)
        assert "<table>" in answer._repr_html_()
        head, *lines = answer.to_csv().split("\r\n")
        assert head.split(",") == answer.frame.column_names
        assert len(lines) - 1 == len(answer)
