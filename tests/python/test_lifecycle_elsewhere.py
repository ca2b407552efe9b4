"""What was signed where the engine does not see it, and a revocation of its agent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import answerable as ans
from answerable import guard

sys.path.insert(0, str(Path(__file__).parents[1] / "attacks"))

from attacking import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(guard, "_tools", {})
    world = World(tmp_path / "store")
    yield world
    world.engine.close()


def test_a_revoked_agent_takes_up_what_was_signed_elsewhere_once_it_has_another_key(
    world: World,
) -> None:
    clerk = world.engine.agents.issue(
        "clerk", owner=world.alice, purpose="files", ceiling=[ans.allow("pay.*")], ttl="8h"
    )

    def shown() -> ans.Grant:
        made = world.root.delegate(clerk, scope=world.narrow(), key=world.planner_key)
        return world.engine.accept(world.resigned(made, lambda payload: None, world.planner_key))

    first = shown()
    world.allows(first)
    world.engine.revoke(clerk, reason="it misbehaved")
    world.denies(shown(), "revoked")
    world.engine.agents.rotate(clerk)
    newer = shown()
    world.allows(newer)
    world.engine.agents.rotate(clerk, overlap="1h")
    world.allows(newer)
    world.reopen()
    world.allows(world.engine.accept(newer.token))
    world.denies(world.engine.accept(first.token), "revoked")
    world.engine.revoke(clerk, reason="again")
    world.denies(world.engine.accept(newer.token), "revoked")


def test_a_grant_signed_elsewhere_says_so_in_its_entry(world: World) -> None:
    here = world.own()
    there = world.engine.accept(world.forged(lambda payload: None))
    fields = {entry.leaf["grant"]: entry.leaf for entry in world.engine.trail.entries(kind="grant")}
    assert "offline" not in fields[here.id]
    assert fields[there.id]["offline"] is True
