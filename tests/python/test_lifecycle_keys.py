"""The authority's own keys are rotated, and everything still verifies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import independent
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


def test_the_authoritys_key_is_rotated_and_everything_still_verifies(
    world: World, tmp_path: Path
) -> None:
    first = world.engine.authority
    old = world.grant()
    kept = world.engine.trail.checkpoint()
    world.engine.rotate_authority(overlap="1h", reason="yearly")
    assert world.engine.authority == first != world.engine.signing_key
    new = world.grant()
    child = world.child(old)
    assert world.code(old) == world.code(new) == world.code(child) == "allow"
    second = world.engine.signing_key
    world.engine.rotate_authority(overlap="1h", reason="again")
    assert world.engine.signing_key not in (first, second)
    third = world.grant()
    world.reopen()
    for token in (old.token, new.token, child.token, third.token):
        assert world.code(world.engine.accept(token)) == "allow"
    revoked = world.engine.revoke(third.id, reason="x")
    assert world.engine.trail.verify(since=kept)
    gone = world.engine.humans.offboard(world.alice, reason="left")
    assert ans.verify_offboarding(gone.text, first) is not None
    with pytest.raises(ans.TrailCorrupted):
        ans.verify_offboarding(gone.text, second)
    proof = json.loads(gone.text)
    for change in (proof["handovers"].pop, proof["handovers"].clear):
        change()
        with pytest.raises(ans.TrailCorrupted):
            ans.verify_offboarding(json.dumps(proof), first)
    world.engine.trail.export(tmp_path / "trail.jsonl")
    assert ans.verify(tmp_path / "trail.jsonl", authority=first, since=kept)
    assert revoked.seen
    with pytest.raises(ans.TrailCorrupted):
        ans.verify(tmp_path / "trail.jsonl", authority=second)


def test_without_an_overlap_the_old_keys_grants_end_at_once(frozen: World) -> None:
    world = frozen
    old = world.grant()
    assert world.code(old) == "allow"
    world.engine.rotate_authority(reason="stolen")
    assert world.code(old) == "unknown_authority"
    assert world.code(world.grant()) == "allow"


def test_the_authoritys_overlap_ends_when_it_was_said_to(frozen: World) -> None:
    world = frozen
    old = world.grant(ttl="6h")
    world.engine.rotate_authority(reason="yearly", overlap="1h")
    world.engine.set_clock("2026-11-24T08:59:59Z")
    assert world.code(old) == "allow"
    world.engine.set_clock("2026-11-24T09:00:00Z")
    assert world.code(old) == "unknown_authority"
    reason = world.engine.check("pay.transfer", arguments={}, grant=old).reasons[0]
    assert "2026-11-24T09:00:00Z" in reason.message


def test_what_an_old_key_signed_and_nobody_recorded_is_refused(
    world: World, tmp_path: Path
) -> None:
    """A stolen old key signs what it likes, dated as it likes: only the record counts."""
    import shutil

    world.engine.close()
    stolen = tmp_path / "stolen"
    shutil.copytree(world.path, stolen)
    shutil.copy(f"{world.path}.key", f"{stolen}.key")
    with ans.open(stolen) as other:
        forged = other.grant(
            world.alice.id, world.planner.id, task="x", scope=ans.allow("pay.*"), ttl="1h"
        ).token
    world.engine = ans.open(world.path)
    world.engine.rotate_authority(overlap="1h", reason="yearly")
    with pytest.raises(ans.InvalidGrant) as refused:
        world.engine.accept(forged)
    assert refused.value.code == "unknown_authority"


def test_checkpoints_are_signed_by_the_key_in_force_at_their_size(
    world: World, tmp_path: Path
) -> None:
    kept = [world.engine.trail.checkpoint()]
    for _ in range(3):
        world.engine.rotate_checkpoint_key(reason="yearly")
        kept.append(world.engine.trail.checkpoint())
        world.grant()
        kept.append(world.engine.trail.checkpoint())
    world.engine.rotate_authority(reason="both")
    world.engine.rotate_checkpoint_key(reason="both")
    world.reopen()
    kept.append(world.engine.trail.checkpoint())
    world.engine.trail.export(tmp_path / "trail.jsonl")
    trail, authority = tmp_path / "trail.jsonl", world.engine.authority
    report = ans.verify(trail, authority=authority, since=kept)
    assert report.since_agreed == len(kept)
    notes = [str(checkpoint) for checkpoint in kept]
    assert independent.verify(trail.read_bytes(), authority, notes)["faults"] == []
    # A checkpoint by the key before, or a handover left out, does not pass in either reader.
    lines = trail.read_text().splitlines()
    handover = next(n for n, line in enumerate(lines) if "authority_rotated" in line)
    assert handover > 0
    changed = [json.loads(line) for line in lines]
    del changed[handover]["leaf"]["statement"]
    changed[handover]["hash"] = "A" * 43
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in changed)
    trail.write_text(text)
    with pytest.raises(ans.TrailCorrupted) as refused:
        ans.verify(trail, authority=authority)
    theirs = independent.verify(text.encode(), authority, [])
    assert {fault["code"] for fault in theirs["faults"]} == {f.code for f in refused.value.faults}
    assert "bad_statement" in {fault.code for fault in refused.value.faults}
    with pytest.raises(ans.InvalidInput):
        world.engine.rotate_checkpoint_key(reason="")
    with pytest.raises(ans.InvalidInput):
        world.engine.rotate_authority(reason="x", overlap=0)


@pytest.mark.parametrize("again", ["2026-11-24T08:10:00Z", "2026-11-24T08:09:30Z"])
@pytest.mark.parametrize("verb", ["rotate_authority", "rotate_checkpoint_key"])
def test_statements_follow_each_other_though_the_clock_stands(
    tmp_path: Path, verb: str, again: str
) -> None:
    """Their times grow by a microsecond at least, over a restart as well."""
    engine = ans.open(tmp_path / "store", clock="2026-11-24T08:10:00Z")
    alice = engine.humans.register("alice@example.com")
    agent = engine.agents.issue(
        "agent", owner=alice, purpose="p", ceiling=[ans.allow("t.*")], ttl="1h"
    )
    getattr(engine, verb)(reason="once")
    engine.close()
    engine = ans.open(tmp_path / "store", clock=again)
    getattr(engine, verb)(reason="twice")
    engine.grant(alice, agent, task="T", scope=[ans.allow("t.*")], ttl="5m")
    engine.trail.verify()
    engine.close()
