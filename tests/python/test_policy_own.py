"""Attributes of the application's own: given with the grant, read by policies as `context.own`."""

from __future__ import annotations

import asyncio
import datetime
import json
from pathlib import Path
from typing import Any

import independent
import pytest

import answerable as ans

SCHEMA = 'type ContextAttributes = { "tenant"?: String, "risk"?: Long };'
POLICIES = """
@id("all") permit (principal, action, resource);

@id("risky")
@reason("this session is too risky: let a person pay")
forbid (principal, action == Action::"pay", resource)
when { context has own && context.own has risk && context.own.risk > 70 };

@id("elsewhere-asks") @advice("ask") @reason("another tenant pays only with a yes")
permit (principal, action == Action::"pay", resource)
when { context has own && context.own has tenant && context.own.tenant != "eu" };
"""


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = ans.open(folder / "governance")
        self.alice = self.engine.humans.register("alice@example.com", name="Alice")
        self.agents = [
            self.engine.agents.issue(
                name, owner=self.alice, purpose="pays", ceiling=[ans.allow("**")], ttl="8h"
            )
            for name in ("planner", "payer")
        ]
        self.grant = self.engine.grant(
            self.alice,
            self.agents[0],
            task="Pay",
            ttl="1h",
            scope=[ans.allow("**")],
            max_depth=1,
        )

        @ans.tool("pay", engine=self.engine)
        def pay(amount: int) -> int:
            return amount

        self.pay = pay
        self.load(POLICIES)

    def load(self, text: str) -> None:
        folder = self.folder / "policies"
        folder.mkdir(exist_ok=True)
        (folder / "own.cedarschema").write_text(SCHEMA, encoding="utf-8")
        (folder / "own.cedar").write_text(text, encoding="utf-8")
        self.engine.policies.load(folder)

    def call(self, own: dict[str, Any] | None, amount: int = 1) -> int:
        with self.engine.acting(self.grant, own=own):
            return self.pay(amount)

    def denied(self, own: dict[str, Any] | None) -> ans.AccessDenied:
        with pytest.raises(ans.AccessDenied) as caught:
            self.call(own)
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> Any:
    world = World(tmp_path)
    yield world
    world.engine.close()


def test_policies_decide_by_what_the_application_says(world: World) -> None:
    assert world.call(None) == 1
    assert world.call({}) == 1
    assert world.call({"tenant": "eu", "risk": 70}) == 1
    denied = world.denied({"tenant": "eu", "risk": 71})
    assert denied.code == "forbidden"
    assert denied.decision.policies == ["risky"]
    assert "let a person pay" in str(denied)
    for own, allowed in (({"risk": 71}, False), ({"risk": 70}, True), (None, True)):
        arguments = {"amount": 1}
        decision = world.engine.check("pay", arguments=arguments, grant=world.grant, own=own)
        assert decision.allowed is allowed


def test_what_is_not_of_its_declared_type_is_an_error_where_it_is_read(world: World) -> None:
    for risk in ("71", 71.0, None, True):
        if risk is None:
            assert world.call({"risk": risk}) == 1, "None is as if it were not given"
            continue
        denied = world.denied({"risk": risk})
        assert denied.code == "policy_error", risk
        assert denied.decision.policy_errors == ["risky"]


def test_blocks_within_have_them_and_cannot_change_them(world: World) -> None:
    engine, (_, payer) = world.engine, world.agents
    with engine.acting(world.grant, own={"risk": 90}):
        with engine.delegating(payer, scope=[ans.allow("pay")]), pytest.raises(ans.AccessDenied):
            world.pay(1)
        with (
            pytest.raises(ans.InvalidInput, match="`risk` has another value"),
            engine.acting(world.grant, own={"risk": 1}),
        ):
            pass
        with engine.acting(world.grant, own={"tenant": "eu"}), pytest.raises(ans.AccessDenied):
            world.pay(1)
    with engine.acting(world.grant, own={"tenant": "eu"}):
        with engine.acting(world.grant, own={"risk": 90}), pytest.raises(ans.AccessDenied):
            world.pay(1)
        assert world.pay(1) == 1, "what a block adds ends with it"
    # A chain that is not below the one in force is another matter altogether.
    other = engine.grant(
        world.alice, world.agents[1], task="Other", ttl="1h", scope=[ans.allow("**")]
    )
    with engine.acting(world.grant, own={"risk": 90}), engine.acting(other):
        assert world.pay(1) == 1


def test_tasks_beside_one_another_have_their_own(world: World) -> None:
    async def one(risk: int) -> bool:
        with world.engine.acting(world.grant, own={"risk": risk}):
            await asyncio.sleep(0)
            try:
                return world.pay(1) == 1
            except ans.AccessDenied:
                return False

    async def both() -> list[bool]:
        return await asyncio.gather(*(one(risk) for risk in (0, 100, 0, 100)))

    assert asyncio.run(both()) == [True, False, True, False]


def test_they_are_a_copy_of_what_was_given(world: World) -> None:
    own = {"risk": 0}
    with world.engine.acting(world.grant, own=own):
        own["risk"] = 100
        assert world.pay(1) == 1


@pytest.mark.parametrize(
    "own",
    [
        {1: "a"},
        {"a": object()},
        {"a": float("nan")},
        {"a": "x" * 5_000},
        [("a", 1)],
        "tenant",
        {"at": datetime.datetime(2026, 1, 1)},
    ],
)
def test_what_is_no_attribute_is_refused_before_anything_runs(world: World, own: Any) -> None:
    with pytest.raises((ans.InvalidInput, TypeError)), world.engine.acting(world.grant, own=own):
        raise AssertionError("the block must not begin")
    assert ans.current() is None


def test_decisions_are_explained_and_replayed_with_them(world: World) -> None:
    world.call({"tenant": "eu", "risk": 50})
    denied = world.denied({"risk": 71})
    told = world.engine.explain(denied.decision.entry)
    (policy,) = (policy for policy in told.policies if policy.id == "risky")
    assert {"context.own.risk": "71"} in [part[4] for part in policy.parts]
    stricter = POLICIES.replace("> 70", "> 40")
    folder = world.folder / "candidate"
    folder.mkdir()
    (folder / "own.cedarschema").write_text(SCHEMA, encoding="utf-8")
    (folder / "own.cedar").write_text(stricter, encoding="utf-8")
    replay = world.engine.policies.replay(folder)
    assert (replay.examined, len(replay.changes)) == (2, 1)
    assert [change.after for change in replay.changes] == ["deny"]


def test_erased_attributes_are_not_guessed(world: World) -> None:
    denied = world.denied({"risk": 71})
    world.engine.trail.erase(entry=denied.decision.entry, reason="asked for")
    replay = world.engine.policies.replay(world.folder / "policies")
    assert replay.changes == []
    assert len(replay.undecided) == 1
    assert world.engine.policies.explain(denied.decision.entry).unknown


def test_a_yes_holds_under_the_attributes_it_was_asked_under(world: World) -> None:
    with pytest.raises(ans.ApprovalRequired) as asked:
        world.call({"tenant": "us"})
    world.engine.approvals.approve(asked.value.approval, by=world.alice)
    with pytest.raises(ans.ApprovalRequired) as other:
        world.call({"tenant": "us", "risk": 1})
    assert other.value.approval != asked.value.approval
    assert world.call({"tenant": "us"}) == 1


def test_they_are_sealed_and_cover_no_secret(world: World) -> None:
    world.engine.vault.put("key", "hunter2-hunter2-hunter2", for_tools=["pay"])
    world.call({"tenant": "eu", "note": "hunter2-hunter2-hunter2"})
    file = world.folder / "trail.jsonl"
    world.engine.trail.export(file)
    text = file.read_text(encoding="utf-8")
    assert "hunter2" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert '"tenant"' in json.dumps(lines), "the attributes are told beside the leaf"
    ans.verify(file, authority=world.engine.authority)  # Raises where anything is wrong.
    assert independent.verify(file.read_bytes(), world.engine.authority, [])["faults"] == []
    stored = b"".join(
        part.read_bytes() for part in (world.folder / "governance").rglob("*") if part.is_file()
    )
    assert b'"tenant"' not in stored


def test_a_case_states_them(tmp_path: Path) -> None:
    from answerable.testing import assert_policy_cases

    (tmp_path / "own.cedarschema").write_text(SCHEMA, encoding="utf-8")
    # Here no tool is declared that a head could name.
    policies = POLICIES.replace('action == Action::"pay"', "action")
    (tmp_path / "own.cedar").write_text(policies, encoding="utf-8")
    (tmp_path / "cases.toml").write_text(
        """
[[case]]
name = "too risky"
tool = "pay"
own = { risk = 71 }
effect = "deny"
policies = ["risky"]

[[case]]
name = "not risky"
tool = "pay"
own = { risk = 70 }
effect = "allow"
""",
        encoding="utf-8",
    )
    assert assert_policy_cases(tmp_path) == 2
