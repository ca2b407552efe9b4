"""Webhooks: a signed message to an address, in bounded time, a bounded number of times."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage

__all__ = ["SIGNATURE", "send", "sign", "verify"]

SIGNATURE = "Answerable-Signature"
TIMEOUT = 5.0
ATTEMPTS = 3
MOST_READ = 64 * 1024


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A message goes to the address that a human stated, and nowhere else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """Follows none."""


def sign(body: bytes, secret: str, at: int) -> str:
    """The signature of a message: `t=<seconds>,v1=<HMAC-SHA-256 of "<seconds>.<body>", hex>`."""
    text = str(at).encode() + b"." + body
    return f"t={at},v1={hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()}"


def verify(
    body: bytes, header: str, secret: str, *, now: float | None = None, tolerance: float = 300.0
) -> bool:
    """Whether a message was signed with a secret, lately: for whoever receives webhooks.

    Args:
        body: The bytes that were received, as they were.
        header: The value of `Answerable-Signature`.
        secret: What `engine.rules.add(secret=…)` was given.
        now: The time, in seconds since 1970; the machine's without it.
        tolerance: How many seconds a message may be old.
    """
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    stated = parts.get("t", "")
    if not (stated.isascii() and stated.isdigit()) or len(stated) > 12:
        return False
    at = int(stated)
    fresh = abs((time.time() if now is None else now) - at) <= tolerance
    return hmac.compare_digest(sign(body, secret, at), f"t={stated},v1={parts.get('v1')}") and fresh


def send(
    url: str,
    record: Mapping[str, Any],
    secret: str | None,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Posts a record as JSON; answers whether it was taken (a status of 2xx).

    Args:
        url: The address.
        record: What to tell.
        secret: What to sign with; unsigned without it.
        sleep: What waits between two attempts.

    A redirection is not followed. What is refused for good (3xx, and 4xx but 408 and 429) is not
    tried again.
    """
    body = json.dumps(record, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode()
    opener = urllib.request.build_opener(_NoRedirect)
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(0.5 * 4**attempt / 4)
        headers = {"Content-Type": "application/json", "User-Agent": "answerable"}
        if secret is not None:
            headers[SIGNATURE] = sign(body, secret, int(time.time()))
        # The address was checked when the rule was set: https, or this machine.
        request = urllib.request.Request(url, body, headers, method="POST")
        try:
            with opener.open(request, timeout=TIMEOUT) as answer:
                answer.read(MOST_READ)
                return True
        except urllib.error.HTTPError as error:
            error.close()
            if 300 <= error.code < 500 and error.code not in (408, 429):
                return False
        except OSError:
            continue  # Unreachable, or too slow: tried again, and counted by the loop.
    return False
