"""What a command prints: tables that fit, times in the user's zone, hostile text made harmless."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from answerable._core import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Output"]

GREEN, RED, YELLOW, BOLD = "32", "31", "33", "1"
COLOURS = {
    "allow": GREEN,
    "active": GREEN,
    "ok": GREEN,
    "deny": RED,
    "retired": RED,
    "bad": RED,
    "ask": YELLOW,
    "suspended": YELLOW,
    "warn": YELLOW,
}
MOST_OF_A_LINE = 10_000
MOST = 200  # The most characters of a table's cell.
NARROWEST = 6  # The least that a cell is cut to.
BEYOND_ASCII = re.compile(r"[^\x20-\x7e]")


class Output:
    """Prints for people, or with `json` for programs.

    Args:
        json: One JSON document for one thing, JSON lines for a list.
        utc: Show times in UTC, not in the user's zone.
    """

    def __init__(self, *, json: bool = False, utc: bool = False) -> None:
        self.json = json
        self._utc = utc
        terminal = sys.stdout.isatty()
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self._colour = terminal and not plain and not json
        fits = terminal or os.environ.get("COLUMNS", "").isdigit()
        self._width = shutil.get_terminal_size().columns if fits else None

    @property
    def width(self) -> int | None:
        """The columns there are; None where nothing limits them."""
        return self._width

    def line(self, text: str = "") -> None:
        """Prints our own words as they are."""
        print(text)

    def text(self, text: str, *, colour: str = "") -> None:
        """Prints one line that holds foreign text, made harmless: no other line comes of it."""
        print(self.paint(shown(text, MOST_OF_A_LINE), colour))

    def block(self, text: str) -> None:
        """Prints lines of the engine's own, such as a story's: it escaped what is foreign."""
        for line in text.split("\n"):
            self.text(line)

    def sentence(self, sentence: str, record: Mapping[str, Any]) -> None:
        """Prints a sentence, or its record as JSON."""
        self.document(record) if self.json else self.text(sentence)

    def note(self, text: str) -> None:
        """Says something beside the output, on the standard error stream."""
        if not self.json:
            print(shown(text, 1000), file=sys.stderr)

    def document(self, record: Mapping[str, Any]) -> None:
        """Prints one JSON document."""
        self.raw_json(json.dumps(record, default=_plain, ensure_ascii=True))

    def raw_json(self, text: str) -> None:
        """Prints JSON that is text already; what a terminal could act on is escaped."""
        print(BEYOND_ASCII.sub(_escaped, text))

    def facts(self, record: Mapping[str, Any]) -> None:
        """Prints one thing, a line a fact."""
        if self.json:
            return self.document(record)
        label = max((len(name) for name in record), default=0)
        for name, value in record.items():
            many = value if isinstance(value, list) and value else [value]
            texts = [self.cell(one, 2000) for one in many]
            for place, text in enumerate(texts):
                print(f"{name.replace('_', ' ') if place == 0 else '':<{label}}  {text}".rstrip())
        return None

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Prints many things of a kind: a table of these columns, or all facts as JSON lines."""
        if self.json:
            for row in rows:
                self.document(row)
            return None
        heads = [column.replace("_", " ") for column in columns]
        cells = [[self.cell(row.get(column)) for column in columns] for row in rows]
        if not cells:
            return self.note("nothing to show")
        widths = self._fit(
            [max(map(_columns, column)) for column in zip(heads, *cells, strict=True)]
        )
        print(self.paint(_row(heads, widths), BOLD))
        for line in cells:
            parts = zip(line, widths, strict=True)
            painted = [self.paint(_pad(_cut(c, w), w), COLOURS.get(c, "")) for c, w in parts]
            print("  ".join(painted).rstrip())
        return None

    def cell(self, value: Any, most: int = MOST) -> str:
        """A value as harmless text."""
        match value:
            case None:
                return ""
            case datetime():
                return self.time(value)
            case bool():
                return "yes" if value else "no"
            case list() | tuple():
                return ", ".join(self.cell(one, most) for one in value)
            case str():
                return shown(value, most)
        return shown(str(value), most)

    def time(self, at: datetime) -> str:
        """An instant in the user's zone, which is named."""
        here = at.astimezone(UTC) if self._utc else at.astimezone()
        return f"{here:%Y-%m-%d %H:%M:%S %Z}"

    def paint(self, text: str, colour: str) -> str:
        """Coloured text on a terminal that wants it."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text

    def flush(self) -> None:
        """Writes what is buffered, so that a closed pipe is met here and not at exit."""
        sys.stdout.flush()

    def _fit(self, widths: list[int]) -> list[int]:
        """Narrows the widest columns until the table fits."""
        if self._width is None:
            return widths
        room = self._width - 2 * (len(widths) - 1)
        while sum(widths) > room and max(widths) > NARROWEST:
            widths[widths.index(max(widths))] -= 1
        return widths


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(c) for c in text)


def _columns_of(c: str) -> int:
    if unicodedata.category(c) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _cut(text: str, width: int) -> str:
    if _columns(text) <= width:
        return text
    out, used = "", 0
    for c in text:
        used += _columns_of(c)
        if used > width - 1:
            break
        out += c
    return out + "…"


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [_pad(_cut(c, w), w) for c, w in zip(cells, widths, strict=True)]
    return "  ".join(padded).rstrip()
