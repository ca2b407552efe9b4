"""Providers for the vault: a short-lived secret for one call, from where it is made.

Each speaks HTTP with the standard library, to `https` or to this machine only, with a bounded
answer and a timeout; none follows a redirect. What goes wrong names the server's answer by its
status, never by its text, which could hold a secret.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from answerable.errors import InvalidInput
from answerable.vault import LeaseRequest, Minted, Told

__all__ = ["AwsSts", "OpenBao", "TokenExchange"]

_MOST = 256 * 1024  # Bytes of an answer that are read.

Text = str | Callable[[], str]


class TokenExchange:
    """OAuth 2.0 token exchange (RFC 8693): an access token for this human, tool and task.

    The subject token stands for the human, the actor token for the agent: the token that comes back
    carries both (`act`). It is revoked when the lease ends, if a revocation endpoint is given
    (RFC 7009).

    Args:
        url: The token endpoint.
        client_id: The client that this process is.
        client_secret: Its secret, or a function that answers it.
        subject: Answers the token of the human that a request names.
        actor: Answers the token of the agent that a request names; none without it.
        audience: For whom the token is (`audience`).
        resource: Where it is used, a URI (`resource`).
        scope: The scopes to ask for; without it the server's own choice.
        subject_type: The type of the subject token; an access token without it.
        revocation_url: Where the token is revoked when the lease ends.
        timeout: Seconds for each request, up to 60.

    Raises:
        InvalidInput: A URL is neither `https` nor this machine's.
    """

    kind = "token-exchange"

    _ACCESS = "urn:ietf:params:oauth:token-type:access_token"
    _JWT = "urn:ietf:params:oauth:token-type:jwt"

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: Text,
        subject: Callable[[LeaseRequest], str],
        actor: Callable[[LeaseRequest], str] | None = None,
        audience: str | None = None,
        resource: str | None = None,
        scope: str | None = None,
        subject_type: str = _ACCESS,
        revocation_url: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self._url, self._revocation = _checked(url), revocation_url and _checked(revocation_url)
        self._client = client_id, client_secret
        self._subject, self._actor = subject, actor
        self._fixed = {"audience": audience, "resource": resource, "scope": scope}
        self._subject_type = subject_type
        self.timeout = timeout

    def mint(self, request: LeaseRequest) -> Minted:
        """Exchanges the human's token for one for this call."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": self._subject(request),
            "subject_token_type": self._subject_type,
            "requested_token_type": self._ACCESS,
        }
        form.update({key: value for key, value in self._fixed.items() if value is not None})
        if self._actor is not None:
            form.update(actor_token=self._actor(request), actor_token_type=self._JWT)
        answer = _call(self._url, form=form, headers=self._basic(), timeout=self.timeout)
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise Told("the token endpoint answered without an access token")
        return Minted(token, handle=token)

    def end(self, request: LeaseRequest, minted: Minted) -> None:
        """Revokes the token, where the server has an endpoint for it."""
        if self._revocation:
            form = {"token": minted.handle, "token_type_hint": "access_token"}
            _call(self._revocation, form=form, headers=self._basic(), timeout=self.timeout)

    def _basic(self) -> dict[str, str]:
        import base64

        # RFC 6749, section 2.3.1: both halves are form-encoded first; a space as `%20`, which every
        # decoder reads.
        name, secret = (urllib.parse.quote(_text(part), safe="") for part in self._client)
        both = base64.b64encode(f"{name}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {both}"}

    def __repr__(self) -> str:
        return f"<token exchange at {self._url}>"


class OpenBao:
    """Secrets of an OpenBao or HashiCorp Vault server, over its HTTP API, version 1.

    A path of a KV store, version 2, gives one field of what lies there; any other path, such as
    `database/creds/readonly`, gives a dynamic secret, whose lease is revoked when the call ends.

    Args:
        url: The server, such as `https://bao.example.com:8200`.
        path: What to read: `secret/data/bank` or `database/creds/readonly`.
        field: The field that is the secret; without it all fields as JSON text.
        token: A token, or a function that answers it.
        role_id: With `secret_id`, an AppRole to log in with in place of a token.
        secret_id: Its secret, or a function that answers it.
        namespace: The namespace, if any.
        timeout: Seconds for each request, up to 60.

    Raises:
        InvalidInput: The URL is neither `https` nor this machine's, or there is no one way in.
    """

    kind = "openbao"

    def __init__(
        self,
        url: str,
        path: str,
        *,
        field: str | None = None,
        token: Text | None = None,
        role_id: str | None = None,
        secret_id: Text | None = None,
        namespace: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        if (token is None) == (role_id is None or secret_id is None):
            raise InvalidInput("give a token, or a role_id and its secret_id")
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise InvalidInput("a path is such as `secret/data/bank`")
        self._url, self._path, self._field = _checked(url).rstrip("/"), path, field
        self._token, self._role = token, (role_id, secret_id)
        self._namespace = namespace
        self.timeout = timeout
        self._lock = threading.Lock()
        self._session: tuple[str, float] | None = None

    def mint(self, request: LeaseRequest) -> Minted:
        """Reads the secret, or has a dynamic one made."""
        answer = self._ask(self._path)
        data = answer.get("data")
        if isinstance(data, dict) and isinstance(data.get("data"), dict):
            data = data["data"]  # KV, version 2.
        if not isinstance(data, dict):
            raise Told("the server answered without data")
        lease = answer.get("lease_id")
        handle = lease if isinstance(lease, str) and lease else None
        if self._field is None:
            return Minted(json.dumps(data), handle=handle)
        secret = data.get(self._field)
        if not isinstance(secret, str):
            if handle is not None:
                self._revoke(handle)
            raise Told("the secret has no text under the field that was named")
        return Minted(secret, handle=handle)

    def end(self, request: LeaseRequest, minted: Minted) -> None:
        """Revokes a dynamic secret's lease."""
        if minted.handle is not None:
            self._revoke(minted.handle)

    def _revoke(self, lease: str) -> None:
        self._ask("sys/leases/revoke", body={"lease_id": lease}, method="PUT")

    def _ask(
        self, path: str, *, body: Mapping[str, Any] | None = None, method: str | None = None
    ) -> dict[str, Any]:
        headers = {"X-Vault-Token": self._in()}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        return _call(
            f"{self._url}/v1/{urllib.parse.quote(path)}",
            body=body,
            method=method,
            headers=headers,
            timeout=self.timeout,
        )

    def _in(self) -> str:
        if self._token is not None:
            return _text(self._token)
        with self._lock:
            if self._session is not None and time.monotonic() < self._session[1]:
                return self._session[0]
            role, secret = self._role
            answer = _call(
                f"{self._url}/v1/auth/approle/login",
                body={"role_id": role, "secret_id": _text(secret or "")},
                headers={"X-Vault-Namespace": self._namespace} if self._namespace else {},
                timeout=self.timeout,
            )
            made = answer.get("auth")
            token = made.get("client_token") if isinstance(made, dict) else None
            if not isinstance(made, dict) or not isinstance(token, str):
                raise Told("the server answered a login without a token")
            lasts = made.get("lease_duration")
            # Somewhat earlier than it ends; one that says nothing is used once.
            until = time.monotonic() + (lasts * 0.8 if isinstance(lasts, int) else 0.0)
            self._session = token, until
            return token

    def __repr__(self) -> str:
        return f"<OpenBao {self._path} at {self._url}>"


class AwsSts:
    """Short-lived AWS keys by AssumeRole, through boto3, which must be installed.

    The session is named after the lease's entry and tagged with human, agent and task, so that
    CloudTrail and our trail can be laid side by side. The secret is JSON text with `AccessKeyId`,
    `SecretAccessKey` and `SessionToken`. STS cannot revoke one session: it lasts `duration`.

    Args:
        role: The ARN of the role.
        duration: Seconds that the keys last: 900 to 43200.
        policy: A session policy, as JSON text, that narrows the role.
        client: An STS client; without it boto3's default one.
        timeout: Seconds for the request, up to 60.
    """

    kind = "aws-sts"

    def __init__(
        self,
        role: str,
        *,
        duration: int = 900,
        policy: str | None = None,
        client: Any = None,
        timeout: float = 10.0,
    ) -> None:
        if not 900 <= duration <= 43_200:
            raise InvalidInput("AWS keys last from 900 to 43200 seconds")
        self._role, self._duration, self._policy = role, duration, policy
        self._client = client
        self.timeout = timeout

    def mint(self, request: LeaseRequest) -> Minted:
        """Assumes the role for this call."""
        if self._client is None:
            try:
                import boto3  # type: ignore[import-not-found, unused-ignore]
            except ImportError as error:
                raise Told("AWS keys need boto3", hint="pip install boto3") from error
            self._client = boto3.client("sts")
        tags = {"human": request.human, "agent": request.agent, "task": request.task}
        more = {"Policy": self._policy} if self._policy is not None else {}
        answer = self._client.assume_role(
            RoleArn=self._role,
            RoleSessionName=request.lease,
            DurationSeconds=self._duration,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            **more,
        )
        keys = answer["Credentials"]
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        return Minted(json.dumps({name: keys[name] for name in names}))

    def __repr__(self) -> str:
        return f"<AWS STS {self._role}>"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a redirect could take a secret along to somebody else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Answers that there is nowhere to go."""
        return


def _checked(url: str) -> str:
    parts = urllib.parse.urlsplit(url) if isinstance(url, str) else None
    host = parts.hostname if parts else None
    if parts is None or not host or parts.username is not None or parts.query or parts.fragment:
        raise InvalidInput("expected a URL such as `https://server.example.com/token`")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)):
        return url
    raise InvalidInput("a secret goes over https only, or to this machine")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(given: Text) -> str:
    return given() if callable(given) else given


def _call(
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    method: str | None = None,
    headers: Mapping[str, str],
    timeout: float,
) -> dict[str, Any]:
    data, kind = None, None
    if form is not None:
        data, kind = urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded"
    elif body is not None:
        data, kind = json.dumps(body).encode(), "application/json"
    every = {**headers, "Accept": "application/json", **({"Content-Type": kind} if kind else {})}
    request = urllib.request.Request(url, data=data, headers=every, method=method)
    # No proxy and no redirect: what is sent goes to the server that was named.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
    try:
        with opener.open(request, timeout=timeout) as response:
            text = response.read(_MOST + 1)
    except urllib.error.HTTPError as error:
        with error:
            raise Told(f"the server answered {error.code}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise Told(f"the server cannot be reached: {type(reason).__name__}") from None
    if len(text) > _MOST:
        raise Told("the server's answer is larger than 256 KiB")
    if not text.strip():
        return {}
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise Told("the server's answer is no JSON") from None
    if not isinstance(answer, dict):
        raise Told("the server's answer is no JSON object")
    return answer
