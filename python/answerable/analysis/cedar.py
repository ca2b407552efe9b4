"""Plain Cedar through the compiled path, for comparison with other suites."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from answerable._core import judge_cedar
from answerable.errors import InvalidInput

__all__ = ["CedarAnswer", "cedar", "cedar_all"]

_UID = re.compile(r'((?:[^\W\d]\w*::)*[^\W\d]\w*)::("(?:[^"\\]|\\.)*")', re.DOTALL)


class CedarAnswer(NamedTuple):
    """What plain Cedar says of a request."""

    effect: str
    """`allow` or `deny`."""
    determining: tuple[str, ...]
    """The ids of the policies that decided it."""
    errors: tuple[str, ...]
    """The ids of the policies that could not be evaluated: Cedar skips them."""
    compiled: float
    """The share of the policies that are compiled, from 0 to 1."""


def cedar(
    policies: str,
    entities: str | Sequence[Mapping[str, Any]],
    request: Mapping[str, Any],
    schema: str | Mapping[str, Any] | None = None,
    *,
    by_place: bool = False,
) -> CedarAnswer:
    """Judges one request by plain Cedar: no base schema, errors skip.

    Args:
        policies: Policies in Cedar.
        entities: Entities in Cedar's JSON, as text or as what it decodes to.
        request: `principal`, `action` and `resource`, each as `{"type": …, "id": …}` or as text
            such as `User::"alice"`; `context` in Cedar's JSON; `validateRequest` to refuse one
            that does not fit the schema.
        schema: A schema, in Cedar's schema language or its JSON. Entities and context are read
            by it.
        by_place: Names policies by where they stand, `policy0`, `policy1`, …, also those that have
            an `@id`.

    Raises:
        InvalidPolicy: If policies, entities, schema or request are not what Cedar takes.

    Example:
        >>> request = {"principal": 'User::"a"', "action": 'Action::"b"', "resource": 'File::"c"'}
        >>> cedar("permit(principal, action, resource);", [], request)
        CedarAnswer(effect='allow', determining=('policy0',), errors=(), compiled=1.0)
    """
    return cedar_all(policies, entities, [request], schema, by_place=by_place)[0]


def cedar_all(
    policies: str,
    entities: str | Sequence[Mapping[str, Any]],
    requests: Sequence[Mapping[str, Any]],
    schema: str | Mapping[str, Any] | None = None,
    *,
    by_place: bool = False,
) -> list[CedarAnswer]:
    """Judges several requests by the same policies, which are read once."""
    asked = [_asked(request) for request in requests]
    answers, compiled = judge_cedar(
        policies,
        entities if isinstance(entities, str) else _json(entities, "the entities"),
        asked,
        schema if schema is None or isinstance(schema, str) else _json(schema, "the schema"),
        by_place=by_place,
    )
    return [
        CedarAnswer("allow" if allowed else "deny", tuple(determining), tuple(errors), compiled)
        for allowed, determining, errors in answers
    ]


def _asked(
    request: Mapping[str, Any],
) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str], str, bool]:
    parts = ("principal", "action", "resource")
    if not isinstance(request, Mapping) or any(part not in request for part in parts):
        raise InvalidInput(
            "a request names a principal, an action and a resource",
            hint='write {"principal": \'User::"a"\', "action": …, "resource": …}',
        )
    principal, action, resource = (_uid(request[part]) for part in parts)
    context = _json(request.get("context") or {}, "the context")
    return principal, action, resource, context, bool(request.get("validateRequest", False))


def _json(value: Any, what: str) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{what} cannot be written as JSON: {error}", hint="give what json.loads could answer"
        ) from error


def _uid(uid: str | Mapping[str, Any]) -> tuple[str, str]:
    if isinstance(uid, str):
        match = _UID.fullmatch(uid)
        if match:
            # Cedar's escapes are Rust's; an id with others than JSON's is given as a mapping.
            try:
                return match[1], json.loads(match[2])
            except ValueError:
                pass
    elif isinstance(uid, Mapping):
        inner = uid.get("__entity", uid)
        if isinstance(inner, Mapping):
            kind, name = inner.get("type"), inner.get("id")
            if isinstance(kind, str) and isinstance(name, str):
                return kind, name
    raise InvalidInput(
        f"`{str(uid)[:100]}` is not an entity",
        hint='write it as `Type::"id"`, or as {"type": …, "id": …}',
    )
