"""A case to hand over: what happened, drawn and told, with what proves it; it opens offline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from answerable import showing
from answerable.analysis.causes import refusals
from answerable.analysis.drawing import Picture
from answerable.analysis.graph import delegation_graph
from answerable.analysis.pictures import drawn_timeline
from answerable.analysis.questions import who_did
from answerable.analysis.record import Calls, Record, record_of
from answerable.errors import InvalidInput
from answerable.keeping import write_own

__all__ = ["Case", "case"]

MOST = 2_000  # The most calls of a case; more is a frame's to hold.
TOLD = 200  # The most calls that are told one by one on the page.

_BEYOND = re.compile(r"[^\x20-\x7e\n]")
RECEIPTS = 500  # The most receipts of single calls; a task has one for all.


class Case:
    """A case: a page, the entries and their receipts, and what verified.

    Attributes:
        title: What it is about.
        summary: The sentences at its top.
        calls: The calls in it, a `pyarrow.Table`.
        receipts: The JSON of receipts, by the name of their file.
        checked: What was verified when it was made, and what was not.
    """

    def __init__(
        self,
        title: str,
        summary: list[str],
        calls: Calls,
        pictures: list[Picture],
        stories: list[str],
        receipts: dict[str, str],
        checked: list[tuple[str, str]],
    ) -> None:
        self.title, self.summary, self.receipts, self.checked = title, summary, receipts, checked
        self.calls, self._pictures, self._stories = calls.table, pictures, stories

    def html(self) -> str:
        """One page that holds all of it, receipts included, and loads nothing."""
        return showing.page(self.title, [f"<h1>{showing.safe(self.title)}</h1>", *self.parts()])

    def parts(self) -> list[str]:
        """Its pieces as HTML, for a page."""
        made = [f"<p>{showing.safe(line, 2_000)}</p>" for line in self.summary]
        made.append("<h2>Verification</h2>")
        made.append(
            showing.facts([(name, showing.safe(said, 2_000)) for name, said in self.checked])
        )
        for picture in self._pictures:
            made.append(f"<h2>{showing.safe(picture.title)}</h2>")
            made += [
                f'<p class="soft">{showing.safe(picture.description, 2_000)}</p>',
                picture.drawn(),
                picture.numbers(),
            ]
        made.append("<h2>Entries</h2>")
        columns = ["index", "at", "human_name", "via", "tool", "resource", "effect", "reason"]
        made.append(showing.table(self.calls.to_pylist(), [*columns, "outcome"]))
        if self._stories:
            made.append("<h2>Each call, told</h2>")
            made += self._stories
        if self.receipts:
            made.append("<h2>Receipts</h2>")
            made.append(
                "<p>Save the text of one to a file and check it with "
                "<code>ans.verify_receipt(file, authority=…)</code> and the authority's public "
                "key from a source that you trust. This page proves nothing by itself.</p>"
            )
            made += [
                f"<details><summary>{showing.safe(name)}</summary>"
                # Whole, so that it verifies: JSON in ASCII holds nothing that acts.
                f"<pre>{_escaped(text)}</pre></details>"
                for name, text in self.receipts.items()
            ]
        return made

    def save(self, path: str | Path) -> Path:
        """Writes one HTML file where the name ends in `.html`, else a folder.

        The folder holds `index.html`, `entries.csv`, `entries.json` (lines), `verification.json`,
        the pictures as SVG, and `receipts/`. Only their owner may read the files.

        Raises:
            InvalidInput: The folder is there and not empty.
        """
        path = Path(path)
        if path.suffix.lower() in (".html", ".htm"):
            write_own(path, self.html())
            return path
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InvalidInput(f"{path} is there and not empty", hint="name a new folder")
        (path / "receipts").mkdir(parents=True, exist_ok=True)
        write_own(path / "index.html", self.html())
        rows = self.calls.to_pylist()
        lines = [json.dumps(row, default=_plain, ensure_ascii=True) for row in rows]
        write_own(path / "entries.json", "".join(f"{line}\n" for line in lines))
        write_own(path / "entries.csv", showing.csv(rows, self.calls.column_names))
        for picture, name in zip(self._pictures, ("graph.svg", "timeline.svg"), strict=True):
            picture.save(path / name)
        for name, text in self.receipts.items():
            write_own(path / "receipts" / name, text)
        checked = json.dumps(dict(self.checked), indent=2, ensure_ascii=True)
        write_own(path / "verification.json", checked + "\n")
        return path

    def _repr_html_(self) -> str:
        return showing.whole(self.parts())

    def __repr__(self) -> str:
        from answerable._core import shown

        held = f"{len(self.calls)} calls, {len(self.receipts)} receipts"
        return f"<case {shown(self.title, 200)}: {held}>"


def case(
    source: Any,
    *,
    task: Any = None,
    entries: Iterable[Any] | None = None,
    title: str | None = None,
    verify: bool = True,
) -> Case:
    """Makes a case of a task, or of some entries: to look at, and to hand over.

    From an engine it holds receipts, which anybody checks with the authority's public key, and the
    story of each call. From an export or a folder there are none: hand the export over with it.
    It holds values in clear: give it to those who may know them.

    Args:
        source: An engine, a record, an exported file or a folder.
        task: A task, or its id.
        entries: Calls, or their ids.
        title: What stands at its top.
        verify: Verifies the trail of an engine first, and checks each receipt.

    Raises:
        TrailCorrupted: The trail, or a receipt of it, has faults.
        InvalidInput: Neither or both are given, there is no such call, or there are too many.

    Example:
        analysis.case(engine, task="tsk_…").save("case.html")
    """
    if (task is None) == (entries is None):
        raise InvalidInput("a case is of a task, or of entries", hint="give task= or entries=")
    record = record_of(source)
    calls = record.select(task=task) if entries is None else _listed(record, list(entries))
    if not len(calls):
        raise InvalidInput("there is no such call in this trail")
    if len(calls) > MOST:
        raise InvalidInput(
            f"a case holds at most {MOST:,} calls, not {len(calls):,}", hint="narrow it to a task"
        )
    made = _named(record, calls, task)
    narrow = _narrow(record, calls)
    graph = delegation_graph(narrow)
    time = drawn_timeline(record, calls)
    receipts: dict[str, str] = {}
    stories: list[str] = []
    checked = [("made", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} from {record.name}")]
    if record.engine is not None:
        receipts = _receipts(record, calls, task)
        stories = _stories(record, calls)
        checked += _check(record, receipts, verify)
    elif record.verified is not None:
        checked.append(("export", str(record.verified)))
    else:
        how = "read an export with authority=… to verify it first; a folder of Parquet cannot be"
        checked.append(("export", f"not verified: {how}"))
    return Case(title or made[0], made[1], calls, [graph, time], stories, receipts, checked)


def _listed(record: Record, entries: list[Any]) -> Calls:
    wanted = [str(getattr(entry, "id", entry)) for entry in entries]
    known = {str(getattr(one, "id", one)) for one in entries}
    calls = record.calls.where(pc.is_in(record.calls["id"], pa.array(wanted, pa.string())))
    if len(calls) != len(known):
        raise InvalidInput(
            f"{len(known) - len(calls)} of the entries are no calls of this trail",
            hint="decisions, or the ids of their entries",
        )
    return calls


def _narrow(record: Record, calls: Calls) -> Record:
    """A record of these calls alone, for what is drawn and told of them."""
    made = Record(record.name, lambda: calls, lambda: iter(()), record.details)
    made._calls, made._book = calls, None
    made.sentences = record.sentences  # type: ignore[method-assign]
    return made


def _named(record: Record, calls: Calls, task: Any) -> tuple[str, list[str]]:
    narrow = _narrow(record, calls)
    tasks = [one for one in pc.unique(calls["task"]).to_pylist() if one]
    sentences = record.sentences(list(tasks))
    stated = [sentences[one] or "(erased)" for one in tasks]
    title = f"Case: {stated[0]}" if len(stated) == 1 else f"Case of {len(calls)} calls"
    lines = [who_did(narrow, effect=None).sentence, refusals(narrow).sentence]
    if len(stated) == 1:
        lines.insert(0, f"The task that was stated: {stated[0]}")
    elif stated:
        lines.insert(0, f"{len(stated)} tasks: {'; '.join(stated[:5])}")
    return title, lines


def _receipts(record: Record, calls: Calls, task: Any) -> dict[str, str]:
    trail = record.engine.trail
    if task is not None:
        id_ = str(getattr(task, "id", task))
        return {f"{id_}.json": trail.receipt(task=id_).text}
    ids = calls["id"].to_pylist()[:RECEIPTS]
    return {f"{entry}.json": trail.receipt(entry).text for entry in ids}


def _stories(record: Record, calls: Calls) -> list[str]:
    trail, made = record.engine.trail, []
    for entry in calls["id"].to_pylist()[:TOLD]:
        story = trail.story(entry)
        made.append(
            f"<details><summary>{showing.safe(story.headline, 400)}</summary>"
            f"{''.join(showing.parts(story))}</details>"
        )
    return made


def _check(record: Record, receipts: dict[str, str], verify: bool) -> list[tuple[str, str]]:
    engine = record.engine
    told = [("authority", engine.authority)]
    if not verify:
        return [*told, ("trail", "not verified when this was made")]
    from answerable.receipts import verify_receipt

    told.append(("trail", str(engine.trail.verify())))
    for text in receipts.values():
        verify_receipt(text, authority=engine.authority)
    told.append(("receipts", f"{len(receipts)} verified under that authority"))
    return told


def _escaped(text: str) -> str:
    """JSON whose texts say by number what is not ASCII: the same JSON, in which nothing acts."""
    import html

    return html.escape(_BEYOND.sub(lambda m: json.dumps(m[0])[1:-1], text))


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
