"""What an agent asks and a human answers: access just in time, who may answer, what is kept."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from living import START, World

import answerable as ans
from answerable import _core
from answerable.guard import governed

MAIL = ans.allow("pay.refund", where={"amount": ans.at_most(5)})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "governance", clock=START)


def ask(world: World, grant: ans.Grant, **options: object) -> _core.Approval:
    options = {"scope": MAIL, "reason": "the invoice was paid twice", "ttl": "20m", **options}
    return world.engine.request_access(grant, **options)  # type: ignore[arg-type]


def test_access_is_asked_for_given_used_and_lapses_with_the_task(world: World) -> None:
    grant = world.grant()
    asked = ask(world, grant)
    assert (asked.kind, asked.status, asked.tool) == ("access", "pending", "")
    assert asked.scope == ["pay.refund where amount at most 5"]
    assert (asked.reason, asked.ttl, asked.human) == (
        "the invoice was paid twice",
        1200.0,
        grant.human,
    )
    assert (asked.via, asked.sentence) == (["planner"], "Pay the deposit")
    assert asked.grant is None
    assert ask(world, grant) == asked, "asked again, the same is found"
    assert world.engine.approvals.pending() == [asked]

    given = world.engine.approvals.approve(asked, by=world.bob, note="for this once")
    assert (given.status, given.by, given.by_name) == ("used", world.bob.id, "Bob")
    assert (given.assurance, given.note) == ("asserted", "for this once")
    assert world.engine.approvals.pending() == []
    more = asked.grant
    assert more is not None
    assert (more.human, more.task, more.agent, more.depth) == (
        grant.human,
        grant.task,
        grant.agent,
        0,
    )
    with world.engine.acting(more), governed("pay.refund", {"amount": 5}):
        pass
    with pytest.raises(ans.AccessDenied), world.engine.acting(more):  # noqa: SIM117
        with governed("pay.refund", {"amount": 6}):
            pytest.fail("the body ran")
    with pytest.raises(ans.InvalidGrant):
        more.delegate(world.booker, scope=MAIL)
    world.engine.tasks.end(grant.task, reason="done")
    checked = world.engine.check("pay.refund", arguments={"amount": 5}, grant=more)
    assert checked.reasons[0].code == "task_ended"
    with pytest.raises(ans.IllegalTransition):
        ask(world, grant, reason="again")
    ans.verify(export(world), authority=world.engine.authority)


def export(world: World) -> Path:
    path = world.path.with_name("trail.jsonl")
    world.engine.trail.export(path)
    return path


def test_access_that_was_given_lapses_with_its_time(world: World) -> None:
    asked = ask(world, world.grant(), ttl="20m")
    world.engine.approvals.approve(asked, by=world.bob)
    more = asked.grant
    assert more is not None

    def code() -> str:
        checked = world.engine.check("pay.refund", arguments={"amount": 5}, grant=more)
        return "allow" if checked.allowed else checked.reasons[0].code

    assert code() == "allow"
    world.engine.set_clock("2026-11-24T08:19:59Z")
    assert code() == "allow"
    world.engine.set_clock("2026-11-24T08:20:00Z")
    assert code() == "expired"
    # Access that nobody answered in time is not to be had any more.
    late = ask(world, world.grant(), ttl="20m", reason="again")
    world.engine.set_clock("2026-11-24T09:20:00Z")
    assert late.status == "expired"
    with pytest.raises(ans.IllegalTransition):
        world.engine.approvals.approve(late, by=world.bob)
    assert late.grant is None


def test_the_entries_say_who_asked_and_who_answered(world: World) -> None:
    asked = ask(world, world.grant())
    world.engine.approvals.approve(asked, by=world.bob, note="fine")
    first, second = world.engine.trail.entries(kind="approval")
    assert first.leaf["action"] == "asked"
    assert first.leaf["approval"] == second.leaf["approval"] == asked.id
    assert second.leaf["by"] == world.bob.id
    assert second.leaf["assurance"] == "asserted"
    assert asked.grant is not None
    assert second.leaf["grant"] == asked.grant.id


def test_nothing_is_granted_that_could_not_be(world: World) -> None:
    grant = world.grant()
    with pytest.raises(ans.InvalidInput, match="ceiling"):
        ask(world, grant, scope=ans.allow("mail.send"))
    with pytest.raises(ans.InvalidInput, match="outlive"):
        ask(world, grant, ttl="9h")
    with pytest.raises(ans.InvalidInput, match="reason"):
        ask(world, grant, reason=" ")
    assert world.engine.approvals.list() == []


def test_a_yes_is_judged_by_what_is_then(world: World) -> None:
    asked = ask(world, world.grant(), ttl="7h")
    world.engine.set_clock("2026-11-24T08:59:00Z")
    world.engine.agents.suspend(world.planner, reason="looks odd")
    with pytest.raises(ans.NotFound):
        world.engine.approvals.get("apr_" + "a" * 26)
    assert (asked.status, asked.because) == ("ended", "agent_suspended")
    with pytest.raises(ans.Error):
        world.engine.approvals.approve(asked, by=world.bob)
    assert asked.grant is None


def test_an_agent_does_not_answer_itself(world: World) -> None:
    grant = world.grant()
    asked = ask(world, grant)
    for answer in (world.engine.approvals.approve, world.engine.approvals.refuse):
        with world.engine.acting(grant):
            with pytest.raises(ans.IllegalTransition) as refused:
                answer(asked, by=world.alice)
            assert refused.value.code == "approval_by_agent"
            with governed("pay.transfer", {}), pytest.raises(ans.IllegalTransition):
                answer(asked, by=world.alice)
        with pytest.raises(ans.NotFound):
            answer(asked, by=world.planner.id)
        with pytest.raises(ans.InvalidInput):
            answer(asked, by=world.planner)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            answer(asked)  # type: ignore[call-arg]
    assert asked.status == "pending"


def test_answers_outlive_the_process(world: World) -> None:
    first, second = ask(world, world.grant()), ask(world, world.grant(), reason="the other")
    world.engine.close()
    world.engine = ans.open(world.path, clock=START)
    approvals = world.engine.approvals
    assert {one.id for one in approvals.pending()} == {first.id, second.id}
    approvals.approve(first.id, by=world.bob)
    approvals.refuse(second.id, by=world.bob, note="no need")
    world.engine.close()
    world.engine = ans.open(world.path, clock=START)
    told = {one.id: one for one in world.engine.approvals.list()}
    assert told[first.id].grant is not None
    assert (told[second.id].status, told[second.id].note) == ("refused", "no need")
    for status, count in {"used": 1, "refused": 1, "pending": 0}.items():
        assert len(world.engine.approvals.list(status=status)) == count
    with pytest.raises(ans.InvalidInput):
        world.engine.approvals.list(status="nope")


def test_who_waits_is_told(world: World) -> None:
    asked = ask(world, world.grant())
    assert asked.wait("1ms") is False
    answered: list[bool] = []
    waiting = threading.Thread(target=lambda: answered.append(asked.wait("30m")))
    waiting.start()
    world.engine.approvals.refuse(asked, by=world.bob)
    waiting.join()
    assert answered == [True]
    assert asked.wait() is True
    told = threading.Event()
    asked.when_answered(told.set)
    assert told.wait(300), "at once, where it is answered already"


def test_nothing_that_was_said_lies_open(world: World) -> None:
    asked = ask(world, world.grant(), reason="Hohenzollern 4711")
    world.engine.approvals.approve(asked, by=world.bob, note="Wittelsbach 0815")
    world.engine.close()
    files = [file for file in world.path.rglob("*") if file.is_file()]
    held = b"".join(file.read_bytes() for file in files)
    assert asked.id.encode() in held or len(held) > 10_000
    for said in (b"Hohenzollern", b"Wittelsbach", b"pay.refund"):
        assert said not in held
