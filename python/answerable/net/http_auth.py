"""A credential as the authentication of an httpx client, revealed for each request anew.

httpx must be installed; `pip install httpx`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from answerable.leasing import credential

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["CredentialAuth"]


class CredentialAuth(httpx.Auth):
    """Sends a credential of the running tool in a header.

    It holds no secret: it asks for it when a request is sent, and so works only inside the body of
    a tool that declares the credential.

    Args:
        name: The credential's name.
        header: The header; `Authorization` without it.
        scheme: What stands before the secret (RFC 9110, section 11.1); nothing if empty.
        host: The only host that it is sent to; without it the one of the first request. A redirect
            elsewhere takes nothing along.

    Example:
        @ans.tool("pay.transfer", credential="bank-api")
        def transfer(account: str, amount: int) -> str:
            with httpx.Client(auth=CredentialAuth("bank-api")) as client:
                return client.post(url, json={"to": account, "amount": amount}).text
    """

    def __init__(
        self,
        name: str,
        *,
        header: str = "Authorization",
        scheme: str = "Bearer",
        host: str | None = None,
    ) -> None:
        self._name, self._header, self._scheme, self._host = name, header, scheme, host

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Adds the header, if the request goes where it may."""
        if self._host is None:
            self._host = request.url.host
        if request.url.host == self._host:
            request.headers[self._header] = credential(self._name).header(self._scheme)
        yield request

    def __repr__(self) -> str:
        return f"<authentication by {self._name}>"
