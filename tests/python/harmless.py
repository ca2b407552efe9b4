"""Hostile text, and what makes sure that it does no harm where it is shown."""

from __future__ import annotations

import html.parser
import unicodedata
from collections.abc import Callable
from typing import Any

import answerable as ans

SCRIPT = "</td></table><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\x00\r"
MARKS = "\u202egrant\u2066 \u200b\ufeff\u2028"
HOSTILE = SCRIPT + ESCAPES + MARKS
LONG = HOSTILE + "a" * 1_000_000

# All that may stand in what we make; anything else came in from outside.
TAGS = {
    *("a", "b", "body", "br", "code", "details", "div", "h1", "h2", "head", "html", "i", "main"),
    *("meta", "p", "pre", "span", "style", "summary", "table", "tbody", "td", "th", "thead"),
    *("title", "tr", "svg", "g", "rect", "text", "tspan", "desc", "line", "path", "circle"),
}


class Reader(html.parser.HTMLParser):
    """Notes every element and attribute of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}


def assert_harmless(made: str, most: int = 120_000) -> None:
    """No element, attribute or address of anybody else's; nothing that a terminal obeys."""
    reader = Reader()
    reader.feed(made)
    assert reader.tags <= TAGS, reader.tags - TAGS
    for name, value in reader.attributes:
        assert not name.startswith("on"), name
        assert name not in ("src", "srcset", "data", "action"), name
        assert name != "href" or value.startswith("#"), value
    for forbidden in ("<script", "<img", "url(", "@import", "http://", "https://"):
        assert forbidden not in made.replace("http://www.w3.org/2000/svg", ""), forbidden
    assert_plain(made)
    assert len(made) < most, len(made)


def assert_plain(made: str) -> None:
    """Nothing that a terminal obeys or that turns the reading around."""
    bad = [c for c in made if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
    assert bad == [], ascii("".join(bad[:20]))


def worst(make: Callable[[str], Any]) -> Any:
    """What is made with the most hostile text that the field takes."""
    for text in (LONG, HOSTILE, SCRIPT + MARKS, SCRIPT):
        try:
            return make(text)
        except ans.InvalidInput:
            continue
    return make("")
