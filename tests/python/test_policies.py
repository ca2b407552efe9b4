"""Policies around the engine: loaded, kept, in force, asked, masked, held to tools, replayed."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import pytest

import answerable as ans
from answerable import _core

PAY = """
@id("small")
permit (principal, action == Action::"pay.transfer", resource)
when { context.arguments.amount.lessThanOrEqual(decimal("100.0")) };

@id("ask-above-100")
@advice("ask")
@reason("transfers above 100 need a human's yes")
permit (principal, action == Action::"pay.transfer", resource)
when { context.arguments.amount.greaterThan(decimal("100.0")) };

@id("never-above-1000")
@reason("transfers above 1,000 are made by people")
forbid (principal, action == Action::"pay.transfer", resource)
when { context.arguments.amount.greaterThan(decimal("1000.0")) };
"""
ALL = '@id("all") permit (principal, action, resource);'


class Nothing(enum.Enum):
    NONE = None


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = ans.open(folder / "governance")
        self.alice = self.engine.humans.register("alice@example.com", name="Alice")
        self.agent = self.engine.agents.issue(
            "booker", owner=self.alice, purpose="pays", ceiling=[ans.allow("**")], ttl="8h"
        )
        self.grant = self.engine.grant(
            self.alice, self.agent, task="Pay the deposit", ttl="1h", scope=[ans.allow("**")]
        )
        self.ran: list[Any] = []

        @ans.tool("pay.transfer", resource="account/{account}", engine=self.engine, dangerous=True)
        def transfer(account: str, amount: float, memo: str = "") -> str:
            self.ran.append((account, amount, memo))
            return f"paid {memo}"

        self.transfer = transfer

    def files(self, **texts: str) -> Path:
        folder = self.folder / "policies"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        for name, text in texts.items():
            suffix = "json" if name == "entities" else "cedar"
            (folder / f"{name}.{suffix}").write_text(text, encoding="utf-8")
        return folder

    def load(self, text: str, **more: str) -> _core.PolicySet:
        return self.engine.policies.load(self.files(policies=text, **more))

    def call(self, *args: Any, **kwargs: Any) -> Any:
        with self.engine.acting(self.grant):
            return self.transfer(*args, **kwargs)

    def denied(self, *args: Any, **kwargs: Any) -> ans.AccessDenied:
        before = len(self.ran)
        with pytest.raises(ans.AccessDenied) as caught:
            self.call(*args, **kwargs)
        assert len(self.ran) == before, "a denied call does not run"
        return caught.value

    def last(self) -> _core.Entry:
        return self.engine.trail.entries(kind="decision")[-1]

    def tool(self, name: str, function: Callable[..., Any], **facts: Any) -> Callable[..., Any]:
        governed = ans.tool(name, engine=self.engine, **facts)(function)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.engine.acting(self.grant):
                return governed(*args, **kwargs)

        return call


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.engine.close()


def test_without_policies_the_scope_alone_decides(world: World) -> None:
    assert world.engine.policies.version == "none"
    assert world.call("a", 5000.0) == "paid "
    assert world.last().leaf["policy"] == "none"
    assert "policies" not in world.last().leaf


def test_loaded_policies_decide_with_the_scope(world: World) -> None:
    loaded = world.load(PAY)
    assert len(loaded) == 3
    assert world.engine.policies.version == loaded.version
    world.call("a", 80)
    assert world.last().leaf["policies"] == ["small"]
    assert world.last().leaf["policy"] == loaded.version
    denied = world.denied("a", 5000.0)
    assert denied.code == "forbidden"
    assert denied.decision.policies == ["never-above-1000"]
    assert "transfers above 1,000 are made by people" in str(denied)
    assert world.last().leaf["policies"] == ["never-above-1000"]


def test_an_explanation_names_policies_parts_and_values(world: World) -> None:
    world.load(PAY)
    denied = world.denied("a", 5000.0)
    assert denied.decision.reasons[0].fix == "give `amount`: at most 1000.0"
    told = world.engine.explain(denied.decision.entry)
    (policy,) = told.policies
    assert (policy.id, policy.role, policy.effect) == ("never-above-1000", "decided", "forbid")
    assert (policy.source, policy.line) == ("policies.cedar", 12)
    (part,) = policy.parts
    assert part[:1] + part[3:] == (
        'context.arguments.amount.greaterThan(decimal("1000.0"))',
        "holds",
        {"context.arguments.amount": 'decimal("5000.0000")'},
    )
    assert told.changes == ("`context.arguments.amount` would have to be at most 1000.0",)
    assert "policies.cedar:12" in str(told)
    assert "policies.cedar" not in told.for_model


def test_an_explanation_names_the_permit_that_came_nearest(world: World) -> None:
    world.load(PAY.split('@id("ask')[0])
    denied = world.denied("a", 500.0)
    assert denied.code == "not_permitted"
    assert denied.decision.reasons[0].fix == "give `amount`: at most 100.0"
    (policy,) = world.engine.explain(denied.decision.entry).policies
    assert (policy.id, policy.role) == ("small", "nearly")
    assert policy.parts[0][3] == "fails"


def test_an_old_decision_is_explained_by_its_own_version(world: World) -> None:
    world.load(PAY)
    denied = world.denied("a", 5000.0)
    world.load(ALL)
    told = world.engine.explain(denied.decision.entry)
    assert [policy.id for policy in told.policies] == ["never-above-1000"]


def test_what_no_policy_permits_is_denied(world: World) -> None:
    world.load(PAY)
    other = world.tool("read.note", lambda: None)
    with pytest.raises(ans.AccessDenied) as caught:
        other()
    assert caught.value.code == "not_permitted"
    assert caught.value.decision.policies == []


def test_policies_never_widen_a_scope(world: World) -> None:
    world.load(ALL)
    narrow = world.engine.grant(
        world.alice, world.agent, task="Read", ttl="1h", scope=[ans.allow("read.*")]
    )
    with world.engine.acting(narrow), pytest.raises(ans.AccessDenied) as caught:
        world.transfer("a", 1.0)
    assert caught.value.code == "tool_not_covered"


def test_a_forbid_that_errs_forbids_and_both_are_recorded(world: World) -> None:
    world.load(ALL + PAY)
    denied = world.denied("a", 12.34567)
    assert denied.code == "policy_error"
    assert "never-above-1000" in denied.decision.policy_errors
    assert "12.34567" not in str(denied)
    leaf = world.last().leaf
    assert "never-above-1000" in leaf["policy_errors"]
    assert denied.decision.reasons[0].code == "policy_error"


def test_a_permit_that_errs_permits_nothing(world: World) -> None:
    world.load(PAY.split('@id("never')[0])
    denied = world.denied("a", 12.34567)
    assert denied.code == "not_permitted"
    assert set(denied.decision.policy_errors) == {"small", "ask-above-100"}


def test_an_ask_that_errs_denies_whatever_else_permits(world: World) -> None:
    asks = PAY.split('@id("never')[0]
    world.load(asks + '@id("all") permit (principal, action, resource);')
    with world.engine.acting(world.grant):
        world.transfer("a", 12.5)
    denied = world.denied("a", 12.34567)
    assert denied.code == "policy_error"
    assert denied.decision.policies == []
    assert "ask-above-100" in denied.decision.policy_errors
    assert "whether a human has to be asked" in str(denied)


def test_an_ask_is_answered_by_a_human_and_used_once(world: World) -> None:
    world.load(PAY)
    with pytest.raises(ans.ApprovalRequired) as caught:
        world.call("a", 500.0)
    assert caught.value.code == "approval_required"
    assert "transfers above 100 need a human's yes" in str(caught.value)
    assert caught.value.decision.policies == ["ask-above-100"]
    (pending,) = world.engine.approvals.pending()
    world.engine.approvals.approve(pending.id, by=world.alice)
    assert world.call("a", 500.0) == "paid "
    assert world.last().leaf["policies"] == ["ask-above-100"]
    with pytest.raises(ans.ApprovalRequired):
        world.call("a", 500.0)


def test_a_plain_permit_beside_an_ask_still_asks(world: World) -> None:
    world.load(ALL + PAY)
    with pytest.raises(ans.ApprovalRequired):
        world.call("a", 500.0)


def test_a_forbid_is_not_asked_away(world: World) -> None:
    world.load(PAY)
    with pytest.raises(ans.ApprovalRequired):
        world.call("a", 900.0)
    (pending,) = world.engine.approvals.pending()
    world.engine.approvals.approve(pending.id, by=world.alice)
    world.load(PAY + '@id("none") forbid (principal, action, resource);')
    assert world.denied("a", 900.0).code == "forbidden"


def test_a_yes_holds_for_the_version_it_was_given_under(world: World) -> None:
    world.load(PAY)
    with pytest.raises(ans.ApprovalRequired):
        world.call("a", 500.0)
    (pending,) = world.engine.approvals.pending()
    world.engine.approvals.approve(pending.id, by=world.alice)
    world.load(PAY + '@id("more") permit (principal, action == Action::"pay.transfer", resource);')
    with pytest.raises(ans.ApprovalRequired):
        world.call("a", 500.0)


def test_a_mask_keeps_the_argument_out_of_the_record_and_of_words(world: World) -> None:
    world.load(
        '@id("all") @mask("memo") permit (principal, action, resource);'
        '@id("memo") @reason("no") forbid (principal, action == Action::"pay.transfer", resource)'
        ' when { context.arguments.memo == "hunter22" };'
    )
    assert world.call("a", 1.0, "letmein9") == "paid letmein9"
    entry = world.last()
    assert "letmein9" not in entry.json()
    assert world.engine.trail.entries(kind="decision")[-1].arguments["memo"] != "letmein9"
    assert "letmein9" not in str(world.engine.trail.story(entry.id))
    denied = world.denied("a", 1.0, "hunter22")
    assert "hunter22" not in str(denied)
    assert "hunter22" not in world.last().json()
    assert "hunter22" not in str(world.engine.explain(world.last()))


def test_a_mask_holds_wherever_its_policys_head_does(world: World) -> None:
    """Not only where its condition does: what is refused is recorded too."""

    def note(note: str = "") -> None: ...

    read = world.tool("read", note)
    send = world.tool("pay.send", lambda memo, note: None)
    world.load(
        '@id("small") @mask("memo") permit (principal, action == Action::"pay.transfer", resource)'
        ' when { context.arguments.amount.lessThan(decimal("100.0")) };'
        '@id("read") @mask("note") permit (principal, action == Action::"read", resource)'
        ' when { context.arguments has note && context.arguments.note == "x" };'
    )
    world.call("a", 1.0, "letmein9")
    assert world.denied("a", 500.0, "letmein9").code == "not_permitted"
    # Its condition cannot be evaluated.
    assert world.denied("a", 1.000_001, "letmein9").code == "not_permitted"
    assert world.last().leaf["policy_errors"] == ["small"]
    # Beyond the scope, whatever the policies say.
    world.grant = world.engine.grant(
        world.alice,
        world.agent,
        task="Pay",
        ttl="1h",
        scope=ans.allow("pay.transfer", resource="account/b"),
    )
    assert world.denied("a", 1.0, "letmein9").code == "resource_not_covered"
    for entry in world.engine.trail.entries(kind="decision"):
        assert "letmein9" not in entry.json()
        assert "letmein9" not in str(world.engine.trail.story(entry.id))
        assert "letmein9" not in str(world.engine.explain(entry))

    # One that a policy with a mask does not concern is recorded as ever.
    with pytest.raises(ans.AccessDenied):
        send("letmein9", "kept")
    assert "letmein9" in world.last().json()
    assert read is not None


class Options(TypedDict, total=False):
    limit: int
    note: str | None
    inner: NotRequired[list[Options]]


LIMITED = (
    ALL + '@id("limit") forbid (principal, action == Action::"pay.plan", resource) when'
    " { context.arguments has options && context.arguments.options has limit"
    " && context.arguments.options.limit > 5 };"
    '@id("amount") forbid (principal, action == Action::"pay.plan", resource) when'
    " { context.arguments has amount && context.arguments.amount > 5 };"
)


def test_none_is_no_field_that_was_left_out(world: World) -> None:
    """The body gets it: where its type has no None, a policy does not take it for absent."""
    ran: list[Any] = []

    def plan(options: Options | None = None, amount: int = 5, hint: Any = None) -> None:
        ran.append((options, amount))

    plan = world.tool("pay.plan", plan)
    world.load(LIMITED)
    for good in ({}, {"limit": 5}, {"note": None}, {"note": None, "limit": 1}, None):
        plan(good)
    plan({"limit": 1}, 5, None)
    plan({}, hint=None)
    before = len(ran)
    for options, amount, code in [
        ({"limit": 6}, 5, "forbidden"),
        ({"limit": None}, 5, "policy_error"),
        ({"limit": Nothing.NONE}, 5, "policy_error"),
        ({"inner": None}, 5, "policy_error"),
        ({}, None, "policy_error"),
        ({}, Nothing.NONE, "policy_error"),
        ({}, 6, "forbidden"),
    ]:
        with pytest.raises(ans.AccessDenied) as denied:
            plan(options, amount)
        assert denied.value.code == code, (options, amount)
    assert len(ran) == before


def test_a_mask_holds_where_nobody_was_asked(world: World) -> None:
    world.load('@id("all") @mask("memo") permit (principal, action, resource);')
    with pytest.raises(ans.AccessDenied):
        world.transfer("a", 1.0, "letmein9")
    assert world.last().human == "none"
    assert "letmein9" not in world.last().json()
    assert world.last().leaf["policy"] == world.engine.policies.version


def test_policies_survive_a_restart(world: World) -> None:
    version = world.load(PAY).version
    world.engine.close()
    with ans.open(world.folder / "governance") as engine:
        assert engine.policies.version == version
        decision = engine.check(
            "pay.transfer",
            resource="account/a",
            arguments={"account": "a", "amount": 5000.0, "memo": ""},
            grant=engine.accept(world.grant.token),
        )
        assert decision.effect == "deny"
        assert decision.reasons[0].code == "forbidden"
        assert decision.policy_version == version


def test_older_versions_stay_readable(world: World) -> None:
    first = world.load(PAY).version
    second = world.load(ALL).version
    assert first != second
    old = world.engine.policies.read(version=first)
    assert [policy.id for policy in old.policies] == ["small", "ask-above-100", "never-above-1000"]
    assert old.version == first
    assert world.engine.policies.version == second
    with pytest.raises(ans.NotFound):
        world.engine.policies.read(version="0" * 64)


def test_a_wrong_argument_is_refused_with_its_place(world: World) -> None:
    version = world.load(ALL).version
    with pytest.raises(ans.InvalidPolicy) as caught:
        world.load(
            '@id("typo")\npermit (principal, action == Action::"pay.transfer", resource)\n'
            'when { context.arguments.amuont.lessThan(decimal("1.0")) };'
        )
    error = caught.value
    assert (error.line, error.code) == (3, "invalid_policy")
    assert error.column is not None
    assert error.column > 1
    assert "amuont" in str(error)
    assert "amount" in error.hint
    assert world.engine.policies.version == version, "nothing changed"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("permit (principal, action, resource);", "without an id"),
        (ALL + ALL, "is taken"),
        ('@id("a") @advice("ask") forbid (principal, action, resource);', "cannot be asked away"),
        ('@id("a") @advise("ask") permit (principal, action, resource);', "means nothing"),
        ('@id("a") @advice("think") permit (principal, action, resource);', "no advice"),
        ('@id("a") @severity("bad") permit (principal, action, resource);', "no severity"),
        ('@id("a") @mask("mmo") permit (principal, action, resource);', "no argument"),
        ('@id("a") @mask("account") permit (principal, action, resource);', "resource"),
        ('@id("two words") permit (principal, action, resource);', "cannot be the id"),
        ('@id("a") permit (principal, action == Action::"pay.transfr", resource);', "pay.transfr"),
        ("", "no policy"),
        ("// nothing\n", "no policy"),
        ('@id("a") permit (principal', ""),
    ],
)
def test_what_is_refused_changes_nothing(world: World, text: str, words: str) -> None:
    with pytest.raises(ans.InvalidPolicy) as caught:
        world.load(text)
    assert words in str(caught.value)
    assert caught.value.faults
    assert world.engine.policies.version == "none"
    assert world.call("a", 1.0) == "paid "


def test_an_argument_without_a_type_says_why(world: World) -> None:
    world.tool("free.form", lambda anything: None)
    with pytest.raises(ans.InvalidPolicy) as caught:
        world.load(
            '@id("a") permit (principal, action == Action::"free.form", resource)'
            ' when { context.arguments.anything == "x" };'
        )
    told = " ".join(str(f.suggestion) for f in caught.value.faults)
    assert "no type hint" in told


def test_tools_registered_later_are_held_to_the_policies(world: World) -> None:
    version = world.load(ALL + PAY).version

    def later(amount: int) -> int:
        return amount

    call = world.tool("later.tool", later)
    assert call(3) == 3
    extended = world.engine.policies.version
    assert extended != version
    assert world.last().leaf["policy"] == extended
    actions = [e.leaf["action"] for e in world.engine.trail.entries(kind="policy")]
    assert actions == ["loaded", "extended"]
    assert call(4) == 4
    assert world.engine.policies.version == extended


def test_a_tool_that_the_policies_do_not_fit_is_denied_and_others_go_on(world: World) -> None:
    world.load(
        '@id("all") permit (principal, action, resource)'
        " when { context.arguments has amount &&"
        ' context.arguments.amount.lessThan(decimal("9.0")) };'
    )

    def wrong(amount: str) -> str:
        return amount

    call = world.tool("wrong.tool", wrong)
    with pytest.raises(ans.AccessDenied) as caught:
        call("1")
    assert caught.value.code == "policy_error"
    assert "do not fit this tool" in str(caught.value)
    assert world.call("a", 1.0) == "paid "
    assert "unfit_tool" in [finding.code for finding in world.engine.policies.check()]


def test_groups_come_from_the_entity_file(world: World) -> None:
    world.load(
        '@id("finance") permit (principal, action, resource)'
        ' when { context.human in Group::"finance" };',
        entities='[{"uid": {"type": "Human", "id": "alice@example.com"}, "attrs": {},'
        ' "parents": [{"type": "Group", "id": "finance"}]},'
        ' {"uid": {"type": "Group", "id": "finance"}, "attrs": {}, "parents": []}]',
    )
    assert world.call("a", 1.0) == "paid "
    bob = world.engine.humans.register("bob@example.com")
    grant = world.engine.grant(bob, world.agent, task="Pay", ttl="1h", scope=[ans.allow("**")])
    with world.engine.acting(grant), pytest.raises(ans.AccessDenied) as caught:
        world.transfer("a", 1.0)
    assert caught.value.code == "not_permitted"


def test_replay_tells_what_would_change(world: World) -> None:
    world.call("a", 50.0)
    world.call("a", 5000.0)
    world.denied("a", 1.0, memo=object())
    with pytest.raises(ans.AccessDenied):
        world.transfer("a", 1.0)
    replay = world.engine.policies.replay(world.files(policies=PAY))
    assert (replay.examined, replay.same, len(replay.changes)) == (4, 3, 1)
    (change,) = replay.changes
    assert (change.before, change.after, change.policies) == ("allow", "deny", ["never-above-1000"])
    assert (change.tool, change.agent) == ("pay.transfer", "booker")
    assert world.engine.policies.version == "none", "a replay loads nothing"


def test_replay_does_not_guess_what_was_masked(world: World) -> None:
    world.load('@id("all") @mask("memo") permit (principal, action, resource);')
    world.call("a", 1.0, "x")
    candidate = (
        ALL + '@id("memo") forbid (principal, action == Action::"pay.transfer", resource)'
        ' when { context.arguments has memo && context.arguments.memo == "x" };'
    )
    replay = world.engine.policies.replay(world.files(policies=candidate))
    assert replay.changes == []
    (unknown,) = replay.undecided
    assert unknown.after == "unknown"


def test_calls_go_on_while_policies_are_reloaded(world: World) -> None:
    stop = threading.Event()
    made = [0, 0, 0]
    failures: list[Exception] = []

    def caller(number: int) -> None:
        try:
            while not stop.is_set():
                world.call("a", 1.0)
                made[number] += 1
        except Exception as error:  # noqa: BLE001 - told by the test itself.
            failures.append(error)

    world.load(ALL)
    threads = [threading.Thread(target=caller, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for text in (PAY, ALL) * 5:
        world.load(text)
        before = sum(made)
        while sum(made) < before + 4 and not failures:  # One of them began after the loading.
            time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    decisions = world.engine.trail.entries(kind="decision")
    versions = {entry.leaf["policy"] for entry in decisions}
    assert len(versions) == 2


def test_a_decision_stands_under_the_version_in_force_at_its_place(world: World) -> None:
    first, second = world.load(ALL).version, world.load(PAY).version
    world.call("a", 1.0)
    world.load(ALL)
    world.call("a", 1.0)
    in_force = "none"
    for entry in world.engine.trail.entries():
        if entry.kind == "policy":
            in_force = entry.leaf["policy"]
        elif entry.kind == "decision":
            assert entry.leaf["policy"] == in_force
    assert {first, second} >= {in_force}
