"""A verifier of exported trails, written from docs/formats.md alone, with the standard library only.

It shares nothing with the engine: where the two differ, one of them, or the page, is wrong.

`python independent.py FILE AUTHORITY [CHECKPOINT …]` prints its report: 0 without faults, 1 with.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from independent_approvals import Approvals
from independent_canonical import (  # noqa: F401 - for those who use this.
    Number,
    Object,
    Refused,
    b64,
    b64url,
    b64url_text,
    commitment,
    count,
    decode,
    digest,
    encode,
    field_salt,
    instant,
    pae,
    parse_json,
    sha256,
)
from independent_ed25519 import point, signed

MAX_LINE = 1 << 20


# Section 4.


class Authority:
    def __init__(self, paserk: str) -> None:
        if not paserk.startswith("k4.public."):
            raise Refused("not a k4.public key")
        self.paserk, self.key = paserk, b64url(paserk.removeprefix("k4.public."))
        point(self.key)
        hashed = hashlib.blake2b(b"k4.pid." + paserk.encode(), digest_size=33).digest()
        self.id = "k4.pid." + b64url_text(hashed)
        self.origin = "answerable/" + self.id

    def opened(self, token: str, signer: Authority, purpose: str) -> Object:
        """The payload of a statement for one purpose, under the authority's key in force."""
        if len(token) > 16384 or not token.startswith("v4.public.") or token.count(".") != 2:
            raise Refused("not a v4.public token without a footer")
        body = b64url(token.removeprefix("v4.public."))
        payload, signature = body[:-64], body[-64:]
        assertion = f"answerable/v1/{purpose}/{self.id}".encode()
        if not signed(signer.key, pae(b"v4.public.", payload, b"", assertion), signature):
            raise Refused("the signature does not verify")
        try:
            fields = parse_json(payload.decode())
        except UnicodeDecodeError as error:
            raise Refused("not UTF-8") from error
        if not isinstance(fields, Object):
            raise Refused("not an object")
        return fields

    def statement(self, token: str, signer: Authority) -> tuple[str, NoteKey, int, Authority]:
        """The authority that a statement by its key in force names, the checkpoint key, its time, and the key
        in force from there on."""
        fields = self.opened(token, signer, "authority")
        names = {"v", "origin", "authority", "checkpoint_key", "at"}
        if set(fields) - {"until"} != names:
            raise Refused("not a statement's payload")
        if fields["v"] not in ("1", "2") or not isinstance(fields["v"], Number):
            raise Refused("another version")
        if ("until" in fields) != (fields["v"] == "2"):
            raise Refused("not a statement's payload")
        follows = signer
        if fields["v"] == "2":
            instant(fields["until"])
            follows = Authority(fields["authority"])
        elif fields["authority"] != signer.paserk:
            return fields["authority"], None, 0, signer
        key = NoteKey(fields["checkpoint_key"])
        if fields["origin"] != self.origin or key.name != self.origin:
            raise Refused("another origin")
        return signer.paserk, key, instant(fields["at"]), follows


# Section 6.


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf)


def root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"")
    level = leaves
    while len(level) > 1:
        pairs = [sha256(b"\x01" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def included(index: int, size: int, leaf: bytes, path: list[bytes], top: bytes) -> bool:
    if index >= size:
        return False

    def climb(first: int, last: int, rest: list[bytes]) -> bytes:
        if last - first == 1:
            if rest:
                raise Refused("too long")
            return leaf
        if not rest:
            raise Refused("too short")
        middle = first + (1 << (last - first - 1).bit_length() - 1)
        if index < middle:
            return node(climb(first, middle, rest[:-1]), rest[-1])
        return node(rest[-1], climb(middle, last, rest[:-1]))

    try:
        return climb(0, size, path) == top
    except Refused:
        return False


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, path: list[bytes]) -> bool:
    if old == 0 or old > new:
        return False
    if old == new:
        return not path and old_root == new_root

    def climb(first: int, last: int, rest: list[bytes]) -> tuple[bytes, bytes]:
        """The roots of this subtree in the old and in the new tree."""
        if last == old:
            if first == 0:
                if rest:
                    raise Refused("too long")
                return old_root, old_root
            if len(rest) != 1:
                raise Refused("another length")
            return rest[0], rest[0]
        if not rest:
            raise Refused("too short")
        middle = first + (1 << (last - first - 1).bit_length() - 1)
        if old <= middle:
            before, after = climb(first, middle, rest[:-1])
            return before, node(after, rest[-1])
        before, after = climb(middle, last, rest[:-1])
        return node(rest[-1], before), node(rest[-1], after)

    try:
        return climb(0, new, path) == (old_root, new_root)
    except Refused:
        return False


# Section 7.


def is_name(text: str) -> bool:
    return text != "" and not any(c <= " " or c == "+" or c.isspace() for c in text)


class NoteKey:
    def __init__(self, text: Any) -> None:
        parts = text.split("+", 2) if isinstance(text, str) else []
        if len(parts) != 3 or not is_name(parts[0]):
            raise Refused("not a checkpoint key")
        self.name, blob = parts[0], b64(parts[2])
        self.id = sha256(self.name.encode() + b"\n" + blob)[:4]
        if len(blob) != 33 or blob[0] != 1 or self.id.hex() != parts[1]:
            raise Refused("not a checkpoint key")
        self.key = blob[1:]
        point(self.key)


class Note:
    def __init__(self, text: str) -> None:
        if len(text.encode()) > 16384 or any(c < " " and c != "\n" for c in text):
            raise Refused("not a note")
        lines = text.split("\n")
        if len(lines) < 6 or lines[-1] or lines[3] or not lines[0] or len(lines) - 5 > 16:
            raise Refused("not a note of a checkpoint")
        if re.fullmatch(r"0|[1-9][0-9]{0,19}", lines[1]) is None or int(lines[1]) >= 1 << 64:
            raise Refused("not a size")
        self.origin, self.size, self.root = lines[0], int(lines[1]), b64(lines[2])
        if len(self.root) != 32:
            raise Refused("not a root")
        self.body = "\n".join(lines[:3]).encode() + b"\n"
        self.signatures = []
        for line in lines[4:-1]:
            parts = line.split(" ")
            if (
                len(parts) != 3
                or parts[0] != "\u2014"
                or not is_name(parts[1])
                or len(b64(parts[2])) < 5
            ):
                raise Refused("not a signature line")
            self.signatures.append((parts[1], b64(parts[2])))

    def by(self, key: NoteKey) -> bool:
        ours = [blob for name, blob in self.signatures if name == key.name and blob[:4] == key.id]
        return (
            len(ours) == 1 and self.origin == key.name and signed(key.key, self.body, ours[0][4:])
        )


# Section 8.

KINDS = (
    "decision outcome grant identity task key revocation halt policy approval lease review erasure restore credential repair"
).split()


def entry_id(value: Any) -> str | None:
    if (
        value is None
        or value[0] != "text"
        or re.fullmatch(r"ent_[a-z2-7]{25}[aeimquy4]", value[1]) is None
    ):
        return None
    return str(value[1])


class Verifier:
    sparse = False  # Whether only some of the trail's leaves come.

    def __init__(self, authority: Authority) -> None:
        self.authority = self.signer = authority
        self.faults: list[dict[str, Any]] = []
        self.hashes: list[bytes] = []
        self.keys: list[tuple[int, NoteKey, int]] = []
        self.ids: dict[str, str] = {}
        self.kinds: dict[str, int] = {}
        self.at = -(1 << 63)
        self.own: list[tuple[int, Note]] = []
        self.last_size: int | None = None
        self.disclosed = self.withheld = self.entries = self.checkpoints = 0
        self.next = 0
        self.gaps: list[tuple[int, int]] = []  # both ends included
        self.early: set[int] = set()
        self.jump: tuple[int, dict[str, Any]] | None = None
        self.approvals = Approvals()

    def fault(self, code: str, place: dict[str, Any], **more: Any) -> None:
        self.faults.append({"code": code, **place, **more})

    def order(self, index: int, place: dict[str, Any]) -> None:
        jump, self.jump = self.jump, None
        if index > self.next:
            self.gaps.append((self.next, index - 1))
            self.jump = (self.next, place)
        elif index < self.next:
            if jump is not None and index in (jump[0], jump[0] + 1):
                self.gaps.pop()
                self.early.add(jump[1]["index"])
                self.fault("out_of_order", jump[1])
            elif around := [gap for gap in self.gaps if gap[0] <= index <= gap[1]]:
                (first, last) = around[0]
                self.gaps.remove(around[0])
                left = [(first, index - 1), (index + 1, last)]
                self.gaps += [gap for gap in left if gap[0] <= gap[1]]
                return self.fault("out_of_order", place)
            else:
                return self.fault("repeated_index", place)
        self.next = min(index + 1, (1 << 64) - 1)
        while self.next in self.early:
            self.early.discard(self.next)
            self.next += 1

    def unreadable(self, line: int, index: int | None) -> None:
        place = {"line": line, "index": self.next if index is None else index}
        self.order(place["index"], place)
        self.hashes.append(bytes(32))
        self.fault("bad_line", place)

    def entry(self, line: int, fields: Object) -> None:
        self.entries += 1
        if self.checkpoints:
            self.fault("bad_line", {"line": line})
        index = None
        try:
            index = count(fields.get("index"))
        except Refused:
            pass
        try:
            if index is None or not {"index", "leaf", "hash"} <= set(fields) <= {
                "index",
                "leaf",
                "hash",
                "values",
            }:
                raise Refused("not an entry")
            leaf, stated = encode(fields["leaf"]), b64url(fields["hash"])
            if len(stated) != 32:
                raise Refused("not a hash")
            values = []
            shown = fields.get("values", Object())
            if not isinstance(shown, dict):
                raise Refused("not values")
            for field, value in shown.items():
                if (
                    not isinstance(value, dict)
                    or set(value) != {"salt", "value"}
                    or len(b64url(value["salt"])) != 16
                ):
                    raise Refused("not a value")
                values.append((field, b64url(value["salt"]), encode(value["value"])))
        except Refused:
            return self.unreadable(line, index)
        self.leaf(line, index, leaf, values)
        if leaf_hash(leaf) != stated:
            self.fault("leaf_hash_mismatch", self.place(line, index, leaf))

    def place(self, line: int, index: int, leaf: bytes) -> dict[str, Any]:
        place: dict[str, Any] = {"line": line, "index": index}
        value = decode(leaf)
        if value[0] == "map" and (entry := entry_id(value[1].get("id"))):
            place["entry"] = entry
        return place

    def leaf(
        self, line: int, index: int, leaf: bytes, values: list[tuple[str, bytes, bytes]]
    ) -> None:
        place = self.place(line, index, leaf)
        self.order(index, place)
        before = len(self.hashes)
        self.hashes.append(leaf_hash(leaf))
        value = decode(leaf)
        if value[0] != "map":
            return self.fault("bad_leaf", place)
        fields = value[1]

        def get(key: str, kind: str) -> Any:
            found = fields.get(key)
            return found[1] if found is not None and found[0] == kind else None

        version = get("v", "int")
        if version is not None and 1 < version < 1 << 63:
            return self.fault("newer_format", place)
        if version != 1:
            self.fault("bad_leaf", place)
        kind = get("kind", "text")
        if kind is None or len(kind.encode()) > 64:
            kind = None
            self.fault("bad_leaf", place)
        else:
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
        at = get("at", "datetime")
        if at is None:
            self.fault("bad_leaf", place)
        elif at < self.at:
            self.fault("time_backwards", place)
        else:
            self.at = at
        self.commitments(place, fields.get("commitments"), values)
        state = "other"
        if kind == "key":
            self.statement(place, before, fields.get("statement"))
        elif before == 0:
            self.fault("bad_statement", place)
        if kind == "decision":
            effect = get("effect", "text")
            if effect not in ("allow", "deny", "ask"):
                self.fault("bad_leaf", place)
            else:
                state = "allowed" if effect == "allow" else "not"
        if kind == "revocation":
            try:
                self.revocation(get)
            except Refused:
                self.fault("revocation_invalid", place)
        shown = {field: value for field, _, value in values}
        for code in self.approvals.entry(kind, fields, shown, self.at, self.sparse):
            self.fault(code, place)
        if kind == "outcome":
            of = entry_id(fields.get("decision"))
            was = self.ids.get(of or "", "other")
            if of is not None and was == "allowed":
                self.ids[of] = "finished"
            else:
                codes = {"finished": "second_outcome", "not": "outcome_not_allowed"}
                self.fault(codes.get(was, "outcome_without_decision"), place)
        own = entry_id(fields.get("id"))
        if own is None:
            self.fault("bad_leaf", place)
        elif own in self.ids:
            self.fault("duplicate_id", place)
        else:
            self.ids[own] = state

    def revocation(self, get: Any) -> None:
        """Section 5, "Revocations": the leaf says what the authority signed, and nothing else."""
        fields = self.authority.opened(get("statement", "text") or "", self.signer, "revocation")
        if set(fields) - {"id", "digest"} != {"v", "entry", "target", "by", "at"}:
            raise Refused("not a revocation's payload")
        if fields["v"] != "1" or not isinstance(fields["v"], Number):
            raise Refused("another version")
        target = get("target", "text")
        if target not in ("grant", "agent", "human", "task"):
            raise Refused("no target")
        named = get("digest", "bytes")
        if (named is not None and len(named) == 32) != (target == "grant"):
            raise Refused("a digest of a grant only")
        if target != "grant" and get(target, "text") is None:
            raise Refused("nothing is named")
        stated = {"entry": get("id", "text"), "target": target, "by": get("by", "text")}
        stated["id"], stated["digest"] = get(target, "text"), named and b64url_text(named)
        for name, value in stated.items():
            held = fields.get(name)
            if isinstance(held, Number) or held != value:
                raise Refused("the leaf says something else")
        if isinstance(fields["at"], Number) or instant(fields["at"]) != get("at", "datetime"):
            raise Refused("another time")

    def commitments(
        self, place: dict[str, Any], held: Any, values: list[tuple[str, bytes, bytes]]
    ) -> None:
        if held is not None and held[0] != "map":
            return self.fault("bad_leaf", place)
        committed = held[1] if held is not None else {}
        for field, value in committed.items():
            if value[0] != "bytes" or len(value[1]) != 32:
                self.fault("bad_leaf", place, field=field)
        shown = 0
        for field, salt, value in values:
            if field not in committed or committed[field][0] != "bytes":
                self.fault("value_without_commitment", place, field=field)
                continue
            shown += 1
            if commitment(salt, field, value) == committed[field][1]:
                self.disclosed += 1
            else:
                self.fault("value_mismatch", place, field=field)
        self.withheld += len(committed) - shown

    def statement(self, place: dict[str, Any], before: int, held: Any) -> None:
        if held is None:
            if before == 0:
                self.fault("bad_statement", place)
            return
        try:
            text = held[1] if held[0] == "text" else ""
            named, key, at, follows = self.authority.statement(text, self.signer)
        except Refused:
            return self.fault("bad_statement", place)
        if named != self.signer.paserk:
            self.fault("other_authority", place)
        elif self.keys and at <= self.keys[-1][2]:
            self.fault("bad_statement", place)
        else:
            self.keys.append((before, key, at))
            self.signer = follows

    def in_force(self, note: Note) -> bool:
        keys = [key for before, key, _ in self.keys if before < note.size]
        return bool(keys) and note.by(keys[-1])

    def checkpoint(self, line: int, fields: Object) -> None:
        self.checkpoints += 1
        text = fields["checkpoint"]
        if len(fields) != 1 or not isinstance(text, str) or isinstance(text, Number):
            return self.fault("bad_line", {"line": line})
        try:
            note = Note(text)
        except Refused:
            return self.fault("bad_checkpoint", {"line": line})
        if self.last_size is not None and note.size <= self.last_size:
            self.fault("checkpoint_order", {"line": line})
        self.last_size = note.size
        if self.in_force(note):
            self.own.append((line, note))
        else:
            self.fault("checkpoint_signature", {"line": line})

    def finish(self, since: list[str]) -> dict[str, Any]:
        for first, last in self.gaps:
            self.fault("missing_entries", {"index": first, "through": last})
        size = len(self.hashes)
        if not size:
            self.fault("bad_statement", {"index": 0})
        kept: list[Note] = []
        for text in since:
            try:
                note = Note(text)
                if not self.in_force(note):
                    raise Refused("not of this trail")
                kept.append(note)
            except Refused:
                self.fault("since_unverified", {})
        agree: Callable[[Note], bool] = lambda n: (
            n.size <= size and root(self.hashes[: n.size]) == n.root
        )
        kept_sizes = [note.size for note in kept if agree(note)]
        own_sizes = [note.size for _, note in self.own if agree(note)]
        for place, note, smaller, code in [
            ({"line": line}, note, own_sizes + kept_sizes, "checkpoint_root_mismatch")
            for line, note in self.own
        ] + [({}, note, kept_sizes, "history_rewritten") for note in kept]:
            through = max(note.size - 1, 0)
            if note.size > size:
                self.fault("cut_tail_or_rolled_back", place, index=size, through=through)
            elif not agree(note):
                first = max((one for one in smaller if one < note.size), default=0)
                self.fault(code, place, index=first, through=through)
        newest = max(own_sizes, default=0)
        return {
            "size": size,
            "root": b64url_text(root(self.hashes)),
            "checkpoints": len(own_sizes),
            "since_agreed": len(kept_sizes),
            "kinds": self.kinds,
            "unknown_kinds": [kind for kind in self.kinds if kind not in KINDS],
            "newest_checkpoint_size": newest,
            "unanchored": size - newest,
            "disclosed": self.disclosed,
            "withheld": self.withheld,
            "decisions_without_outcome": list(self.ids.values()).count("allowed"),
            "faults": self.faults,
        }


def verify(data: bytes, authority: str, since: list[str]) -> dict[str, Any]:
    """The report on an exported trail under the authority's public key."""
    verifier = Verifier(Authority(authority))
    stated = None
    lines = data.split(b"\n")
    unended = lines.pop() != b""
    if unended:
        lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        fields: Any = None
        try:
            if len(line) <= MAX_LINE and not (unended and number == len(lines)):
                fields = parse_json(line.decode())
        except (Refused, UnicodeDecodeError):
            pass
        if number == 1 and isinstance(fields, dict) and "answerable" in fields:
            stated = header(verifier, fields)
            continue
        if number == 1:
            verifier.fault("bad_header", {"line": 1})
        if not isinstance(fields, dict):
            if number > 1 and verifier.checkpoints:
                verifier.fault("bad_line", {"line": number})
            elif number > 1:
                verifier.entries += 1
                verifier.unreadable(number, None)
        elif "leaf" in fields:
            verifier.entry(number, fields)
        elif "checkpoint" in fields:
            verifier.checkpoint(number, fields)
        else:
            verifier.fault("bad_line", {"line": number})
    if not lines:
        verifier.fault("bad_header", {})
    if stated is not None:
        for one, found in zip(stated, (verifier.entries, verifier.checkpoints)):
            if one != found:
                verifier.fault("count_mismatch", {"line": 1})
    return verifier.finish(since)


def header(verifier: Verifier, fields: Object) -> tuple[int, int] | None:
    stated = None
    try:
        stated = (count(fields.get("size")), count(fields.get("checkpoints")))
        texts = [fields.get(key) for key in ("answerable", "authority", "origin")]
        keys = {"answerable", "format", "authority", "origin", "size", "checkpoints"}
        plain = all(isinstance(text, str) and not isinstance(text, Number) for text in texts)
        if set(fields) != keys or not plain or texts[0] != "trail" or count(fields["format"]) != 1:
            raise Refused("not a header")
    except Refused:
        verifier.fault("bad_header", {"line": 1})
        return stated
    if texts[1] != verifier.authority.paserk:
        verifier.fault("other_authority", {"line": 1})
    if texts[2] != verifier.authority.origin:
        verifier.fault("other_origin", {"line": 1})
    return stated


def main(file: str, authority: str, *since: str) -> int:
    data = Path(file).read_bytes()
    report = verify(data, authority, [Path(name).read_text("utf-8") for name in since])
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return int(bool(report["faults"]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
