"""Patterns over tools and resources, as scopes have them: matched, compared, and drawn from use."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from answerable import _core

__all__ = [
    "KINDS",
    "covers_tool",
    "drawn",
    "kind_of",
    "meant",
    "regex_of_resource",
    "regex_of_tool",
]

MANY = 5  # How many resources a suggestion lists by name before it draws a pattern.
KINDS = ("path:", "url:", "id:")


def regex_of_tool(pattern: str) -> str:
    """A regular expression, in what Python and RE2 share, for the tools that are meant."""
    return _regex(pattern.split("."), r"\.", "[^.]")


def regex_of_resource(pattern: str) -> str:
    """The same for resources, of which only those of the pattern's own type are to be compared.

    `**` alone means every resource, and none, which is not for here.
    """
    if pattern == "**":
        return r"(?s)\A.*\z"
    kind = kind_of(pattern)
    body = pattern[len(kind) :]
    scheme = ""
    if kind == "url:" and "://" in body:
        scheme, _, body = body.partition("://")
        scheme += "://"
    made = _regex(body.split("/"), "/", "[^/]")
    return made.replace(r"\A", r"\A" + _literal(kind + scheme), 1)


def _regex(segments: list[str], between: str, one: str) -> str:
    parts = []
    for place, segment in enumerate(segments):
        if segment == "**" and place == len(segments) - 1:
            parts.append(".*")
        elif segment == "*":
            parts.append(one + "+")
        elif segment.endswith("*"):
            parts.append(_literal(segment[:-1]) + one + "*")
        else:
            parts.append(_literal(segment))
    return r"(?s)\A" + between.join(parts) + r"\z"


def _literal(text: str) -> str:
    """Text that stands for itself in both; RE2 knows fewer escapes than Python."""
    return "".join(c if c.isalnum() or c in "_/" else f"\\x{{{ord(c):x}}}" for c in text)


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    made = regex_of_tool(pattern)
    # Python spells both otherwise.
    made = re.sub(r"\\x\{([0-9a-f]+)\}", lambda m: re.escape(chr(int(m[1], 16))), made)
    return re.compile(made.replace(r"\z", r"\Z"))


@functools.lru_cache(maxsize=65536)
def covers_tool(pattern: str, tool: str) -> bool:
    """Whether a tool is one of those meant."""
    return _compiled(pattern).match(tool) is not None


def meant(tool: str | None, resource: str | None) -> str | None:
    """Refuses patterns that mean nothing, as the engine does; the resources' in its normal form.

    Raises:
        InvalidInput: One of them is no pattern.
    """
    if resource is None:
        if tool is not None:
            _core.allow(tool)
        return None
    told = str(_core.allow("x" if tool is None else tool, resource=resource))
    return told.partition(" on ")[2]


def kind_of(resource: str) -> str:
    """The type of a resource or pattern, as it is written before it; empty for a plain one."""
    if not resource.startswith(KINDS):  # Most are plain.
        return ""
    return next(kind for kind in KINDS if resource.startswith(kind))


def drawn(resources: Iterable[str]) -> list[str]:
    """The narrowest patterns, no more than a few, that mean all of these resources.

    Few are listed by name. Many of the same length become one pattern: a segment in which they
    agree stands, one that begins alike is a prefix, any other is `*`. What differs in kind, in its
    first segment or in length has a pattern of its own.

    Example:
        >>> drawn(f"account/vendor-{n}" for n in range(9))
        ['account/vendor-*']
    """
    known = sorted(set(resources))
    if len(known) <= MANY and not any("*" in one for one in known):
        return known
    groups: dict[tuple[str, str, int], list[list[str]]] = {}
    for resource in known:
        kind = kind_of(resource)
        body, scheme = resource[len(kind) :], ""
        if kind == "url:":
            scheme, _, body = body.partition("://")
            kind = f"{kind}{scheme}://"
        segments = body.split("/")
        groups.setdefault((kind, segments[0], len(segments)), []).append(segments)
    return [
        kind + "/".join(_alike([one[place] for one in group]) for place in range(length))
        for (kind, _, length), group in sorted(groups.items())
    ]


def _alike(texts: list[str]) -> str:
    first, last = min(texts), max(texts)
    if first == last:
        return first
    prefix = ""
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        prefix += a
    # Only what ends in no letter of a word: `cust` of `customer` and `custard` says little.
    while prefix and (prefix[-1].isalnum() or "*" in prefix):
        prefix = prefix[:-1]
    return f"{prefix}*"
