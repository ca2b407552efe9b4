"""Calls that a policy lets through only with a human's yes: raised, waited for, used once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from living import World

import answerable as ans
from answerable.guard import governed

ASKS = """
@id("small") permit (principal, action == Action::"pay.transfer", resource)
when { context.arguments has amount && context.arguments.amount < 10 };
@id("large") @advice("ask") @reason("payments of 10 and more need a human")
permit (principal, action == Action::"pay.transfer", resource)
when { context.arguments has amount && context.arguments.amount >= 10 };
"""
FORBIDS = (
    ASKS
    + """
@id("never") forbid (principal, action == Action::"pay.transfer", resource);
"""
)


def load(world: World, text: str, folder: str = "policies") -> None:
    path = world.path.with_name(folder)
    path.mkdir(exist_ok=True)
    (path / "all.cedar").write_text(text)
    world.engine.policies.load(path)


class Asking(World):
    """A world whose payments of 10 and more ask; `ran` holds those that ran."""

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)
        self.ran: list[int] = []
        self.root = self.grant()

        @ans.tool("pay.transfer")
        def transfer(amount: int) -> str:
            self.ran.append(amount)
            return "done"

        self.transfer = transfer
        load(self, ASKS)

    def pay(self, amount: int) -> str:
        with self.engine.acting(self.root):
            return self.transfer(amount)

    def asked(self, amount: int) -> Any:
        with pytest.raises(ans.ApprovalRequired) as asked:
            self.pay(amount)
        assert asked.value.code == "approval_required"
        assert asked.value.decision.effect == "ask"
        return asked.value.approval

    def code(self, amount: int) -> str:  # type: ignore[override]
        with pytest.raises(ans.AccessDenied) as denied:
            self.pay(amount)
        assert not isinstance(denied.value, ans.ApprovalRequired)
        return denied.value.code


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Asking]:
    world = Asking(tmp_path / "governance")
    yield world
    world.engine.close()


def test_a_call_asks_is_approved_and_runs_once(world: Asking) -> None:
    assert world.pay(5) == "done"
    approval = world.asked(80)
    assert (approval.status, approval.tool, approval.arguments) == (
        "pending",
        "pay.transfer",
        {"amount": "80"},
    )
    assert approval.reasons[0].message.startswith("payments of 10 and more need a human")
    with pytest.raises(ans.ApprovalRequired, match="payments of 10 and more") as again:
        world.pay(80)
    assert again.value.approval == approval
    assert approval.id in (again.value.hint or "")
    world.engine.approvals.approve(approval, by=world.bob, note="paid by invoice 12")
    assert world.pay(80) == "done"
    assert world.asked(80) != approval
    assert world.ran == [5, 80]
    used = world.engine.trail.get(approval.used)
    assert used.leaf["approval"] == approval.id
    story = world.engine.trail.story(approval.used)
    assert story.approval is not None
    assert "approved by Bob (asserted)" in story.approval
    assert "paid by invoice 12" in str(story)
    assert "approved by Bob" in world.engine.explain(approval.used).for_operator
    world.engine.trail.verify()


def test_a_no_is_told_as_one(world: Asking) -> None:
    world.engine.approvals.refuse(world.asked(80), by=world.bob)
    assert world.code(80) == "approval_refused"


def test_a_call_waits_for_its_answer(world: Asking) -> None:
    waiting = Waiting(world, "30m")
    approval = waiting.started()
    world.engine.approvals.approve(approval, by=world.bob)
    assert waiting.ended() == "done"
    waiting = Waiting(world, "30m")
    world.engine.approvals.refuse(waiting.started(), by=world.bob)
    assert waiting.ended() == "approval_refused"
    waiting = Waiting(world, "30m", amount=90)
    waiting.started()
    world.engine.revoke(world.root, reason="enough")
    assert waiting.ended() == "revoked"


def test_a_wait_is_bounded(world: Asking) -> None:
    began = time.monotonic()
    waiting = Waiting(world, "200ms")
    assert waiting.ended() == "approval_required"
    assert time.monotonic() - began > 0.15


class Waiting:
    """A call in a thread that waits for a human."""

    def __init__(self, world: Asking, wait: str, amount: int = 80) -> None:
        self.world, self.result = world, ""
        ans.guard._tools.clear()

        @ans.tool("pay.transfer", wait=wait)
        def transfer(amount: int) -> str:
            return "done"

        def run() -> None:
            try:
                with world.engine.acting(world.root):
                    self.result = transfer(amount)
            except ans.AccessDenied as denied:
                self.result = denied.code

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def started(self) -> Any:
        end = time.monotonic() + 300
        while not (pending := self.world.engine.approvals.pending()):
            assert time.monotonic() < end
            time.sleep(0.01)
        return pending[0]

    def ended(self) -> str:
        self.thread.join(300)
        assert not self.thread.is_alive()
        return self.result


async def test_a_coroutine_waits_without_blocking_the_loop(world: Asking) -> None:
    ans.guard._tools.clear()

    @ans.tool("pay.transfer", wait="30m")
    async def transfer(amount: int) -> str:
        return "done"

    async def call() -> str:
        with world.engine.acting(world.root):
            return await transfer(80)

    task = asyncio.create_task(call())
    beats = 0
    while not world.engine.approvals.pending():
        await asyncio.sleep(0.005)
        beats += 1
    await asyncio.sleep(0.05)
    assert not task.done()
    (approval,) = world.engine.approvals.pending()
    await asyncio.to_thread(world.engine.approvals.approve, approval, by=world.bob)
    assert await task == "done"
    assert beats > 0
    stopped = asyncio.create_task(call())
    while not world.engine.approvals.pending():
        await asyncio.sleep(0.005)
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    assert len(world.engine.approvals.pending()) == 1, "it waits on for whoever repeats the call"


def test_an_engine_can_be_opened_to_wait(tmp_path: Path) -> None:
    world = Asking(tmp_path / "governance", approval_wait="100ms", approval_ttl="10m")
    began = time.monotonic()
    approval = world.asked(80)
    assert time.monotonic() - began > 0.08
    assert (approval.expires_at - approval.asked_at).total_seconds() == 600
    world.engine.close()


def test_adapters_ask_too(world: Asking) -> None:
    with pytest.raises(ans.ApprovalRequired) as asked, world.engine.acting(world.root):  # noqa: SIM117
        with governed("pay.transfer", {"amount": 80}):
            pytest.fail("the body ran")
    world.engine.approvals.approve(asked.value.approval, by=world.bob)
    with world.engine.acting(world.root), governed("pay.transfer", {"amount": 80}):
        pass


def test_other_policies_are_another_question(world: Asking) -> None:
    approval = world.asked(80)
    world.engine.approvals.approve(approval, by=world.bob)
    load(world, ASKS.replace("10", "20"))
    assert (approval.status, approval.because) == ("ended", "policy_changed")
    assert world.asked(80) != approval
    load(world, FORBIDS)
    assert world.code(80) == "forbidden"
    load(world, ASKS)
    assert world.asked(80) != approval, "the old policies again are no old yes"


def test_another_tools_first_use_ends_no_approval(world: Asking) -> None:
    pending, approved = world.asked(80), world.asked(81)
    world.engine.approvals.approve(approved, by=world.bob)
    version = world.engine.policies.version

    @ans.tool("shop.browse")
    def browse(page: int = 1) -> int:
        return page

    with world.engine.acting(world.root), pytest.raises(ans.AccessDenied):
        browse()
    assert world.engine.policies.version != version, "the new tool makes another version"
    assert (pending.status, approved.status) == ("pending", "approved")
    assert world.asked(80) == pending
    world.pay(81)
    assert approved.status == "used"
    world.engine.approvals.approve(pending, by=world.bob)
    world.pay(80)
    assert pending.used is not None
    world.engine.trail.verify()
    receipt = world.engine.trail.receipt(pending.used)
    ans.verify_receipt(receipt, authority=world.engine.authority)


def test_another_declaration_of_its_tool_ends_an_approval(world: Asking) -> None:
    approval = world.asked(80)
    world.engine.approvals.approve(approval, by=world.bob)
    del world.transfer  # Nobody can call it any more: its name is free.

    @ans.tool("pay.transfer")
    def transfer(amount: int, memo: str = "") -> None:
        pytest.fail("the body ran")

    with world.engine.acting(world.root), pytest.raises(ans.ApprovalRequired) as asked:
        transfer(80)
    assert asked.value.approval != approval
    assert (approval.status, approval.because) == ("ended", "policy_changed")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_asking import Asking
import answerable as ans
world = Asking(Path(sys.argv[1]))
approval = world.asked(80)
if sys.argv[3] != "asked":
    world.engine.approvals.approve(approval, by=world.bob)
if sys.argv[3] == "used":
    world.pay(80)
print(approval.id, world.root.token, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("stage", ["asked", "approved", "used"])
def test_a_kill_neither_loses_nor_doubles_a_yes(tmp_path: Path, stage: str) -> None:
    store = tmp_path / "governance"
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(store), here, stage],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": here},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    approval, token = done.stdout.split()
    ran: list[int] = []

    @ans.tool("pay.transfer")
    def transfer(amount: int) -> None:
        ran.append(amount)

    with ans.open(store) as engine:
        grant = engine.accept(token)
        told = engine.approvals.get(approval)
        assert told.status == {"asked": "pending"}.get(stage, stage)
        with engine.acting(grant):
            if stage == "approved":
                transfer(80)
                assert engine.approvals.get(approval).status == "used"
            with pytest.raises(ans.ApprovalRequired) as asked:
                transfer(80)
            assert (asked.value.approval.id == approval) is (stage == "asked")
        assert ran == ([80] if stage == "approved" else [])
        engine.trail.verify()
