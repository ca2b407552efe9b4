"""Chains of grants, verified from docs/formats.md alone: `tests/vectors/grants.json`.

What is within what is left to the engine; all else is checked here, in pure Python.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from independent import (
    Authority,
    Number,
    Refused,
    b64url,
    digest,
    instant,
    pae,
    parse_json,
    point,
    sha256,
    signed,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "grants.json").read_text())
AUTHORITY = Authority(VECTORS["authority"])
ASSERTION = b"answerable/v1/grant/" + AUTHORITY.id.encode()
SCOPE_CODES = {"scope_widened", "limit_raised"}

REQUIRED = {
    "v", "id", "nonce", "human", "assurance", "task", "holder", "depth", "max_depth", "iat", "exp",
    "scope",
}  # fmt: skip
OPTIONAL = {"parent", "statement", "limits"}


class Invalid(Exception):
    """A hop that is refused, with its code."""


def refuse(code: str) -> None:
    raise Invalid(code)


def check(holds: bool, code: str = "malformed") -> None:
    if not holds:
        refuse(code)


def of_size(value: Any, size: int) -> bytes:
    check(isinstance(value, str) and not isinstance(value, Number))
    data = b64url(value)
    check(len(data) == size)
    return data


def an_id(value: Any, prefix: str) -> str:
    # 26 characters hold 130 bits: the last two are zero.
    check(not isinstance(value, Number) and isinstance(value, str))
    check(re.fullmatch(prefix + "[a-z2-7]{25}[aeimquy4]", value) is not None)
    return str(value)


def small(value: Any) -> int:
    check(isinstance(value, Number) and re.fullmatch("0|[1-9][0-9]{0,2}", value) is not None)
    check(int(value) <= 255)
    return int(value)


def seconds(value: Any) -> int:
    check(isinstance(value, str) and not isinstance(value, Number) and len(value) == 20)
    return instant(value[:-1] + ".000000Z" if value.endswith("Z") else value)


def keys(value: Any, required: set[str], optional: frozenset[str] | set[str] = frozenset()) -> None:
    check(isinstance(value, dict))
    check(required <= set(value) <= required | optional)


def small_integers(value: Any) -> None:
    """Whole numbers are from -2^63 to 2^63 - 1, wherever they stand."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        small_integers(item)
    if isinstance(value, Number) and re.search("[.eE]", value) is None:
        check(value != "-0" and -(1 << 63) <= int(value) < 1 << 63)


def meter(limit: Any) -> tuple[str, Any]:
    check(isinstance(limit, dict) and len(limit) == 1)
    [(word, inner)] = limit.items()
    key = {"rate": "per_us", "total": "argument"}.get(word)
    return word, inner.get(key) if key else None


class Grant:
    """One hop whose own form and fields are right."""

    def __init__(self, token: str, key: bytes, footer: bytes) -> None:
        form = re.fullmatch(r"v4\.public\.([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?", token)
        check(form is not None)
        assert form is not None
        body, foot = b64url(form[1]), b64url(form[2] or "")
        check(len(body) > 64)
        payload, signature = body[:-64], body[-64:]
        message = pae(b"v4.public.", payload, foot, ASSERTION)
        check(signed(key, message, signature), "signature")
        check(foot == footer)
        self.digest = sha256(message)
        self.read(parse_json(payload.decode()))

    def read(self, p: Any) -> None:
        check(isinstance(p, dict) and isinstance(p.get("v"), Number))
        check(re.fullmatch("[0-9]+", p["v"]) is not None)
        check(int(p["v"]) <= 1, "newer_format")
        check(p["v"] == "1")
        keys(p, REQUIRED, OPTIONAL)
        small_integers(p)
        an_id(p["id"], "gnt_")
        self.nonce = of_size(p["nonce"], 16)
        self.human = an_id(p["human"], "hum_")
        self.assurance = p["assurance"]
        check(isinstance(self.assurance, str) and self.assurance in {"asserted", "oidc", "signed"})
        keys(p["task"], {"id", "commitment"})
        self.commitment = of_size(p["task"]["commitment"], 32)
        self.task = (an_id(p["task"]["id"], "tsk_"), self.commitment)
        self.parent = of_size(p["parent"], 32) if "parent" in p else None
        self.statement = of_size(p["statement"], 32) if "statement" in p else None
        keys(p["holder"], {"agent", "key"})
        an_id(p["holder"]["agent"], "agt_")
        text = p["holder"]["key"]
        check(isinstance(text, str) and text.startswith("k4.public."))
        self.key = of_size(text.removeprefix("k4.public."), 32)
        try:
            point(self.key)
        except Refused as error:
            refuse("holder_key" if "small order" in str(error) else "malformed")
        self.depth, self.max_depth = small(p["depth"]), small(p["max_depth"])
        self.iat, self.exp = seconds(p["iat"]), seconds(p["exp"])
        check(isinstance(p["scope"], list) and len(p["scope"]) <= 64)
        limits = p.get("limits", [])
        check(isinstance(limits, list))
        check(self.exp > self.iat, "time_reversed")
        check(self.depth <= self.max_depth, "too_deep")
        meters = [meter(limit) for limit in limits]
        check(len(meters) <= 16 and len(set(meters)) == len(meters))


def link(above: Grant, below: Grant) -> None:
    check(below.parent == above.digest, "parent_mismatch")
    check(below.depth == above.depth + 1, "depth_mismatch")
    check(below.depth <= above.max_depth, "too_deep")
    check(below.max_depth <= above.max_depth, "depth_raised")
    check(below.human == above.human, "human_changed")
    check(below.assurance == above.assurance, "assurance_changed")
    check(below.task == above.task, "task_changed")
    check(above.iat <= below.iat and below.exp <= above.exp, "time_extended")


def verify(text: str) -> tuple[list[Grant], tuple[int, str] | None]:
    """The hops that verified, and the hop and code of the one that did not."""
    hops: list[Grant] = []
    if len(text) > 65536:
        return hops, (0, "too_large")
    tokens = text.split("~")
    if len(tokens) > VECTORS["max_hops"]:
        return hops, (VECTORS["max_hops"], "too_large")
    footer = b'{"kid":"' + AUTHORITY.id.encode() + b'"}'
    for hop, token in enumerate(tokens):
        try:
            check(len(token) <= 16384, "too_large")
            if hop == 0:
                foot = re.fullmatch(r"v4\.public\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)", token)
                check(foot is not None)
                assert foot is not None
                named = re.fullmatch(rb'\{"kid":"(k4\.pid\.[A-Za-z0-9_-]{44})"\}', b64url(foot[1]))
                check(named is not None)
                check(b64url(foot[1]) == footer, "unknown_authority")
                grant = Grant(token, AUTHORITY.key, footer)
                check(grant.depth == 0 and grant.parent is None, "depth_mismatch")
            else:
                grant = Grant(token, hops[-1].key, b"")
                link(hops[-1], grant)
        except Invalid as error:
            return hops, (hop, str(error))
        except (Refused, UnicodeDecodeError):
            return hops, (hop, "malformed")
        hops.append(grant)
    return hops, None


def names(kind: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in VECTORS[kind]]


@pytest.mark.parametrize("case", names("sound"))
def test_a_sound_chain_verifies(case: dict[str, Any]) -> None:
    hops, refused = verify(case["chain"])
    assert refused is None
    assert [hop.digest.hex() for hop in hops] == case["digests"]
    task = digest("answerable/v1/statement", hops[0].nonce, VECTORS["task"].encode())
    assert hops[-1].commitment == task
    told = VECTORS["statement"]
    if case["name"] == told["chain"]:
        hop = hops[told["hop"]]
        text = told["text"].encode()
        assert hop.statement == digest("answerable/v1/statement", hop.nonce, text)


@pytest.mark.parametrize("case", names("forged"))
def test_a_forged_chain_is_refused_at_its_hop(case: dict[str, Any]) -> None:
    _, refused = verify(case["chain"])
    # Scopes and limits are compared by the engine; all that comes before them holds.
    assert refused == (None if case["code"] in SCOPE_CODES else (case["hop"], case["code"]))


def test_there_are_enough_of_each() -> None:
    assert len(VECTORS["sound"]) >= 9
    assert len({case["code"] for case in VECTORS["forged"]}) >= 17
