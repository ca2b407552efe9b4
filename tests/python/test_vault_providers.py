"""Providers against servers on this machine.

The token exchange runs against an OAuth server built on Authlib. OpenBao's HTTP API is served by a
small server written from its documentation: no package of the registries brings a real one.
"""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from guarding import World
from werkzeug.serving import make_server

import answerable as ans
from answerable.net.http_auth import CredentialAuth
from answerable.net.providers import AwsSts, OpenBao, TokenExchange

SUBJECT = "subject-token-of-alice"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


class OAuth:
    """An authorization server: RFC 6749 by Authlib, with RFC 8693 as an extension grant."""

    def __init__(self) -> None:
        from authlib.integrations.flask_oauth2 import AuthorizationServer
        from authlib.oauth2.rfc6749 import BaseGrant, InvalidRequestError, TokenEndpointMixin
        from authlib.oauth2.rfc7009 import RevocationEndpoint
        from flask import Flask

        oauth = self
        self.asked: list[dict[str, str]] = []
        self.revoked: list[str] = []
        self.issued: list[str] = []

        class Client:
            client_id = "answerable-app"

            def check_client_secret(self, secret: str) -> bool:
                return secret == "client se+cret"

            def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
                return method == "client_secret_basic"

            def check_grant_type(self, grant_type: str) -> bool:
                return grant_type.endswith("token-exchange")

            def get_allowed_scope(self, scope: str) -> str:
                return scope or ""

        class Exchange(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
            GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

            def validate_token_request(self) -> None:
                self.request.client = self.authenticate_token_endpoint_client()
                form = dict(self.request.form)
                if form.get("subject_token") != SUBJECT:
                    raise InvalidRequestError("the subject token is not known")
                oauth.asked.append(form)

            def create_token_response(self) -> Any:
                token = self.generate_token(user=None, scope="pay", include_refresh_token=False)
                token["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
                oauth.issued.append(token["access_token"])
                return 200, token, self.TOKEN_RESPONSE_HEADER

        class Token:
            def __init__(self, text: str) -> None:
                self.text = text

            def check_client(self, client: Any) -> bool:
                return True

        class Revocation(RevocationEndpoint):  # type: ignore[misc]
            def query_token(self, token: str, hint: str) -> Any:
                return Token(token) if token in oauth.issued else None

            def revoke_token(self, token: Any, request: Any) -> None:
                oauth.revoked.append(token.text)

        app = Flask("oauth")
        server = AuthorizationServer(
            app,
            query_client=lambda id_: Client() if id_ == Client.client_id else None,
            save_token=lambda token, request: None,
        )
        server.register_grant(Exchange)
        server.register_endpoint(Revocation)
        app.add_url_rule("/token", "token", server.create_token_response, methods=["POST"])
        app.add_url_rule(
            "/revoke", "revoke", lambda: server.create_endpoint_response("revocation"),
            methods=["POST"],
        )  # fmt: skip
        self._http = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def oauth(monkeypatch: pytest.MonkeyPatch) -> Iterator[OAuth]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # It is this machine's loopback.
    server = OAuth()
    yield server
    server.close()


def exchange(oauth: OAuth, **facts: Any) -> TokenExchange:
    facts = {
        "client_id": "answerable-app",
        "client_secret": "client se+cret",
        "subject": lambda request: SUBJECT,
        "actor": lambda request: f"actor-{request.agent}",
        "audience": "bank",
        "revocation_url": f"{oauth.url}/revoke",
        **facts,
    }
    return TokenExchange(f"{oauth.url}/token", **facts)


def test_a_token_is_exchanged_for_each_call_and_revoked(world: World, oauth: OAuth) -> None:
    world.engine.vault.put("bank", provider=exchange(oauth), for_tools="t.**", by=world.alice)

    @ans.tool("t.pay", credential="bank")
    def pay() -> None:
        world.ran.append(ans.credential("bank").reveal())
        assert oauth.revoked == world.ran[:-1]

    with world.acting():
        pay()
        pay()
    assert world.ran == oauth.issued == oauth.revoked
    assert len(set(oauth.issued)) == 2
    form = oauth.asked[0]
    assert form["subject_token"] == SUBJECT
    assert form["actor_token"] == f"actor-{world.agent.id}"
    assert form["audience"] == "bank"
    everything = world.everything()
    for secret in (*oauth.issued, SUBJECT, "client se+cret"):
        assert secret not in everything


@pytest.mark.parametrize(
    "facts",
    [{"client_secret": "wrong"}, {"subject": lambda request: "another-subject-token"}],
    ids=["client", "subject"],
)
def test_what_the_server_refuses_is_a_denial(
    world: World, oauth: OAuth, facts: dict[str, Any]
) -> None:
    provider = exchange(oauth, **facts)
    world.engine.vault.put("bank", provider=provider, for_tools="t.**", by=world.alice)

    @ans.tool("t.pay", credential="bank")
    def pay() -> None:
        world.ran.append("ran")

    with world.acting(), pytest.raises(ans.AccessDenied) as denied:
        pay()
    assert denied.value.code == "credential_unavailable"
    assert "the server answered 40" in str(denied.value)
    assert world.ran == []


class Bao:
    """The parts of the HTTP API of OpenBao that the provider uses, from its documentation."""

    def __init__(self) -> None:
        bao = self
        self.revoked: list[str] = []
        self.logins = 0
        self.made = 0

        class Handler(BaseHTTPRequestHandler):
            def _body(self) -> dict[str, Any]:
                length = int(self.headers.get("Content-Length", 0))
                read: dict[str, Any] = json.loads(self.rfile.read(length) or b"{}")
                return read

            def _answer(self, code: int, body: dict[str, Any] | None) -> None:
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _known(self) -> bool:
                return self.headers.get("X-Vault-Token") in {"root-token", "approle-token"}

            def do_GET(self) -> None:
                path = urllib.parse.unquote(self.path)
                if path == "/v1/redirect/me":
                    self.send_response(307)
                    self.send_header("Location", "http://127.0.0.1:1/")
                    self.end_headers()
                elif not self._known():
                    self._answer(403, {"errors": ["permission denied"]})
                elif path == "/v1/secret/data/bank":
                    data = {"key": "kv-secret-value", "user": "app"}
                    self._answer(200, {"data": {"data": data, "metadata": {"version": 3}}})
                elif path == "/v1/database/creds/readonly":
                    bao.made += 1
                    lease = f"database/creds/readonly/{bao.made}"
                    data = {"username": "u", "password": f"dynamic-secret-{bao.made}"}
                    self._answer(200, {"lease_id": lease, "lease_duration": 60, "data": data})
                else:
                    self._answer(404, {"errors": []})

            def do_PUT(self) -> None:
                if self.path == "/v1/sys/leases/revoke" and self._known():
                    bao.revoked.append(self._body()["lease_id"])
                    self._answer(204, None)
                else:
                    self._answer(403, {"errors": ["permission denied"]})

            def do_POST(self) -> None:
                body = self._body()
                if self.path == "/v1/auth/approle/login" and body["secret_id"] == "the-secret-id":
                    bao.logins += 1
                    auth = {"client_token": "approle-token", "lease_duration": 3600}
                    self._answer(200, {"auth": auth})
                else:
                    self._answer(400, {"errors": ["invalid secret id"]})

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def bao() -> Iterator[Bao]:
    server = Bao()
    yield server
    server.close()


def revealed(world: World, provider: Any, times: int = 1) -> list[Any]:
    world.engine.vault.put("bank", provider=provider, for_tools="t.**", by=world.alice)

    @ans.tool("t.use", credential="bank")
    def use() -> None:
        world.ran.append(ans.credential("bank").reveal())

    with world.acting():
        for _ in range(times):
            use()
    return world.ran


def test_a_field_of_a_kv_secret(world: World, bao: Bao) -> None:
    provider = OpenBao(bao.url, "secret/data/bank", field="key", token="root-token")
    assert revealed(world, provider) == ["kv-secret-value"]
    assert bao.revoked == []


def test_a_dynamic_secret_is_revoked_with_its_call(world: World, bao: Bao) -> None:
    provider = OpenBao(
        bao.url, "database/creds/readonly", field="password", role_id="app",
        secret_id=lambda: "the-secret-id",
    )  # fmt: skip
    assert revealed(world, provider, 2) == ["dynamic-secret-1", "dynamic-secret-2"]
    assert bao.revoked == ["database/creds/readonly/1", "database/creds/readonly/2"]
    assert bao.logins == 1, "one login serves until it is about to end"
    assert "dynamic-secret" not in world.everything()


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"path": "secret/data/bank", "token": "wrong"}, "answered 403"),
        ({"path": "secret/data/none", "token": "root-token"}, "answered 404"),
        ({"path": "secret/data/bank", "token": "root-token", "field": "none"}, "no text under"),
        ({"path": "secret/data/bank", "role_id": "app", "secret_id": "no"}, "answered 400"),
        ({"path": "redirect/me", "token": "root-token"}, "answered 307"),
    ],
)
def test_what_bao_refuses_is_a_denial(
    world: World, bao: Bao, facts: dict[str, Any], says: str
) -> None:
    with pytest.raises(ans.AccessDenied, match=says) as denied:
        revealed(world, OpenBao(bao.url, facts.pop("path"), **facts))
    assert denied.value.code == "credential_unavailable"
    assert world.ran == []


def test_a_server_that_is_gone_is_a_denial(world: World, bao: Bao) -> None:
    provider = OpenBao(bao.url, "secret/data/bank", token="root-token", timeout=60.0)
    bao.close()
    with pytest.raises(ans.AccessDenied, match="cannot be reached"):
        revealed(world, provider)


def test_keys_of_aws_are_tagged_with_who_asks(world: World) -> None:
    class Sts:
        def __init__(self) -> None:
            self.asked: dict[str, Any] = {}

        def assume_role(self, **asked: Any) -> dict[str, Any]:
            self.asked = asked
            keys = {"AccessKeyId": "AKIA1234", "SecretAccessKey": "x" * 20, "SessionToken": "t" * 9}
            return {"Credentials": {**keys, "Expiration": None}}

    sts = Sts()
    role = "arn:aws:iam::123456789012:role/app"
    (secret,) = revealed(world, AwsSts(role, client=sts))
    assert json.loads(secret)["AccessKeyId"] == "AKIA1234"
    assert {tag["Key"]: tag["Value"] for tag in sts.asked["Tags"]}["human"] == world.alice.id
    lease = next(iter(world.engine.trail.entries(kind="lease")))
    assert sts.asked["RoleSessionName"] == lease.id


@pytest.mark.parametrize(
    "url",
    ["http://example.com/token", "ftp://x", "https://user:pass@example.com", "", "https://", 5,
     "http://127.0.0.1.example.com/", "https://example.com/?key=1"],
)  # fmt: skip
def test_secrets_go_over_https_only(url: Any) -> None:
    with pytest.raises(ans.InvalidInput):
        OpenBao(url, "secret/data/x", token="t")
    with pytest.raises(ans.InvalidInput):
        TokenExchange(url, client_id="a", client_secret="b", subject=lambda request: "")


def test_an_httpx_client_reveals_for_each_request(world: World) -> None:
    world.engine.vault.put("bank", "the-secret-of-the-bank", for_tools="t.**", by=world.alice)
    seen: list[tuple[str, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, request.headers.get("authorization")))
        if request.url.path == "/away":
            return httpx.Response(307, headers={"Location": "https://elsewhere.example/x"})
        return httpx.Response(200)

    auth = CredentialAuth("bank")
    client = httpx.Client(transport=httpx.MockTransport(answer), auth=auth, follow_redirects=True)

    @ans.tool("t.get", credential="bank")
    def get(path: str) -> int:
        return client.get(f"https://bank.example{path}").status_code

    with world.acting():
        assert get("/here") == 200
        assert get("/away") == 200
    assert seen == [
        ("bank.example", "Bearer the-secret-of-the-bank"),
        ("bank.example", "Bearer the-secret-of-the-bank"),
        ("elsewhere.example", None),
    ]
    with pytest.raises(ans.VaultError):
        client.get("https://bank.example/outside")
    assert "the-secret" not in repr(auth)
