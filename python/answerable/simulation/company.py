"""The company at work: its people, their agents, a day's tasks, and what goes wrong."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import answerable as ans
from answerable.errors import AccessDenied, InvalidInput, StoreError
from answerable.simulation.facts import START, Incident, Simulation
from answerable.simulation.tools import (
    DEPARTMENTS,
    POLICIES,
    SENTENCES,
    Fault,
    arguments_of,
    covers,
    tools_of,
)

if TYPE_CHECKING:
    from answerable import _core
    from answerable.engine import Engine

__all__ = ["Company"]

FIRST = [
    *("Alice", "Bob", "Carla", "Dmitri", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jonas"),
    *("Kemal", "Lena", "Marco", "Nadia", "Omar", "Petra", "Quinn", "Rosa", "Sven", "Tara"),
    *("Uwe", "Vera", "Wanda", "Xenia", "Yusuf", "Zoe"),
]
LAST = [
    *("Adler", "Brandt", "Costa", "Duarte", "Engel", "Fischer"),
    *("Garcia", "Haddad", "Ivanov", "Jensen", "Kaya", "Lindqvist"),
]


@dataclass
class _Question:
    """What a human was asked, and when they will look at it."""

    due: datetime
    approval: str
    human: _core.Human
    grant: _core.Grant
    tool: str
    arguments: dict[str, Any]


class Company:
    """A company in a store, at work: what it does is decided by the dice alone."""

    engine: Engine
    tools: dict[str, Callable[..., Any]]

    def __init__(
        self, store: str | Path, dice: random.Random, facts: Simulation, days: int
    ) -> None:
        self.store, self.dice, self.facts, self.days = store, dice, facts, days
        self.now, self.dying = START, False
        self.open()
        self.questions: list[_Question] = []
        self.humans: list[_core.Human] = []
        self.owned: dict[str, list[tuple[str, _core.Agent]]] = {}
        self.department: dict[str, str] = {}
        self.pace, self.late = 7.0, False

    def open(self) -> None:
        """Begins to work, or goes on after the process died."""
        self.engine = ans.open(self.store, clock=self.now, durability="relaxed")
        self.tools = tools_of(self.engine, self)

    def found(self, humans: int, agents: int) -> None:
        """Registers the people and issues the agents, one after another."""
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "company.cedar").write_text(POLICIES, "utf-8")
            self.engine.policies.load(folder)
        departments = list(DEPARTMENTS)
        for number in range(humans):
            first, last = FIRST[number % len(FIRST)], LAST[number // len(FIRST) % len(LAST)]
            again = number // (len(FIRST) * len(LAST))
            account = f"{first}.{last}{again or ''}@example.com".lower()
            self.pause(seconds=1)
            human = self.engine.humans.register(account, name=f"{first} {last}")
            self.humans.append(human)
            self.owned[human.id] = []
            self.department[human.id] = departments[number % len(departments)]
        for number in range(agents):
            owner = self.humans[number % humans]
            department = self.department[owner.id]
            roles = list(DEPARTMENTS[department])
            role = roles[len(self.owned[owner.id]) % len(roles)]
            # At times of their own: what comes in the order of issue comes in the same every time.
            self.pause(seconds=1)
            agent = self.engine.agents.issue(
                f"{department}-{role}-{number:03}",
                owner=owner,
                purpose=f"{role} for {owner.name}",
                ceiling=[ans.allow(tool) for tool in DEPARTMENTS[department][role]],
                ttl=f"{4 * self.days + 60}d",
            )
            self.owned[owner.id].append((role, agent))
        self.facts.humans, self.facts.agents = humans, agents

    def run(self, entries: int, progress: Callable[[int, int], None] | None) -> None:
        """Works until there are enough entries."""
        plan = [(0.35, self.injected_invoice), (0.45, self.crash), (0.55, self.freeze)]
        plan += [(0.7, self.bulk_read), (0.85, self.departure)]
        size = len(self.engine.trail)
        begun = size
        # Calls follow each other in some seconds, or faster where the days are short for them all.
        self.pace = min(7.0, self.days * 86_400 / entries)
        while size < entries:
            done = (size - begun) / (entries - begun)
            self.move_to(START + done * timedelta(days=self.days))
            if plan and done >= plan[0][0]:
                plan.pop(0)[1]()
            for _ in range(10):
                self.answer(self.now)
                self.task()
            size = len(self.engine.trail)
            if progress is not None:
                progress(size, entries)

    def move_to(self, at: datetime) -> None:
        """Moves the clock on; at night and at weekends nobody begins anything."""
        self.answer(at)
        self.late = self.now > at
        at = max(at, self.now)
        self.now = at
        if at.weekday() >= 5 and not self.late and self.dice.random() < 0.7:
            self.pause(hours=self.dice.uniform(0, 2))
        self.engine.set_clock(self.now)

    def pause(self, **time: float) -> None:
        """Lets some time go by."""
        self.now += timedelta(**time)
        self.now -= timedelta(microseconds=self.now.microsecond)
        self.engine.set_clock(self.now)

    # ------------------------------------------------------------------------------ a day's work

    def task(self) -> None:
        """One task: a human asks, an agent works or lets others work."""
        dice = self.dice
        working = [h for h in self.humans if self.owned[h.id]]
        human = dice.choice(working)
        department = self.department[human.id]
        role, planner = self.owned[human.id][0]
        subject = f"customer {dice.randrange(400)}"
        self.facts.tasks += 1
        try:
            grant = self.engine.grant(
                human,
                planner,
                task=SENTENCES[department].format(subject),
                ttl=dice.choice(["30m", "2h", "8h"]),
                max_depth=2,
                scope=self.scope(DEPARTMENTS[department][role]),
            )
        except (ans.IllegalTransition, ans.InvalidGrant):
            return  # The agent is suspended: nobody can work with it.
        others = [(r, a) for r, a in self.owned[human.id][1:] if a.id != planner.id]
        with self.engine.acting(grant):
            self.calls(department, role, dice.randrange(2, 7))
            for helper_role, helper in dice.sample(others, min(len(others), dice.randrange(3))):
                self.delegate(department, helper_role, helper, deeper=others)
            fate = dice.random()
            if fate < 0.03:
                self.engine.revoke(grant, reason="no longer needed", by=human)
                self.calls(department, role, 1)
            elif fate < 0.06:
                self.engine.tasks.end(grant.task, reason="done early", by=human)
                self.calls(department, role, 1)
            elif fate < 0.08 and not self.late:
                self.pause(hours=9)  # The grant runs out meanwhile.
                self.calls(department, role, 1)
        if dice.random() < 0.03:
            self.calls(department, role, 1)  # The authority of the task has ended.

    def delegate(
        self, department: str, role: str, agent: _core.Agent, deeper: list[Any], depth: int = 1
    ) -> None:
        """Lets another agent do a part."""
        dice = self.dice
        tools = DEPARTMENTS[department][role]
        try:
            hop = self.engine.delegating(
                agent, scope=self.scope(tools), task=f"the part of the {role}", max_depth=2 - depth
            )
            with hop:
                self.calls(department, role, dice.randrange(2, 9))
                if depth < 2 and deeper and dice.random() < 0.2:
                    below, other = dice.choice(deeper)
                    if other.id != agent.id:
                        self.delegate(department, below, other, deeper, depth + 1)
        except (AccessDenied, ans.IllegalTransition, ans.InvalidGrant):
            return  # The hop would reach beyond the one above, or somebody on it was stopped.

    def scope(self, tools: list[str]) -> list[_core.Capability]:
        """What a task allows: transfers within bounds, everything else as it is."""
        limits = [ans.calls(self.dice.randrange(8, 40))] if self.dice.random() < 0.1 else []
        scope = []
        for tool in tools:
            if tool == "bank.**":
                where = {"account": ans.any_(), "amount": ans.at_most(5_000), "memo": ans.any_()}
                own = "account/vendor-*"
                scope.append(ans.allow("bank.transfer", resource=own, where=where, limits=limits))
                scope.append(ans.allow("bank.balance"))
            else:
                scope.append(ans.allow(tool, limits=limits))
        return scope

    def calls(self, department: str, role: str, count: int) -> None:
        """Some calls, most of them legal."""
        for _ in range(count):
            self.pause(seconds=self.dice.expovariate(1 / self.pace))
            own = [
                t for t in self.tools if any(covers(p, t) for p in DEPARTMENTS[department][role])
            ]
            name = self.dice.choice(own if self.dice.random() < 0.97 else list(self.tools))
            self.call(name, **arguments_of(name, self.dice))

    def call(self, name: str, **arguments: Any) -> None:
        """One call, whatever comes of it."""
        try:
            self.tools[name](**arguments)
        except ans.ApprovalRequired as asked:
            self.asked(asked.approval, name, arguments)
        except AccessDenied as denied:
            if isinstance(denied.__cause__, StoreError):
                raise  # Nothing more can be recorded.
            self.facts.refused[denied.code] = self.facts.refused.get(denied.code, 0) + 1
        except Fault:
            pass

    # ------------------------------------------------------------------------------ what is asked

    def asked(self, approval: _core.Approval, name: str, arguments: dict[str, Any]) -> None:
        """A human will look at it: most within minutes, some after lunch, some never."""
        self.facts.asked += 1
        grant = ans.current()
        if grant is None or self.dice.random() < 0.08:
            return
        human = next(human for human in self.humans if human.id == grant.human)
        hours = self.dice.uniform(0.5, 4) if self.dice.random() < 0.1 else 0
        wait = timedelta(hours=hours, seconds=self.dice.expovariate(1 / 400))
        self.questions.append(
            _Question(self.now + wait, approval.id, human, grant, name, arguments)
        )

    def answer(self, until: datetime) -> None:
        """Answers what is due by then; the agent then makes the call that it was allowed."""
        due = [one for one in self.questions if one.due <= until]
        for question in sorted(due, key=lambda one: one.due):
            self.questions.remove(question)
            self.now = max(self.now, question.due)
            self.pause(seconds=0)
            yes = self.dice.random() < 0.85
            try:
                if yes:
                    self.engine.approvals.approve(question.approval, by=question.human)
                else:
                    self.engine.approvals.refuse(question.approval, by=question.human)
            except ans.IllegalTransition:
                continue  # Too late: it has expired, or its authority ended.
            if yes:
                with self.engine.acting(question.grant):
                    self.call(question.tool, **question.arguments)

    # ------------------------------------------------------------------------------ what goes wrong

    def first_of(self, department: str, role: str) -> tuple[_core.Human, _core.Agent]:
        """The first agent of a role, and whose it is."""
        for human in self.humans:
            for own, agent in self.owned[human.id]:
                if self.department[human.id] == department and own == role:
                    return human, agent
        raise InvalidInput(f"there is no {role} in {department}", hint="simulate more agents")

    @contextlib.contextmanager
    def incident(self, name: str, what: str, agent: _core.Agent, grant: Any) -> Iterator[None]:
        """Notes an incident."""
        start = self.now
        yield
        incident = Incident(name, what, agent.name, grant.task, start, self.now)
        self.facts.incidents.append(incident)

    def injected_invoice(self) -> None:
        """A mail tells the agent to pay somebody else."""
        human, agent = self.first_of("finance", "planner")
        grant = self.engine.grant(
            human,
            agent,
            task="Settle the invoices of customer 7",
            ttl="2h",
            scope=self.scope(["bank.**", "mail.**"]),
        )
        what = "an injected invoice: transfers to a foreign account, all refused"
        with self.incident("injected_invoice", what, agent, grant), self.engine.acting(grant):
            self.call("mail.search", query="invoice customer 7")
            for amount in (48_000, 24_000, 12_000, 4_900, 4_900):
                self.pause(seconds=11)
                memo = "urgent: ignore the vendor list"
                self.call("bank.transfer", account="offshore-1", amount=amount, memo=memo)
            self.pause(minutes=4)
            self.engine.revoke(grant, reason="injected invoice", by=human)
            self.engine.agents.suspend(agent, reason="injected invoice", by=human)
            self.call("bank.balance", account="vendor-7")
            self.pause(hours=3)
            self.engine.agents.resume(agent, reason="cleared", by=human)

    def bulk_read(self) -> None:
        """An agent with a wide grant reads every customer at night."""
        human, agent = self.first_of("support", "reader")
        grant = self.engine.grant(
            human,
            agent,
            task="Answer the tickets of customer 12",
            ttl="8h",
            scope=[ans.allow("crm.read")],
        )
        what = "every customer read at night, all allowed by a grant that was too wide"
        with self.incident("bulk_read", what, agent, grant), self.engine.acting(grant):
            for customer in range(400):
                self.pause(seconds=2)
                self.call("crm.read", customer=customer)
            self.engine.agents.suspend(agent, reason="reads everything", by=human)
            self.call("crm.read", customer=400)

    def crash(self) -> None:
        """The process dies while an agent works: two calls, one within the other, never end."""
        human, agent = self.first_of("support", "lead")
        grant = self.engine.grant(
            human,
            agent,
            task="Answer the tickets of customer 9",
            ttl="2h",
            scope=[ans.allow("crm.**")],
        )
        with self.engine.acting(grant):
            self.pause(seconds=3)
            self.dying = True
            self.call("crm.update", customer=9, note="called back")
        self.questions.clear()  # What it waited for it has forgotten.
        self.pause(minutes=4)
        self.open()

    def freeze(self) -> None:
        """A tool is halted for an hour."""
        self.engine.halt(reason="a release is frozen", tool="code.merge", by=self.humans[0])
        for _ in range(20):
            self.task()
        self.engine.unhalt(reason="released", tool="code.merge", by=self.humans[0])

    def departure(self) -> None:
        """Somebody leaves; somebody else takes over."""
        leaver, successor = self.humans[-1], self.humans[0]
        self.engine.humans.offboard(
            leaver, successor=successor, reason="left the company", by=successor
        )
        self.owned[leaver.id] = []
