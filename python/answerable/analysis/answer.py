"""What a question is answered with: a sentence, a frame, and both shown well."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from answerable import showing
from answerable.frames import to_pandas, to_polars
from answerable.keeping import write_own

__all__ = ["Answer"]

SHOWN = 25  # How many rows are shown; the frame has them all.
_WIDTH = 44  # The most columns of a cell in a terminal.


class Answer:
    """The answer to a question about a trail.

    It speaks the Arrow PyCapsule interface, as entries do, so whatever takes frames takes it.

    Attributes:
        question: What was asked, in a few words.
        sentence: The answer in plain words.
        frame: The rows behind it, a `pyarrow.Table`.
        notes: What limits the answer, a sentence each.
        more: Further frames, by name.
    """

    def __init__(
        self,
        question: str,
        sentence: str,
        rows: Iterable[Mapping[str, Any]] | Any,
        schema: Mapping[str, Any],
        *,
        notes: Sequence[str] = (),
        more: Mapping[str, Any] | None = None,
        hidden: Sequence[str] = (),
    ) -> None:
        self.question, self.sentence, self.notes = question, sentence, tuple(notes)
        self.frame = rows if isinstance(rows, pa.Table) else _frame(rows, schema)
        self.more = dict(more or {})
        self._hidden = set(hidden)

    @property
    def columns(self) -> list[str]:
        """The columns that are shown: ids are in the frame alone."""
        return [name for name in self.frame.column_names if name not in self._hidden]

    def rows(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        made: list[dict[str, Any]] = self.frame.to_pylist()
        return made

    def __len__(self) -> int:
        return int(self.frame.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows())

    def to_arrow(self) -> Any:
        """The frame as a `pyarrow.Table`."""
        return self.frame

    def to_pandas(self) -> Any:
        """The frame as a `pandas.DataFrame`; its lists are lists of Python: answers are small."""
        return to_pandas(self, lists=True)  # type: ignore[arg-type]

    def to_polars(self) -> Any:
        """The frame as a `polars.DataFrame`."""
        return to_polars(self)  # type: ignore[arg-type]

    def to_csv(self, path: str | Path | None = None) -> str:
        """The frame for a spreadsheet: no cell can be taken for a formula.

        Args:
            path: Also writes it there.
        """
        made = showing.csv(self.rows(), self.frame.column_names)
        if path is not None:
            write_own(path, made)
        return made

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.frame.__arrow_c_stream__(requested_schema)

    def parts(self) -> list[str]:
        """Its pieces as HTML, for a page."""
        rows = self.frame.slice(0, SHOWN).to_pylist()
        made = [f"<p>{showing.safe(self.sentence, 2_000)}</p>"]
        if rows:
            made.append(showing.table(rows, self.columns))
        if len(self) > SHOWN:
            made.append(f'<p class="soft">the first {SHOWN} of {len(self):,}</p>')
        made += [f'<p class="soft">{showing.safe(note, 2_000)}</p>' for note in self.notes]
        return made

    def _repr_html_(self) -> str:
        return showing.whole(self.parts())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def __repr__(self) -> str:
        from answerable._core import shown

        lines = [shown(self.sentence, 2_000)]
        rows = self.frame.slice(0, SHOWN).to_pylist()
        if rows:
            lines += _lines(rows, self.columns)
        if len(self) > SHOWN:
            lines.append(f"  … {len(self):,} rows")
        lines += [f"({shown(note, 1_000)})" for note in self.notes]
        return "\n".join(lines)


def _frame(rows: Iterable[Mapping[str, Any]], schema: Mapping[str, Any]) -> Any:
    rows = list(rows)
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], kind) for name, kind in schema.items()}
    )


def _lines(rows: list[dict[str, Any]], columns: list[str]) -> list[str]:
    def cut(text: str) -> str:
        return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"

    cells = [[cut(showing.text_of(row[name])) for name in columns] for row in rows]
    head = [name.replace("_", " ") for name in columns]
    widths = [max(len(row[place]) for row in [head, *cells]) for place in range(len(columns))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *cells]
    ]
