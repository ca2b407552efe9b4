"""Why a call was allowed or not, told to whoever has to act on it."""

from __future__ import annotations

from typing import NamedTuple

from answerable import _core
from answerable._core import shown
from answerable.errors import InvalidInput

__all__ = ["Explanation"]

_LABEL = 9  # The width of the operator's first column.


class Explanation(NamedTuple):
    """One decision explained; `str()` is the operator's text.

    Attributes:
        entry: The id of the decision's entry.
        effect: `"allow"`, `"deny"` or `"ask"`.
        code: The code of the reason that decided; None for an allow.
        asked: The tool with its resource and recorded arguments.
        allowed: For an allow, the capability that covered the call, at the acting agent's hop; for
            a refusal, the capability that came closest, else what is allowed in its place. None
            where nothing is.
        narrowed_by: The name of the agent whose grant decided; None where no hop did.
        fix: The smallest legal change that would help.
        policies: The policies that decided, erred or nearly permitted it, with the parts of their
            conditions; empty where no policies were in force.
        changes: The smallest changes that would have satisfied the policies.
        for_model: A short text that is safe to show a model.
        for_operator: All of it, with every reason and every hop.
    """

    entry: str
    effect: str
    code: str | None
    asked: str
    allowed: str | None
    narrowed_by: str | None
    fix: str | None
    for_model: str
    for_operator: str
    policies: tuple[_core.PolicyTold, ...] = ()
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.for_operator

    def _repr_html_(self) -> str:
        from answerable.showing import safe, whole

        lines = "\n".join(safe(line, 2_000) for line in self.for_operator.splitlines())
        return whole([f"<pre>{lines}</pre>"])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    @classmethod
    def of(cls, story: _core.Story, policies: _core.PolicyExplanation | None = None) -> Explanation:
        """Explains the decision that a story tells."""
        if not isinstance(story, _core.Story):
            raise InvalidInput(f"expected a story, not {type(story).__name__}")
        first = story.reasons[0] if story.reasons else None
        hop = _hop(story, first)
        if story.effect == "allow":
            allowed = " or ".join(story.via[-1].allowed_by) or None if story.via else None
        else:
            allowed = (hop.closest if hop else None) or (first.allowed if first else None)
        return cls(
            entry=story.entry,
            effect=story.effect,
            code=first.code if first else None,
            asked=_asked(story),
            allowed=allowed,
            narrowed_by=hop.name if hop else None,
            fix=first.fix if first else None,
            for_model=_for_model(story, first),
            for_operator=_for_operator(story, allowed, policies),
            policies=tuple(policies.policies) if policies else (),
            changes=tuple(policies.changes) if policies else (),
        )


def _hop(story: _core.Story, reason: _core.Reason | None) -> _core.Hop | None:
    if reason is None or reason.hop is None or reason.hop >= len(story.via):
        return None
    return story.via[reason.hop]


def _asked(story: _core.Story) -> str:
    arguments = ", ".join(
        f"{shown(name, 40)}={shown(value, 60)}" for name, value in story.arguments.items()
    )
    resource = f" on {shown(story.resource, 200)}" if story.resource is not None else ""
    return f"{shown(story.tool, 80)}({arguments}){resource}"


def _for_model(story: _core.Story, first: _core.Reason | None) -> str:
    """What a denial says, and the entry to refer to. No name of a human, no other hop."""
    tool = shown(story.tool, 80)
    if first is None:
        return f"`{tool}` was allowed (entry {story.entry})"
    word = "needs a human's approval" if story.effect == "ask" else "was not allowed"
    text = f"`{tool}` {word}: {shown(first.message, 400)}"
    if first.fix and not (first.allowed and first.allowed in first.fix):
        text += f"; to fix it: {shown(first.fix, 200)}"
    return f"{text} (entry {story.entry})"


def _for_operator(
    story: _core.Story, allowed: str | None, policies: _core.PolicyExplanation | None
) -> str:
    lines = [story.headline, _line("asked", _asked(story))]
    if story.effect == "allow":
        for hop in story.via:
            by = " or ".join(shown(one, 300) for one in hop.allowed_by)
            lines.append(_line("allowed", f"{by or '(not told)'} (grant of {shown(hop.name, 80)})"))
    for place, reason in enumerate(story.reasons):
        label = "decided" if place == 0 else "also"
        lines.append(_line(label, f"{reason.code}: {shown(reason.message, 500)}"))
        if place == 0:
            if allowed is not None:
                lines.append(_line("allowed", shown(allowed, 500)))
            lines += _narrowed(story, reason)
        if reason.fix:
            lines.append(_line("to fix it", shown(reason.fix, 500)))
    if story.approval is not None:
        lines.append(_line("approval", shown(story.approval, 500)))
    lines += _policies(policies)
    lines.append(_line("entry", story.entry))
    return "\n".join(lines)


def _policies(told: _core.PolicyExplanation | None) -> list[str]:
    """Each policy with its part, and of its condition what failed, with the values it read."""
    if told is None or told.version == "none":
        return []
    lines = [_line("policies", f"version {told.version[:16]}")]
    for one in told.policies:
        place = f"{one.effect} {shown(one.id, 100)} at {shown(one.source, 100)}:{one.line}"
        lines.append(_line(one.role, place))
        lines += [_line("", f"  {shown(miss, 300)}") for miss in one.scope]
        for text, line, column, outcome, values in one.parts:
            if one.role != "decided" and outcome == "holds":
                continue
            read = ", ".join(f"{path} = {shown(value, 80)}" for path, value in values.items())
            lines.append(_line("", f"  {outcome} {line}:{column} {shown(text, 200)}"))
            if read:
                lines.append(_line("", f"    with {shown(read, 400)}"))
    lines += [_line("to permit", shown(change, 300)) for change in told.changes]
    if told.unknown:
        lines.append(_line("unknown", shown(told.unknown, 200)))
    return lines


def _narrowed(story: _core.Story, reason: _core.Reason) -> list[str]:
    hop = _hop(story, reason)
    if hop is None or reason.hop is None:
        return []
    giver = story.human_name if reason.hop == 0 else story.via[reason.hop - 1].name
    told = f"the grant {hop.grant} of {shown(hop.name, 80)}, given by {shown(giver, 80)}"
    return [_line("hop", told), *(_line("narrowed", shown(one, 500)) for one in hop.narrowed)]


def _line(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}} {text}"
