"""Values, their bytes and hashes: written from docs/formats.md, sections 1 to 3, alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from typing import Any


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
