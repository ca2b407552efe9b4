"""Who, with what, for what: the facts of a trail that are not calls, put together from its entries.

Entries come as their JSON, from an engine or from a file alike.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from answerable.errors import InvalidInput

__all__ = ["AgentFacts", "ApprovalFacts", "Book", "GrantFacts", "HumanFacts", "TaskFacts"]

F = TypeVar("F")
FAR = datetime.max.replace(tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GRANTS = (
    *("index", "grant", "digest", "parent", "depth", "from", "until", "offline"),
    *("human", "issuer", "agent", "task", "scope", "limits"),
)
ERASED = "(erased)"


@dataclass(slots=True)
class HumanFacts:
    """A human, as registered."""

    id: str
    account: str = ERASED
    name: str | None = None
    issuer: str = ""
    assurance: str = ""
    left: datetime | None = None

    @property
    def label(self) -> str:
        """What people call them."""
        return self.name or self.account


@dataclass(slots=True)
class AgentFacts:
    """An agent, as it stands at the end of the trail."""

    id: str
    name: str
    owner: str
    purpose: str
    ceiling: list[dict[str, Any]]
    issued: datetime
    until: datetime
    status: str = "active"
    keys: list[str] = field(default_factory=list)


@dataclass(slots=True)
class GrantFacts:
    """A grant; `scope` as it is signed, empty once erased."""

    id: str
    digest: str
    parent: str | None
    human: str
    issuer: str
    agent: str
    task: str
    depth: int
    start: datetime
    until: datetime
    index: int
    offline: bool
    scope: list[dict[str, Any]]
    limits: list[Any]
    ended: datetime = FAR


@dataclass(slots=True)
class TaskFacts:
    """A task and its sentence."""

    id: str
    human: str
    sentence: str | None
    opened: datetime
    ended: datetime | None = None


@dataclass(slots=True)
class ApprovalFacts:
    """What a human was asked, and the answer."""

    id: str
    purpose: str
    tool: str
    human: str
    agent: str
    task: str
    asked: datetime
    until: datetime
    decision: str | None
    answer: str | None = None
    answered: datetime | None = None
    by: str | None = None


class Book:
    """The parties, grants and tasks of a trail, by their ids.

    Args:
        entries: The entries that are neither decisions nor outcomes, in the order of the trail:
            their index, leaf and values, as JSON has them.
        grants: Grants as columns, where they are not among the entries.
    """

    def __init__(self, entries: Iterable[dict[str, Any]], grants: Any = None) -> None:
        self.humans: dict[str, HumanFacts] = {}
        self.agents: dict[str, AgentFacts] = {}
        self.grants: dict[str, GrantFacts] = {}
        self.by_digest: dict[str, GrantFacts] = {}
        self.tasks: dict[str, TaskFacts] = {}
        self.approvals: dict[str, ApprovalFacts] = {}
        self.size = 0
        self._ends: list[tuple[int, datetime, str, str]] = []
        for entry in entries:
            self._take(entry)
            self.size += 1
        if grants is not None:
            self._take_grants(grants)
            self.size += grants.num_rows
        self._end_grants()

    # ------------------------------------------------------------------------------ looking up

    def human(self, text: Any) -> HumanFacts:
        """A human, by value, id, account or unique name.

        Raises:
            InvalidInput: Nobody goes by that, or several do.
        """
        facts = self.humans.get(_id(text))
        if facts is not None:
            return facts
        known = self.humans.values()
        named = [one for one in known if _id(text) in (one.account, one.name)]
        return _only(named, text, "human")

    def agent(self, text: Any) -> AgentFacts:
        """An agent, by value, id, name or one of its public keys.

        Raises:
            InvalidInput: No agent goes by that, or several do.
        """
        facts = self.agents.get(_id(text))
        if facts is not None:
            return facts
        named = [a for a in self.agents.values() if a.name == _id(text) or _id(text) in a.keys]
        return _only(named, text, "agent")

    def grant(self, text: Any) -> GrantFacts:
        """A grant, by value or id.

        Raises:
            InvalidInput: There is no such grant.
        """
        facts = self.grants.get(_id(text))
        return _only([] if facts is None else [facts], text, "grant")

    def label(self, id_: str | None) -> str:
        """What a party is called; its id where nothing else is known."""
        if id_ in self.humans:
            return self.humans[id_].label
        if id_ in self.agents:
            return self.agents[id_].name
        return "" if id_ is None else id_

    def sentence(self, task: str | None) -> str | None:
        """What a task was stated for."""
        facts = self.tasks.get(task or "")
        return None if facts is None else facts.sentence

    def chain(self, grant: GrantFacts) -> list[GrantFacts]:
        """The grants from the root's to this one."""
        chain = [grant]
        while chain[-1].parent is not None and chain[-1].parent in self.by_digest:
            chain.append(self.by_digest[chain[-1].parent])
        return chain[::-1]

    def below(self, grant: GrantFacts) -> Iterator[GrantFacts]:
        """The grants that were made under one, itself first."""
        yield grant
        within = {grant.digest}
        for other in self.grants.values():
            if other.parent in within:
                within.add(other.digest)
                yield other

    # ------------------------------------------------------------------------------ reading

    def _take(self, entry: dict[str, Any]) -> None:
        leaf, values = entry["leaf"], entry["values"]
        match leaf.get("kind"):
            case "grant":
                self._grant(entry["index"], leaf, values)
            case "task":
                self._task(entry["index"], leaf, values)
            case "identity":
                self._identity(entry["index"], leaf, values)
            case "revocation":
                target = str(leaf.get("target"))
                ended = leaf.get("digest") if target == "grant" else leaf.get(target)
                self._ends.append((entry["index"], _at(leaf), target, str(_plain(ended))))
            case "approval":
                self._approval(leaf)

    def _grant(self, index: int, leaf: dict[str, Any], values: dict[str, Any]) -> None:
        signed = _signed(values.get("token"))
        facts = GrantFacts(
            id=leaf["grant"],
            digest=_plain(leaf["digest"]),
            parent=_plain(leaf.get("parent")),
            human=leaf["human"],
            issuer=leaf["issuer"],
            agent=leaf["agent"],
            task=leaf["task"],
            depth=leaf["depth"],
            start=_time(leaf["from"]),
            until=_time(leaf["until"]),
            index=index,
            offline=leaf.get("offline") is True,
            scope=signed.get("scope", []),
            limits=signed.get("limits", []),
        )
        self._keep(facts)

    def _keep(self, facts: GrantFacts) -> None:
        # An id belongs to the first grant that was recorded with it.
        self.grants.setdefault(facts.id, facts)
        self.by_digest.setdefault(facts.digest, facts)

    def _take_grants(self, table: Any) -> None:
        """Grants from their columns; scopes that say the same are one list."""
        parsed: dict[str, Any] = {}
        for batch in table.to_batches():
            columns = {name: batch[name] for name in GRANTS}
            signed = {name: _parsed(columns.pop(name), parsed) for name in ("scope", "limits")}
            for name in ("from", "until"):
                columns[name] = columns[name].cast("int64")
            told = [one.to_pylist() for one in columns.values()]
            rows = zip(*told, *signed.values(), strict=True)
            for index, id_, digest, parent, depth, start, until, offline, *words in rows:
                human, issuer, agent, task, scope, limits = words
                self._keep(
                    GrantFacts(
                        id=id_,
                        digest=digest,
                        parent=parent,
                        human=human,
                        issuer=issuer,
                        agent=agent,
                        task=task,
                        depth=depth,
                        start=EPOCH + timedelta(microseconds=start),
                        until=EPOCH + timedelta(microseconds=until),
                        index=index,
                        offline=offline,
                        scope=scope,
                        limits=limits,
                    )
                )

    def _task(self, index: int, leaf: dict[str, Any], values: dict[str, Any]) -> None:
        if leaf.get("action") == "opened":
            sentence = values.get("sentence")
            self.tasks[leaf["task"]] = TaskFacts(
                leaf["task"], leaf["human"], sentence, opened=_at(leaf)
            )
        elif leaf.get("action") == "ended":
            self._ends.append((index, _at(leaf), "task", leaf["task"]))
            if leaf["task"] in self.tasks:
                self.tasks[leaf["task"]].ended = _at(leaf)

    def _identity(self, index: int, leaf: dict[str, Any], values: dict[str, Any]) -> None:
        human, action = leaf.get("human", ""), leaf.get("action")
        agent = self.agents.get(leaf.get("agent", ""))
        if action == "registered":
            named = {name: values.get(name) for name in ("account", "name", "issuer")}
            self.humans[human] = HumanFacts(
                human,
                account=named["account"] or ERASED,
                name=named["name"],
                issuer=named["issuer"] or "",
                assurance=leaf.get("assurance", ""),
            )
        elif action == "offboarded" and human in self.humans:
            self.humans[human].left = _at(leaf)
            self._ends.append((index, _at(leaf), "human", human))
        elif action == "issued":
            self.agents[leaf["agent"]] = AgentFacts(
                leaf["agent"],
                name=values.get("name", ERASED),
                owner=human,
                purpose=values.get("purpose", ERASED),
                ceiling=values.get("ceiling", []),
                issued=_at(leaf),
                until=_time(leaf["until"]),
                keys=[leaf["key"]],
            )
        elif agent is None:
            return
        elif action in ("suspended", "resumed", "retired"):
            agent.status = "active" if action == "resumed" else str(action)
            if action == "retired":
                self._ends.append((index, _at(leaf), "agent", agent.id))
        elif action == "rotated":
            agent.keys.append(leaf["key"])
        elif action == "renewed":
            agent.until = _time(leaf["until"])
        elif action == "transferred":
            agent.owner = human

    def _approval(self, leaf: dict[str, Any]) -> None:
        known = self.approvals.get(leaf.get("approval", ""))
        if leaf.get("action") == "asked":
            self.approvals[leaf["approval"]] = ApprovalFacts(
                leaf["approval"],
                purpose=leaf.get("purpose", ""),
                tool=leaf.get("tool", ""),
                human=leaf.get("human", ""),
                agent=leaf.get("agent", ""),
                task=leaf.get("task", ""),
                asked=_at(leaf),
                until=_time(leaf["until"]),
                decision=leaf.get("decision"),
            )
        elif known is not None and known.answered is None:
            known.answer = str(leaf.get("action"))
            known.answered, known.by = _at(leaf), leaf.get("by")

    def _end_grants(self) -> None:
        """When each grant ended, by what was recorded: its own end, or that of one it hangs on."""
        whole: dict[tuple[str, str], list[tuple[int, datetime]]] = {}
        for index, at, target, what in self._ends:
            whole.setdefault((target, what), []).append((index, at))
        for grant in self.grants.values():  # Parents stand before their children.
            ends = [grant.until]
            ends += [at for _, at in whole.get(("grant", grant.digest), [])]
            ends += [at for _, at in whole.get(("task", grant.task), [])]
            for target, what in (("agent", grant.agent), ("human", grant.human)):
                ends += [
                    at
                    for index, at in whole.get((target, what), [])
                    if grant.index < index or grant.offline
                ]
            if grant.parent in self.by_digest:
                ends.append(self.by_digest[grant.parent].ended)
            grant.ended = min(ends)


def _parsed(column: Any, parsed: dict[str, Any]) -> list[Any]:
    """JSON texts, each parsed once."""
    words = column.dictionary.to_pylist()
    for text in words:
        if text not in parsed:
            parsed[text] = json.loads(text)
    known = [parsed[text] for text in words]
    return [known[code] for code in column.indices.to_pylist()]


def _signed(token: Any) -> dict[str, Any]:
    """What a token says. Read, not verified: that is `ans.verify`'s to do."""
    if not isinstance(token, str) or token.count(".") < 2:
        return {}
    body = token.split(".", 3)[2]
    try:
        read = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))[:-64])
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _plain(value: Any) -> Any:
    """A value of the JSON rendering without the name of its type."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if key.startswith("$"):
            return inner
    return value


def _time(value: Any) -> datetime:
    return datetime.fromisoformat(_plain(value))


def _at(leaf: dict[str, Any]) -> datetime:
    return _time(leaf["at"])


def _id(value: Any) -> str:
    """An id, of a value of the engine or as text."""
    return str(getattr(value, "id", value))


def _only(found: list[F], text: Any, what: str) -> F:
    if len(found) == 1:
        return found[0]
    from answerable._core import shown

    many = f"several {what}s are called" if found else f"there is no {what}"
    raise InvalidInput(f"{many} `{shown(_id(text), 100)}`", hint=f"give the {what}'s id")
