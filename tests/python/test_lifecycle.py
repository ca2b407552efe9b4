"""The life of agents, humans, tasks and grants: each change is felt by the next call below it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import independent
import pytest

import answerable as ans

START = "2026-11-24T08:00:00Z"


class World:
    """One store with Alice, Bob, and a planner that may delegate to a booker."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.engine = ans.open(path, **options)
        humans, agents = self.engine.humans, self.engine.agents
        self.alice = humans.register("alice@example.com", name="Alice")
        self.bob = humans.register("bob@example.com", name="Bob")
        pay = [ans.allow("pay.*")]
        self.planner = agents.issue(
            "planner", owner=self.alice, purpose="plans", ceiling=pay, ttl="8h"
        )
        self.booker = agents.issue(
            "booker", owner=self.alice, purpose="books", ceiling=pay, ttl="8h"
        )

    def grant(self, human: Any = None, agent: Any = None, **options: Any) -> ans.Grant:
        options = {
            "task": "Pay the deposit",
            "scope": ans.allow("pay.transfer"),
            "ttl": "1h",
            "max_depth": 2,
            **options,
        }
        return self.engine.grant(human or self.alice, agent or self.planner, **options)

    def child(self, grant: ans.Grant, **options: Any) -> ans.Grant:
        return grant.delegate(self.booker, scope=ans.allow("pay.transfer"), **options)

    def code(self, grant: ans.Grant) -> str:
        """`allow`, or the code that decides; the recorded call says the same as the dry run."""
        checked = self.engine.check("pay.transfer", arguments={}, grant=grant)
        dry = "allow" if checked.effect == "allow" else checked.reasons[0].code
        code = "allow"
        try:
            with self.engine.acting(grant), ans.guard.governed("pay.transfer", {}):
                pass
        except ans.AccessDenied as denied:
            code = denied.code
        assert code == dry
        return code

    def reopen(self) -> None:
        self.engine.close()
        self.engine = ans.open(self.path)


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


# Agents


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


# Revocation


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


# Humans


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


# Tasks


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


# Halts


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


# Tools that run when it ends


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


# The authority's own keys


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


# Review


def found(world: World, **spans: Any) -> dict[str, list[str]]:
    codes: dict[str, list[str]] = {}
    for finding in world.engine.review(**spans).findings:
        codes.setdefault(finding.code, []).extend(finding.subjects)
        assert finding.why
        assert finding.suggestion
    return codes


def use(world: World, grant: ans.Grant, tool: str = "pay.transfer") -> None:
    with world.engine.acting(grant), ans.guard.governed(tool, {}):
        pass


def test_a_new_world_has_nothing_to_find(world: World) -> None:
    assert found(world) == {}


def test_use_is_counted_along_the_chain(world: World) -> None:
    root = world.grant()
    child = world.child(root)
    use(world, root)
    use(world, child)
    with pytest.raises(ans.AccessDenied):
        use(world, child, "pay.refund")
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
    use(world, world.grant())
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
        use(world, world.grant(world.bob, wide, ttl="4h"))
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
    use(world, world.grant())
    world.engine.agents.renew(world.planner, ttl="30d")
    world.engine.set_clock("2026-11-30T08:00:00Z")
    grant = world.grant(scope=[ans.allow("pay.transfer"), ans.allow("pay.refund")])
    use(world, grant)
    use(world, grant, "pay.refund")
    for _ in range(9):
        with pytest.raises(ans.AccessDenied):
            use(world, grant, "pay.other")
    assert "refusals_above_usual" not in found(world)
    with pytest.raises(ans.AccessDenied):
        use(world, grant, "pay.other")
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
