"""A verifier of exported trails, written from docs/formats.md alone, with the standard library only.

It shares nothing with the engine: where the two differ, one of them, or the page, is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Callable
from typing import Any

from independent_approvals import Approvals

MAX_LINE = 1 << 20


class Refused(Exception):
    """The bytes or the text are not of the format."""


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def b64url(text: object) -> bytes:
    if (
        not isinstance(text, str)
        or re.fullmatch(r"[A-Za-z0-9_-]*", text) is None
        or len(text) % 4 == 1
    ):
        raise Refused("not base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url_text(data) != text:
        raise Refused("trailing bits")
    return data


def b64url_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def b64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Refused("not strict base64")
    return data


# Section 2: JSON, numbers kept as text.


class Number(str):
    """A number as it is written."""


class Object(dict):
    """An object whose keys were checked to be different."""


def parse_json(text: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> Object:
        made = Object(items)
        if len(made) != len(items):
            raise Refused("a key occurs twice")
        return made

    def constant(word: str) -> Any:
        raise Refused(word)

    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_int=Number,
            parse_float=Number,
            parse_constant=constant,
        )
        json.dumps(value, ensure_ascii=False).encode()  # lone surrogates do not encode
    except (ValueError, RecursionError) as error:
        raise Refused(str(error)) from error
    if levels(value) > 129:
        raise Refused("it nests too deep")
    return value


def levels(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(levels, inner), default=0)


def count(value: Any) -> int:
    if (
        not isinstance(value, Number)
        or re.fullmatch(r"[0-9]+", value) is None
        or int(value) >= 1 << 64
    ):
        raise Refused("not a count")
    return int(value)


# Sections 1 and 2: canonical bytes.

DECIMAL = re.compile(r"(-?)([1-9][0-9]*)E(0|-?[1-9][0-9]{0,4})", re.ASCII)
DATETIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z", re.ASCII)
INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)


def is_decimal(text: str) -> bool:
    if text == "0E0":
        return True
    found = DECIMAL.fullmatch(text)
    if found is None:
        return False
    digits, exponent = found[2], int(found[3])
    return len(digits) <= 1000 and digits[-1] != "0" and abs(exponent) <= 6200


def instant(text: str) -> int:
    found = DATETIME.fullmatch(text)
    if found is None:
        raise Refused("not a datetime")
    year, month, day, hour, minute, second, micro = map(int, found.groups())
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    if (
        not 1 <= month <= 12
        or not 1 <= day <= lengths[month - 1]
        or hour > 23
        or minute > 59
        or second > 59
    ):
        raise Refused("no such time")
    before = year - 1
    days = (
        365 * before + before // 4 - before // 100 + before // 400 + sum(lengths[: month - 1]) + day
    )
    return ((days - 719163) * 86400 + hour * 3600 + minute * 60 + second) * 1_000_000 + micro


FIRST, LAST = instant("0000-01-01T00:00:00.000000Z"), instant("9999-12-31T23:59:59.999999Z")


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number % 128 + 128)
        number //= 128
    return bytes(out) + bytes([number])


def piece(data: bytes) -> bytes:
    return varint(len(data)) + data


def integer(number: int) -> bytes:
    size = 1
    while not -(1 << (8 * size - 1)) <= number < 1 << (8 * size - 1):
        size += 1
    if size > 513:
        raise Refused("an integer is too large")
    return b"\x03" + piece(number.to_bytes(size, "big", signed=True))


def encode(value: Any, depth: int = 0) -> bytes:
    if depth > 32:
        raise Refused("values nest too deep")
    if value is None:
        return b"\x00"
    if isinstance(value, bool):
        return b"\x02" if value else b"\x01"
    if isinstance(value, Number):
        if INTEGER.fullmatch(value):
            if not -(1 << 63) <= int(value) < 1 << 63:
                raise Refused("an integer beyond 64 bits")
            return integer(int(value))
        number = float(value)
        if value == "-0" or number in (float("inf"), float("-inf")):
            raise Refused("not a number of the format")
        return b"\x04" + struct.pack(">d", number + 0.0)
    if isinstance(value, str):
        return b"\x05" + piece(value.encode())
    if isinstance(value, list):
        return b"\x0b" + items(value, depth)
    if len(value) == 1:
        ((word, held),) = value.items()
        if word.startswith("$") and not word.startswith("$$"):
            return special(word, held, depth)
    return b"\x0d" + fields(value, depth)


def items(values: list[Any], depth: int) -> bytes:
    return varint(len(values)) + b"".join(encode(value, depth + 1) for value in values)


def fields(values: Object, depth: int) -> bytes:
    out = []
    for key, value in values.items():
        if key.startswith("$"):
            if not key.startswith("$$"):
                raise Refused("a word stands beside other keys")
            key = key[1:]
        out.append((key.encode(), value))
    out.sort(key=lambda pair: pair[0])
    return varint(len(out)) + b"".join(piece(key) + encode(value, depth + 1) for key, value in out)


def special(word: str, held: Any, depth: int) -> bytes:
    text = held if isinstance(held, str) and not isinstance(held, Number) else None
    if text is not None:
        if word == "$int" and INTEGER.fullmatch(text) and len(text) < 1400:
            if not -(1 << 63) <= int(text) < 1 << 63:
                return integer(int(text))
        if word == "$bytes":
            return b"\x06" + piece(b64url(text))
        if word == "$decimal" and is_decimal(text):
            return b"\x07" + piece(text.encode())
        if word == "$datetime":
            return b"\x08" + struct.pack(">q", instant(text))
        if word == "$instant" and INTEGER.fullmatch(text) and len(text) < 21:
            if -(1 << 63) <= int(text) < 1 << 63 and not FIRST <= int(text) <= LAST:
                return b"\x08" + struct.pack(">q", int(text))
        if word == "$uuid" and re.fullmatch(r"[0-9a-f]{32}", text):
            return b"\x09" + bytes.fromhex(text)
    if isinstance(held, list):
        plain = [isinstance(part, str) and not isinstance(part, Number) for part in held]
        if word == "$tuple":
            return b"\x0c" + items(held, depth)
        if word == "$enum" and len(held) == 3 and plain[0] and plain[1]:
            return (
                b"\x0a"
                + piece(held[0].encode())
                + piece(held[1].encode())
                + encode(held[2], depth + 1)
            )
        if word == "$record" and len(held) == 2 and plain[0] and isinstance(held[1], dict):
            return b"\x0e" + piece(held[0].encode()) + fields(held[1], depth)
    raise Refused(f"{word} does not hold what it should")


class Decoder:
    """Checks canonical bytes; a map's values come back as Python objects, tagged by type."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise Refused("the bytes end early")
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        number = 0
        for place in range(5):
            byte = self.take(1)[0]
            number += (byte % 128) << (7 * place)
            if byte < 128:
                if place and not byte:
                    raise Refused("a length is not in its shortest form")
                return number
        raise Refused("a length is too large")

    def text(self) -> str:
        try:
            return self.take(self.varint()).decode("utf-8", "strict")
        except UnicodeDecodeError as error:
            raise Refused("not UTF-8") from error

    def fields(self, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        last = None
        for _ in range(self.varint()):
            key = self.text()
            if last is not None and last >= key.encode():
                raise Refused("keys do not ascend")
            last = key.encode()
            out[key] = self.value(depth + 1)
        return out

    def value(self, depth: int = 0) -> Any:
        if depth > 32:
            raise Refused("values nest too deep")
        tag = self.take(1)[0]
        if tag <= 2:
            return ("const", tag)
        if tag == 3:
            data = self.take(self.varint())
            number = int.from_bytes(data, "big", signed=True)
            if not data or integer(number) != b"\x03" + piece(data):
                raise Refused("an integer is not minimal")
            return ("int", number)
        if tag == 4:
            data = self.take(8)
            number = struct.unpack(">d", data)[0]
            if (
                number != number
                or number in (float("inf"), float("-inf"))
                or data == b"\x80" + bytes(7)
            ):
                raise Refused("a float is not canonical")
            return ("float", number)
        if tag == 5:
            return ("text", self.text())
        if tag == 6:
            return ("bytes", self.take(self.varint()))
        if tag == 7:
            text = self.text()
            if not is_decimal(text):
                raise Refused("a decimal is not canonical")
            return ("decimal", text)
        if tag == 8:
            return ("datetime", struct.unpack(">q", self.take(8))[0])
        if tag == 9:
            return ("uuid", self.take(16))
        if tag == 10:
            return ("enum", self.text(), self.text(), self.value(depth + 1))
        if tag in (11, 12):
            return ("items", tag, [self.value(depth + 1) for _ in range(self.varint())])
        if tag == 13:
            return ("map", self.fields(depth))
        if tag == 14:
            return ("record", self.text(), self.fields(depth))
        raise Refused("an unknown tag")


def decode(data: bytes) -> Any:
    decoder = Decoder(data)
    value = decoder.value()
    if decoder.at != len(data):
        raise Refused("bytes follow the value")
    return value


# Section 3.


def pae(*pieces: bytes) -> bytes:
    return struct.pack("<Q", len(pieces)) + b"".join(struct.pack("<Q", len(p)) + p for p in pieces)


def digest(domain: str, *parts: bytes) -> bytes:
    return sha256(pae(domain.encode(), *parts))


def field_salt(entry_salt: bytes, field: str) -> bytes:
    return digest("answerable/v1/field-salt", entry_salt, field.encode())[:16]


def commitment(salt: bytes, field: str, value: bytes) -> bytes:
    return digest("answerable/v1/commitment", salt, field.encode(), value)


# Ed25519 (RFC 8032, section 5.1), in extended coordinates.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]
ZERO: Point = (0, 1, 1, 0)


def plus(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(number: int, point: Point) -> Point:
    out = ZERO
    while number:
        if number & 1:
            out = plus(out, point)
        point = plus(point, point)
        number >>= 1
    return out


def same(p: Point, q: Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def point(data: bytes) -> Point:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if len(data) != 32 or y >= P:
        raise Refused("not a point in canonical form")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        raise Refused("not a point in canonical form")
    if x & 1 != sign:
        x = P - x
    found = (x, y, 1, x * y % P)
    if same(times(8, found), ZERO):
        raise Refused("a point of small order")
    return found


Y = 4 * pow(5, P - 2, P) % P
BASE = point(Y.to_bytes(32, "little"))


def signed(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        a, r = point(key), point(signature[:32])
    except Refused:
        return False
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    return same(times(s, BASE), plus(r, times(h, a)))


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
        self.gaps: set[int] = set()  # small in the vectors; a range list elsewhere
        self.early: set[int] = set()
        self.jump: tuple[int, dict[str, Any]] | None = None
        self.approvals = Approvals()

    def fault(self, code: str, place: dict[str, Any], **more: Any) -> None:
        self.faults.append({"code": code, **place, **more})

    def order(self, index: int, place: dict[str, Any]) -> None:
        jump, self.jump = self.jump, None
        if index > self.next:
            self.gaps.update(range(self.next, min(index, self.next + 100_000)))
            self.jump = (self.next, place)
        elif index < self.next:
            if jump is not None and index in (jump[0], jump[0] + 1):
                self.gaps.difference_update(range(jump[0], jump[1]["index"]))
                self.early.add(jump[1]["index"])
                self.fault("out_of_order", jump[1])
            elif index in self.gaps:
                self.gaps.discard(index)
                return self.fault("out_of_order", place)
            else:
                return self.fault("repeated_index", place)
        self.next = index + 1
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
        if kind == "revocation" and get("target", "text"):
            try:
                self.revocation(get)
            except Refused:
                self.fault("revocation_invalid", place)
        if at is not None and self.approvals.entry(kind, fields):
            self.fault("decision_without_approval", place)
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
        digest = get("digest", "bytes")
        if (digest is not None and len(digest) == 32) != (target == "grant"):
            raise Refused("a digest of a grant only")
        if target != "grant" and get(target, "text") is None:
            raise Refused("nothing is named")
        stated = {"entry": get("id", "text"), "target": target, "by": get("by", "text")}
        stated["id"], stated["digest"] = get(target, "text"), digest and b64url_text(digest)
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
        gaps = sorted(self.gaps)
        while gaps:
            last = gaps[0]
            while last + 1 in self.gaps:
                last += 1
            self.fault("missing_entries", {"index": gaps[0], "through": last})
            gaps = [gap for gap in gaps if gap > last]
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
