"""Receipts once more, from docs/formats.md section 10 alone: stdlib only, no code of the product.

What section 9 says of grants and of decisions that follow from them is left to the grants' own
second verifier; all else of a receipt is judged here.
"""

from __future__ import annotations

import re
from typing import Any

import independent as ind
from independent import Refused

# Those that this verifier does not look for.
LEFT_OUT = {"decision_chain", "decision_without_authority"}

KEYS = {"answerable", "format", "authority", "origin", "subject", "checkpoint", "contents"} | {
    "entries"
}


class Place:
    """Stands where a whole trail's hashes stand: how many leaves come before one."""

    def __init__(self) -> None:
        self.index = 0

    def __len__(self) -> int:
        return self.index

    def append(self, leaf: bytes) -> None:
        """Nothing is kept: each leaf has a proof of its own."""


class Contents:
    """The signed note of what a receipt holds."""

    def __init__(self, text: str) -> None:
        if len(text.encode()) > 16384 or any(c < " " and c != "\n" for c in text):
            raise Refused("not a note")
        lines = text.split("\n")
        if len(lines) != 9 or lines[6] or lines[8]:
            raise Refused("not the six lines and one signature")
        for number in (lines[2], lines[4]):
            if re.fullmatch(r"0|[1-9][0-9]{0,19}", number) is None or int(number) >= 1 << 64:
                raise Refused("not a number")
        self.first, self.subject = lines[:2]
        self.size, self.root = int(lines[2]), ind.b64(lines[3])
        self.count, self.digest = int(lines[4]), ind.b64(lines[5])
        if len(self.root) != 32 or len(self.digest) != 32:
            raise Refused("not hashes")
        parts = lines[7].split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or not ind.is_name(parts[1]):
            raise Refused("not a signature line")
        self.name, self.blob = parts[1], ind.b64(parts[2])
        if len(self.blob) < 5:
            raise Refused("not a signature line")
        self.body = "\n".join(lines[:6]).encode() + b"\n"

    def by(self, key: ind.NoteKey) -> bool:
        return (
            self.name == key.name
            and self.blob[:4] == key.id
            and self.first == key.name + "/receipt"
            and ind.signed(key.key, self.body, self.blob[4:])
        )


class Receipt(ind.Verifier):
    """The verifier of a whole trail, fed with some of its leaves."""

    sparse = True

    def __init__(self, authority: str) -> None:
        super().__init__(ind.Authority(authority))
        self.hashes = self.at_index = Place()  # type: ignore[assignment]
        self.have: set[tuple[str, str]] = set()
        self.want: list[tuple[str, str]] = []

    def order(self, index: int, place: dict[str, Any]) -> None:
        """Only that they ascend, which the form asks for."""

    def cite(self, leaf: bytes) -> None:
        value = ind.decode(leaf)
        if value[0] != "map":
            return

        def text(key: str) -> str:
            found = value[1].get(key)
            return found[1] if found is not None and found[0] == "text" else ""

        shows = {
            ("identity", "registered"): "human",
            ("identity", "issued"): "agent",
            ("task", "opened"): "task",
            ("policy", "loaded"): "policy",
            ("policy", "extended"): "policy",
            ("approval", "asked"): "approval",
        }.get((text("kind"), text("action")))
        if shows is not None:
            self.have.add((shows, text(shows)))
        if _of_elsewhere(value[1]):
            self.have.add(("task", text("task")))
        if text("kind") == "decision":
            self.have.add(("parent", text("id")))
            always = ["policy", "approval", "parent"]
            of_an_allow = ["human", "agent", "task"] if text("effect") == "allow" else []
            for key in always + of_an_allow:
                if text(key) not in ("", "none"):
                    self.want.append((key, text(key)))

    def shown(self, fields: Any, note: ind.Note, last: int) -> tuple[int, bytes, bool]:
        """One entry: its index, its stated hash, and whether it is a call or a task's opening."""
        if not isinstance(fields, dict) or not {"index", "leaf", "hash", "proof"} <= set(
            fields
        ) <= {"index", "leaf", "hash", "proof", "values"}:
            raise Refused("not an entry")
        index, leaf = ind.count(fields["index"]), ind.encode(fields["leaf"])
        stated = ind.b64url(fields["hash"])
        if index <= last or len(stated) != 32 or not isinstance(fields["proof"], list):
            raise Refused("not in order, or not hashes")
        path = [ind.b64(hash_) for hash_ in fields["proof"]]
        values = []
        for field, value in fields.get("values", {}).items():
            if set(value) != {"salt", "value"} or len(ind.b64url(value["salt"])) != 16:
                raise Refused("not a value")
            values.append((field, ind.b64url(value["salt"]), ind.encode(value["value"])))
        self.at_index.index = index  # type: ignore[attr-defined]
        self.leaf(0, index, leaf, values)
        self.cite(leaf)
        if ind.leaf_hash(leaf) != stated:
            self.fault("leaf_hash_mismatch", {"index": index})
        elif not ind.included(index, note.size, stated, path, note.root):
            self.fault("not_included", {"index": index})
        return index, stated, leaf

    def receipt(self, text: str) -> None:
        fields = ind.parse_json(text)
        if not isinstance(fields, dict) or set(fields) != KEYS:
            raise Refused("not the keys of a receipt")
        if fields["answerable"] != "receipt" or ind.count(fields["format"]) != 1:
            raise Refused("not a receipt of format 1")
        subject = fields["subject"]
        if not isinstance(subject, dict) or len(subject) != 1 or set(subject) - {"entry", "task"}:
            raise Refused("not a subject")
        if fields["authority"] != self.authority.paserk:
            self.fault("other_authority", {})
        if fields["origin"] != self.authority.origin:
            self.fault("other_origin", {})
        contents = Contents(fields["contents"])
        try:
            note = ind.Note(fields["checkpoint"])
        except Refused:
            self.fault("bad_checkpoint", {})
            return
        held, last, about = b"answerable/v1/receipt\n", -1, False
        ((what, of),) = subject.items()
        for entry in fields["entries"]:
            last, stated, leaf = self.shown(entry, note, last)
            held += last.to_bytes(8, "big") + stated
            value = ind.decode(leaf)[1]
            if what == "entry":
                about |= value.get("id") == ("text", of)
            else:
                opens = value.get("kind") == ("text", "task") or _of_elsewhere(value)
                about |= opens and value.get("task") == ("text", of)
        if not self.in_force(note):
            self.fault("checkpoint_signature", {})
        if any(one not in self.have for one in self.want):
            self.fault("cited_missing", {})
        keys_ = [key for before, key, _ in self.keys if before < note.size]
        if not keys_ or not contents.by(keys_[-1]):
            self.fault("contents_signature", {})
        found = (f"{what} {of}", note.size, note.root, len(fields["entries"]), ind.sha256(held))
        signed = (contents.subject, contents.size, contents.root, contents.count, contents.digest)
        if found != signed:
            self.fault("contents_differ", {})
        if not about:
            self.fault("subject_missing", {})


def _of_elsewhere(leaf: Any) -> bool:
    """Whether a leaf shows a root grant that was made elsewhere, and so was its task."""
    root = leaf.get("kind"), leaf.get("issuer")
    return root == (("text", "grant"), ("text", "authority")) and "offline" in leaf


def verify(text: str, authority: str) -> list[str]:
    """The codes found in a receipt; none for a sound one."""
    receipt = Receipt(authority)
    try:
        receipt.receipt(text)
    except Refused:
        receipt.fault("bad_receipt", {})
    return [fault["code"] for fault in receipt.faults]
