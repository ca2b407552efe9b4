"""Random lives, every decision compared with a short model of dicts and sets."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import answerable as ans

sys.path.insert(0, str(Path(__file__).parents[1] / "attacks"))

from attacking import claims, fresh_id, sign

CASES = 10_000 if os.environ.get("ANSWERABLE_CASES") == "full" else 300
STEPS = 12
BATCH = 150
START = datetime(2026, 11, 24, tzinfo=UTC)
ALL = ans.allow("pay.*")


class Refused(Exception):
    """The model does not allow a step."""


def need(condition: bool) -> None:
    if not condition:
        raise Refused


class Model:
    """What should hold, in the plainest words. Times are whole seconds."""

    def __init__(self, now: int, root: int) -> None:
        self.now = now
        self.left: set[str] = set()
        self.human_cut: dict[str, int] = {}
        self.agents: dict[str, dict[str, Any]] = {}
        self.grants: dict[str, dict[str, Any]] = {}
        self.ended: set[str] = set()
        self.task_of: dict[str, str] = {}
        self.halted: set[tuple[str, str]] = set()
        self.keys = 0
        self.place = 0
        self.root = root
        self.root_until: dict[int, int] = {}

    def new_key(self) -> int:
        self.keys += 1
        return self.keys

    def order(self) -> int:
        """What happens later has a higher number."""
        self.place += 1
        return self.place

    def codes(self, name: str) -> set[str]:
        """Everything that speaks against a call under a grant."""
        chain = []
        grant: dict[str, Any] | None = self.grants[name]
        while grant:
            chain.append(grant)
            grant = self.grants.get(grant["parent"] or "")
        root = chain[-1]
        found = set()
        if ("everything", "") in self.halted or ("tool", "pay.*") in self.halted:
            found.add("halted")
        if ("owner", root["human"]) in self.halted:
            found.add("halted")
        if root["human"] in self.left:
            found.add("human_offboarded")
        elif root["made"] <= self.human_cut.get(root["human"], -1):
            found.add("revoked")
        if root["task"] in self.ended:
            found.add("task_ended")
        if self.now >= self.root_until.get(root["root"], self.now + 1):
            found.add("unknown_authority")
        for hop in chain:
            agent = self.agents[hop["agent"]]
            # A grant shown from elsewhere is known to be newer by its key alone.
            newest = max(hop["made"], agent["made"].get(hop["key"], -2))
            if hop["revoked"] or newest <= agent["cut"] != -1:
                found.add("revoked")
            if self.now >= hop["exp"]:
                found.add("expired")
            if agent["status"] != "active":
                found.add("agent_" + agent["status"])
            if self.now >= agent["expires"]:
                found.add("agent_expired")
            if agent["owner"] in self.left:
                found.add("owner_offboarded")
            if ("agent", hop["agent"]) in self.halted or ("owner", agent["owner"]) in self.halted:
                found.add("halted")
            if self.now >= agent["keys"].get(hop["key"], 0):
                found.add("holder_key_unknown")
        return found

    # Each step says what it needs, then what it changes.

    def living(self, name: str) -> dict[str, Any]:
        need(self.agents[name]["status"] != "retired")
        return self.agents[name]

    def suspend(self, name: str) -> None:
        need(self.living(name)["status"] == "active")
        self.agents[name]["status"] = "suspended"

    def resume(self, name: str) -> None:
        agent = self.living(name)
        need(agent["status"] == "suspended" and agent["owner"] not in self.left)
        agent["status"] = "active"

    def retire(self, name: str) -> None:
        agent = self.living(name)
        agent.update(status="retired", keys={agent["key"]: 1 << 60})

    def rotate(self, name: str, overlap: int | None) -> None:
        agent, key = self.living(name), self.new_key()
        if overlap is None:
            agent["keys"] = {}
        else:
            until = min(self.now + overlap, agent["expires"])
            agent["keys"][agent["key"]] = until
            agent["keys"] = {k: t for k, t in agent["keys"].items() if t > self.now}
        agent["key"] = key
        if not agent["own"]:
            agent["made"][key] = self.order()
        agent["keys"][key] = 1 << 60

    def transfer(self, name: str, owner: str) -> None:
        need(self.living(name)["owner"] != owner and owner not in self.left)
        self.agents[name]["owner"] = owner

    def renew(self, name: str, ttl: int) -> None:
        agent = self.living(name)
        need(agent["owner"] not in self.left and self.now + ttl > agent["expires"])
        agent["expires"] = self.now + ttl

    def may_hold(self, agent: dict[str, Any], until: int) -> None:
        need(agent["status"] == "active" and self.now < agent["expires"] >= until)

    def grant(self, name: str, human: str, holder: str, task: str, ttl: int) -> None:
        need(human not in self.left and task not in self.ended)
        need(self.task_of.setdefault(task, human) == human)
        agent = self.agents[holder]
        self.may_hold(agent, self.now + ttl)
        self.grants[name] = {
            "parent": None,
            "human": human,
            "agent": holder,
            "key": agent["key"],
            "made": self.order(),
            "exp": self.now + ttl,
            "task": task,
            "revoked": False,
            "depth": 0,
            "root": self.root,
        }

    def delegate(self, name: str, parent: str, holder: str, ttl: int, elsewhere: bool) -> None:
        above, agent = self.grants[parent], self.agents[holder]
        issuer = self.agents[above["agent"]]
        self.may_hold(agent, self.now + ttl)
        # A retired agent's secret keys are gone.
        need(issuer["own"] or (above["key"] in issuer["keys"] and issuer["status"] != "retired"))
        need(above["depth"] < 2 and self.now + ttl <= above["exp"])
        self.grants[name] = {
            **above,
            "parent": parent,
            "agent": holder,
            "key": agent["key"],
            "made": -2 if elsewhere else self.order(),
            "exp": self.now + ttl,
            "revoked": False,
            "depth": above["depth"] + 1,
        }

    def revoke(self, name: str) -> None:
        need(not self.grants[name]["revoked"])
        self.grants[name]["revoked"] = True

    def revoke_agent(self, name: str) -> None:
        self.agents[name]["cut"] = self.order()

    def revoke_human(self, name: str) -> None:
        self.human_cut[name] = self.order()

    def end(self, task: str) -> None:
        need(task not in self.ended)
        self.ended.add(task)

    def offboard(self, human: str, successor: str | None) -> None:
        need(human != successor and successor not in self.left)
        own = [a for a in self.agents.values() if a["owner"] == human and a["status"] != "retired"]
        need(human not in self.left or any(a["status"] == "active" for a in own))
        self.left.add(human)
        self.human_cut[human] = self.order()
        for agent in own:
            if successor is None:
                agent["status"] = "suspended"
            else:
                agent["owner"] = successor

    def halt(self, what: str, name: str) -> None:
        need((what, name) not in self.halted)
        self.halted.add((what, name))

    def unhalt(self, what: str, name: str) -> None:
        need((what, name) in self.halted)
        self.halted.remove((what, name))

    def rotate_root(self, overlap: int | None) -> None:
        self.root_until[self.root] = self.now + (overlap or 0)
        self.root += 1


class Life:
    """One random life in a shared engine, and its model."""

    def __init__(self, engine: ans.Engine, seed: int, now: int) -> None:
        self.engine, self.random = engine, random.Random(seed)
        self.model = Model(now, seed * 1_000)
        self.seed, self.log = seed, []
        self.humans = [engine.humans.register(f"{name}{seed}@x").id for name in "ab"]
        self.agents: list[str] = []
        self.tasks: list[str] = []
        self.grants: dict[str, ans.Grant] = {}
        self.secrets: dict[int, ans.SecretKey] = {}
        for name in "pqr":
            owner, ttl = self.random.choice(self.humans), 3_600 * self.random.randint(1, 9)
            key, secret = self.model.new_key(), self.secret(name == "p")
            agent = engine.agents.issue(
                f"{name}{seed}",
                owner=owner,
                purpose="x",
                ceiling=ALL,
                ttl=ttl,
                key=secret and secret.public,
            )
            self.agents.append(agent.id)
            self.model.agents[agent.id] = {
                "status": "active",
                "owner": owner,
                "expires": now + ttl,
                "cut": -1,
                "own": secret is not None,
                "made": {} if secret else {key: self.model.order()},
                "key": key,
                "keys": {key: 1 << 60},
            }

    def secret(self, own: bool) -> ans.SecretKey | None:
        """The newest key's secret half, where the agent keeps it."""
        if own:
            self.secrets[self.model.keys] = ans.SecretKey.generate()
        return self.secrets.get(self.model.keys)

    def rotate(self, agent: str, overlap: int | None) -> None:
        own = self.model.agents[agent]["own"]
        secret = self.secret(own) if self.model.agents[agent]["status"] != "retired" else None
        self.engine.agents.rotate(
            agent, overlap=overlap, key=(secret or ans.SecretKey.generate()).public if own else None
        )

    def step(self) -> None:
        pick = self.random.choice
        agent, human = pick(self.agents), pick(self.humans)
        grant = pick([*self.grants, ""])
        agents, model = self.engine.agents, self.model
        ttl = 60 * self.random.randint(1, 300)
        overlap = pick([None, 60 * self.random.randint(1, 60)])
        if not grant or self.random.random() < 0.3:
            return self.make(agent, human, grant, ttl)
        successor = pick([None, *self.humans])
        what = pick(["everything", "agent", "owner", "tool"])
        name = {"everything": "", "agent": agent, "owner": human, "tool": "pay.*"}[what]
        halts = {} if what == "everything" else {what: name}
        engine, held = self.engine, self.grants[grant]
        steps: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
            (lambda: model.suspend(agent), lambda: agents.suspend(agent, reason="x")),
            (lambda: model.resume(agent), lambda: agents.resume(agent)),
            (lambda: model.resume(agent), lambda: agents.resume(agent)),
            (lambda: model.retire(agent), lambda: agents.retire(agent, reason="x")),
            (
                lambda: model.rotate(agent, overlap),
                lambda: self.rotate(agent, overlap),
            ),
            (lambda: model.transfer(agent, human), lambda: agents.transfer(agent, owner=human)),
            (lambda: model.renew(agent, ttl), lambda: agents.renew(agent, ttl=ttl)),
            (
                lambda: model.revoke(grant),
                lambda: engine.revoke(pick([held, held.id, held.digest]), reason="x"),
            ),
            (lambda: model.revoke_agent(agent), lambda: engine.revoke(agent, reason="x")),
            (lambda: model.revoke_human(human), lambda: engine.revoke(human, reason="x")),
            (
                lambda: model.end(held.task),
                lambda: pick([engine.tasks.end, engine.revoke])(held.task, reason="x"),
            ),
            (
                lambda: model.offboard(human, successor),
                lambda: engine.humans.offboard(human, successor=successor, reason="x"),
            ),
            (lambda: model.halt(what, name), lambda: engine.halt(reason="x", **halts)),
            (lambda: model.unhalt(what, name), lambda: engine.unhalt(**halts)),
            (
                lambda: model.rotate_root(overlap),
                lambda: engine.rotate_authority(reason="x", overlap=overlap),
            ),
        ]
        return self.both(*steps[self.random.randrange(len(steps))])

    def make(self, agent: str, human: str, parent: str, ttl: int) -> None:
        name = f"g{len(self.grants)}-{self.random.random()}"
        task = self.random.choice([*self.tasks, f"task {name}"])

        secret = self.secrets.get(self.model.grants[parent]["key"]) if parent else None
        elsewhere = secret is not None and self.random.random() < 0.7

        def make() -> None:
            if parent:
                depth = 2 - self.grants[parent].depth - 1
                made = self.grants[parent].delegate(
                    agent, scope=ALL, ttl=ttl, max_depth=max(depth, 0), key=secret
                )
                if elsewhere and secret:
                    made = self.elsewhere(made, secret)
                self.grants[name] = made
            else:
                self.grants[name] = self.engine.grant(
                    human, agent, task=task, scope=ALL, ttl=ttl, max_depth=2
                )
                self.tasks.append(self.grants[name].task)
                self.model.grants[name]["task"] = self.grants[name].task
                self.model.task_of[self.grants[name].task] = human

        if parent:
            self.both(lambda: self.model.delegate(name, parent, agent, ttl, elsewhere), make)
        else:
            self.both(lambda: self.model.grant(name, human, agent, task, ttl), make)

    def elsewhere(self, made: ans.Grant, secret: ans.SecretKey) -> ans.Grant:
        """The same, signed where the engine does not see it, and dated ahead."""
        *above, last = made.token.split("~")
        payload = claims(last) | {"id": fresh_id()}
        end = datetime.fromisoformat(payload["exp"])
        ahead = timedelta(seconds=self.random.choice([0, 1, 29, 30]))
        start = min(START + timedelta(seconds=self.model.now) + ahead, end - timedelta(seconds=1))
        # Not before its parent, which may be dated ahead itself.
        start = max(start, datetime.fromisoformat(payload["iat"]))
        payload["iat"] = start.strftime("%Y-%m-%dT%H:%M:%SZ")
        authority = self.engine.agents.get(self.agents[0]).uri.split("/")[2]
        token = sign(secret, json.dumps(payload), f"answerable/v1/grant/{authority}")
        return self.engine.accept("~".join([*above, token]))

    def both(self, expected: Callable[[], Any], real: Callable[[], Any]) -> None:
        try:
            expected()
        except Refused:
            with pytest.raises((ans.IllegalTransition, ans.InvalidInput, ans.InvalidGrant)):
                real()
        else:
            real()

    def compare(self) -> int:
        for name, grant in self.grants.items():
            decision = self.engine.check("pay.out", arguments={}, grant=grant)
            found, expected = {r.code for r in decision.reasons}, self.model.codes(name)
            assert found == expected, (self.seed, name, found, expected)
            assert (decision.effect == "allow") == (not expected)
        return len(self.grants)


def lives(engine: ans.Engine, seeds: range) -> int:
    now, decisions = 0, 0
    for seed in seeds:
        life = Life(engine, seed, now)
        for _ in range(STEPS):
            life.step()
            if life.random.random() < 0.3:
                now += life.random.choice([1, 60, 1_800])
                engine.set_clock(START + timedelta(seconds=now))
                life.model.now = now
            decisions += life.compare()
        for what, name in life.model.halted:
            engine.unhalt(**({} if what == "everything" else {what: name}))
    return decisions


def test_every_decision_of_random_lives_is_the_models() -> None:
    # In memory where there is such a folder: what survives a power cut is tested elsewhere.
    shared = Path("/dev/shm")
    place = shared if os.access(shared, os.W_OK) else None
    decisions = 0
    for first in range(0, CASES, BATCH):
        with (
            tempfile.TemporaryDirectory(dir=place) as folder,
            ans.open(Path(folder) / "store", clock=START.isoformat()) as engine,
        ):
            decisions += lives(engine, range(first, min(first + BATCH, CASES)))
            assert engine.trail.verify()
    assert decisions > CASES * 10
