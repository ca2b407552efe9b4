"""A capability as it is signed, written as Python and as Cedar."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from answerable.analysis.patterns import covers_tool

__all__ = ["as_cedar", "as_python"]

_WORD = re.compile(r"[A-Za-z_]\w*\Z")
_PLAIN = {"any": "any_", "present": "present", "absent": "absent"}
_MANY = ("one_of", "subset_of", "host_in", "between")
_COMPARED = {"at_most": "<=", "at_least": ">=", "equals": "=="}


def as_python(capability: dict[str, Any]) -> str:
    """`ans.allow(…)` for a capability; what it makes is signed as the capability is.

    Example:
        >>> as_python({"tool": "pay.*", "where": {"amount": {"at_most": 5}}})
        'ans.allow("pay.*", where={"amount": ans.at_most(5)})'
    """
    parts = [_text(capability["tool"])]
    resource = capability.get("resource")
    if resource is not None:
        listed = ", ".join(map(_text, resource))
        parts.append(f"resource={listed if len(resource) == 1 else f'[{listed}]'}")
    where = capability.get("where")
    if where is not None:
        named = [f"{_text(name)}: {_caveat(caveat)}" for name, caveat in where.items()]
        parts.append(f"where={{{', '.join(named)}}}")
    if capability.get("limits"):
        parts.append(f"limits=[{', '.join(map(_limit, capability['limits']))}]")
    return f"ans.allow({', '.join(parts)})"


def _caveat(caveat: dict[str, Any]) -> str:
    ((word, given),) = caveat.items()
    if word in _PLAIN:
        return f"ans.{_PLAIN[word]}()"
    if word in _MANY:
        inner = ", ".join(_value(one) for one in given)
    elif word == "all_of":
        inner = ", ".join(map(_caveat, given))
    elif word == "each":
        inner = _caveat(given)
    elif word == "length":
        low, high = given
        inner = f"{low}" if high is None else f"{low}, {high}"
    else:
        inner = _value(given)
    return f"ans.{word}({inner})"


def _limit(limit: dict[str, Any]) -> str:
    ((word, given),) = limit.items()
    if word == "calls":
        return f"ans.calls({given})"
    if word == "rate":
        per = timedelta(microseconds=given["per_us"])
        seconds = per.total_seconds()
        told = f'"{seconds:.0f}s"' if seconds.is_integer() else f"timedelta(seconds={seconds!r})"
        return f"ans.rate({given['calls']}, {told})"
    return f"ans.total({_text(given['argument'])}, {_value(given['max'])})"


def _value(value: Any) -> str:
    """A value of the JSON rendering as Python."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if not isinstance(value, dict):
        return repr(value)
    if len(value) == 1:
        ((key, inner),) = value.items()
        made = {
            "$int": lambda: str(int(inner)),
            "$decimal": lambda: f"Decimal({_text(inner)})",
            "$datetime": lambda: f"datetime.fromisoformat({_text(inner)})",
            "$uuid": lambda: f"UUID({_text(inner)})",
            "$bytes": lambda: f"base64.urlsafe_b64decode({_text(inner + '=' * (-len(inner) % 4))})",
            "$tuple": lambda: f"({', '.join(map(_value, inner))}{',' if len(inner) == 1 else ''})",
        }.get(key)
        if made is not None:
            return made()
    # A key that begins with `$` is written with one more, so that it is no type.
    pairs = [
        f"{_text(key.removeprefix('$') if key.startswith('$$') else key)}: {_value(one)}"
        for key, one in value.items()
    ]
    return f"{{{', '.join(pairs)}}}"


def _text(text: str) -> str:
    """Text in double quotes, in ASCII: what it was cannot hide in an editor."""
    made = []
    for c in json.dumps(text, ensure_ascii=False):
        number = ord(c)
        if " " <= c <= "~":
            made.append(c)
        else:
            made.append(f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}")
    return "".join(made)


def as_cedar(agent: str, capability: dict[str, Any], tools: list[str], number: int) -> str:
    """A permit for an agent, as close to a capability as policies can be.

    Policies are held to the types of tools, which a trail does not know: a comparison is written
    where the caveat is one of a whole number or a text. What is left to the grant is said beside.

    Args:
        agent: The agent's name.
        capability: As it is signed.
        tools: The tools that were called, for a pattern that Cedar has no action for.
        number: Tells the policies of an agent apart.
    """
    tool = capability["tool"]
    comparison = "in" if "*" in tool else "=="
    if "*" in tool.removesuffix(".**").removesuffix(".*") and tool != "**":
        named = ", ".join(f"Action::{_cedar(t)}" for t in tools if covers_tool(tool, t))
        action = f"action in [{named}]"
    else:
        action = f"action {comparison} Action::{_cedar(tool)}"
    conditions, left = [], []
    if capability.get("resource"):
        conditions.append(_resource(capability["resource"]))
    for name, caveat in (capability.get("where") or {}).items():
        ((word, given),) = caveat.items()
        field = f"context.arguments.{name}"
        if word == "any":
            continue
        if word in _COMPARED and _is_plain(word, given) and _WORD.match(name):
            conditions.append(f"{field} {_COMPARED[word]} {_literal(given)}")
        elif word == "one_of" and _WORD.match(name) and all(_is_plain("equals", v) for v in given):
            values = ", ".join(_literal(one) for one in given)
            conditions.append(f"[{values}].contains({field})")
        elif word == "starts_with" and _WORD.match(name):
            conditions.append(f"{field} like {_like(given, True)}")
        else:
            left.append(f"{name} {word}")
    left += ["limits"] if capability.get("limits") else []
    name = re.sub(r"[^a-z0-9]+", "-", f"{agent} {number}".lower()).strip("-")
    lines = [f"@id({_cedar(name)})"]
    head = f"permit (principal == Agent::{_cedar(agent)}, {action}, resource)"
    if conditions:
        lines += [head, "when {", "  " + " &&\n  ".join(conditions), "};"]
    else:
        lines.append(f"{head};")
    if left:
        lines.insert(1, f"// the grant alone holds: {'; '.join(_comment(one) for one in left)}")
    return "\n".join(lines)


def _resource(patterns: list[str]) -> str:
    parts = []
    for pattern in patterns:
        if pattern == "**":
            return "true"
        if "*" not in pattern:
            parts.append(f"resource == Resource::{_cedar(pattern)}")
        elif pattern.endswith("/**") and "*" not in pattern[:-3]:
            parts.append(f"resource in Resource::{_cedar(pattern[:-3])}")
        else:
            parts.append(f"resource.name like {_like(pattern, False)}")
    return parts[0] if len(parts) == 1 else f"({' || '.join(parts)})"


def _like(text: str, prefix: bool) -> str:
    """A pattern of Cedar's `like`, in which `*` is anything."""
    made = _cedar(text)
    return f'{made[:-1].replace("*", chr(92) + "*")}*"' if prefix else made


def _is_plain(word: str, value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return whole or (word == "equals" and isinstance(value, str))


def _literal(value: Any) -> str:
    return _cedar(value) if isinstance(value, str) else str(value)


def _cedar(text: str) -> str:
    """A string of Cedar's: printable ASCII as it is, everything else by its number."""
    made = "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\u{{{ord(c):x}}}" for c in text)
    return f'"{made}"'


def _comment(text: str) -> str:
    from answerable._core import shown

    return shown(text, 100)
