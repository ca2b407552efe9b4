"""A company that works with agents, simulated: a trail to look at, measure and practise on.

Humans with their agents, tasks, delegations, calls, refusals of every common cause, people who
leave, and two incidents. Every call runs through the guard and the engine; nothing is forged. The
clock of the engine is moved along, so that a month is over in a minute.

The same seed gives the same events at the same times. Ids, keys and salts are random in every
trail, as they must be.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import answerable as ans
from answerable.errors import AccessDenied, InvalidInput, StoreError

if TYPE_CHECKING:
    from answerable import _core
    from answerable.context import Engine

__all__ = ["Incident", "Simulation", "simulate"]

START = datetime(2026, 1, 5, 6, tzinfo=UTC)  # A Monday.
FIRST = [
    *("Alice", "Bob", "Carla", "Dmitri", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jonas"),
    *("Kemal", "Lena", "Marco", "Nadia", "Omar", "Petra", "Quinn", "Rosa", "Sven", "Tara"),
    *("Uwe", "Vera", "Wanda", "Xenia", "Yusuf", "Zoe"),
]
LAST = [
    *("Adler", "Brandt", "Costa", "Duarte", "Engel", "Fischer"),
    *("Garcia", "Haddad", "Ivanov", "Jensen", "Kaya", "Lindqvist"),
]

# Department: agents' roles, each with what they may use; the first plans and delegates.
DEPARTMENTS: dict[str, dict[str, list[str]]] = {
    "finance": {"planner": ["bank.**", "mail.**"], "payer": ["bank.**"], "clerk": ["mail.**"]},
    "support": {"lead": ["crm.**", "mail.**"], "reader": ["crm.read"], "writer": ["crm.**"]},
    "engineering": {"planner": ["code.**", "web.**"], "coder": ["code.**"], "scout": ["web.**"]},
    "sales": {"closer": ["crm.**", "mail.**", "web.**"], "mailer": ["mail.**"]},
    "people": {"assistant": ["hr.**", "mail.**"], "scheduler": ["mail.**"]},
}
SENTENCES = {
    "finance": "Settle the invoices of {}",
    "support": "Answer the tickets of {}",
    "engineering": "Fix the issues in {}",
    "sales": "Renew the contract with {}",
    "people": "Prepare the interviews for {}",
}


@dataclass(frozen=True)
class Incident:
    """What was planted, and where to find it.

    Attributes:
        name: Which one.
        what: What happened, in a sentence.
        agent: The agent's name.
        task: The task's id.
        start: When it began.
        end: When it was ended.
    """

    name: str
    what: str
    agent: str
    task: str
    start: datetime
    end: datetime


@dataclass
class Simulation:
    """What was simulated.

    Attributes:
        seed: The seed.
        entries: How many entries the trail has.
        humans: How many humans.
        agents: How many agents.
        tasks: How many tasks.
        start: When it began.
        end: When it ended.
        refused: Refusals by the code that decided.
        incidents: What was planted.
    """

    seed: int
    entries: int = 0
    humans: int = 0
    agents: int = 0
    tasks: int = 0
    start: datetime = START
    end: datetime = START
    refused: dict[str, int] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """The facts, for JSON."""
        return asdict(self)


def simulate(
    store: str | Path,
    *,
    entries: int = 200_000,
    seed: int = 1,
    humans: int = 50,
    agents: int = 300,
    days: int = 30,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Simulates a company into a new store.

    Args:
        store: A new folder.
        entries: About how many entries; at least 2,000.
        seed: Which company, which events.
        humans: How many humans, at least 5.
        agents: How many agents, at least 10.
        days: Over how many days.
        progress: Told now and then how many entries there are, of how many.

    Returns:
        What was simulated. The store is closed.

    Raises:
        InvalidInput: There is a store already, or a number is too small.

    Example:
        facts = simulate("./company", entries=20_000)
    """
    if (Path(store) / "FORMAT").exists():
        raise InvalidInput(f"there is a store in {store}", hint="simulate into a new folder")
    least = {"entries": (entries, 2000), "humans": (humans, 5), "agents": (agents, 10)}
    for name, (number, lowest) in {**least, "days": (days, 2)}.items():
        if number < lowest:
            raise InvalidInput(f"{name}={number} is too small", hint=f"at least {lowest}")
    with ans.open(store, clock=START, durability="relaxed") as engine:
        company = _Company(engine, random.Random(seed), Simulation(seed), days)
        company.found(humans, agents)
        company.run(entries, progress)
        facts = company.facts
        facts.entries, facts.end = len(engine.trail), company.now
    return facts


class _Fault(Exception):
    """What a tool raises."""


class _Company:
    def __init__(self, engine: Engine, dice: random.Random, facts: Simulation, days: int) -> None:
        self.engine, self.dice, self.facts, self.days = engine, dice, facts, days
        self.now = START
        self.tools = _tools(engine, self)
        self.humans: list[_core.Human] = []
        self.owned: dict[str, list[tuple[str, _core.Agent]]] = {}
        self.department: dict[str, str] = {}
        self.pace, self.late = 7.0, False

    def found(self, humans: int, agents: int) -> None:
        """Registers the people and issues the agents."""
        departments = list(DEPARTMENTS)
        for number in range(humans):
            first, last = FIRST[number % len(FIRST)], LAST[number // len(FIRST) % len(LAST)]
            again = number // (len(FIRST) * len(LAST))
            account = f"{first}.{last}{again or ''}@example.com".lower()
            human = self.engine.humans.register(account, name=f"{first} {last}")
            self.humans.append(human)
            self.owned[human.id] = []
            self.department[human.id] = departments[number % len(departments)]
        for number in range(agents):
            owner = self.humans[number % humans]
            department = self.department[owner.id]
            roles = list(DEPARTMENTS[department])
            role = roles[len(self.owned[owner.id]) % len(roles)]
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
        plan = [(0.35, self.injected_invoice), (0.55, self.freeze), (0.7, self.bulk_read)]
        plan.append((0.85, self.departure))
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
                self.task()
            size = len(self.engine.trail)
            if progress is not None:
                progress(size, entries)

    def move_to(self, at: datetime) -> None:
        """Moves the clock on; at night and at weekends nobody begins anything."""
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
                t for t in self.tools if any(_covers(p, t) for p in DEPARTMENTS[department][role])
            ]
            name = self.dice.choice(own if self.dice.random() < 0.97 else list(self.tools))
            self.call(name, **_arguments(name, self.dice))

    def call(self, name: str, **arguments: Any) -> None:
        """One call, whatever comes of it."""
        try:
            self.tools[name](**arguments)
        except AccessDenied as denied:
            if isinstance(denied.__cause__, StoreError):
                raise  # Nothing more can be recorded.
            self.facts.refused[denied.code] = self.facts.refused.get(denied.code, 0) + 1
        except _Fault:
            pass

    # ------------------------------------------------------------------------------ what goes wrong

    def first_of(self, department: str, role: str) -> tuple[_core.Human, _core.Agent]:
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


def _tools(engine: Engine, company: _Company) -> dict[str, Callable[..., Any]]:
    def work(result: Any = None) -> Any:
        if company.dice.random() < 0.02:
            raise _Fault("the other side did not answer")
        return result

    @ans.tool("bank.transfer", resource="account/{account}", record={"memo": "mask"}, engine=engine)
    def transfer(account: str, amount: int, memo: str = "") -> str:
        return str(work(f"paid {amount}"))

    @ans.tool("bank.balance", resource="account/{account}", engine=engine)
    def balance(account: str) -> int:
        return int(work(10_000))

    @ans.tool("mail.search", engine=engine)
    def search(query: str) -> int:
        return int(work(3))

    @ans.tool("mail.send", resource="mailbox/{to}", record={"body": "digest"}, engine=engine)
    def send(to: str, subject: str, body: str) -> None:
        work()

    @ans.tool("crm.read", resource="customer/{customer}", engine=engine)
    def read(customer: int) -> dict[str, Any]:
        return dict(work({"customer": customer, "open": 2}))

    @ans.tool("crm.update", resource="customer/{customer}", engine=engine)
    def update(customer: int, note: str) -> None:
        company.call("crm.read", customer=customer)  # A call within a call.
        work()

    @ans.tool("code.run", resource="repository/{repository}", engine=engine)
    def run(repository: str, command: str) -> int:
        return int(work(0))

    @ans.tool("code.merge", resource="repository/{repository}/{branch}", engine=engine)
    def merge(repository: str, branch: str) -> None:
        work()

    @ans.tool("web.fetch", resource="url:https://{host}/{page}", engine=engine)
    def fetch(host: str, page: str) -> str:
        return str(work("<html>"))

    @ans.tool("hr.read", resource="person/{person}", record={"return": "digest"}, engine=engine)
    def person(person: int) -> str:
        return str(work("an interview"))

    made = (transfer, balance, search, send, read, update, run, merge, fetch, person)
    names = (
        "bank.transfer bank.balance mail.search mail.send crm.read crm.update code.run code.merge"
    )
    return dict(zip([*names.split(), "web.fetch", "hr.read"], made, strict=True))


def _arguments(name: str, dice: random.Random) -> dict[str, Any]:
    """Arguments of a call: most of them within what grants allow."""
    vendor = f"vendor-{dice.randrange(60)}" if dice.random() < 0.985 else "private-1"
    customer, repository = dice.randrange(400), f"service-{dice.randrange(25)}"
    match name:
        case "bank.transfer":
            amount = dice.randrange(20, 4_000) if dice.random() < 0.98 else 9_000
            return {"account": vendor, "amount": amount, "memo": f"invoice {customer}"}
        case "bank.balance":
            return {"account": vendor}
        case "mail.search":
            return {"query": f"customer {customer}"}
        case "mail.send":
            to = f"customer-{customer}"
            return {"to": to, "subject": "Your request", "body": f"Dear customer {customer}, …"}
        case "crm.update":
            return {"customer": customer, "note": "called back"}
        case "code.run":
            return {"repository": repository, "command": "make test"}
        case "code.merge":
            return {"repository": repository, "branch": f"fix-{customer}"}
        case "web.fetch":
            return {"host": dice.choice(["docs.example.com", "news.example.org"]), "page": "index"}
        case "hr.read":
            return {"person": customer}
    return {"customer": customer}


def _covers(pattern: str, tool: str) -> bool:
    return pattern == tool or (pattern.endswith("**") and tool.startswith(pattern[:-2]))
