"""What attackers have: grants and keys of their own, and a signer that signs anything."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import answerable as ans

Change = Callable[[dict[str, Any]], object]


class StillRefused(AssertionError):
    """Something else refused it."""

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.args[1]}"


class World:
    """Alice's planner holds `root`; Mallory's agent holds `held`, delegated from it; both keep
    their own keys. What the tools did stands in `ran`."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.engine = engine = ans.open(path, **options)
        self.alice = engine.humans.register("alice@example.com", name="Alice")
        self.bob = engine.humans.register("bob@example.com", name="Bob")
        self.planner_key, self.mallory_key = ans.SecretKey.generate(), ans.SecretKey.generate()
        ceiling = [ans.allow("pay.*")]
        self.planner = engine.agents.issue(
            "planner",
            owner=self.alice,
            purpose="plans",
            ceiling=ceiling,
            ttl="8h",
            key=self.planner_key.public,
        )
        self.mallory = engine.agents.issue(
            "mallory",
            owner=self.bob,
            purpose="pays",
            ceiling=ceiling,
            ttl="8h",
            key=self.mallory_key.public,
        )
        self.root = self.grant()
        self.held = self.root.delegate(
            self.mallory, scope=self.narrow(), ttl="30m", max_depth=1, key=self.planner_key
        )
        self.ran: list[Any] = []

        @ans.tool("pay.transfer", resource="account/{account}")
        def transfer(account: str, amount: Any, memo: str = "") -> str:
            self.ran.append((account, amount, memo))
            return "done"

        self.transfer = transfer

    def wide(self, **more: Any) -> ans.Capability:
        where = {"amount": ans.at_most(500), "memo": ans.any_()}
        return ans.allow("pay.transfer", resource="account/travel-*", where=where, **more)

    def narrow(self, **more: Any) -> ans.Capability:
        where = {"amount": ans.at_most(100), "memo": ans.any_()}
        return ans.allow("pay.transfer", resource="account/travel-1", where=where, **more)

    def grant(self, human: Any = None, agent: Any = None, **options: Any) -> ans.Grant:
        options = {"task": "Book", "scope": self.wide(), "ttl": "1h", "max_depth": 3, **options}
        return self.engine.grant(human or self.alice, agent or self.planner, **options)

    def own(self, **options: Any) -> ans.Grant:
        """A hop that Mallory signs below what it holds."""
        options = {"scope": self.narrow(), "ttl": "10m", "key": self.mallory_key, **options}
        return self.held.delegate(self.mallory, **options)

    def forged(self, change: Change, *, key: ans.SecretKey | None = None) -> str:
        """Mallory's hop with another payload, under Mallory's true signature."""
        return self.resigned(self.own(), change, key or self.mallory_key)

    def below(self, change: Change) -> str:
        """The hop that gives Mallory's agent its part, with another payload, signed by the planner
        where the engine does not see it."""
        return self.resigned(self.held, change, self.planner_key)

    def resigned(self, grant: ans.Grant, change: Change, key: ans.SecretKey) -> str:
        *above, last = grant.token.split("~")
        payload = claims(last)
        payload["id"] = fresh_id()
        change(payload)
        text = json.dumps(payload, separators=(",", ":"))
        return "~".join([*above, sign(key, text, self.assertion())])

    def assertion(self) -> str:
        authority = self.planner.uri.removeprefix("answerable://").split("/")[0]
        return f"answerable/v1/grant/{authority}"

    def reopen(self, **options: Any) -> None:
        self.engine.close()
        self.engine = ans.open(self.path, **options)

    def refuses(self, token: str, code: str) -> None:
        """The chain is not taken up, for this reason."""
        with pytest.raises(ans.InvalidGrant) as refused:
            self.engine.accept(token)
        if refused.value.code != code:
            raise StillRefused(refused.value.code, refused.value)

    def denies(
        self, grant: ans.Grant, code: str, *args: Any, tool: Any = None, **kwargs: Any
    ) -> None:
        """The call is denied for this reason first, recorded, and the tool did not run."""
        before = len(self.ran)
        with pytest.raises(ans.AccessDenied) as denied, self.engine.acting(grant):
            (tool or self.transfer)(*(args or ("travel-1", 10)), **kwargs)
        if denied.value.code != code:
            raise StillRefused(denied.value.code, denied.value)
        assert self.engine.trail.get(denied.value.decision.entry).effect == "deny"
        assert len(self.ran) == before

    def allows(self, grant: ans.Grant, *args: Any, **kwargs: Any) -> None:
        """The attempt fails for its own reason: the same without it goes through."""
        with self.engine.acting(grant):
            self.transfer(*(args or ("travel-1", 10)), **kwargs)


def unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(token: str) -> dict[str, Any]:
    """The payload of a token, unverified."""
    return dict(json.loads(unbase64(token.removeprefix("v4.public.").split(".")[0])[:-64]))


def ahead(seconds: int) -> Change:
    """Dates a payload's start so many seconds later."""

    def change(payload: dict[str, Any]) -> None:
        start = datetime.fromisoformat(payload["iat"]) + timedelta(seconds=seconds)
        payload["iat"] = start.strftime("%Y-%m-%dT%H:%M:%SZ")

    return change


def fresh_id() -> str:
    import secrets

    return "gnt_" + base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()


def pae(*pieces: bytes) -> bytes:
    return struct.pack("<Q", len(pieces)) + b"".join(struct.pack("<Q", len(p)) + p for p in pieces)


def sign(key: ans.SecretKey, payload: str, assertion: str, footer: bytes = b"") -> str:
    """A v4.public token over any payload: PASETO version 4, section "Sign"."""
    message = pae(b"v4.public.", payload.encode(), footer, assertion.encode())
    body = payload.encode() + ed25519(unbase64(key.reveal().removeprefix("k4.secret.")), message)
    return "v4.public." + base64url(body) + ("." + base64url(footer) if footer else "")


# Ed25519 signing (RFC 8032, section 5.1.6), for whoever wants to sign what the library would not.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Y = 4 * pow(5, P - 2, P) % P
X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE = (X, Y, 1, X * Y % P)


def plus(p: Any, q: Any) -> Any:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(number: int) -> bytes:
    """A multiple of the base point, encoded."""
    out, point = (0, 1, 1, 0), BASE
    while number:
        if number & 1:
            out = plus(out, point)
        point = plus(point, point)
        number >>= 1
    inverse = pow(out[2], P - 2, P)
    x, y = out[0] * inverse % P, out[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519(secret: bytes, message: bytes) -> bytes:
    seed, public = secret[:32], secret[32:]
    hashed = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(hashed[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    nonce = int.from_bytes(hashlib.sha512(hashed[32:] + message).digest(), "little") % L
    commitment = times(nonce)
    challenge = int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little")
    return commitment + ((nonce + challenge * scalar) % L).to_bytes(32, "little")
