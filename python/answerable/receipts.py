"""Receipts, verified and told: who, via whom, what and why, without engine or store."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from answerable import _core
from answerable.errors import InvalidInput
from answerable.keeping import read_text

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["VerifiedReceipt", "verify_receipt"]

ERASED = "(erased or withheld)"
MOST_BYTES = 64 * 1024 * 1024  # The most that a receipt may have.


def verify_receipt(
    receipt: _core.Receipt | str | PathLike[str], *, authority: str
) -> VerifiedReceipt:
    """Verifies a receipt with the authority's public key alone, and tells what it proves.

    Every entry is compared with its hash and proven to lie under the checkpoint, which the
    authority signed; every value with its commitment; every grant with its signature and the one
    above it; and each call that was allowed with the grants it cites. That nothing else happened is
    not for a receipt to show: `ans.verify` over the whole trail does.

    Args:
        receipt: What `engine.trail.receipt` made, its JSON text, or a file of it.
        authority: The authority's public key, from a source that is trusted.

    Raises:
        TrailCorrupted: With every fault, its step and its place.
        InvalidInput: The file cannot be read.

    Example:
        told = ans.verify_receipt("receipt.json", authority="k4.public.…")
        print(told)
    """
    text = _text(receipt)
    checked = json.loads(_core.check_receipt(text, authority))
    return VerifiedReceipt(json.loads(text), checked)


def _text(receipt: Any) -> str:
    if isinstance(receipt, _core.Receipt):
        return receipt.text
    if isinstance(receipt, str) and str.lstrip(receipt)[:1] == "{":
        return receipt
    if not isinstance(receipt, str | os.PathLike):
        raise InvalidInput(
            f"expected a receipt, its text or a file of it, not {type(receipt).__name__}"
        )
    try:
        path = str.__str__(receipt) if isinstance(receipt, str) else os.fspath(receipt)
        return read_text(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        said = f"cannot read the receipt {path[:200]!r}: {str(error)[:300]}"
        raise InvalidInput(said) from error
    except Exception as error:
        raise InvalidInput("cannot read the receipt: its path cannot be read") from error


class VerifiedReceipt:
    """What a receipt proved.

    Attributes:
        authority: The authority's public key.
        about: The id of the entry or task it is about.
        size: How many entries the checkpoint covers.
        checkpoint: The signed note.
        calls: The four questions of each call in it: `who`, `via`, `what`, `why`, and its place.
        entries: The other entries in it, with kind, place and leaf.
    """

    __slots__ = ("about", "authority", "calls", "checkpoint", "entries", "size")

    def __init__(self, receipt: dict[str, Any], checked: dict[str, Any]) -> None:
        self.authority: str = receipt["authority"]
        self.about: str = next(iter(receipt["subject"].values()))
        self.size: int = checked["size"]
        self.checkpoint: str = receipt["checkpoint"]
        book = _Book(receipt["entries"], checked["grants"])
        self.calls: list[dict[str, Any]] = [
            book.call(entry) for entry in receipt["entries"] if _kind(entry) == "decision"
        ]
        self.entries: list[dict[str, Any]] = [
            {"index": entry["index"], "kind": _kind(entry), "leaf": entry["leaf"]}
            for entry in receipt["entries"]
            if _kind(entry) not in ("decision", "outcome")
        ]

    def __repr__(self) -> str:
        return f"<verified receipt about {self.about}: {len(self.calls)} calls>"

    def __str__(self) -> str:
        lines = [f"verified under {self.authority}, {self.size} entries"]
        for call in self.calls:
            lines += [f"{label:<9}{text}" for label, text in _told(call)]
        return "\n".join(_core.shown(line, 2000) for line in lines)

    def _repr_html_(self) -> str:
        from answerable.showing import safe, whole

        lines = "\n".join(safe(line, 2_000) for line in str(self).splitlines())
        return whole([f"<pre>{lines}</pre>"])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def html(self) -> str:
        """A page to print: self-contained, without scripts and without any address to load from."""
        return _page(self)


def _kind(entry: dict[str, Any]) -> str:
    return str(entry["leaf"].get("kind", ""))


def _value(entry: dict[str, Any] | None, field: str) -> Any:
    """A value beside a leaf; the stand-in for one that is committed to and not shown."""
    if entry is None:
        return None
    shown = entry.get("values", {}).get(field)
    if shown is not None:
        return shown["value"]
    return ERASED if field in entry["leaf"].get("commitments", {}) else None


class _Book:
    """The entries of a receipt, by what names them."""

    def __init__(self, entries: list[dict[str, Any]], grants: dict[str, Any]) -> None:
        self._signed = grants
        self._grants: dict[str, dict[str, Any]] = {}
        self._humans: dict[str, dict[str, Any]] = {}
        self._agents: dict[str, dict[str, Any]] = {}
        self._tasks: dict[str, dict[str, Any]] = {}
        self._outcomes: dict[str, dict[str, Any]] = {}
        self._policies: dict[str, dict[str, Any]] = {}
        self._approvals: list[dict[str, Any]] = []
        for entry in entries:
            leaf = entry["leaf"]
            match leaf.get("kind"), leaf.get("action"):
                case "grant", _:
                    self._grants.setdefault(_digest(leaf["digest"]), entry)
                case "identity", "registered":
                    self._humans[leaf["human"]] = entry
                case "identity", "issued":
                    self._agents[leaf["agent"]] = entry
                case "task", "opened":
                    self._tasks[leaf["task"]] = entry
                case "outcome", _:
                    self._outcomes[leaf["decision"]] = entry
                case "policy", _:
                    self._policies[str(leaf.get("version"))] = entry
                case "approval", _:
                    self._approvals.append(entry)

    def call(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The four questions of one decision."""
        leaf = entry["leaf"]
        human = self._humans.get(leaf.get("human", ""))
        outcome = self._outcomes.get(leaf["id"])
        return {
            "entry": leaf["id"],
            "index": entry["index"],
            "at": _plain(leaf.get("at")),
            "who": {
                "human": leaf.get("human"),
                "account": _value(human, "account"),
                "issuer": _value(human, "issuer"),
                "name": _value(human, "name"),
                "assurance": None if human is None else human["leaf"].get("assurance"),
            },
            "via": [self._hop(_digest(digest)) for digest in leaf.get("chain", [])],
            "what": {
                "tool": leaf.get("tool") or _value(entry, "tool"),
                "resource": _value(entry, "resource"),
                "arguments": _arguments(_value(entry, "arguments")),
                "effect": leaf.get("effect"),
                "reasons": leaf.get("reasons", []),
                "detail": _value(entry, "detail"),
                "policy": leaf.get("policy"),
                "policies": leaf.get("policies", []),
                "outcome": _outcome(outcome),
            },
            "why": {
                "task": _value(self._tasks.get(leaf.get("task", "")), "sentence"),
                "task_id": leaf.get("task"),
                "stated": [
                    _value(self._grants.get(_digest(digest)), "statement")
                    for digest in leaf.get("chain", [])
                ],
                "approved_by": [
                    one["leaf"]
                    for one in self._approvals
                    if leaf["id"] in one["leaf"].values()
                    or one["leaf"].get("id") == leaf.get("approval")
                    or one["leaf"].get("approval") == leaf.get("approval") is not None
                ],
            },
        }

    def _hop(self, digest: str) -> dict[str, Any]:
        entry = self._grants.get(digest)
        if entry is None:
            return {"digest": digest}
        leaf = entry["leaf"]
        agent = self._agents.get(leaf.get("agent", ""))
        signed = self._signed.get(digest, {})
        return {
            "digest": digest,
            "grant": leaf.get("grant"),
            "agent": leaf.get("agent"),
            "name": _value(agent, "name"),
            "purpose": _value(agent, "purpose"),
            "from": _plain(leaf.get("from")),
            "until": _plain(leaf.get("until")),
            "scope": signed.get("scope", [ERASED]),
            "limits": signed.get("limits", []),
        }


def _digest(value: Any) -> str:
    """A digest as the binary spells it."""
    return str(_plain(value))


def _plain(value: Any) -> Any:
    """A value of the JSON rendering without the name of its type, for people."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if key.startswith("$"):
            return inner
    return value


def _arguments(recorded: Any) -> dict[str, Any] | str | None:
    if not isinstance(recorded, dict):
        return recorded  # type: ignore[no-any-return]
    told = {}
    for name, item in recorded.items():
        how = item[0] if isinstance(item, list) and item else ""
        told[name] = item[1] if how == "keep" and len(item) == 2 else f"({how})"
    return told


def _outcome(entry: dict[str, Any] | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    leaf = entry["leaf"]
    return {
        "status": leaf.get("status"),
        "type": leaf.get("type"),
        "duration_us": leaf.get("duration_us"),
        "result": _value(entry, "result"),
        "error": _value(entry, "error"),
    }


def _told(call: dict[str, Any]) -> list[tuple[str, str]]:
    """The four questions as labelled lines."""
    who, what, why = call["who"], call["what"], call["why"]
    named = who["name"] or who["account"] or who["human"]
    lines = [("", f"entry {call['index']} · {call['entry']} · {call['at']}")]
    if who["human"] in (None, "none"):
        lines.append(("who", "nobody: no grant was in force"))
    else:
        sure = f"{who['account']} at {who['issuer']}, {who['assurance']}"
        lines.append(("who", f"{named} ({sure}) · {who['human']}"))
    for hop in call["via"]:
        until = f"until {hop.get('until')}"
        lines.append(
            ("via", f"{hop.get('name')} · {hop.get('agent')} · {hop.get('grant')} {until}")
        )
        lines += [("", f"may: {line}") for line in hop.get("scope", [])]
        lines += [("", f"at most: {line}") for line in hop.get("limits", [])]
    on = f" on {what['resource']}" if what["resource"] is not None else ""
    lines.append(("what", f"{what['tool']}{on}"))
    if isinstance(what["arguments"], dict):
        lines += [
            ("", f"{name} = {json.dumps(value, ensure_ascii=False)}")
            for name, value in what["arguments"].items()
        ]
    elif what["arguments"] is not None:
        lines.append(("", f"arguments {what['arguments']}"))
    reasons = f" ({', '.join(map(str, what['reasons']))})" if what["reasons"] else ""
    lines.append(("decided", f"{what['effect']}{reasons} · policy {what['policy']}"))
    outcome = what["outcome"]
    if outcome is not None:
        ended = outcome["error"] if outcome["status"] == "raised" else outcome["result"]
        ended = "" if ended is None else f": {json.dumps(ended, ensure_ascii=False)}"
        took = f"{outcome['type']} after {outcome['duration_us']} µs"
        lines.append(("outcome", f"{outcome['status']} {took}{ended}"))
    elif what["effect"] == "allow":
        lines.append(("outcome", "none shown"))
    lines.append(("why", f"{why['task'] if why['task'] is not None else '(no task was stated)'}"))
    lines += [("", f"stated: {text}") for text in why["stated"] if text is not None]
    for approval in why["approved_by"]:
        facts = {key: _plain(value) for key, value in approval.items() if key != "commitments"}
        lines.append(("approval", ", ".join(f"{key} {value}" for key, value in facts.items())))
    return lines


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:52em;margin:2em auto;padding:0 1em;color:#111}
h1{font-size:1.4em}h2{font-size:1.1em;border-top:1px solid #999;padding-top:1em}
table{border-collapse:collapse;width:100%}th{text-align:left;vertical-align:top;width:7em;
font-weight:600}td,th{padding:.15em .6em .15em 0}td{overflow-wrap:anywhere}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8em;background:#f4f4f4;padding:.8em}
@media print{body{margin:0}h2{break-after:avoid}table{break-inside:avoid}}
"""


def _page(told: VerifiedReceipt) -> str:
    import html

    def safe(text: object) -> str:
        # Control and bidirectional characters are escaped as everywhere, then what HTML reads.
        return html.escape(_core.shown(str(text), 4000), quote=True)

    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">",
        f"<title>Receipt {safe(told.about)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Receipt about {safe(told.about)}</h1>",
        f"<p>Verified under the authority <code>{safe(told.authority)}</code>: each entry lies "
        f"under a signed checkpoint of {told.size} entries. Verify the JSON it was made from; "
        "a page proves nothing by itself.</p>",
    ]
    for call in told.calls:
        rows = _told(call)
        parts.append(f"<h2>{safe(rows[0][1])}</h2><table>")
        parts += [
            f"<tr><th>{safe(label)}</th><td>{safe(text)}</td></tr>" for label, text in rows[1:]
        ]
        parts.append("</table>")
    if told.entries:
        parts.append("<h2>Also shown</h2><table>")
        for entry in told.entries:
            leaf = entry["leaf"]
            what = " ".join(
                str(leaf[key])
                for key in ("action", "target", "human", "agent", "task", "grant")
                if isinstance(leaf.get(key), str)
            )
            parts.append(
                f"<tr><th>{entry['index']}</th><td>{safe(entry['kind'])} {safe(what)}</td></tr>"
            )
        parts.append("</table>")
    note = "\n".join(safe(line) for line in told.checkpoint.splitlines())
    parts.append(f"<h2>Checkpoint</h2><pre>{note}</pre></body></html>\n")
    return "\n".join(parts)
