"""Inventory and review: what there is, how it was used, what to look at."""

from __future__ import annotations

from collections.abc import Iterator
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


def found(world: World, **spans: Any) -> dict[str, list[str]]:
    codes: dict[str, list[str]] = {}
    for finding in world.engine.review(**spans).findings:
        codes.setdefault(finding.code, []).extend(finding.subjects)
        assert finding.why
        assert finding.suggestion
    return codes


def test_a_new_world_has_nothing_to_find(world: World) -> None:
    assert found(world) == {}


def test_use_is_counted_along_the_chain(world: World) -> None:
    root = world.grant()
    child = world.child(root)
    world.use(root)
    world.use(child)
    with pytest.raises(ans.AccessDenied):
        world.use(child, "pay.refund")
    planner, booker = world.engine.review().agents
    assert (planner.agent, planner.allowed, planner.refused) == (world.planner, 2, 0)
    assert (booker.agent, booker.allowed, booker.refused) == (world.booker, 1, 1)
    assert (planner.standing, planner.children) == (1, 1)
    assert (booker.standing, booker.children) == (1, 0)
    assert planner.last_use is not None
    world.engine.revoke(child, reason="x")
    booker = world.engine.review().agents[1]
    assert (booker.standing, booker.last_use is None) == (0, False)


def test_never_used_and_dormant_agents_are_found(frozen: World) -> None:
    world = frozen
    world.use(world.grant())
    world.engine.set_clock("2026-11-26T08:00:00Z")
    assert found(world)["never_used"] == [world.booker.id]
    assert "dormant" not in found(world)
    assert found(world, dormant="1d")["dormant"] == [world.planner.id]
    world.engine.set_clock("2026-12-25T08:00:00Z")
    assert found(world)["dormant"] == [world.planner.id]
    world.engine.agents.retire(world.planner, reason="done")
    assert "dormant" not in found(world)


def test_agents_of_who_left_are_found(world: World) -> None:
    world.engine.humans.offboard(world.alice, reason="left")
    review = world.engine.review()
    assert {f.subjects[0] for f in review.above("medium")} == {world.planner.id, world.booker.id}
    assert {f.code for f in review.above("medium")} == {"owner_offboarded"}
    assert review.above("high") == []
    with pytest.raises(ans.InvalidInput):
        review.above("dire")


ENDS = {
    "the task": lambda w, root: w.engine.tasks.end(root.task, reason="x"),
    "the root": lambda w, root: w.engine.revoke(root, reason="x"),
    "the human": lambda w, root: w.engine.revoke(w.alice, reason="x"),
    "the agent above": lambda w, root: w.engine.revoke(w.planner, reason="x"),
    "a departure": lambda w, root: w.engine.humans.offboard(w.alice, reason="x"),
}


@pytest.mark.parametrize("what", ENDS)
def test_what_ended_with_another_stands_no_more(world: World, what: str) -> None:
    def standing() -> dict[str, int]:
        return {use.agent.name: use.standing for use in world.engine.review().agents}

    other = world.engine.grant(
        world.bob, world.booker, task="Another", scope=[ans.allow("pay.*")], ttl="1h"
    )
    root = world.grant()
    with world.engine.acting(root):  # Recorded as it is made.
        with world.engine.delegating(world.booker, scope=[ans.allow("pay.transfer")]):
            pass
        assert standing() == {"planner": 1, "booker": 2}
        ENDS[what](world, root)
        assert standing() == {"planner": 0, "booker": 1}
    world.engine.revoke(other, reason="x")
    assert standing() == {"planner": 0, "booker": 0}


def test_what_is_too_wide_for_its_use_is_found(frozen: World) -> None:
    world = frozen
    wide = world.engine.agents.issue(
        "wide",
        owner=world.bob,
        purpose="x",
        ceiling=[ans.allow("pay.*"), ans.allow("mail.*")],
        ttl="90d",
    )
    for day in (24, 25, 26):
        world.engine.set_clock(f"2026-11-{day}T08:00:00Z")
        world.use(world.grant(world.bob, wide, ttl="4h"))
    world.engine.set_clock("2026-11-27T08:00:00Z")
    codes = found(world)
    assert codes["ceiling_too_wide"] == codes["ttl_too_wide"] == [wide.id]
    finding = next(f for f in world.engine.review().findings if f.code == "ceiling_too_wide")
    assert "mail.*" in finding.why
    assert "pay.*" not in finding.why


def test_a_hop_that_narrows_nothing_is_found(world: World) -> None:
    root = world.grant()
    same = root.delegate(world.booker, scope=ans.allow("pay.transfer"))
    narrower = root.delegate(world.booker, scope=ans.allow("pay.transfer"), limits=ans.calls(3))
    assert found(world)["narrows_nothing"] == [same.id, world.booker.id]
    world.engine.revoke(same, reason="x")
    assert "narrows_nothing" not in found(world)
    assert world.code(narrower) == "allow"


def test_first_use_and_unusual_refusals_are_found(frozen: World) -> None:
    world = frozen
    world.use(world.grant())
    world.engine.agents.renew(world.planner, ttl="30d")
    world.engine.set_clock("2026-11-30T08:00:00Z")
    grant = world.grant(scope=[ans.allow("pay.transfer"), ans.allow("pay.refund")])
    world.use(grant)
    world.use(grant, "pay.refund")
    for _ in range(9):
        with pytest.raises(ans.AccessDenied):
            world.use(grant, "pay.other")
    assert "refusals_above_usual" not in found(world)
    with pytest.raises(ans.AccessDenied):
        world.use(grant, "pay.other")
    review = world.engine.review()
    codes = {finding.code: finding for finding in review.findings}
    assert codes["refusals_above_usual"].subjects == [world.planner.id]
    assert "10 calls" in codes["refusals_above_usual"].why
    assert "`pay.refund`" in codes["first_use"].why
    assert review.findings[0].severity == "high"


def test_a_review_is_attested_in_the_trail(world: World) -> None:
    review = world.engine.review()
    entry = review.attest(by=world.alice, note="looked through, all needed")
    leaf = world.engine.trail.get(entry)
    assert leaf.kind == "review"
    assert leaf.leaf["by"] == world.alice.id
    assert leaf.leaf["size"] == review.size
    assert leaf.values["note"] == "looked through, all needed"
    with pytest.raises(ans.InvalidInput):
        review.attest(note="")
