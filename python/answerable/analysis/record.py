"""A trail at one moment, as columns and facts: from an engine, an export, or a Parquet folder.

Calls are Arrow columns, so that no question goes through them one by one. What is not a call (who
the parties are, what was granted) is far less, and read into a `Book` when it is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from answerable.analysis.book import Book
from answerable.analysis.patterns import (
    KINDS,
    covers_tool,
    kind_of,
    meant,
    regex_of_resource,
)
from answerable.errors import InvalidInput
from answerable.keeping import create_own

__all__ = ["Calls", "Record", "covered", "read", "record_of", "told_path"]

# A line of an export that is neither a decision nor an outcome, or looks so: then it is parsed.
_OTHER = re.compile(rb'"kind":"(?!decision"|outcome")')
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

COLUMNS = [
    *("index", "id", "at", "human", "human_name", "agent", "agent_name", "via", "tool", "effect"),
    *("reason", "task", "policy", "outcome", "outcome_type", "resource", "parent", "duration_us"),
    "reasons",
]


@dataclass(frozen=True, slots=True)
class Calls:
    """Decisions as columns.

    Attributes:
        table: One row a decision, in the order of the trail.
        hops: One row for each agent on the chain of each of them: `row` in the table, `agent`,
            `agent_name`, `grant`.
    """

    table: Any
    hops: Any

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, name: str) -> Any:
        return self.table[name]

    def where(self, mask: Any) -> Calls:
        """Those for which the mask holds."""
        keep = _mask(mask)
        rows = self.hops["row"].to_numpy()
        place = np.cumsum(keep) - 1
        hops = self.hops.filter(pa.array(keep[rows]))
        hops = hops.set_column(0, "row", pa.array(place[rows[keep[rows]]]))
        return Calls(self.table.filter(pa.array(keep)), hops)

    def through(self, column: str, value: str) -> Any:
        """A mask of those with an agent, or a grant, anywhere on the chain."""
        found = self.hops["row"].filter(pc.equal(self.hops[column], value)).to_numpy()
        mask = np.zeros(len(self), dtype=bool)
        mask[found] = True
        return mask


def _mask(mask: Any) -> Any:
    if isinstance(mask, np.ndarray):
        return mask
    return pc.fill_null(mask, False).to_numpy(zero_copy_only=False)


class Record:
    """A trail at one moment: what the questions of `answerable.analysis` are asked of.

    Reading takes as long as a frame does; after that each question is quick. It holds what was
    disclosed in clear, as a frame does.

    Attributes:
        name: Where it came from.
        verified: What `ans.verify` reported, where it was asked for.
    """

    def __init__(
        self,
        name: str,
        calls: Callable[[], Calls],
        others: Callable[[], Iterator[dict[str, Any]]],
        details: Callable[[list[str]], dict[str, dict[str, Any]]],
        *,
        grants: Callable[[], Any] = lambda: None,
        engine: Any = None,
        verified: Any = None,
    ) -> None:
        self.name, self.engine, self.verified = name, engine, verified
        self._read_calls, self._read_others, self._details = calls, others, details
        self._read_grants = grants
        self._calls: Calls | None = None
        self._book: Book | None = None

    @property
    def calls(self) -> Calls:
        """Every decision."""
        if self._calls is None:
            self._calls = self._read_calls()
        return self._calls

    @property
    def book(self) -> Book:
        """Humans, agents, grants, tasks and approvals."""
        if self._book is None:
            try:
                self._book = Book(self._read_others(), self._read_grants())
            except InvalidInput:
                raise
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise InvalidInput(
                    f"an entry of {self.name} is not what an entry is: {type(error).__name__}",
                    hint="verify it first: ans.verify(file, authority) names every fault",
                ) from error
        return self._book

    def near(self, *, agent: Any = None, grant: Any = None) -> Book:
        """The book, or as much of it as is asked for: what an agent or the task of a grant holds.

        From an engine that is not read yet its indexes find that much; else all of it is there.
        """
        if self._book is not None or self.engine is None:
            return self.book
        trail = self.engine.trail
        few = [trail.entries(kind=kind) for kind in ("identity", "revocation")]
        few.append(trail.entries(kind="task", action="ended"))
        if grant is not None:
            id_ = getattr(grant, "id", grant)
            made = list(trail.entries(kind="grant", grant=id_))
            tasks = {entry.task for entry in made}
            few += [trail.entries(kind="grant", task=task) for task in tasks]
            return Book(_in_order(few))
        facts = Book(_in_order(few[:1])).agent(agent)
        known = {entry.index: entry for entry in trail.entries(kind="grant", agent=facts.id)}
        wanted = {entry.leaf.get("parent") for entry in known.values()} - {None}
        seen: set[bytes] = set()
        while wanted:  # What they hang on ends them.
            digest = wanted.pop()
            seen.add(digest)
            for entry in trail.entries(kind="grant", grant=digest.hex()):
                known[entry.index] = entry
                wanted |= {entry.leaf.get("parent")} - {None} - seen
        return Book(_in_order([*few, known.values()]))

    def details(self, entries: list[str]) -> dict[str, dict[str, Any]]:
        """Message and fix of refusals, by the id of the entry; what was erased is absent."""
        return self._details(entries)

    def sentences(
        self, tasks: list[str | None], *, human: Any = None
    ) -> dict[str | None, str | None]:
        """What tasks were stated for, by their ids; those of one human are found together."""
        if self._book is None and self.engine is not None and human is not None:
            opened = self.engine.trail.entries(kind="task", action="opened", human=human)
            stated = {entry.task: entry.values.get("sentence") for entry in opened}
            return {task: stated.get(task) for task in set(tasks)}
        if self._book is None and self.engine is not None:
            from answerable.errors import Error

            found: dict[str | None, str | None] = {}
            for task in {one for one in tasks if one}:
                try:
                    found[task] = self.engine.tasks.get(task).sentence
                except Error:  # It was told in another trail, or is not known any more.
                    found[task] = None
            return found
        return {task: self.book.sentence(task) for task in set(tasks)}

    def tools(self) -> list[str]:
        """The tools that were called, or tried, by name."""
        if self._calls is None and self.engine is not None:
            return [
                one for one in self.engine.trail.entries(kind="decision").count_by("tool") if one
            ]
        return [one for one in pc.unique(self.calls["tool"]).to_pylist() if one]

    @property
    def end(self) -> datetime:
        """When the newest call was decided; the beginning of time without any."""
        if self._calls is None and self.engine is not None:
            some = self.engine.trail.entries(kind="decision", order="newest")[:1]
            newest = some[0].at if some else None
        else:
            newest = pc.max(self.calls["at"]).as_py()
        return newest if newest is not None else datetime.min.replace(tzinfo=UTC)

    def moment(self, given: Any) -> datetime:
        """A moment: a time with a zone, its text, or a span before the newest call.

        Raises:
            InvalidInput: It is none of these.
        """
        if isinstance(given, timedelta):
            return self.end - given
        if isinstance(given, str) and (span := _SPAN.fullmatch(given)):
            return self.end - timedelta(**{_UNITS[span[2]]: float(span[1])})
        try:
            at = datetime.fromisoformat(given) if isinstance(given, str) else given
        except ValueError:
            at = None
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise InvalidInput(
                "that is no moment", hint='a time with a zone, its text, or a span such as "24h"'
            )
        return at

    def select(self, **asked: Any) -> Calls:
        """The calls that a filter asks for; the names are those of `engine.trail.entries`."""
        asked = {name: value for name, value in asked.items() if value is not None}
        # A span is one before the newest call, to an engine as to a file.
        for name in {"since", "until"} & set(asked):
            asked[name] = self.moment(asked[name])
        if self.engine is not None and self._calls is None and asked:
            # The engine's indexes find them without reading all.
            return calls_of(self.engine.trail.entries(kind="decision", **asked))
        calls = self.calls
        if (resource := meant(asked.get("tool"), asked.get("resource"))) is not None:
            asked["resource"] = resource
        for name, value in asked.items():
            calls = calls.where(self._mask(calls, name, value))
        return calls

    def _mask(self, calls: Calls, name: str, value: Any) -> Any:
        match name:
            case "human" if value == "none":
                return pc.equal(calls["human"], "none")
            case "human":
                return pc.equal(calls["human"], self.book.human(value).id)
            case "agent":
                return pc.equal(calls["agent"], self.book.agent(value).id)
            case "via":
                return calls.through("agent", self.book.agent(value).id)
            case "grant":
                return calls.through("grant", self.book.grant(value).id)
            case "task":
                return pc.equal(calls["task"], str(getattr(value, "id", value)))
            case "tool":
                meant = [one for one in self.tools() if covers_tool(value, one)]
                return pc.is_in(calls["tool"].cast(pa.string()), pa.array(meant, pa.string()))
            case "resource" if value == "**":
                return pc.is_valid(calls["resource"])
            case "resource":
                return _resources(calls["resource"], value)
            case "reason":
                reasons = calls["reasons"].combine_chunks()
                found = pc.list_parent_indices(reasons).filter(
                    pc.equal(pc.list_flatten(reasons), value)
                )
                mask = np.zeros(len(calls), dtype=bool)
                mask[found.to_numpy()] = True
                return mask
            case "since":
                return pc.greater_equal(calls["at"], _stamp(value))
            case "until":
                return pc.less(calls["at"], _stamp(value))
        return pc.equal(calls[name], value)

    def save(self, folder: str | Path) -> Path:
        """Writes it as a folder of Parquet files, which `read` reads.

        Raises:
            InvalidInput: The folder is there and not empty.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise InvalidInput(f"{folder} is not empty", hint="name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        refused = self.calls.table.filter(pc.not_equal(self.calls["effect"], "allow"))
        details = self.details(refused["id"].to_pylist())
        _write_frame(self.calls.table, folder / "calls.parquet")
        _write_frame(self.calls.hops, folder / "hops.parquet")
        others = [json.dumps(entry, separators=(",", ":")) for entry in self._read_others()]
        _write_frame(pa.table({"entry": pa.array(others, pa.string())}), folder / "other.parquet")
        grants = self._read_grants()
        if grants is not None:  # Else they are among the others.
            _write_frame(grants, folder / "grants.parquet")
        told = {
            "id": pa.array(list(details), pa.string()),
            "message": pa.array([one.get("message") for one in details.values()], pa.string()),
            "fix": pa.array([one.get("fix") for one in details.values()], pa.string()),
        }
        _write_frame(pa.table(told), folder / "details.parquet")
        return folder

    def __len__(self) -> int:
        return len(self.calls)

    def __repr__(self) -> str:
        from answerable._core import shown

        state = "verified" if self.verified is not None else "not verified"
        return f"<record of {len(self):,} calls from {shown(self.name, 100)}, {state}>"


def read(source: Any, *, authority: str | bool | None = None, since: Any = None) -> Record:
    """Reads a trail, to ask it questions: whole, as it is now.

    Args:
        source: An engine (also one that is attached to a running application), a file that
            `engine.trail.export` wrote, a folder that `Record.save` wrote, or a Parquet file of a
            frame of entries.
        authority: Verifies an export first, under this public key; `True` does so for an engine.
        since: Checkpoints that left the machine earlier, for the verification.

    Raises:
        TrailCorrupted: What was to be verified has faults. The first question raises it too, where
            the file is by then another than the one that was verified.
        InvalidInput: There is nothing to read, or it is something else.

    Example:
        record = analysis.read("trail.jsonl", authority="k4.public.…")
        analysis.refusals(record, since="7d")
    """
    if isinstance(source, Record):
        return source
    if hasattr(source, "trail"):
        return _of_engine(source, source.trail.verify(since=since) if authority else None)
    path = Path(source)
    if path.is_dir() and (path / "calls.parquet").exists():
        made = _of_parquet(path)
    elif path.suffix == ".parquet" and path.is_file():
        made = _of_frame(path)
    elif path.is_dir() and (path / "FORMAT").exists():
        raise InvalidInput(f"{path} is a store", hint="open it: analysis.read(ans.open(path))")
    elif path.is_file():
        from answerable import _core
        from answerable.analysis.export import of_export

        if isinstance(authority, bool):
            raise InvalidInput("an export is verified under a key", hint="authority=k4.public.…")
        checked = None if authority is None else _core.verify(path, authority, since=since)
        return of_export(path, _OTHER, checked)
    else:
        raise InvalidInput(
            f"there is no trail in {path}", hint="an export, or a folder that Record.save wrote"
        )
    if authority is not None:
        raise InvalidInput(
            "a frame cannot be verified: it holds no proofs", hint="verify the export instead"
        )
    return made


def _write_frame(table: Any, path: Path) -> None:
    import pyarrow.parquet as pq

    with create_own(path) as file:
        pq.write_table(table, file)


def record_of(source: Any) -> Record:
    """The record to ask: as it is, or read from what was given."""
    return read(source)


def _of_engine(engine: Any, verified: Any) -> Record:
    trail = engine.trail

    def others() -> Iterator[dict[str, Any]]:
        apart = ("decision", "outcome", "grant")
        kinds = [kind for kind in trail.entries().count_by("kind") if kind not in apart]
        return _in_order(trail.entries(kind=kind) for kind in kinds)

    def details(entries: list[str]) -> dict[str, dict[str, Any]]:
        found = {}
        for entry in entries:
            detail = trail.get(entry).values.get("detail")
            if detail:
                found[entry] = detail[0]
        return found

    return Record(
        f"the store {told_path(Path(engine.path))}",
        lambda: calls_of(trail.entries(kind="decision")),
        others,
        details,
        grants=lambda: pa.table(trail._granted()),
        engine=engine,
        verified=verified,
    )


def _in_order(groups: Iterable[Iterable[Any]]) -> Iterator[dict[str, Any]]:
    """Entries in the order of the trail: what ends something is told from what came after it."""
    for _, text in sorted((entry.index, entry.json()) for group in groups for entry in group):
        yield json.loads(text)


def _of_parquet(folder: Path) -> Record:
    import pyarrow.parquet as pq

    def calls() -> Calls:
        return Calls(
            pq.read_table(folder / "calls.parquet").unify_dictionaries(),
            pq.read_table(folder / "hops.parquet").unify_dictionaries(),
        )

    def others() -> Iterator[dict[str, Any]]:
        for text in pq.read_table(folder / "other.parquet")["entry"].to_pylist():
            yield json.loads(text)

    def details(entries: list[str]) -> dict[str, dict[str, Any]]:
        table = pq.read_table(folder / "details.parquet")
        wanted = table.filter(pc.is_in(table["id"], pa.array(entries, pa.string())))
        return {row["id"]: row for row in wanted.to_pylist()}

    def grants() -> Any:
        file = folder / "grants.parquet"
        return pq.read_table(file) if file.exists() else None

    return Record(told_path(folder), calls, others, details, grants=grants)


def _of_frame(file: Path) -> Record:
    import pyarrow.parquet as pq

    def others() -> Iterator[dict[str, Any]]:
        raise InvalidInput(
            f"{file} holds calls alone, and this asks for grants or agents",
            hint="save the whole: analysis.read(engine).save(folder)",
        )

    return Record(told_path(file), lambda: calls_of(pq.read_table(file)), others, lambda _: {})


def calls_of(entries: Any) -> Calls:
    """The decisions among entries, or in a frame of them."""
    table = pa.table(entries)
    missing = [name for name in (*COLUMNS, "chain") if name not in table.column_names]
    if missing:
        raise InvalidInput(
            f"this is no frame of entries: it has no column {missing[0]}",
            hint="one that entries.to_arrow() made, with all its columns",
        )
    if "kind" in table.column_names:
        table = table.filter(pc.equal(table["kind"], "decision"))
    rows: list[Any] = []
    parts: dict[str, list[Any]] = {"agent": [], "agent_name": [], "grant": []}
    before = 0
    for chunk in table["chain"].chunks:
        flat = pc.list_flatten(chunk)
        rows.append(pc.list_parent_indices(chunk).to_numpy() + before)
        for name, made in parts.items():
            made.append(pc.struct_field(flat, name))
        before += len(chunk)
    word = pa.dictionary(pa.int32(), pa.string())
    hops = {name: pa.chunked_array(made, word) for name, made in parts.items()}
    places = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    flat_hops = pa.table({"row": pa.array(places, pa.int64()), **hops})
    whole = table.select(COLUMNS).unify_dictionaries().combine_chunks()
    return Calls(whole, flat_hops.unify_dictionaries().combine_chunks())


def covered(column: Any, patterns: list[str] | None) -> Any:
    """A mask of the resources, or their absences, that one of the patterns means."""
    if patterns is None or "**" in patterns:
        return np.ones(len(column), dtype=bool)
    column, mask = column.cast(pa.string()), np.zeros(len(column), dtype=bool)
    for pattern in patterns:
        mask |= _mask(_resources(column, pattern))
    return mask


def _resources(column: Any, pattern: str) -> Any:
    mask = pc.match_substring_regex(column, regex_of_resource(pattern))
    if not kind_of(pattern):
        for kind in KINDS:
            mask = pc.and_(mask, pc.invert(pc.starts_with(column, kind)))
    return mask


def told_path(path: Path) -> str:
    """A path as it is told: where it lies on a machine is nobody's business."""
    here, whole = Path.cwd().resolve(), path.resolve()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else whole.name


def _stamp(at: datetime) -> Any:
    return pa.scalar(at.astimezone(UTC), pa.timestamp("us", "UTC"))
