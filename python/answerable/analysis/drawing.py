"""Inline SVG: shapes, colours and their numbers, with nothing to load and nothing that runs.

Colours are the style sheet's where a front end keeps it, and mid-tones that can be read on light
and dark where it does not. What a shape stands for is told three ways: when it is hovered, by
`<title>`; at the foot of the picture when it is clicked or touched, because it then has the focus;
and in a table below, which opens by keyboard and is there where no drawing is shown.
"""

from __future__ import annotations

import html
import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from answerable.keeping import write_own
from answerable.showing import safe, table, whole

__all__ = ["Picture", "Shape", "bar", "colour_of", "line", "path", "rect", "text"]

ROWS = 100  # How many rows the table below a picture shows; `rows` has them all.
FOOT = 52  # The strip at the foot, in pixels, for three lines of what was clicked.
_LETTER = 6.6  # How wide a letter is taken for, in pixels.

YES, NO, ASKED, MARK, SOFT = "#3f8f63", "#cc4b40", "#b07d1a", "#4a7fc4", "#808a93"
_PICKED = (
    "svg .pick{cursor:pointer;outline:none}svg .pick:focus .told{display:inline}"
    "svg .pick:focus .on{stroke-opacity:1;fill-opacity:1;filter:brightness(1.2)}"
    "svg:focus-within .hint{display:none}"
)
_STYLE = (
    ".answerable svg .on:hover{stroke-opacity:1;fill-opacity:1;opacity:1}"
    ".answerable svg text{font:12px system-ui,sans-serif;fill:currentColor}"
    ".answerable svg .ground{fill:var(--ground)}"
    ".answerable svg .soft{opacity:.65}.answerable svg .small{font-size:11px}"
)


class Picture:
    """A picture of a trail: shown in a notebook, saved as SVG.

    Attributes:
        title: What it shows.
        description: The same in words, for who does not see it.
        svg: The picture.
        rows: What is drawn, as numbers: a dictionary for each shape.
    """

    def __init__(
        self,
        title: str,
        description: str,
        shapes: Sequence[str | Shape],
        width: float,
        height: float,
        *,
        rows: Sequence[Mapping[str, Any]] = (),
        mermaid: str | None = None,
    ) -> None:
        self.title, self.description, self._mermaid = title, description, mermaid
        self.rows = [dict(row) for row in rows]
        picked = any(isinstance(one, Shape) for one in shapes)
        made = "".join(
            _pick(one, width, height) if isinstance(one, Shape) else one for one in shapes
        )
        if picked:
            made += (
                f'<text x="12" y="{height + 14:.1f}" fill="currentColor" class="hint soft small">'
                "click or touch a shape for its numbers</text>"
            )
            height += FOOT
        self.svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}"'
            f' width="{width:g}" height="{height:g}" font-family="system-ui,sans-serif"'
            f' font-size="12"><title>{safe(title)}</title><desc>{safe(description, 2_000)}</desc>'
            f"<style>{_STYLE}{_PICKED if picked else ''}</style>{made}</svg>"
        )

    def mermaid(self) -> str:
        """The graph as Mermaid text, which JupyterLab and others draw in Markdown.

        Raises:
            InvalidInput: It is no graph.
        """
        if self._mermaid is None:
            from answerable.errors import InvalidInput

            raise InvalidInput("only graphs are told as Mermaid", hint="use .svg")
        return self._mermaid

    def save(self, path: str | Path) -> None:
        """Writes the SVG to a file."""
        # Alone there is no page whose ink it takes.
        own = "<style>svg{color:#1c2126}@media(prefers-color-scheme:dark){svg{color:#e4e8eb}}"
        made = self.svg.replace("<style>", f"{own}</style><style>", 1)
        write_own(path, made + "\n")

    def parts(self) -> list[str]:
        """Its pieces as HTML, for a page."""
        told = f"{safe(self.description, 2_000)} (drawn once the notebook is trusted)"
        return [
            f"<p><b>{safe(self.title)}</b></p>",
            self.drawn(),
            f'<p class="untrusted">{told}</p>',
            self.numbers(),
        ]

    def drawn(self) -> str:
        """The SVG for a page that has our style sheet.

        Of a notebook that is not trusted JupyterLab takes style sheet and drawing out and would
        leave the drawing's words in a heap: without the style sheet they stay hidden.
        """
        return f'<div class="drawn" style="display:none">{self.svg}</div>'

    def numbers(self) -> str:
        """What is drawn as a table that is opened by a click or a key; empty without any."""
        if not self.rows:
            return ""
        more = ""
        if len(self.rows) > ROWS:
            more = f'<p class="soft">the first {ROWS} of {len(self.rows):,}: picture.rows</p>'
        made = table(self.rows[:ROWS], list(self.rows[0]))
        return f"<details><summary>the numbers</summary>{made}{more}</details>"

    def _repr_html_(self) -> str:
        return whole(self.parts())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        # Not as image/svg+xml: front ends draw that as an image, in which nothing is hovered.
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def __repr__(self) -> str:
        from answerable._core import shown

        return f"<picture: {shown(self.title, 200)}. {shown(self.description, 600)}>"


class Shape(NamedTuple):
    """Some of the drawing that tells what it stands for.

    Attributes:
        svg: What is drawn; it holds `hover` as its title.
        hover: What it stands for, in words.
    """

    svg: str
    hover: str


def _pick(shape: Shape, width: float, foot: float) -> str:
    """A shape that tells itself at the foot of the picture while it has the focus."""
    from answerable._core import shown

    lines = textwrap.wrap(
        shown(shape.hover, 600), int((width - 24) / _LETTER), max_lines=3, placeholder=" …"
    )
    told = "".join(
        f'<tspan x="12" dy="{15 if at else 0}">{html.escape(one)}</tspan>'
        for at, one in enumerate(lines)
    )
    # Not in the order of keys: hundreds of stops help nobody, and the table below has it all.
    return (
        f'<g class="pick" tabindex="-1">{shape.svg}<text x="12" y="{foot + 14:.1f}"'
        f' fill="currentColor" display="none" class="told">{told}</text></g>'
    )


def text(
    x: float, y: float, words: str, *, most: int = 40, anchor: str = "start", kind: str = ""
) -> str:
    """A line of foreign text, cut to so many characters; all of it when hovered."""
    shown = safe(words, most)
    whole_text = f"<title>{safe(words, 400)}</title>" if len(words) > most else ""
    names = f' class="{kind}"' if kind else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor"{names}>'
        f"{shown}{whole_text}</text>"
    )


def rect(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    fill: str,
    hover: str = "",
    opacity: float = 1.0,
    radius: float = 2,
) -> Shape:
    """A box that tells what it stands for."""
    made = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}"'
        f' rx="{radius:g}" fill="{fill}" fill-opacity="{opacity:.2f}" class="on">'
        f"<title>{safe(hover, 600)}</title></rect>"
    )
    return Shape(made, hover)


def path(points: str, *, stroke: str, width: float, hover: str, opacity: float = 0.45) -> Shape:
    """A line through points, as `d` has it."""
    made = (
        f'<path d="{points}" fill="none" stroke="{stroke}" stroke-width="{width:.1f}"'
        f' stroke-opacity="{opacity:g}" class="on"><title>{safe(hover, 600)}</title></path>'
    )
    return Shape(made, hover)


def line(x1: float, y1: float, x2: float, y2: float, *, opacity: float = 0.25) -> str:
    """A thin line of an axis."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="currentColor"'
        f' stroke-opacity="{opacity:g}"/>'
    )


def bar(
    x: float, y: float, width: float, share: float, hover: str, *, colour: str = MARK
) -> list[Shape]:
    """A bar of a share of a width."""
    made = [rect(x, y, width, 12, fill=SOFT, opacity=0.2, hover=hover)]
    if share > 0:
        made.append(rect(x, y, width * share, 12, fill=colour, opacity=0.85, hover=hover))
    return made


def colour_of(refused: float) -> str:
    """From green over amber to red, by the share that was refused."""
    stops = [(0.0, (63, 143, 99)), (0.25, (190, 140, 40)), (1.0, (204, 75, 64))]
    for (low, a), (high, b) in itertools.pairwise(stops):
        if refused <= high:
            at = (refused - low) / (high - low)
            mixed: list[Any] = [round(p + (q - p) * at) for p, q in zip(a, b, strict=True)]
            return "#" + "".join(f"{one:02x}" for one in mixed)
    return NO
