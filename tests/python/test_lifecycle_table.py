"""Every step in every state: those that are refused say why, by name, and change nothing.

A table has a row for each state and a word of the refusal for each step that the state does not
allow; each step that it does not name there goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from living import PAY, START, World

import answerable as ans

LATER = "2026-12-24T08:00:00Z"
Step = Callable[[World, Any], Any]
Table = dict[str, dict[str, str]]


def held(world: World, state: str, table: Table, steps: dict[str, Step], ones: list[Any]) -> None:
    """Takes each step with one of its own, all of which are in the state."""
    wrong = (ans.IllegalTransition, ans.InvalidGrant)
    refused = table[state]
    assert refused.keys() <= steps.keys()
    for (name, step), one in zip(steps.items(), ones, strict=True):
        before = len(world.engine.trail)
        if name not in refused:
            step(world, one)
            assert len(world.engine.trail) > before, f"{state}: {name} leaves an entry"
            continue
        with pytest.raises(wrong, match=refused[name]):
            step(world, one)
        assert len(world.engine.trail) == before, f"{state}: {name} was refused"


def opened(path: Path) -> World:
    return World(path / "store", clock=START)


# ------------------------------------------------------------------------------------- agents

AGENT: dict[str, Step] = {
    "suspend": lambda w, a: w.engine.agents.suspend(a, reason="x"),
    "resume": lambda w, a: w.engine.agents.resume(a),
    "rotate": lambda w, a: w.engine.agents.rotate(a),
    "transfer": lambda w, a: w.engine.agents.transfer(a, owner=w.bob),
    "transfer back": lambda w, a: w.engine.agents.transfer(a, owner=w.alice),
    "renew": lambda w, a: w.engine.agents.renew(a, ttl="90d"),
    "retire": lambda w, a: w.engine.agents.retire(a, reason="x"),
    "revoke": lambda w, a: w.engine.revoke(a, reason="x"),
    "halt": lambda w, a: w.engine.halt(agent=a, reason="x"),
    "unhalt": lambda w, a: w.engine.unhalt(agent=a),
    "issue": lambda w, a: w.engine.agents.issue(
        w.engine.agents.get(a).name, owner=w.bob, purpose="x", ceiling=[PAY], ttl="1h"
    ),
    "grant": lambda w, a: w.engine.grant(w.bob, a, task="Pay", scope=PAY, ttl="10m"),
    # By a grant to somebody else, which is there before.
    "delegate": lambda w, a: w.engine.accept(w.path.with_name("above").read_text()).delegate(
        a, scope=PAY, ttl="10m"
    ),
}


def every(step: Callable[[World, Any], Any]) -> Callable[[World, list[str]], None]:
    def all_of(world: World, agents: list[str]) -> None:
        for agent in agents:
            step(world, agent)

    return all_of


AGENT_STATES: dict[str, Callable[[World, list[str]], Any]] = {
    "active": lambda w, agents: None,
    "suspended": every(lambda w, a: w.engine.agents.suspend(a, reason="x")),
    "retired": every(lambda w, a: w.engine.agents.retire(a, reason="x")),
    "run out": lambda w, agents: w.engine.set_clock(LATER),
    "its owner left": lambda w, agents: w.engine.humans.offboard(w.alice, reason="x"),
    "halted": every(lambda w, a: w.engine.halt(agent=a, reason="x")),
    "revoked": every(lambda w, a: w.engine.revoke(a, reason="x")),
}

NAMED = {"issue": "for ever, retired or not", "unhalt": "is not halted"}
ACTIVE = {**NAMED, "resume": "active already", "transfer back": "belongs to them already"}
RETIRED = "is retired and can"
AGENTS: Table = {
    "active": ACTIVE,
    "suspended": {
        **NAMED,
        "suspend": "suspended already",
        "transfer back": "belongs to them already",
        "grant": "suspended and can hold no grant",
        "delegate": "suspended and can hold no grant",
    },
    "retired": {
        **NAMED,
        **dict.fromkeys(
            ["suspend", "resume", "rotate", "transfer", "transfer back", "renew", "retire"], RETIRED
        ),
        **dict.fromkeys(["grant", "delegate"], RETIRED),
    },
    "run out": {**ACTIVE, "grant": "term .* ended at", "delegate": "term .* ended at"},
    "its owner left": {
        **NAMED,
        "suspend": "suspended already",
        "resume": "owner .* has left",
        "renew": "owner .* has left",
        "transfer back": "has left",
        "grant": "suspended and can hold no grant",
        "delegate": "suspended and can hold no grant",
    },
    "halted": {
        "issue": "for ever, retired or not",
        "resume": "active already",
        "transfer back": "belongs to them already",
        "halt": "halted already",
    },
    "revoked": ACTIVE,
}


@pytest.mark.parametrize("state", AGENT_STATES)
def test_every_step_of_an_agent(tmp_path: Path, state: str) -> None:
    world = opened(tmp_path)
    agents = [
        world.engine.agents.issue(
            name.replace(" ", "-"), owner=world.alice, purpose="x", ceiling=[PAY], ttl="8h"
        ).id
        for name in AGENT
    ]
    carol = world.engine.humans.register("carol@example.com")
    top = world.engine.agents.issue("top", owner=carol, purpose="x", ceiling=[PAY], ttl="90d")
    above = world.engine.grant(carol, top, task="Pay", scope=PAY, ttl="60d", max_depth=1)
    world.path.with_name("above").write_text(above.token)
    AGENT_STATES[state](world, agents)
    held(world, state, AGENTS, AGENT, agents)
    world.engine.close()


# ------------------------------------------------------------------------------------- humans

HUMAN: dict[str, Step] = {
    "register": lambda w, h: w.engine.humans.register(account(w, h)),
    "offboard": lambda w, h: w.engine.humans.offboard(h, reason="x"),
    "succeed": lambda w, h: w.engine.humans.offboard(other(w), successor=h, reason="x"),
    "own": lambda w, h: w.engine.agents.issue(
        f"of-{h[4:12]}", owner=h, purpose="x", ceiling=[PAY], ttl="1h"
    ),
    "take over": lambda w, h: w.engine.agents.transfer(w.planner, owner=h),
    "grant": lambda w, h: w.engine.grant(h, w.booker, task="Pay", scope=PAY, ttl="10m"),
    "revoke": lambda w, h: w.engine.revoke(h, reason="x"),
    "halt": lambda w, h: w.engine.halt(owner=h, reason="x"),
    "unhalt": lambda w, h: w.engine.unhalt(owner=h),
    "act": lambda w, h: w.engine.rotate_checkpoint_key(reason="x", by=h),
    "attest": lambda w, h: w.engine.review().attest(note="seen", by=h),
}


def account(world: World, human: str) -> str:
    return world.engine.humans.get(human).account


def other(world: World) -> ans.Human:
    return world.engine.humans.register(f"o{len(world.engine.trail)}@example.com")


HUMAN_STATES: dict[str, Callable[[World, list[str]], Any]] = {
    "here": lambda w, humans: None,
    "left": every(lambda w, h: w.engine.humans.offboard(h, reason="x")),
    "halted": every(lambda w, h: w.engine.halt(owner=h, reason="x")),
    "revoked": every(lambda w, h: w.engine.revoke(h, reason="x")),
}

HERE = {"register": "registered already", "unhalt": "is not halted"}
HUMANS: Table = {
    "here": HERE,
    "left": {
        "offboard": "already",
        "unhalt": "is not halted",
        **dict.fromkeys(["succeed", "own", "take over", "grant", "act", "attest"], "has left"),
    },
    "halted": {"register": "registered already", "halt": "halted already"},
    "revoked": HERE,
}


@pytest.mark.parametrize("state", HUMAN_STATES)
def test_every_step_of_a_human(tmp_path: Path, state: str) -> None:
    world = opened(tmp_path)
    humans = [world.engine.humans.register(f"h{n}@example.com").id for n in range(len(HUMAN))]
    HUMAN_STATES[state](world, humans)
    # Whose successor somebody shall be is registered before the step.
    place = list(HUMAN).index("succeed")
    leaver = other(world)
    steps = {
        **HUMAN,
        "succeed": lambda w, h: w.engine.humans.offboard(leaver, successor=h, reason="x"),
    }
    assert list(steps)[place] == "succeed"
    held(world, state, HUMANS, steps, humans)
    world.engine.close()


# ------------------------------------------------------------------------- tasks, grants, halts

GRANT: dict[str, Step] = {
    "end": lambda w, g: w.engine.tasks.end(g.task, reason="x"),
    "revoke": lambda w, g: w.engine.revoke(g, reason="x"),
    "revoke its task": lambda w, g: w.engine.revoke(g.task, reason="x"),
    "ask for more": lambda w, g: w.engine.request_access(g, scope=PAY, reason="x", ttl="10m"),
    "delegate": lambda w, g: g.delegate(w.booker, scope=PAY, ttl="10m"),
    "grant for its task": lambda w, g: w.engine.grant(
        w.alice, w.planner, task=g.task, scope=PAY, ttl="10m"
    ),
}


def of_each(step: Callable[[World, ans.Grant], Any]) -> Callable[[World, list[ans.Grant]], None]:
    def all_of(world: World, grants: list[ans.Grant]) -> None:
        for grant in grants:
            step(world, grant)

    return all_of


GRANT_STATES: dict[str, Callable[[World, list[ans.Grant]], Any]] = {
    "in force": lambda w, grants: None,
    "run out": lambda w, grants: w.engine.set_clock("2026-11-24T10:00:00Z"),
    "revoked": of_each(lambda w, g: w.engine.revoke(g, reason="x")),
    "its task ended": of_each(lambda w, g: w.engine.tasks.end(g.task, reason="x")),
    "its task revoked": of_each(lambda w, g: w.engine.revoke(g.task, reason="x")),
    "its agent suspended": lambda w, grants: w.engine.agents.suspend(w.planner, reason="x"),
    "its human left": lambda w, grants: w.engine.humans.offboard(w.alice, reason="x"),
}
ENDED = dict.fromkeys(["end", "revoke its task", "grant for its task"], "has ended")
SUSPENDED = dict.fromkeys(["ask for more", "grant for its task"], "suspended and can hold no grant")
GRANTS: Table = {
    "in force": {},
    "run out": {"ask for more": "expired at", "delegate": "beyond its parent's"},
    "revoked": {"revoke": "revoked already", "ask for more": "was revoked"},
    "its task ended": {**ENDED, "ask for more": "has ended"},
    "its task revoked": {**ENDED, "ask for more": "has ended"},
    "its agent suspended": SUSPENDED,
    "its human left": {**SUSPENDED, "delegate": "suspended and can hold no grant"},
}


@pytest.mark.parametrize("state", GRANT_STATES)
def test_every_step_of_a_grant_and_its_task(tmp_path: Path, state: str) -> None:
    world = opened(tmp_path)
    grants = [world.grant() for _ in GRANT]
    GRANT_STATES[state](world, grants)
    children: list[ans.Grant] = []
    steps = {**GRANT, "delegate": lambda w, g: children.append(GRANT["delegate"](w, g))}
    held(world, state, GRANTS, steps, grants)
    # A hop can be signed elsewhere at any time: what ended is felt by the calls under it.
    assert {world.code(child) == "allow" for child in children} <= {state == "in force"}
    world.engine.close()


def test_every_step_of_a_halt(tmp_path: Path) -> None:
    world = opened(tmp_path)
    engine = world.engine
    targets: Iterable[dict[str, Any]] = (
        {},
        {"tool": "pay.*"},
        {"agent": world.planner},
        {"owner": world.alice},
    )
    for target in targets:
        for again in range(2):
            with pytest.raises(ans.IllegalTransition, match="not halted"):
                engine.unhalt(**target)
            engine.halt(reason="x", **target)
            with pytest.raises(ans.IllegalTransition, match="halted already"):
                engine.halt(reason="x", **target)
            assert len(engine.halts()) == 1, again
            engine.unhalt(**target)
    engine.close()


# ---------------------------------------------------------------------------------- approvals

ANSWER: dict[str, Step] = {
    "approve": lambda w, a: w.engine.approvals.approve(a, by=w.bob),
    "refuse": lambda w, a: w.engine.approvals.refuse(a, by=w.bob),
}


@pytest.mark.parametrize("state", ["pending", "used", "refused", "expired", "ended"])
def test_every_answer_to_an_approval(tmp_path: Path, state: str) -> None:
    world = World(tmp_path / "store", clock=START, approval_ttl="20m")
    engine = world.engine
    asked = [
        engine.request_access(
            world.grant(), scope=ans.allow(f"pay.n{n}"), reason="paid twice", ttl="20m"
        )
        for n in range(2)
    ]
    for one in asked:
        if state == "used":
            engine.approvals.approve(one, by=world.bob)
        elif state == "refused":
            engine.approvals.refuse(one, by=world.bob)
    if state == "expired":
        engine.set_clock("2026-11-24T08:30:00Z")
    elif state == "ended":
        engine.agents.retire(world.planner, reason="x")
    assert [one.status for one in asked] == [state] * 2
    table = {state: {} if state == "pending" else dict.fromkeys(ANSWER, f"is {state} and cannot")}
    held(world, state, table, ANSWER, asked)
    engine.close()
