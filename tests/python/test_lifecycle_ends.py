"""Humans leave, tasks end, the brake is pulled, and running tools learn of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from living import START, World

import answerable as ans


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "store")
    yield world
    world.engine.close()


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "store", clock=START)
    yield world
    world.engine.close()


def test_offboarding_suspends_revokes_and_proves(world: World) -> None:
    grant = world.grant()
    child = world.child(grant)
    world.engine.agents.issue("old", owner=world.alice, purpose="x", ceiling=[], ttl="1h")
    world.engine.agents.retire("old", reason="done")
    bobs = world.engine.agents.issue(
        "bobs", owner=world.bob, purpose="x", ceiling=[ans.allow("pay.*")], ttl="8h"
    )
    for_bob = world.grant(world.bob, bobs)
    for_alice = world.grant(world.alice, bobs)
    gone = world.engine.humans.offboard(world.alice, reason="left the firm", by=world.bob)
    assert (gone.human, gone.by, gone.successor) == (world.alice.id, world.bob.id, None)
    assert (gone.agents, gone.grants) == (2, 3)
    assert {item.action for item in gone.items} == {"suspended", "revoked"}
    assert {item.id for item in gone.items} == {
        *(world.planner.id, world.booker.id),
        *(grant.id, child.id, for_alice.id),
    }
    for item in gone.items:
        assert world.engine.trail.get(item.entry).index < len(world.engine.trail)
    for ended in (grant, child, for_alice):
        assert world.code(ended) == "human_offboarded"
    assert world.code(for_bob) == "allow"
    assert world.engine.agents.get("planner").status == "suspended"
    with pytest.raises(ans.IllegalTransition, match="has left"):
        world.grant(world.alice, bobs)
    with pytest.raises(ans.IllegalTransition, match=r"owner .* has left"):
        world.engine.agents.resume("planner")
    with pytest.raises(ans.IllegalTransition, match="has left"):
        world.engine.agents.suspend(bobs, reason="x", by=world.alice)
    with pytest.raises(ans.IllegalTransition, match="already"):
        world.engine.humans.offboard(world.alice, reason="again")


def test_an_offboarding_proof_stands_by_itself(world: World) -> None:
    world.child(world.grant())
    gone = world.engine.humans.offboard(world.alice, reason="left")
    authority = world.engine.authority
    world.engine.close()
    assert ans.verify_offboarding(gone.text, authority).grants == 2
    proof = json.loads(gone.text)
    changes: list[Callable[[Any], Any]] = [
        lambda p: p["items"].pop(),
        lambda p: p["items"].clear(),
        lambda p: p["items"].reverse(),
        lambda p: p["items"].append(p["items"][0]),
        lambda p: p["items"][0].update(action="transferred"),
        lambda p: p["items"][0].update(id=world.bob.id),
        lambda p: p["items"][0].update(more="x"),
        lambda p: p.update(more=1),
        lambda p: p.update(format=2),
        lambda p: p.update(authority_id="k4.pid.x"),
        lambda p: p.update(statement=p["statement"][:-4] + "AAAA"),
    ]
    for change in changes:
        changed = json.loads(gone.text)
        change(changed)
        assert changed != proof
        with pytest.raises(ans.TrailCorrupted) as refused:
            ans.verify_offboarding(json.dumps(changed), authority)
        assert refused.value.code == "proof_invalid"
    with pytest.raises(ans.TrailCorrupted):
        ans.verify_offboarding(gone.text, ans.SecretKey.generate().public)
    # Another statement of the same authority is no proof.
    for text in ("", "[]", "{}", gone.text + " x"):
        with pytest.raises(ans.TrailCorrupted):
            ans.verify_offboarding(text, authority)


@pytest.mark.parametrize("successor", [False, True])
def test_what_waits_for_a_human_ends_with_who_it_is_for_and_is_proved(
    world: World, successor: bool
) -> None:
    engine = world.engine
    bobs = engine.agents.issue(
        "bobs", owner=world.bob, purpose="x", ceiling=[ans.allow("pay.*")], ttl="8h"
    )
    carol = engine.humans.register("carol@example.com", name="Carol")

    def ask(grant: ans.Grant, tool: str) -> Any:
        return engine.request_access(grant, scope=ans.allow(tool), reason="x", ttl="10m")

    pending = ask(world.grant(), "pay.more")
    for_another = ask(world.grant(world.bob, bobs), "pay.more")
    refused = ask(world.grant(), "pay.refund")
    engine.approvals.refuse(refused, by=carol)
    used = ask(world.grant(), "pay.used")
    engine.approvals.approve(used, by=carol)
    gone = engine.humans.offboard(
        world.alice, reason="left", by=carol, successor=carol if successor else None
    )
    assert (pending.status, for_another.status) == ("ended", "pending")
    assert (refused.status, used.status) == ("refused", "used")
    assert gone.approvals == 1
    (item,) = [item for item in gone.items if item.kind == "approval"]
    assert (item.id, item.action, item.digest) == (pending.id, "ended", None)
    entry = engine.trail.get(item.entry)
    assert (entry.kind, entry.leaf["action"], entry.leaf["approval"]) == (
        "approval",
        "ended",
        pending.id,
    )
    with pytest.raises(ans.IllegalTransition):
        engine.approvals.approve(pending, by=carol)
    assert engine.trail.verify().size == len(engine.trail)
    proof = json.loads(gone.text)
    assert ans.verify_offboarding(gone.text, engine.authority).approvals == 1
    proof["items"] = [one for one in proof["items"] if one["kind"] != "approval"]
    with pytest.raises(ans.TrailCorrupted):
        ans.verify_offboarding(json.dumps(proof), engine.authority)


def test_a_successor_takes_the_agents_over(world: World) -> None:
    grant = world.grant(world.bob)
    own = world.grant()
    gone = world.engine.humans.offboard(world.alice, successor=world.bob, reason="left")
    assert gone.successor == world.bob.id
    assert {agent.name for agent in world.engine.agents.list(owner=world.bob)} == {
        "planner",
        "booker",
    }
    assert world.engine.agents.get("planner").status == "active"
    assert (world.code(grant), world.code(own)) == ("allow", "human_offboarded")
    with pytest.raises(ans.IllegalTransition, match="own successor"):
        world.engine.humans.offboard(world.bob, successor=world.bob, reason="x")
    with pytest.raises(ans.IllegalTransition, match="has left"):
        world.engine.humans.offboard(world.bob, successor=world.alice, reason="x")


def test_an_account_that_is_registered_again_is_another_human(world: World) -> None:
    grant = world.grant()
    world.engine.humans.offboard(world.alice, reason="left")
    again = world.engine.humans.register("alice@example.com", name="Alice")
    assert again.id != world.alice.id
    assert world.engine.humans.get("alice@example.com") == again
    assert world.code(grant) == "human_offboarded"
    assert world.engine.agents.list(owner=again) == []
    world.reopen()
    assert world.engine.humans.get("alice@example.com") == again
    assert world.engine.humans.get(world.alice.id).offboarded


def test_a_task_is_listed_with_its_life(world: World) -> None:
    grant = world.grant(task="Book the Lisbon offsite")
    world.child(grant)
    other = world.grant(task="Pay the rent")
    task = world.engine.tasks.get(grant.task)
    assert (task.id, task.human, task.grants) == (grant.task, world.alice.id, 2)
    assert task.sentence == "Book the Lisbon offsite"
    assert (task.ended, task.ended_at) == (False, None)
    world.engine.tasks.end(task, reason="cancelled")
    task = world.engine.tasks.get(grant.task)
    assert task.ended
    assert task.ended_at >= task.opened_at
    assert [task.id for task in world.engine.tasks.list()] == [grant.task, other.task]
    assert [task.id for task in world.engine.tasks.list(ended=False)] == [other.task]
    with pytest.raises(ans.IllegalTransition, match="has ended"):
        world.grant(task=grant.task)
    with pytest.raises(ans.NotFound):
        world.engine.tasks.get("tsk_" + "a" * 26)


@pytest.mark.parametrize("what", ["everything", "agent", "owner", "tool"])
def test_a_halt_stops_the_next_call_and_survives_a_restart(world: World, what: str) -> None:
    target: dict[str, Any] = {
        "everything": {},
        "agent": {"agent": world.planner},
        "owner": {"owner": world.alice},
        "tool": {"tool": "pay.*"},
    }[what]
    grant = world.grant()
    child = world.child(grant)
    assert world.code(child) == "allow"
    entry = world.engine.halt(reason="incident 7", by=world.bob, **target)
    assert world.code(grant) == world.code(child) == "halted"
    (halt,) = world.engine.halts()
    assert (halt.target, halt.by, halt.reason) == (what, world.bob.id, "incident 7")
    assert world.engine.trail.get(entry).kind == "halt"
    with pytest.raises(ans.IllegalTransition, match="halted already"):
        world.engine.halt(reason="again", **target)
    world.reopen()
    assert world.engine.halts()[0].reason == "incident 7"
    child = world.engine.accept(child.token)
    assert world.code(child) == "halted"
    world.engine.unhalt(**target)
    assert world.code(child) == "allow"
    assert world.engine.halts() == []
    with pytest.raises(ans.IllegalTransition, match="not halted"):
        world.engine.unhalt(**target)


def test_a_halt_leaves_alone_what_it_does_not_name(world: World) -> None:
    bobs = world.engine.agents.issue(
        "bobs", owner=world.bob, purpose="x", ceiling=[ans.allow("pay.*")], ttl="8h"
    )
    grant = world.grant(world.bob, bobs)
    world.engine.halt(reason="x", agent=world.planner)
    world.engine.halt(reason="x", owner=world.alice)
    world.engine.halt(reason="x", tool="mail.**")
    assert world.code(grant) == "allow"
    # What is done for a halted owner stands still too, whoever does it.
    assert world.code(world.grant(world.alice, bobs)) == "halted"
    with pytest.raises(ans.InvalidInput, match="names one"):
        world.engine.halt(reason="x", agent=bobs, tool="pay.*")
    with pytest.raises(ans.InvalidInput):
        world.engine.halt(reason="x", tool="not a pattern")


@pytest.mark.parametrize("how", ["revoke", "halt", "suspend", "tool", "task", "expire"])
def test_a_running_tool_learns_that_its_authority_ended(frozen: World, how: str) -> None:
    world, told = frozen, []
    grant = world.grant()
    child = world.child(grant)

    def work() -> None:
        told.append(ans.cancelled())
        match how:
            case "revoke":
                world.engine.revoke(grant, reason="x")
            case "halt":
                world.engine.halt(reason="x")
            case "suspend":
                world.engine.agents.suspend(world.planner, reason="x")
            case "tool":
                world.engine.halt(reason="x", tool="pay.*")
            case "task":
                world.engine.tasks.end(grant.task, reason="x")
            case "expire":
                world.engine.set_clock("2026-11-24T09:00:00Z")
        told.append(ans.cancelled())

    assert not ans.cancelled()
    with world.engine.acting(child), ans.guard.governed("pay.transfer", {}):
        work()
    assert told == [False, True]
    outcome = world.engine.trail.entries(kind="outcome")[-1]
    assert outcome.leaf["authority_ended"] is True


def test_a_tool_that_ends_in_time_says_nothing_of_it(world: World) -> None:
    grant = world.grant()
    other = world.grant()
    with world.engine.acting(grant), ans.guard.governed("pay.transfer", {}):
        world.engine.revoke(other, reason="another one")
        assert not ans.cancelled()
    outcome = world.engine.trail.entries(kind="outcome")[-1]
    assert "authority_ended" not in outcome.leaf


def test_a_tool_that_outlives_its_block_is_cancelled(world: World) -> None:
    told: list[bool] = []
    started, ended = threading.Event(), threading.Event()

    def work() -> None:
        with ans.guard.governed("pay.transfer", {}):
            told.append(ans.cancelled())
            started.set()
            ended.wait()
            told.append(ans.cancelled())

    with world.engine.acting(world.grant()):
        thread = threading.Thread(target=ans.carry(work))
        thread.start()
        started.wait()
    ended.set()
    thread.join()
    assert told == [False, True]
