"""The vault: credentials that tools use for the length of one call, and agents never hold.

A secret is sealed when it is put, opened when an allowed call asks for it, and kept out of every
record. A provider makes a short-lived secret for each call instead, and is told when it ends.
"""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from answerable import _core
from answerable.errors import InvalidInput, VaultError

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

__all__ = ["LeaseRequest", "Minted", "Provider", "Told", "Vault", "master_key_of", "provider_of"]

_MOST = 60.0  # Seconds that a provider may take, at the most.
_USUAL = 10.0
_NAME = re.compile("[A-Za-z][A-Za-z0-9._-]{0,63}")
_NAMED = "1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter"


class Told(VaultError):
    """What a provider of ours says of a failure: a sentence that holds nothing of any answer.

    The text of any other exception could hold a secret, and goes nowhere.
    """


class LeaseRequest(NamedTuple):
    """What a provider is told of the call that it makes a secret for.

    Attributes:
        credential: The credential's name.
        tool: The tool's name.
        human: The id of the human accountable.
        agent: The id of the agent that acts.
        task: The id of the task.
        statement: The task's sentence, where it is known.
        decision: The entry of the decision that allowed the call.
        lease: The entry of the lease.
        expires: When the grant ends.
    """

    credential: str
    tool: str
    human: str
    agent: str
    task: str
    statement: str | None
    decision: str
    lease: str
    expires: datetime


class Minted:
    """A secret that a provider made, and what it needs to take it back.

    Attributes:
        secret: Text or bytes, from 6 bytes to 32 KiB. Not shown.
        handle: Whatever the provider wants back when the lease ends. Not shown.
    """

    __slots__ = ("handle", "secret")

    def __init__(self, secret: str | bytes, handle: Any = None) -> None:
        self.secret = secret
        self.handle = handle

    def __repr__(self) -> str:
        return "Minted()"

    def __reduce__(self) -> tuple[Any, ...]:
        raise InvalidInput("a minted secret cannot be pickled")


@runtime_checkable
class Provider(Protocol):
    """Makes a short-lived secret for one call.

    `kind` is recorded with each lease; `timeout` is in seconds, up to 60. A provider may also have
    `end(request, minted)`, which is called once when the lease ends, at once when its authority
    was revoked.
    """

    kind: str
    timeout: float

    def mint(self, request: LeaseRequest) -> Minted | str | bytes:
        """Makes the secret, or raises: then the call is denied."""
        ...


class _Callable:
    """A plain function as a provider."""

    kind = "callable"
    timeout = _USUAL

    def __init__(self, function: Callable[[LeaseRequest], Minted | str | bytes]) -> None:
        self.mint = function


def provider_of(given: Any) -> Provider:
    """A provider, or a function of one argument made one.

    Raises:
        InvalidInput: It is neither, or its timeout is not from above 0 to 60 seconds.
    """
    if isinstance(given, type) or not (callable(given) or callable(_own(given, "mint"))):
        raise InvalidInput(
            f"expected a provider or a function, not {type(given).__name__}",
            hint="an object with kind, timeout and mint(request)",
        )
    provider: Provider = given if callable(_own(given, "mint")) else _Callable(given)
    timeout = _own(provider, "timeout")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 60:
        raise InvalidInput(f"a provider's timeout is above 0 and at most {_MOST:.0f} seconds")
    if not isinstance(_own(provider, "kind"), str):
        raise InvalidInput("a provider states its kind as text")
    return provider


def _own(provider: Any, name: str) -> Any:
    """An attribute of a provider; `None` where it has none or does not give it."""
    try:
        return getattr(provider, name, None)
    except Exception:  # noqa: BLE001 - a class of somebody's own raises what it likes.
        return None


# The providers of this process, by the store's folder and the credential's name.
_providers: dict[tuple[str, str], Provider] = {}
_providers_lock = threading.Lock()


def provider_for(store: str, name: str) -> Provider | None:
    """The provider that this process has for a credential."""
    return _providers.get((store, name))


def master_key_of(given: bytes | str | Callable[[], bytes | str]) -> bytes | str:
    """A master key, from wherever it comes.

    Raises:
        InvalidInput: `"keyring"` without the package keyring.
    """
    if isinstance(given, str) and given == "keyring":
        return _from_keyring()
    return given() if callable(given) else given


def _from_keyring() -> str:
    import base64
    import secrets

    try:
        import keyring
    except ImportError as error:
        raise InvalidInput(
            "the operating system's key ring needs the package keyring",
            code="key",
            hint="pip install keyring, or give the key in another way",
        ) from error
    stored: str | None = keyring.get_password("answerable", "master-key")
    if stored is None:
        encoded = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        stored = f"k4.local.{encoded}"
        keyring.set_password("answerable", "master-key", stored)
    return stored


class Vault:
    """What an engine's vault does; `engine.vault`.

    Example:
        engine.vault.put("bank-api", secret, for_tools=["pay.*"])

        @ans.tool("pay.transfer", credential="bank-api")
        def transfer(account: str, amount: int) -> str:
            key = ans.credential("bank-api").reveal()
    """

    # What stands above fills this in: a lease outside of a tool is a governed call of its own.
    _block: ClassVar[Callable[..., Any] | None] = None

    def __init__(self, engine: _core.Engine) -> None:
        self._engine = engine
        self._core = engine._vault

    def put(
        self,
        name: str,
        secret: str | bytes | None = None,
        *,
        for_tools: str | Sequence[str],
        provider: Provider | Callable[[LeaseRequest], Minted | str | bytes] | None = None,
        for_agents: Sequence[_core.Agent | str] | None = None,
        owner: _core.Human | str | None = None,
        expires: str | float | timedelta | datetime | None = None,
        by: _core.Human | str | None = None,
    ) -> _core.CredentialFacts:
        """Puts a credential into the vault; durable when it returns.

        Args:
            name: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning with a letter; recorded as it is.
            secret: Text or bytes, from 6 bytes to 32 KiB.
            for_tools: The tools that may use it, as patterns such as `"pay.*"`.
            provider: What makes a secret for each call, in place of `secret`. It lives in this
                process; another attaches its own with `provide`.
            for_agents: The agents that may use it; without it all whose grant covers the tool.
            owner: The human who answers for it; without it whoever puts it.
            expires: When it ends: a duration from now, or a moment.
            by: Who puts it; without it the operating system's account.

        Returns:
            All that the vault says of it, which is everything but the secret.

        Raises:
            InvalidInput: A name, secret, pattern or time that cannot be.
            IllegalTransition: The name is taken, also by one that was removed.
            NotFound: An owner or agent that is not known.
        """
        made = None if provider is None else provider_of(provider)
        facts = self._core.put(
            name,
            secret,
            for_tools=for_tools,
            provider=None if made is None else made.kind,
            for_agents=for_agents,
            owner=owner,
            expires=expires,
            by=by,
        )
        if made is not None:
            self._attach(facts.name, made)
        return facts

    def provide(
        self, name: str, provider: Provider | Callable[[LeaseRequest], Minted | str | bytes]
    ) -> None:
        """Attaches the provider of a credential in this process.

        Raises:
            InvalidInput: The credential has a secret of its own, or another kind of provider.
            NotFound: There is no such credential.
        """
        made, facts = provider_of(provider), self._core.get(name)
        if facts.provider != made.kind:
            has = "a secret of its own" if facts.provider is None else f"`{facts.provider}`"
            raise InvalidInput(f"`{facts.name}` has {has}, not a provider of kind `{made.kind}`")
        self._attach(facts.name, made)

    def _attach(self, name: str, provider: Provider) -> None:
        with _providers_lock:
            _providers[os.fspath(self._engine.path), name] = provider

    def rotate(
        self,
        name: str,
        secret: str | bytes,
        *,
        overlap: str | float | timedelta | None = None,
        expires: str | float | timedelta | datetime | None = None,
        by: _core.Human | str | None = None,
    ) -> _core.CredentialFacts:
        """Replaces a stored secret; the next lease is of the new one.

        Args:
            name: The credential.
            secret: The new secret.
            overlap: For how long calls that run already may still read the one that they were
                lent; without it they may not.
            expires: When it ends now; without it as before.
            by: Who rotates it.

        Raises:
            NotFound: There is no such credential.
            IllegalTransition: It was removed, or comes from a provider.
        """
        return self._core.rotate(name, secret, overlap=overlap, expires=expires, by=by)

    def remove(self, name: str, *, reason: str, by: _core.Human | str | None = None) -> None:
        """Removes a credential: its leases end, its secrets are dropped, its name stays taken.

        Raises:
            NotFound: There is no such credential.
            IllegalTransition: It was removed before.
        """
        self._core.remove(name, reason=reason, by=by)

    def rewrap(
        self,
        master_key: bytes | str | Callable[[], bytes | str] | None = None,
        *,
        reason: str,
        by: _core.Human | str | None = None,
    ) -> str:
        """Puts another master key in the place of the store's, while calls go on.

        The old one opens the store no more. Whoever has it and an old copy of `inner.key` has the
        inner key all the same: docs/vault.md says what to do then.

        Args:
            master_key: As for `open`: 32 bytes, `k4.local.…` text, a callable that returns one of
                them, or `"keyring"`. Without it a new one is made in the key file `<store>.key`.
            reason: Why; recorded.
            by: Who does it; without it the operating system's account.

        Returns:
            The id of the entry that records it, before it is done.

        Raises:
            InvalidInput: The key cannot be used, or is the one that the store has.
            StoreBusy: `store_attached`: another process holds the store; do it there.
        """
        given = None if master_key is None else master_key_of(master_key)
        return self._core.rewrap(given, reason=reason, by=by)

    def get(self, name: str) -> _core.CredentialFacts:
        """What the vault says of one credential, removed or not; never its secret.

        Raises:
            NotFound: There is no such credential.
        """
        return self._core.get(name)

    def history(self, name: str) -> list[dict[str, Any]]:
        """The versions of a credential, oldest first: `version`, `at`, `by`, `until`.

        Raises:
            NotFound: There is no such credential.
        """
        return self._core.get(name).versions

    def list(self, *, removed: bool = False) -> list[_core.CredentialFacts]:
        """All credentials, by name; never their secrets."""
        return self._core.list(removed=removed)

    def lease(self, name: str) -> contextlib.AbstractContextManager[Any]:
        """Leases a credential to a block that is no tool, under the grant in force.

        It is a governed call of the tool `vault.lease` on the resource `credential/<name>`: the
        grant has to cover it, and the credential has to be for `vault.lease`.

        Example:
            with engine.vault.lease("bank-api") as credential:
                subprocess.run(command, env=credential.environment("BANK_TOKEN"))

        Raises:
            AccessDenied: The grant in force does not cover it.
            InvalidInput: The name is none.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name := str.__str__(name)):
            raise InvalidInput("expected a credential's name", hint=_NAMED)
        block = type(self)._block
        if block is None:
            raise VaultError("answerable was not imported whole")
        leased: contextlib.AbstractContextManager[Any] = block(self._engine, name)
        return leased

    def redact(self, value: Any) -> Any:
        """A value without any secret that the vault knows; the same object if it holds none.

        Text, bytes, numbers, containers, dataclasses, attrs, pydantic models and plain objects are
        searched, in every spelling that docs/vault.md names; they are copied where they change.

        Raises:
            VaultError: `not_searched`: it holds what cannot be searched, such as a stream.
            StoreBusy: `store_attached`: another process holds the store, and knows the secrets.
        """
        from answerable.redacting import redacted  # What few need loads much.

        return redacted(self._core, value)

    @property
    def running(self) -> int:
        """How many leases run."""
        return self._core.running

    def __repr__(self) -> str:
        return f"<vault of {self._engine!r}>"
