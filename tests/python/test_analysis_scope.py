"""What analysis says of scopes: patterns, capabilities as code and as policy; rarer questions."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from harmless import HOSTILE, LONG, MARKS, SCRIPT, assert_harmless, assert_plain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obvious import covers_resource

import answerable as ans
from answerable import analysis
from answerable._core import scope_from_wire, to_wire
from answerable.analysis.code import as_python
from answerable.analysis.patterns import covers_tool, drawn
from answerable.analysis.record import covered

segments = st.sampled_from(["a", "ab", "b", "a-1", "a-2", "x_y", "é", "a.b", "a b", "(", "+"])
tool_segments = st.sampled_from(["a", "ab", "b", "a-1", "x_y", "B"])


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An engine that says whether a pattern covers a call."""
    with ans.open(tmp_path_factory.mktemp("asking") / "store", durability="relaxed") as engine:
        human = engine.humans.register("a@example.com")
        agent = engine.agents.issue(
            "a", owner=human, purpose="x", ceiling=[ans.allow("**")], ttl="8h"
        )

        def covered(tool: str, resource: str | None, capability: ans.Capability) -> bool:
            grant = engine.grant(human, agent, task="x", ttl="1h", scope=[capability])
            return bool(engine.check(tool, resource=resource, grant=grant).allowed)

        yield covered


def wild(segments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(segments, st.just("*"), segments.map(lambda text: text + "*"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(wild(tool_segments), min_size=1, max_size=3),
    st.booleans(),
    st.lists(tool_segments, min_size=1, max_size=4),
)
def test_a_tool_pattern_means_what_it_means_to_the_engine(
    asking: Any, pattern: list[str], rest: bool, tool: list[str]
) -> None:
    made = ".".join([*pattern, "**"] if rest else pattern)
    named = ".".join(tool)
    assert covers_tool(made, named) == asking(named, None, ans.allow(made))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["", "", "path:", "path:/", "id:", "url:https://h.example/"]),
    st.lists(wild(segments), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(["", "", "path:", "path:/", "id:", "url:https://h.example/"]),
    st.lists(segments, min_size=1, max_size=4),
)
def test_a_resource_pattern_means_what_it_means_to_the_engine(
    asking: Any, kind: str, pattern: list[str], rest: bool, other: str, resource: list[str]
) -> None:
    made = kind + "/".join([*pattern, "**"] if rest else pattern)
    named = other + "/".join(resource)
    try:
        capability = ans.allow("t", resource=made)
        judged = asking("t", named, capability)
    except ans.InvalidInput:
        return  # One of them is none.
    assert covers_resource([made], named) == judged
    assert covered(pa.array([named]), [made]).tolist() == [judged]


@pytest.mark.parametrize(
    "pattern", ["**", "url:**", "path:**", "url:https://*/a", "url:https://**"]
)
def test_the_rarer_patterns_too(asking: Any, pattern: str) -> None:
    for resource in (
        "a/b",
        "path:/etc/passwd",
        "path:x",
        "url:https://h.example/a",
        "url:http://h",
    ):
        judged = asking("t", resource, ans.allow("t", resource=pattern))
        assert covers_resource([pattern], resource) == judged, resource
        assert covered(pa.array([resource]), [pattern]).tolist() == [judged], resource
    assert covers_resource([pattern], None) == (pattern == "**")
    none = covered(pa.array([None], pa.string()), [pattern])
    assert none.tolist() == [pattern == "**"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(segments, min_size=1, max_size=3).map("/".join), min_size=1, max_size=30))
def test_what_is_drawn_covers_what_it_was_drawn_from(resources: list[str]) -> None:
    patterns = drawn(resources)
    for resource in resources:
        assert covers_resource(patterns, resource)
    assert "**" not in patterns
    if len(set(resources)) <= 5:
        assert patterns == sorted(set(resources))


values = st.one_of(
    st.text(max_size=8),
    st.integers(-(2**80), 2**80),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-999, max_value=999),
    st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(UTC)),
    st.uuids(),
    st.binary(max_size=6),
    st.tuples(st.integers(0, 9)),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.sampled_from(["a", "$int", "$", "b c"]), st.integers(0, 9), max_size=2),
)
numbers = st.integers(-1000, 1000)
words = st.text("abc-", min_size=1, max_size=5)
caveats = st.one_of(
    st.builds(ans.any_),
    st.builds(ans.present),
    st.builds(ans.equals, values),
    st.lists(values, min_size=1, max_size=3).map(lambda some: ans.one_of(*some)),
    st.builds(ans.at_least, numbers),
    st.builds(ans.at_most, numbers),
    numbers.map(lambda low: ans.between(low, low + 5)),
    st.builds(ans.starts_with, words),
    st.builds(ans.ends_with, words),
    words.map(lambda text: ans.matches(f"{text}*")),
    st.just(ans.email_at("example.com")),
    st.just(ans.host_in("example.com", "example.org")),
    st.just(ans.under("/data")),
    st.just(ans.in_network("10.0.0.0/8")),
    st.integers(0, 5).map(ans.length),
    st.integers(0, 5).map(lambda low: ans.length(low, low + 3)),
    st.builds(ans.contains, st.integers(0, 9)),
    st.just(ans.subset_of("a", "b")),
    st.just(ans.each(ans.one_of("a", "b"))),
    st.just(ans.all_of(ans.at_least(1), ans.at_most(5))),
    st.just(ans.same_as("other")),
    st.just(ans.absent()),
)
limits = st.one_of(
    st.integers(1, 99).map(ans.calls),
    st.tuples(st.integers(1, 9), st.sampled_from(["30s", "5m", 0.5])).map(lambda t: ans.rate(*t)),
    st.integers(1, 99).map(lambda most: ans.total("amount", most)),
)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["a", "a.*", "a.**", "**"]),
    st.sampled_from([None, "a/*", ["a/b", "c/**"], '"\u202e\n/x']),
    st.none() | st.dictionaries(st.sampled_from(["a", "amount", "x.y", '"q']), caveats, max_size=3),
    st.lists(limits, max_size=1),
)
def test_a_capability_as_code_makes_the_same_capability(
    tool: str, resource: Any, where: Any, bounds: Any
) -> None:
    try:
        capability = ans.allow(tool, resource=resource, where=where, limits=bounds)
    except ans.InvalidInput:
        return
    (signed,) = json.loads(to_wire([capability]))
    code = as_python(signed)
    assert code.isascii()
    assert_plain(code)
    known = {"ans": ans, "Decimal": Decimal, "UUID": UUID, "base64": base64}
    known |= {"datetime": datetime, "timedelta": timedelta}
    assert to_wire([eval(code, known)]) == to_wire([capability]), code


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    """Two agents that buy, one of them with more than it needs, and policies that ask."""
    with ans.open(tmp_path / "store") as engine:

        @ans.tool("shop.buy", resource="shelf/{shelf}", engine=engine)
        def buy(shelf: str, amount: int, note: str) -> int:
            return amount

        @ans.tool("shop.look", resource="shelf/{shelf}", engine=engine)
        def look(shelf: str) -> int:
            return len(analysis.gaps(engine)) if shelf == "here" else 0

        yield engine, buy, look


def test_the_suggested_policy_permits_what_was_done_and_no_more(shop: Any, tmp_path: Path) -> None:
    engine, buy, look = shop
    human = engine.humans.register("a@example.com")
    agent = engine.agents.issue(
        'the "buyer"', owner=human, purpose="x", ceiling=[ans.allow("shop.**")], ttl="8h"
    )
    where = {"amount": ans.at_most(50), "note": ans.one_of("x", 'a"b'), "shelf": ans.any_()}
    scope = [
        ans.allow("shop.buy", where=where, resource="shelf/**"),
        ans.allow("shop.look"),
        ans.allow("shop.close"),
    ]
    grant = engine.grant(human, agent, task="x", ttl="1h", scope=scope)
    with engine.acting(grant):
        for number in range(8):
            buy(f"a-{number}", number, "x")
        look("b")
    answer = analysis.unused(engine)
    verdicts = {row["may"].split(" ")[0]: row["verdict"] for row in answer}
    assert verdicts == {
        "shop.buy": "wider than its use",
        "shop.look": "wider than its use",
        "shop.close": "never used",
    }
    assert 'ans.allow("shop.buy", resource="shelf/a-*", where=' in answer.code()
    assert "shop.close" not in answer.code()
    with pytest.raises(ans.InvalidInput):
        answer.code("somebody")
    file = tmp_path / "suggested.cedar"
    file.write_text(answer.policy())
    engine.policies.load(file)
    with engine.acting(grant):
        for number in range(8):
            assert buy(f"a-{number}", number, 'a"b') == number
        look("b")
        for refused in (lambda: look("c"), lambda: buy("b", 1, "x")):
            with pytest.raises(ans.AccessDenied) as denied:
                refused()
            assert denied.value.code == "not_permitted", denied.value


def test_a_call_that_runs_has_no_outcome_yet(shop: Any) -> None:
    engine, _, look = shop
    human = engine.humans.register("a@example.com")
    agent = engine.agents.issue("a", owner=human, purpose="x", ceiling=[ans.allow("**")], ttl="8h")
    grant = engine.grant(human, agent, task="x", ttl="1h", scope=[ans.allow("shop.*")])
    with engine.acting(grant):
        look("elsewhere")
        assert look("here") == 1
    answer = analysis.gaps(engine)
    assert len(answer) == 0


def test_approvals_and_how_long_they_took(tmp_path: Path) -> None:
    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    (tmp_path / "ask.cedar").write_text(
        '@id("ask") @advice("ask") @reason("a human decides") permit (principal, action, resource);'
    )
    with ans.open(tmp_path / "store", clock=start) as engine:
        human = engine.humans.register("a@example.com", name="Ada")
        agent = engine.agents.issue(
            "buyer", owner=human, purpose="x", ceiling=[ans.allow("**")], ttl="8h"
        )

        @ans.tool("shop.buy", engine=engine)
        def buy(amount: int) -> int:
            return amount

        engine.policies.load(tmp_path / "ask.cedar")
        grant = engine.grant(human, agent, task="x", ttl="4h", scope=[ans.allow("shop.*")])
        asked = []
        for amount in range(3):
            with engine.acting(grant), pytest.raises(ans.ApprovalRequired) as raised:
                buy(amount)
            asked.append(raised.value.approval)
        engine.set_clock(datetime(2026, 3, 2, 9, 1, tzinfo=UTC))
        engine.approvals.approve(asked[0].id, by=human, note="ok")
        engine.set_clock(datetime(2026, 3, 2, 9, 5, tzinfo=UTC))
        engine.approvals.refuse(asked[1].id, by=human, note="no")
        engine.trail.export(tmp_path / "trail.jsonl")
        for source in (engine, tmp_path / "trail.jsonl"):
            answer = analysis.approvals(source)
            assert [(r["answer"], r["by"], r["seconds"]) for r in answer] == [
                ("approved", "Ada", 60.0),
                ("refused", "Ada", 300.0),
                (None, None, None),
            ]
            assert [row["approval"] for row in answer] == [one.id for one in asked]
            assert "1 approved, 1 refused, 1 not answered" in answer.sentence
            assert "3 min in the median and 5 min at most" in answer.sentence
            assert len(analysis.approvals(source, since="1s")) == 3
            assert analysis.refusals(source).sentence == "Nothing was refused."


def test_an_answer_full_of_hostile_text_is_harmless(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        human = engine.humans.register("m@example.com", name="=1+1 " + SCRIPT)
        agent = engine.agents.issue(
            "@bot " + SCRIPT, owner=human, purpose=SCRIPT, ceiling=[ans.allow("pay.*")], ttl="8h"
        )

        @ans.tool("pay.transfer", resource="account/{account}", engine=engine)
        def transfer(account: str, memo: str) -> str:
            return memo

        where = {"memo": ans.one_of("x", HOSTILE)}
        scope = [ans.allow("pay.*", resource=["account/**"], where=where)]
        grant = engine.grant(human, agent, task="-1 " + SCRIPT, ttl="1h", scope=scope)
        with engine.acting(grant):
            for account in ("<script>", "=1", "a" * 2000):
                transfer(account, HOSTILE)
            for memo in (LONG, MARKS):
                with pytest.raises(ans.AccessDenied):
                    transfer("a", memo)
        engine.trail.export(tmp_path / "trail.jsonl")
        for source in (analysis.read(engine), analysis.read(tmp_path / "trail.jsonl")):
            narrowing = analysis.unused(source)
            answers = [
                analysis.who_did(source, effect=None),
                analysis.in_name_of(source, human.id),
                analysis.below(source, grant.id),
                analysis.blast_radius(source, agent.id),
                analysis.refusals(source),
                narrowing,
                analysis.first_times(source, since="365d", least=1),
                analysis.rate_anomalies(source, least=1, score=0.0),
                analysis.access_review(source),
                analysis.approvals(source),
                analysis.gaps(source),
            ]
            for answer in answers:
                assert_harmless(answer._repr_html_())
                assert_plain(repr(answer))
                sheet = answer.to_csv()
                assert_plain(sheet.replace("\r\n", "\n"))
                for cell in sheet.replace("\r\n", ",").split(","):
                    assert cell.strip('"')[:1] not in ("=", "+", "@"), cell
            assert_plain(narrowing.code())
            assert_plain(narrowing.policy())


def test_a_key_from_before_a_rotation_names_the_agent(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        human = engine.humans.register("a@example.com")
        agent = engine.agents.issue(
            "a", owner=human, purpose="x", ceiling=[ans.allow("**")], ttl="8h"
        )
        old = agent.key
        engine.agents.rotate(agent, reason="it leaked", by=human)
        new = engine.agents.get(agent).key
        assert old != new
        for key in (old, new):
            assert analysis.blast_radius(engine, key).sentence.startswith("a (active)")


def test_the_capability_words_are_those_of_the_engine() -> None:
    from answerable.analysis.questions import words

    capability = ans.allow("pay.*", where={"amount": ans.at_most(5)}, limits=[ans.calls(3)])
    (signed,) = json.loads(to_wire([capability]))
    assert words(signed) == str(capability) == str(scope_from_wire(json.dumps([signed]))[0])
    assert words({"tool": "pay.*", "of another version": 1}) == "pay.* (not readable)"
