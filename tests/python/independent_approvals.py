"""Approvals, and what decisions cite, once more: written from docs/formats.md, section 8, "Checked
further": `decision_without_approval`, `cited_missing`, and of `decision_chain` and `grant_mismatch`
what can be told without the tokens.

Fields are those of a leaf as `independent.decode` gives them: name to (type, value).
"""

from __future__ import annotations

import hashlib
from typing import Any

SAME = ("human", "agent", "task", "chain", "tool")
LIST = 11  # The tag of a list, section 1.
TAKEN_OUT = b"(credential "
Fields = dict[str, Any]
Shown = dict[str, bytes]


class Approvals:
    """What was asked and answered so far."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, str] = {}
        self.humans: set[str | None] = set()
        self.left: set[str | None] = set()
        self.opened: set[str | None] = set()
        self.policies: set[str | None] = set()
        self.grants: dict[bytes, Fields] = {}

    def entry(
        self, kind: str | None, fields: Fields, shown: Shown, at: int, sparse: bool
    ) -> list[str]:
        """Takes up an entry and the values beside it; answers the faults of it."""
        action = _text(fields, "action")
        if kind == "identity" and action in ("registered", "offboarded"):
            named = self.humans if action == "registered" else self.left
            named.add(_text(fields, "human"))
        elif kind == "task" and action == "opened":
            self.opened.add(_text(fields, "task"))
        elif kind == "grant":
            return self._grant(fields)
        elif kind == "policy":
            version, texts = _text(fields, "policy"), _text(fields, "texts")
            if action in ("loaded", "extended"):
                self.policies.add(version)
            if version is not None and texts is not None:
                self.texts[version] = texts
        elif kind == "approval":
            self._approval(fields, shown, sparse)
        elif kind == "decision" and _text(fields, "effect") == "ask":
            asked = self.asked.get(_text(fields, "approval") or "")
            for field, value in _told(shown).items() if asked else ():
                asked["shown"].setdefault(field, value)
        elif kind == "decision" and _text(fields, "effect") == "allow":
            return self._allowed(fields, shown, at, sparse)
        return []

    def _grant(self, fields: Fields) -> list[str]:
        """Who holds it; and whether `issuer` is who holds the grant above it."""
        digest, parent = _digest(fields.get("digest")), _digest(fields.get("parent"))
        if digest is None:
            return []
        self.grants.setdefault(digest, fields)
        if parent is not None and parent not in self.grants:
            return []
        issuer = _text(self.grants[parent], "agent") or "" if parent is not None else "authority"
        wrong = "issuer" in fields and _text(fields, "issuer") != issuer
        return ["grant_mismatch"] if wrong else []

    def _allowed(self, fields: Fields, shown: Shown, at: int, sparse: bool) -> list[str]:
        if "human" not in fields and "chain" not in fields and not sparse and not self.humans:
            return []
        faults = []
        if "approval" in fields and not self._spent(fields, shown, at):
            faults.append("decision_without_approval")
        found = fields.get("chain", ())
        kind, tag, chain = found if len(found) == 3 else (None, None, None)
        if (kind, tag) != ("items", LIST) or not chain or None in [_digest(hop) for hop in chain]:
            return [*faults, "decision_chain"]
        if sparse:
            return faults
        human, task, policy = (_text(fields, key) for key in ("human", "task", "policy"))
        root = self.grants.get(chain[0][1])
        elsewhere = root is not None and "offline" in root
        missing = [
            human not in (None, "none") and human not in self.humans,
            task is not None and not elsewhere and task not in self.opened,
            policy is None or (policy != "none" and policy not in self.policies),
        ]
        return faults + ["cited_missing"] * sum(missing)

    def _approval(self, fields: Fields, shown: Shown, sparse: bool) -> None:
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
                    "shown": {
                        field: value for field, value in _told(shown).items() if field != "request"
                    },
                },
            )
        elif named in self.asked:
            asked = self.asked[named]
            if action == "approved" and asked["state"] == "waits":
                by = _text(fields, "by")
                asked["by"] = by
                known = by in self.humans or (sparse and (by or "").startswith("hum_"))
                here = by is not None and known and by not in self.left
                asked["state"] = "approved" if here else "approved by nobody"
            elif action == "approved" and asked["state"] == "approved":
                asked["state"] = "approved twice"
            elif action in ("refused", "ended") and asked["state"] in ("waits", "approved"):
                asked["state"] = action

    def _spent(self, fields: Fields, shown: Shown, at: int) -> bool:
        asked = self.asked.get(_text(fields, "approval") or "")
        if (
            asked is None
            or not asked["for a call"]
            or asked["state"] != "approved"
            or asked["call"] != self._call(fields)
            or asked["until"] is None
            or at >= asked["until"]
            or asked["by"] in self.left
        ):
            return False
        told = _told(shown)
        if any(asked["shown"].get(field, value) != value for field, value in told.items()):
            return False
        asked["state"] = "used"
        return True

    def _call(self, fields: Fields) -> tuple[Any, ...]:
        """What a yes is bound to; versions of the policies with the same texts are one."""
        policy = _text(fields, "policy")
        texts = self.texts.get(policy) if policy is not None else None
        same = tuple(fields.get(key) for key in SAME)
        return (*same, ("texts", texts) if texts is not None else fields.get("policy"))


def _told(shown: Shown) -> dict[str, bytes]:
    """What is shown of a call and can be compared: a secret may have been taken out of one only."""
    fields = ("resource", "arguments", "request")
    told = {field: shown[field] for field in fields if field in shown}
    return {k: hashlib.sha256(v).digest() for k, v in told.items() if TAKEN_OUT not in v}


def _digest(value: Any) -> bytes | None:
    kind, held = value if value is not None else (None, b"")
    return held if kind == "bytes" and len(held) == 32 else None


def _text(fields: Fields, key: str) -> str | None:
    kind, *value = fields.get(key, (None, None))
    return value[0] if kind == "text" else None
