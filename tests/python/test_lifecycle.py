"""Agents and what was granted: each change is felt by the next call below it."""

from __future__ import annotations

import json
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


def test_a_suspended_agent_is_denied_until_it_is_resumed(world: World) -> None:
    grant = world.grant()
    child = world.child(grant)
    world.engine.agents.suspend(world.planner, reason="odd calls", by=world.alice)
    assert world.code(grant) == world.code(child) == "agent_suspended"
    assert world.engine.agents.get("planner").status == "suspended"
    with pytest.raises(ans.IllegalTransition, match="suspended"):
        world.grant()
    world.engine.agents.resume(world.planner)
    assert world.code(grant) == world.code(child) == "allow"


def test_rotation_ends_the_grants_to_the_old_key(world: World) -> None:
    grant = world.grant()
    child = world.child(grant)
    before = world.planner.key
    after = world.engine.agents.rotate(world.planner, reason="yearly")
    assert after.key != before
    assert after.managed
    assert world.code(grant) == world.code(child) == "holder_key_unknown"
    with pytest.raises(ans.IllegalTransition, match="replaced"):
        world.child(grant)
    fresh = world.grant()
    assert world.code(fresh) == world.code(world.child(fresh)) == "allow"
    world.reopen()
    assert world.engine.agents.get("planner").key == after.key
    assert world.code(world.engine.accept(grant.token)) == "holder_key_unknown"


def test_an_overlap_is_honoured_to_its_end_and_no_longer(frozen: World) -> None:
    world, agents = frozen, frozen.engine.agents
    old = world.grant(ttl="6h")
    agents.rotate(world.planner, overlap="1h")
    new = world.grant(ttl="6h")
    child = world.child(old, ttl="5h")  # The engine still signs with the old key.
    assert world.code(old) == world.code(child) == world.code(new) == "allow"
    world.engine.set_clock("2026-11-24T08:59:59Z")
    assert world.code(old) == world.code(child) == "allow"
    world.engine.set_clock("2026-11-24T09:00:00Z")
    assert world.code(old) == world.code(child) == "holder_key_unknown"
    reason = world.engine.check("pay.transfer", arguments={}, grant=old).reasons[0]
    assert "2026-11-24T09:00:00Z" in reason.message
    assert world.code(new) == "allow"


def test_a_rotation_without_overlap_ends_the_overlaps_before_it(world: World) -> None:
    first = world.grant()
    world.engine.agents.rotate(world.planner, overlap="1h")
    second = world.grant()
    assert world.code(first) == world.code(second) == "allow"
    world.engine.agents.rotate(world.planner, reason="stolen")
    assert world.code(first) == world.code(second) == "holder_key_unknown"


def test_overlaps_are_bounded(world: World) -> None:
    for _ in range(8):
        world.engine.agents.rotate(world.planner, overlap="1h")
    with pytest.raises(ans.IllegalTransition, match="still honoured"):
        world.engine.agents.rotate(world.planner, overlap="1h")
    world.engine.agents.rotate(world.planner)
    with pytest.raises(ans.InvalidInput, match="above zero"):
        world.engine.agents.rotate(world.planner, overlap=0)


def test_an_agent_brings_its_own_key_and_the_engine_cannot_sign_for_it(world: World) -> None:
    key = ans.SecretKey.generate()
    world.engine.agents.rotate(world.planner, key=key.public)
    agent = world.engine.agents.get("planner")
    assert agent.key == key.public
    assert not agent.managed
    grant = world.grant()
    with pytest.raises(ans.InvalidInput, match="its own key"):
        world.child(grant)
    assert world.code(world.child(grant, key=key)) == "allow"
    with pytest.raises(ans.InvalidInput, match="keeps its own key"):
        world.engine.agents.rotate(world.planner)


def test_a_key_is_one_agents_and_once(world: World) -> None:
    agents, key = world.engine.agents, ans.SecretKey.generate()
    old = world.planner.key
    agents.rotate(world.planner, key=key.public)
    agents.rotate(world.planner, key=ans.SecretKey.generate().public)
    for used in (key.public, old, world.booker.key):
        with pytest.raises(ans.IllegalTransition, match="belongs to"):
            agents.rotate(world.planner, key=used)
        with pytest.raises(ans.IllegalTransition, match="belongs to"):
            agents.issue("new", owner=world.bob, purpose="x", ceiling=[], ttl="1h", key=used)
    world.reopen()
    with pytest.raises(ans.IllegalTransition, match="belongs to"):
        world.engine.agents.rotate(world.booker, key=key.public)
    with pytest.raises(ans.IllegalTransition, match="authority's own"):
        world.engine.agents.rotate(world.booker, key=world.engine.authority)


def test_an_agent_is_transferred_and_its_grants_go_on(world: World) -> None:
    grant = world.grant()
    agent = world.engine.agents.transfer(world.planner, owner=world.bob, by=world.alice)
    assert agent.owner == world.bob.id
    assert agent in world.engine.agents.list(owner=world.bob)
    assert world.code(grant) == "allow"
    with pytest.raises(ans.IllegalTransition, match="already"):
        world.engine.agents.transfer(world.planner, owner=world.bob)
    world.reopen()
    again = world.engine.agents.get("planner")
    assert (again.owner, again.purpose) == (world.bob.id, "plans")


def test_a_term_is_renewed_and_never_shortened(frozen: World) -> None:
    agents = frozen.engine.agents
    frozen.engine.set_clock("2026-11-24T15:00:00Z")
    agent = agents.renew(frozen.planner, ttl="8h")
    assert agent.expires_at.isoformat() == "2026-11-24T23:00:00+00:00"
    with pytest.raises(ans.InvalidInput, match="not end later"):
        agents.renew(frozen.planner, ttl="1h")
    frozen.engine.set_clock("2026-11-24T16:30:00Z")
    assert frozen.code(frozen.grant(ttl="2h")) == "allow"


def test_model_version_and_uri_are_kept(world: World) -> None:
    agent = world.engine.agents.issue(
        "writer",
        owner=world.alice,
        purpose="writes",
        ceiling=[],
        ttl="1h",
        model="sonnet-9",
        version="2.1",
    )
    assert (agent.model, agent.version) == ("sonnet-9", "2.1")
    assert agent.uri.startswith("answerable://k4.pid.")
    assert agent.uri.endswith(f"/agent/{agent.id}")
    world.reopen()
    again = world.engine.agents.get("writer")
    assert (again.model, again.version, again.uri) == (agent.model, agent.version, agent.uri)
    assert world.engine.agents.get("booker").model is None


def test_steps_that_the_state_does_not_allow_are_refused_by_name(world: World) -> None:
    agents = world.engine.agents
    with pytest.raises(ans.IllegalTransition, match="active already"):
        agents.resume(world.planner)
    agents.suspend(world.planner, reason="x")
    with pytest.raises(ans.IllegalTransition, match="suspended already"):
        agents.suspend(world.planner, reason="x")
    agents.retire(world.planner, reason="done")
    steps: list[Callable[[], Any]] = [
        lambda: agents.suspend(world.planner, reason="x"),
        lambda: agents.resume(world.planner),
        lambda: agents.rotate(world.planner),
        lambda: agents.transfer(world.planner, owner=world.bob),
        lambda: agents.renew(world.planner, ttl="9h"),
        lambda: agents.retire(world.planner, reason="x"),
        lambda: world.grant(),
        lambda: agents.issue("planner", owner=world.bob, purpose="new", ceiling=[], ttl="1h"),
    ]
    for step in steps:
        with pytest.raises(ans.IllegalTransition):
            step()
    with pytest.raises(ans.InvalidInput, match="reason is empty"):
        agents.suspend(world.booker, reason=" ")


@pytest.mark.parametrize("by", ["grant", "id", "digest"])
def test_a_revoked_grant_ends_with_all_below(world: World, by: str) -> None:
    grant = world.grant()
    child = world.child(grant)
    other = world.grant()
    named = {"grant": grant, "id": grant.id, "digest": grant.digest}[by]
    done = world.engine.revoke(named, reason="stolen")
    assert (done.target, done.id, done.children, done.seen) == ("grant", grant.id, 1, True)
    assert "delegated 1 further" in done.hint
    assert world.code(grant) == world.code(child) == "revoked"
    assert world.code(other) == "allow"
    with pytest.raises(ans.IllegalTransition, match="already"):
        world.engine.revoke(grant, reason="again")


def test_revoking_a_childs_grant_offers_to_revoke_who_made_it(world: World) -> None:
    child = world.child(world.grant())
    done = world.engine.revoke(child, reason="odd")
    assert done.issuer == world.planner.id
    assert done.children == 0
    assert "revoke the holder" in done.hint
    assert world.engine.trail.get(str(done)).kind == "revocation"


def test_a_grant_delegated_offline_and_never_seen_ends_with_its_ancestor(
    world: World, tmp_path: Path
) -> None:
    key = ans.SecretKey.generate()
    world.engine.agents.rotate(world.planner, key=key.public)
    root = world.grant()
    token, digest = offline_child(world, root, key, tmp_path)
    unseen, unseen_digest = offline_child(world, root, key, tmp_path)
    # By its own digest, though nobody has seen it here.
    done = world.engine.revoke(unseen_digest, reason="leaked")
    assert not done.seen
    assert "no grant of this digest" in done.hint
    assert world.code(world.engine.accept(unseen)) == "revoked"
    # By an ancestor's.
    world.engine.revoke(root.digest, reason="stolen")
    taken = world.engine.accept(token)
    assert taken.digest == digest
    assert world.code(taken) == "revoked"


def offline_child(
    world: World, root: ans.Grant, key: ans.SecretKey, tmp_path: Path
) -> tuple[str, str]:
    """A hop that the engine has not recorded: made on a copy of its store."""
    import shutil
    import uuid

    world.engine.close()
    copy = tmp_path / uuid.uuid4().hex
    shutil.copytree(world.path, copy)
    shutil.copy(f"{world.path}.key", f"{copy}.key")
    with ans.open(copy) as other:
        child = other.accept(root.token).delegate(
            world.booker.id, scope=ans.allow("pay.transfer"), key=key
        )
        made = child.token, child.digest
    world.engine = ans.open(world.path)
    return made


@pytest.mark.parametrize("kind", ["agent", "human"])
def test_a_revoked_holder_loses_what_it_held_and_may_be_granted_anew(
    world: World, kind: str
) -> None:
    grant = world.grant()
    child = world.child(grant)
    target = world.planner if kind == "agent" else world.alice
    done = world.engine.revoke(target, reason="key leaked")
    assert (done.target, done.id) == (kind, target.id)
    assert world.code(grant) == world.code(child) == "revoked"
    assert world.engine.agents.get("planner").status == "active"
    fresh = world.grant()  # At once, within the same second.
    assert world.code(fresh) == world.code(world.child(fresh)) == "allow"
    text = grant.token
    world.reopen()
    assert world.code(world.engine.accept(text)) == "revoked"
    assert world.code(world.engine.accept(fresh.token)) == "allow"


def test_a_revoked_agent_in_the_middle_of_a_chain(world: World) -> None:
    grant = world.grant()
    child = world.child(grant)
    world.engine.revoke(world.booker.id, reason="key leaked")
    assert (world.code(grant), world.code(child)) == ("allow", "revoked")
    assert world.code(world.child(grant)) == "allow"


def test_revoking_a_task_ends_its_grants(world: World) -> None:
    grant = world.grant()
    second = world.grant(task=grant.task)
    world.engine.revoke(grant.task, reason="cancelled")
    assert world.code(grant) == world.code(second) == "task_ended"
    with pytest.raises(ans.IllegalTransition, match="ended already"):
        world.engine.revoke(world.engine.tasks.get(grant.task), reason="x")
    with pytest.raises(ans.NotFound):
        world.engine.revoke("tsk_" + "a" * 26, reason="x")
    with pytest.raises(ans.NotFound):
        world.engine.revoke("gnt_" + "a" * 26, reason="x")


def test_a_revocation_is_signed_by_the_authority(world: World) -> None:
    done = world.engine.revoke(world.grant(), reason="x")
    leaf = world.engine.trail.get(done.entry).leaf
    payload = claims(leaf["statement"])
    assert payload["entry"] == done.entry
    assert payload["target"] == "grant"
    assert payload["id"] == done.id
    assert world.engine.trail.verify()


def claims(token: str) -> dict[str, Any]:
    import base64

    body = token.removeprefix("v4.public.").split(".")[0]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))[:-64]))
