"""The smallest fix that a refusal tells is one: who does what it says is allowed the next time."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import answerable as ans
from answerable import analysis
from answerable.guard import governed

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass
class Desk:
    """An engine, who is on it, and the call that is refused."""

    engine: ans.Engine
    folder: Path
    alice: Any = None
    bob: Any = None
    lead: Any = None
    helper: Any = None
    grant: Any = None
    tool: str = "pay.transfer"
    resource: str | None = "account/a"
    declared: Any = ()
    arguments: dict[str, Any] = field(default_factory=lambda: {"amount": 80})
    scope: list[Any] = field(
        default_factory=lambda: [
            ans.allow("pay.transfer", resource="account/a", where={"amount": ans.at_most(100)})
        ]
    )

    def __post_init__(self) -> None:
        humans, agents = self.engine.humans, self.engine.agents
        self.alice = humans.register("alice@example.com", name="Alice")
        self.bob = humans.register("bob@example.com", name="Bob")
        for name in ("lead", "helper"):
            made = agents.issue(
                name, owner=self.alice, purpose="x", ceiling=ans.allow("**"), ttl="30d"
            )
            setattr(self, name, made)

    def root(self, **given: Any) -> Any:
        options = {"task": "Pay", "ttl": "1h", "max_depth": 2, "scope": self.scope, **given}
        human, agent = options.pop("human", self.alice), options.pop("agent", self.lead)
        return self.engine.grant(human, agent, **options)

    def call(self) -> str | None:
        """Makes the call under the grant in hand; the code that refused it, or None."""
        try:
            with self.engine.acting(self.grant), self.governed():
                pass
        except ans.AccessDenied as denied:
            return denied.code
        return None

    def governed(self) -> Any:
        return governed(self.tool, self.arguments, resource=self.resource, engine=self.engine)

    def pass_time(self, **time: float) -> None:
        self.engine.set_clock(self.engine.trail.entries(order="newest")[0].at + timedelta(**time))

    def policies(self, text: str) -> None:
        file = self.folder / "rules.cedar"
        file.write_text(text)
        self.engine.policies.load(file)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ans.open(tmp_path / "store", clock=START) as engine:
        yield Desk(engine, tmp_path)


# ----------------------------------------------------- what goes wrong, what is told, what is done


@dataclass
class Case:
    code: str
    fix: str  # What is told, from beginning to end.
    cause: Callable[[Desk], Any]
    follow: Callable[[Desk], Any]


def renew(**given: Any) -> Callable[[Desk], None]:
    """Asks for a grant anew."""

    def done(desk: Desk) -> None:
        desk.grant = desk.root(**{k: v(desk) if callable(v) else v for k, v in given.items()})

    return done


def argue(**given: Any) -> Callable[[Desk], None]:
    def done(desk: Desk) -> None:
        desk.arguments = {k: v for k, v in {**desk.arguments, **given}.items() if v is not None}

    return done


def widen(capability: Any) -> Callable[[Desk], None]:
    return renew(scope=lambda desk: [*desk.scope, capability])


def below(desk: Desk) -> None:
    """The helper acts, under a grant that the lead delegates to it."""
    desk.grant = desk.root().delegate(desk.helper, scope=desk.scope)


NESTED = ans.allow("pay.transfer", where={"to.name": ans.any_(), "amount": ans.any_()})
PERMIT = 'permit (principal, action == Action::"pay.transfer", resource)'
FORBID = f'@id("all") {PERMIT};\n@id("cap") {PERMIT.replace("permit", "forbid")} when'

CASES = {
    "a tool": Case(
        "tool_not_covered",
        "ask for a grant with the tool `mail.send`",
        lambda desk: setattr(desk, "tool", "mail.send"),
        widen(ans.allow("mail.send")),
    ),
    "a resource": Case(
        "resource_not_covered",
        "stay within these resources, or ask for a wider grant",
        lambda desk: setattr(desk, "resource", "account/b"),
        lambda desk: setattr(desk, "resource", "account/a"),
    ),
    "a resource, the other way": Case(
        "resource_not_covered",
        "stay within these resources, or ask for a wider grant",
        lambda desk: setattr(desk, "resource", "account/b"),
        widen(ans.allow("pay.transfer", resource="account/b", where={"amount": ans.any_()})),
    ),
    "no resource": Case(
        "resource_missing",
        "name the resource in the tool's declaration, or ask for a grant with the resource `**`",
        lambda desk: setattr(desk, "resource", None),
        lambda desk: setattr(desk, "resource", "account/a"),
    ),
    "no resource, the other way": Case(
        "resource_missing",
        "name the resource in the tool's declaration, or ask for a grant with the resource `**`",
        lambda desk: setattr(desk, "resource", None),
        widen(ans.allow("pay.transfer", resource="**", where={"amount": ans.any_()})),
    ),
    "an argument that is not named": Case(
        "argument_not_named",
        "ask for a grant that names `memo`, such as with `ans.any_()`; or leave it out, where the "
        "tool does without",
        argue(memo="x"),
        widen(ans.allow("pay.transfer", where={"amount": ans.any_(), "memo": ans.any_()})),
    ),
    "an argument that is not named, left out": Case(
        "argument_not_named",
        "ask for a grant that names `memo`, such as with `ans.any_()`; or leave it out, where the "
        "tool does without",
        argue(memo="x"),
        argue(memo=None),
    ),
    "an argument that is missing": Case(
        "argument_missing", "give `amount`: at most 100", argue(amount=None), argue(amount=100)
    ),
    "an argument of another kind": Case(
        "caveat_failed", "give `amount`: a number, at most 100", argue(amount="9"), argue(amount=9)
    ),
    "a name with a dot": Case(
        "dotted_key",
        "rename the key `a.b`",
        lambda desk: (
            renew(scope=[NESTED])(desk),
            setattr(desk, "arguments", {"to": {"name": "x"}, "amount": 1, "a.b": 1}),
        ),
        argue(**{"a.b": None}),
    ),
    "no object": Case(
        "not_an_object",
        "give `to` as a dict, or leave it out",
        lambda desk: (renew(scope=[NESTED])(desk), argue(to="x")(desk)),
        argue(to={"name": "x"}),
    ),
    "a revoked grant": Case(
        "revoked",
        "ask for a new grant",
        lambda desk: desk.engine.revoke(desk.grant, reason="x"),
        renew(),
    ),
    "a revoked agent": Case(
        "revoked",
        "ask for a new grant, made or delegated by this engine",
        lambda desk: desk.engine.revoke(desk.lead, reason="x"),
        renew(),
    ),
    "a revoked human": Case(
        "revoked",
        "ask for a new grant",
        lambda desk: desk.engine.revoke(desk.alice, reason="x"),
        renew(),
    ),
    "an expired grant": Case(
        "expired", "ask for a new grant", lambda desk: desk.pass_time(hours=2), renew()
    ),
    "an ended task": Case(
        "task_ended",
        "ask for a grant for a new task",
        lambda desk: desk.engine.tasks.end(desk.grant.task, reason="x"),
        renew(task="Pay again"),
    ),
    "a suspended agent": Case(
        "agent_suspended",
        "resume the agent",
        lambda desk: desk.engine.agents.suspend(desk.lead, reason="x"),
        lambda desk: desk.engine.agents.resume(desk.lead),
    ),
    "a retired agent": Case(
        "agent_retired",
        "issue another agent and grant to it",
        lambda desk: desk.engine.agents.retire(desk.lead, reason="x"),
        renew(agent=lambda desk: desk.helper),
    ),
    "an agent whose term is over": Case(
        "agent_expired",
        "issue another agent and grant to it",
        lambda desk: desk.pass_time(days=31),
        renew(
            agent=lambda desk: desk.engine.agents.issue(
                "new", owner=desk.alice, purpose="x", ceiling=ans.allow("**"), ttl="1d"
            )
        ),
    ),
    "a key that is not the agent's any more": Case(
        "holder_key_unknown",
        "grant anew, to the agent's present key",
        lambda desk: desk.engine.agents.rotate(desk.lead),
        renew(),
    ),
    "a human who has left": Case(
        "human_offboarded",
        "ask a human who is here for a grant",
        lambda desk: desk.engine.humans.offboard(desk.alice, reason="x", successor=desk.bob),
        renew(human=lambda desk: desk.bob),
    ),
    "an owner who has left": Case(
        "owner_offboarded",
        "transfer the agent to an owner who is here",
        lambda desk: (
            setattr(desk, "grant", desk.root(human=desk.bob)),
            desk.engine.humans.offboard(desk.alice, reason="x"),
        ),
        lambda desk: (
            desk.engine.agents.transfer(desk.lead, owner=desk.bob),
            desk.engine.agents.resume(desk.lead),
        ),
    ),
    "a halt": Case(
        "halted",
        "ask an operator to lift the halt with engine.unhalt",
        lambda desk: desk.engine.halt(reason="x", tool="pay.*"),
        lambda desk: desk.engine.unhalt(tool="pay.*"),
    ),
    "a limit": Case(
        "limit_reached",
        "ask for a grant with a higher limit",
        lambda desk: (
            setattr(desk, "grant", desk.root(limits=[ans.calls(1)])),
            desk.call(),
        ),
        renew(limits=[ans.calls(5)]),
    ),
    "what the hop above does not hold": Case(
        "caveat_failed",
        "give `amount`: at most 100; only the human can grant more",
        lambda desk: (below(desk), argue(amount=101)(desk)),
        argue(amount=100),
    ),
    "a forbid": Case(
        "forbidden",
        "give `amount`: at most 50",
        lambda desk: desk.policies(f"{FORBID} {{ context.arguments.amount > 50 }};"),
        argue(amount=50),
    ),
    "a permit with a condition": Case(
        "not_permitted",
        "give `amount`: at most 50",
        lambda desk: desk.policies(f'@id("p") {PERMIT} when {{ context.arguments.amount <= 50 }};'),
        argue(amount=50),
    ),
    "no permit": Case(
        "not_permitted",
        "ask whoever keeps the policies for a permit",
        lambda desk: desk.policies(
            '@id("p") permit (principal, action == Action::"pay.look", resource);'
        ),
        lambda desk: desk.policies(f'@id("p") {PERMIT};'),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_who_does_what_the_triage_says_is_allowed(desk: Desk, name: str) -> None:
    case = CASES[name]
    declared(desk)
    desk.grant = desk.root()
    case.cause(desk)
    assert desk.call() == case.code
    assert desk.call() == case.code, "nothing heals by itself"
    row = next(row for row in analysis.refusals(desk.engine) if row["reason"] == case.code)
    assert row["smallest_fix"] == case.fix
    assert row["refused"] == 2
    case.follow(desk)
    assert desk.call() is None
    before = analysis.refusals(desk.engine).frame["refused"].to_pylist()
    assert desk.call() is None
    assert analysis.refusals(desk.engine).frame["refused"].to_pylist() == before


def declared(desk: Desk) -> None:
    """Policies are held to what tools declare."""

    @ans.tool("pay.transfer", engine=desk.engine)
    def transfer(amount: int) -> None:
        pass

    @ans.tool("pay.look", engine=desk.engine)
    def look() -> None:
        pass

    desk.declared = (transfer, look)


def test_a_call_outside_of_every_grant_is_told_where_to_stand(desk: Desk) -> None:
    with pytest.raises(ans.AccessDenied) as denied, desk.governed():
        pytest.fail("the body ran")
    assert denied.value.code == "no_authority"
    (row,) = analysis.refusals(desk.engine)
    assert row["smallest_fix"] == "call it inside `with engine.acting(grant):`"
    desk.grant = desk.root()
    assert desk.call() is None


# ------------------------------------------------------------------- arguments, by the words alone

numbers = st.integers(-50, 50)
words = st.text("abc-", min_size=1, max_size=4)
CAVEATS = st.one_of(
    st.builds(ans.at_most, numbers),
    st.builds(ans.at_least, numbers),
    numbers.map(lambda low: ans.between(low, low + 5)),
    st.builds(ans.equals, numbers | words),
    st.lists(numbers | words, min_size=1, max_size=3).map(lambda some: ans.one_of(*some)),
    st.builds(ans.starts_with, words),
    st.builds(ans.ends_with, words),
    words.map(lambda text: ans.matches(f"{text}*")),
    st.just(ans.email_at("example.com")),
    st.just(ans.host_in("example.com")),
    st.just(ans.under("/data")),
    st.just(ans.in_network("10.0.0.0/8")),
    st.integers(0, 4).map(lambda low: ans.length(low, low + 2)),
    st.builds(ans.contains, numbers),
    st.just(ans.subset_of("a", "b")),
    st.just(ans.each(ans.one_of("a", "b"))),
    numbers.map(lambda low: ans.all_of(ans.at_least(low), ans.at_most(low + 3))),
    st.just(ans.same_as("other")),
    st.just(ans.absent()),
    st.just(ans.present()),
)
VALUES = st.none() | numbers | words | st.lists(words, max_size=3)
# What somebody gives who knows nothing but the words.
READ: dict[str, Callable[..., Any]] = {
    r"(?:a number, )?(?:at most|at least) (-?\d+)(?: and at most -?\d+)?": lambda one: int(one),
    r"(?:a number, )?from (-?\d+) to -?\d+": lambda one: int(one),
    r"exactly (.+)": ast.literal_eval,
    r"one of ((?:\"[^\"]*\"|-?\d+)).*": ast.literal_eval,
    r"text that (?:starts|ends) with `(.+)`": str,
    r"text like `(.+)\*`": lambda one: f"{one}x",
    r"one e-mail address at `(.+)`": lambda one: f"me@{one}",
    r"a URL to one of `(.+)`": lambda one: f"https://{one}/",
    r"a path below `(.+)`": lambda one: f"{one}/x",
    r"an address in `10.0.0.0/8`": lambda: "10.1.2.3",
    r"a length (?:from )?(\d+)(?: to \d+)?": lambda one: "x" * int(one),
    r"a list that contains (-?\d+)": lambda one: [int(one)],
    r"a list of nothing but \"(\w)\".*": lambda one: [one],
    r"a list each of whose items is one of \"(\w)\".*": lambda one: [one],
    r"the same value as `other`": lambda: "as the other",
    r"any value": lambda: 1,
}


def heeded(fix: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as a sentence wants them."""
    if fix == "leave `x` out":
        return {name: value for name, value in arguments.items() if name != "x"}
    told = re.fullmatch(r"give `x`: (.*)", fix)
    assert told, fix
    for pattern, give in READ.items():
        if found := re.fullmatch(pattern, told[1]):
            return {**arguments, "x": give(*found.groups())}
    raise AssertionError(f"nobody can tell what to give: {fix}")


@pytest.fixture(scope="module")
def checking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with ans.open(tmp_path_factory.mktemp("fixes") / "store", durability="relaxed") as engine:
        human = engine.humans.register("a@example.com")
        agent = engine.agents.issue(
            "a", owner=human, purpose="x", ceiling=ans.allow("**"), ttl="8h"
        )

        def check(caveat: Any, arguments: dict[str, Any]) -> Any:
            where = {"x": caveat, "other": ans.any_()}
            scope = ans.allow("t", where=where)
            grant = engine.grant(human, agent, task="x", ttl="1h", scope=scope)
            return engine.check("t", arguments=arguments, grant=grant)

        yield check


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CAVEATS, VALUES)
def test_an_argument_that_is_given_as_the_fix_says_is_allowed(
    checking: Any, caveat: Any, value: Any
) -> None:
    arguments = {"other": "as the other", **({} if value is None else {"x": value})}
    judged = checking(caveat, arguments)
    if judged.allowed:
        return
    again = heeded(judged.reasons[0].fix, arguments)
    assert checking(caveat, again).allowed, (judged.reasons[0].fix, again)
