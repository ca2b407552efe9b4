"""Approvals, once more: written from docs/formats.md, section 8, `decision_without_approval`.

Fields are those of a leaf as `independent.decode` gives them: name to (type, value).
"""

from __future__ import annotations

from typing import Any

SAME = ("human", "agent", "task", "chain", "tool")
Fields = dict[str, Any]


class Approvals:
    """What was asked and answered so far."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, str] = {}

    def entry(self, kind: str | None, fields: Fields) -> bool:
        """Takes up an entry; answers whether it is an allowed decision without its approval."""
        if kind == "policy":
            version, texts = _text(fields, "policy"), _text(fields, "texts")
            if version is not None and texts is not None:
                self.texts[version] = texts
        elif kind == "approval":
            self._approval(fields)
        elif kind == "decision" and _text(fields, "effect") == "allow":
            followed = "human" in fields or "chain" in fields
            return followed and "approval" in fields and not self._spent(fields)
        return False

    def _approval(self, fields: Fields) -> None:
        named = _text(fields, "approval")
        if named is None:
            return
        action = _text(fields, "action")
        if action == "asked":
            until = fields.get("until", (None, None))
            self.asked.setdefault(
                named,
                {
                    "call": self._call(fields),
                    "for a call": _text(fields, "purpose") == "call",
                    "until": until[1] if until[0] == "datetime" else None,
                    "state": "waits",
                },
            )
        elif named in self.asked:
            asked = self.asked[named]
            if action == "approved" and asked["state"] == "waits":
                asked["state"] = "approved"
            elif action in ("refused", "ended") and asked["state"] in ("waits", "approved"):
                asked["state"] = action

    def _spent(self, fields: Fields) -> bool:
        asked = self.asked.get(_text(fields, "approval") or "")
        if (
            asked is None
            or not asked["for a call"]
            or asked["state"] != "approved"
            or asked["call"] != self._call(fields)
            or asked["until"] is None
            or fields["at"][1] >= asked["until"]
        ):
            return False
        asked["state"] = "used"
        return True

    def _call(self, fields: Fields) -> tuple[Any, ...]:
        """What a yes is bound to; versions of the policies with the same texts are one."""
        policy = _text(fields, "policy")
        texts = self.texts.get(policy) if policy is not None else None
        same = tuple(fields.get(key) for key in SAME)
        return (*same, ("texts", texts) if texts is not None else fields.get("policy"))


def _text(fields: Fields, key: str) -> str | None:
    kind, *value = fields.get(key, (None, None))
    return value[0] if kind == "text" else None
