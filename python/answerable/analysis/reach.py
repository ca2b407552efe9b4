"""What an agent could do, what it did, and what it never needed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from answerable.analysis.answer import Answer
from answerable.analysis.book import AgentFacts, Book, GrantFacts
from answerable.analysis.code import as_cedar, as_python
from answerable.analysis.patterns import covers_tool, drawn
from answerable.analysis.questions import COUNT, TEXT, TEXTS, TIME, grouped, runs, words
from answerable.analysis.record import Calls, Record, covered, record_of

__all__ = ["Narrowing", "blast_radius", "unused"]

# How a capability is told apart from another: by all that is signed of it.
Key = str


@dataclass(slots=True)
class Held:
    """One capability of an agent, over all the grants that held it."""

    capability: dict[str, Any]
    grants: int = 0
    first: datetime | None = None
    until: datetime | None = None
    allowed: int = 0
    refused: int = 0
    resources: int = 0
    last: datetime | None = None
    used: dict[str, list[str | None]] = field(default_factory=dict)

    def add(self, tool: str | None, used: Any) -> None:
        """Counts some calls of one tool."""
        if not used.num_rows:
            return
        allowed = used.filter(used["allowed"])
        count = pc.sum(allowed["calls"]).as_py() or 0
        self.allowed += count
        self.refused += (pc.sum(used["calls"]).as_py() or 0) - count
        if count:
            resources = allowed["resource"].to_pylist()
            newest = pc.max(allowed["last"]).as_py()
            self.resources += sum(resource is not None for resource in resources)
            self.last = newest if self.last is None else max(self.last, newest)
            self.used.setdefault(tool or "", []).extend(resources)


def blast_radius(source: Any, agent: Any, *, at: Any = None, since: Any = None) -> Answer:
    """What an agent, or a leaked key, could have done, and what it did.

    Could: each capability of the grants that it held, whether or not it used them. Policies and
    limits may have allowed less. Did: the calls that it made itself under each; what agents below
    it did is told beside.

    Args:
        source: An engine, a record, an exported file or a folder.
        agent: The agent, by value, id or name; or one of its public keys, `k4.public.…`.
        at: Only grants in force at this moment.
        since: Only grants in force since then, and calls since then.
    """
    record = record_of(source)
    book = record.near(agent=agent)
    facts = book.agent(agent)
    moment = None if at is None else record.moment(at)
    start = None if since is None else record.moment(since)
    grants = [
        grant
        for grant in book.grants.values()
        if grant.agent == facts.id
        and (moment is None or grant.start <= moment < grant.ended)
        and (start is None or grant.ended > start)
    ]
    held = _held(grants)
    through = record.select(via=facts.id, since=since)
    own = through.where(pc.equal(through["agent"], facts.id))
    outside = Held({"tool": "(under no grant that it held)"})
    made = _used(own)
    _count(held, outside, made)
    rows = [_row(one) for one in [*held, outside] if one.grants or one.allowed or one.refused]
    rows.sort(key=lambda row: (-row["allowed"], row["may"]))
    others = through.where(pc.not_equal(through["agent"], facts.id))
    helpers = grouped(others, ["agent_name", "agent", "tool"])
    end = record.end
    standing = sum(grant.start <= end < grant.ended for grant in grants)
    humans = {grant.human for grant in grants}
    no = sum(one.refused for one in [*held, outside])
    ceiling = ", ".join(words(one) for one in facts.ceiling) or "(erased)"
    sentence = (
        f"{facts.name} ({facts.status}) held {len(grants):,} grants in the name of {len(humans)} "
        f"{'human' if len(humans) == 1 else 'humans'}, {standing} of them still in force at the "
        f"end. It made {len(own):,} calls, {no:,} of them refused; agents below it made "
        f"{len(others):,} more."
    )
    notes = [
        f"whoever has its key can use what it holds and sign grants within it; never beyond its "
        f"ceiling: {ceiling}",
        "arguments, limits and policies may have allowed less than is told here",
    ]
    schema: dict[str, Any] = {"may": TEXT, "grants": COUNT, "from": TIME, "until": TIME}
    schema |= {"allowed": COUNT, "refused": COUNT, "resources": COUNT, "last_allowed": TIME}
    schema |= {"tool": TEXT, "resource": TEXTS}
    more = {"did": made, "below": pa.Table.from_pylist(helpers) if helpers else pa.table({})}
    hidden = ["tool", "resource"]
    asked = f"blast radius of {facts.name}"
    return Answer(asked, sentence, rows, schema, notes=notes, more=more, hidden=hidden)


class Narrowing(Answer):
    """What was granted and never used, with the scope that would have been enough.

    Attributes:
        suggested: The narrower scope of each agent by its name, as it would be signed.
    """

    suggested: dict[str, list[dict[str, Any]]]
    _tools: dict[str, list[str]]

    def code(self, agent: str | None = None) -> str:
        """The suggested scopes as Python, of one agent or of all."""
        parts = []
        for name in self._names(agent):
            lines = [f"    {as_python(one)}," for one in self.suggested[name]]
            parts.append("\n".join([f"# {_comment(name)}", "scope = [", *lines, "]"]))
        return "\n\n".join(parts)

    def policy(self, agent: str | None = None) -> str:
        """The suggested scopes as Cedar permits, of one agent or of all."""
        return "\n\n".join(
            as_cedar(name, one, self._tools[name], number)
            for name in self._names(agent)
            for number, one in enumerate(self.suggested[name], 1)
        )

    def _names(self, agent: str | None) -> list[str]:
        from answerable.errors import InvalidInput

        if agent is not None and agent not in self.suggested:
            raise InvalidInput("nothing is suggested for an agent of that name")
        return list(self.suggested) if agent is None else [agent]


def unused(source: Any, *, agent: Any = None, since: Any = None) -> Narrowing:
    """What was granted and never used, and a narrower scope that would have been enough.

    A capability counts as used by every allowed call that was made under a grant that holds it, by
    the agent itself or by one below it: narrowing the grant would have stopped either. Grants that
    ended before `since` and calls before it do not count. The suggestion covers each of these calls
    by tool and resource, lies within what was granted, and keeps its caveats and limits.

    Args:
        source: An engine, a record, an exported file or a folder.
        agent: This agent alone; all of them without it.
        since: The time that is looked at.
    """
    record = record_of(source)
    book = record.book
    only = None if agent is None else book.agent(agent)
    start = None if since is None else record.moment(since)
    by_agent: dict[str, list[GrantFacts]] = {}
    for grant in book.grants.values():
        if (start is None or grant.ended > start) and (only is None or grant.agent == only.id):
            by_agent.setdefault(grant.agent, []).append(grant)
    slices = _by_agent(record, since, only)
    rows: list[dict[str, Any]] = []
    suggested: dict[str, list[dict[str, Any]]] = {}
    tools: dict[str, list[str]] = {}
    for id_, grants in by_agent.items():
        facts = book.agents.get(id_)
        held = _held(grants)
        _count(held, Held({"tool": ""}), slices.get(id_), spread=True)
        name = facts.name if facts else id_
        name = name if name not in suggested else f"{name} ({id_})"
        narrowed = [_narrowed(one) for one in held]
        suggested[name] = _each_once(itertools.chain.from_iterable(narrowed))
        tools[name] = sorted({tool for one in held for tool in one.used})
        for one, narrower in zip(held, narrowed, strict=True):
            rows.append(
                {
                    "agent": name,
                    "owner": _owner(book, facts),
                    "may": words(one.capability),
                    "grants": one.grants,
                    "allowed": one.allowed,
                    "last_allowed": one.last,
                    "verdict": _verdict(one, narrower),
                    "enough": [as_python(capability) for capability in narrower],
                    "agent_id": id_,
                }
            )
    order = {"never used": 0, "wider than its use": 1, "used": 2}
    rows.sort(key=lambda row: (order[row["verdict"]], -row["grants"], row["agent"], row["may"]))
    never = sum(row["verdict"] == "never used" for row in rows)
    wider = sum(row["verdict"] == "wider than its use" for row in rows)
    held_by = {row["agent"] for row in rows}
    idle = len(held_by - {row["agent"] for row in rows if row["verdict"] != "never used"})
    unknown = sum(not grant.scope for grants in by_agent.values() for grant in grants)
    sentence = (
        f"Of {len(rows):,} capabilities that {len(suggested):,} agents held, {never:,} were never "
        f"used and {wider:,} are wider than their use; {idle:,} agents used nothing at all."
    )
    schema: dict[str, Any] = {"agent": TEXT, "owner": TEXT, "may": TEXT, "grants": COUNT}
    schema |= {"allowed": COUNT, "last_allowed": TIME, "verdict": TEXT, "enough": TEXTS}
    schema |= {"agent_id": TEXT}
    notes = [
        "what was not needed in this time may be needed at another: at the end of a quarter, or "
        "when something breaks"
    ]
    if unknown:
        notes.insert(0, f"the scopes of {unknown:,} grants are not shown: erased or withheld")
    made = Narrowing(
        "granted and never used", sentence, rows, schema, notes=notes, hidden=["agent_id"]
    )
    made.suggested, made._tools = {n: s for n, s in suggested.items() if s}, tools
    return made


# ------------------------------------------------------------------------------------ counting


def _held(grants: Iterable[GrantFacts]) -> list[Held]:
    """The capabilities of grants, each once, whatever its limits were.

    One that some grant held without limits is told without; else with those of the newest.
    """
    known: dict[Key, Held] = {}
    # Grants that were read together share the scopes that say the same: those are told apart once.
    # By identity, as long as the grants hold them.
    met: dict[int, list[tuple[Held, dict[str, Any]]]] = {}
    for grant in grants:
        start, end = grant.start, min(grant.ended, grant.until)
        ones = met.get(id(grant.scope))
        if ones is None:
            ones = met[id(grant.scope)] = [
                (known.setdefault(_key(signed), Held(signed)), signed) for signed in grant.scope
            ]
        for one, signed in ones:
            if one.grants and one.capability.get("limits"):
                one.capability = signed
            one.grants += 1
            if one.first is None or start < one.first:
                one.first = start
            if one.until is None or end > one.until:
                one.until = end
    return list(known.values())


def _key(signed: dict[str, Any]) -> Key:
    if len(signed) == 1:  # A tool alone, as most are.
        return str(signed["tool"])
    rest = {name: given for name, given in signed.items() if name != "limits"}
    return str(rest["tool"]) if len(rest) == 1 else json.dumps(rest, sort_keys=True)


def _used(calls: Calls) -> Any:
    """Calls by tool, resource and whether they were allowed."""
    allowed = pc.equal(calls["effect"], "allow")
    table = calls.table.select(["tool", "resource", "at"]).append_column("allowed", allowed)
    made = table.group_by(["tool", "resource", "allowed"], use_threads=False).aggregate(
        [([], "count_all"), ("at", "min"), ("at", "max")]
    )
    names = {"count_all": "calls", "at_min": "first", "at_max": "last"}
    return made.rename_columns([names.get(name, name) for name in made.column_names])


def _count(held: list[Held], outside: Held, used: Any, *, spread: bool = False) -> None:
    """Counts calls for the first capability that covers each; with `spread` for all that do."""
    if used is None or not used.num_rows:
        return
    used = used.combine_chunks()
    tools = used["tool"].combine_chunks()
    codes = pc.fill_null(tools.indices, len(tools.dictionary)).to_numpy()
    order = np.argsort(codes, kind="stable")
    used, names = used.take(pa.array(order)), [*tools.dictionary.to_pylist(), None]
    for first, last in runs(codes[order]):
        tool, part = names[codes[order[first]]], used.slice(first, last - first)
        covering = [one for one in held if tool and covers_tool(one.capability["tool"], tool)]
        left = np.ones(len(part), dtype=bool)
        for one in covering:
            fit = covered(part["resource"], one.capability.get("resource"))
            one.add(tool, part.filter(pa.array(fit if spread else fit & left)))
            left &= ~fit
        outside.add(tool, part.filter(pa.array(left)))


def _by_agent(record: Record, since: Any, only: AgentFacts | None) -> dict[str, Any]:
    """What was allowed under the grants of each agent, itself or below it, by tool and resource."""
    calls = record.select(via=None if only is None else only.id, since=since)
    calls = calls.where(pc.equal(calls["effect"], "allow"))
    rows = calls.hops["row"]
    table = pa.table(
        {
            "holder": calls.hops["agent"],
            "tool": calls["tool"].take(rows),
            "resource": calls["resource"].take(rows).combine_chunks().dictionary_encode(),
            "at": calls["at"].take(rows),
        }
    )
    if only is not None:
        table = table.filter(pc.equal(table["holder"], only.id))
    made = table.group_by(["holder", "tool", "resource"], use_threads=False).aggregate(
        [([], "count_all"), ("at", "max")]
    )
    made = made.rename_columns(["holder", "tool", "resource", "calls", "last"])
    made = made.append_column("allowed", pa.array(np.ones(len(made), dtype=bool)))
    holders = made["holder"].combine_chunks()
    codes = holders.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    made, codes = made.take(pa.array(order)), codes[order]
    names = holders.dictionary.to_pylist()
    return {names[codes[a]]: made.slice(a, b - a) for a, b in runs(codes)}


def _narrowed(one: Held) -> list[dict[str, Any]]:
    """Capabilities within one that is held, that cover what was used under it."""
    made = []
    for tool, resources in sorted(one.used.items()):
        capability = {**one.capability, "tool": tool}
        named = [resource for resource in resources if resource is not None]
        if named and None not in resources:
            capability = {
                "tool": tool,
                "resource": drawn(named),
                **{k: v for k, v in one.capability.items() if k not in ("tool", "resource")},
            }
        made.append(capability)
    return _each_once(made)


def _each_once(capabilities: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    made: dict[Key, dict[str, Any]] = {}
    for capability in capabilities:
        made.setdefault(json.dumps(capability, sort_keys=True), capability)
    return list(made.values())


def _verdict(held: Held, narrower: list[dict[str, Any]]) -> str:
    if not narrower:
        return "never used"
    same = len(narrower) == 1 and narrower[0] == held.capability
    return "used" if same else "wider than its use"


def _row(held: Held) -> dict[str, Any]:
    capability = held.capability
    return {
        "may": words(capability) if held.grants else capability["tool"],
        "grants": held.grants,
        "from": held.first,
        "until": held.until,
        "allowed": held.allowed,
        "refused": held.refused,
        "resources": held.resources,
        "last_allowed": held.last,
        "tool": capability["tool"],
        "resource": capability.get("resource"),
    }


def _owner(book: Book, facts: AgentFacts | None) -> str | None:
    return None if facts is None else book.label(facts.owner)


def _comment(text: str) -> str:
    from answerable._core import shown

    return shown(text, 200)
