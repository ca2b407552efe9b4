"""Leases inside a tool's body: the credential in hand, providers asked and told.

The body of a tool that declares credentials is wrapped: what a provider has to make is made when
the body is about to start, and taken back when it has ended, in whatever way.
"""

from __future__ import annotations

import functools
import inspect
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

from answerable import _core
from answerable.context import _authority, _call, kind_of, marked
from answerable.errors import AccessDenied, InvalidInput, VaultError
from answerable.logs import ours
from answerable.vault import LeaseRequest, Minted, Provider, Told, provider_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Credential", "Lent", "credential", "leasing"]


class Credential:
    """A credential leased to the call that runs; `ans.credential` answers it.

    It shows its name and version only, cannot be pickled, and reveals its secret inside the body of
    the very call that it was leased to, until that call ends.
    """

    __slots__ = ("_lease",)

    def __init__(self, lease: _core.Lease) -> None:
        self._lease = lease

    @property
    def name(self) -> str:
        """The credential's name."""
        return self._lease.credential

    @property
    def version(self) -> int:
        """The version that was leased."""
        return self._lease.version

    @property
    def entry(self) -> str:
        """The lease's entry."""
        return self._lease.entry

    def reveal(self) -> Any:
        """The secret: text or bytes, as it was put. From here on it is an ordinary Python object.

        Raises:
            VaultError: Another call runs here or none; the call, its authority or this version of
                the credential has ended; or the sealed secret does not open.
        """
        return self._lease.reveal(_call.get())

    def environment(self, variable: str, base: dict[str, str] | None = None) -> dict[str, str]:
        """An environment for a subprocess, with the secret under a name of its own.

        Args:
            variable: The variable's name.
            base: The environment to add to; without it this process's own.

        Raises:
            VaultError: As `reveal`, or the secret is bytes.
        """
        if not isinstance(variable, str) or not variable or "=" in variable or "\0" in variable:
            raise InvalidInput("an environment variable has a name without `=`")
        return {**(os.environ if base is None else base), variable: self._text()}

    def header(self, scheme: str = "Bearer") -> str:
        """The value of an Authorization header (RFC 9110, section 11.6.2).

        Raises:
            VaultError: As `reveal`, or the secret is bytes or holds a line break.
        """
        text = self._text()
        if any(character in text for character in "\r\n\0"):
            raise VaultError(f"the secret of `{self.name}` does not fit into a header")
        return f"{scheme} {text}" if scheme else text

    def _text(self) -> str:
        secret = self.reveal()
        if not isinstance(secret, str):
            raise VaultError(
                f"the secret of `{self.name}` is bytes", hint="put it as text to use it so"
            )
        return secret

    def __repr__(self) -> str:
        return f"<credential {self.name} v{self.version}>"

    def __reduce__(self) -> tuple[Any, ...]:
        raise InvalidInput(
            "a credential cannot be pickled", hint="lease it where it is used, in a tool's body"
        )


def credential(name: str) -> Credential:
    """A credential that the running tool declares.

    Args:
        name: As in `@ans.tool(…, credential="bank-api")`.

    Returns:
        The credential of this call; `.reveal()` is its secret.

    Raises:
        VaultError: No call runs here, or its tool does not declare that credential.

    Example:
        @ans.tool("pay.transfer", credential="bank-api")
        def transfer(account: str, amount: int) -> str:
            return bank.pay(account, amount, key=ans.credential("bank-api").reveal())
    """
    if not isinstance(name, str):
        raise InvalidInput(f"a credential's name is text, not {type(name).__name__}")
    call = _call.get()
    if call is None:
        raise VaultError(
            "no governed call runs here, so no credential is leased",
            code="lease_elsewhere",
            hint="ask in a tool's body, or use `with engine.vault.lease(…)`",
        )
    lease = call.lease(name)
    if lease is not None:
        return Credential(lease)
    raise VaultError(
        "the tool that runs does not declare this credential",
        code="credential_undeclared",
        hint='declare it: @ans.tool(…, credential="…")',
    )


class Lent:
    """What providers make for a call, from the start of its body to its end.

    Args:
        call: The call that runs.
        redact: Whether secrets are taken out of what the body raises.
    """

    def __init__(self, call: _core.Call | None, redact: bool = False) -> None:
        self._call, self._redact = call, redact
        self._made: list[_Running] = []
        self._instead: BaseException | None = None

    def __enter__(self) -> Lent:
        for lease in self._provided():
            request, provider = self._asked(lease)
            with _denied(self._call, lease):
                minted = _bounded(provider, request)
            self._take(lease, provider, request, minted)
        return self

    async def __aenter__(self) -> Lent:
        import asyncio

        for lease in self._provided():
            request, provider = self._asked(lease)
            with _denied(self._call, lease):
                if inspect.iscoroutinefunction(provider.mint):
                    asked = asyncio.ensure_future(provider.mint(request))
                    try:
                        await asyncio.wait({asked}, timeout=provider.timeout)
                        if not asked.done():
                            raise Told(f"no answer within {provider.timeout:g} s")
                    finally:
                        asked.cancel()
                    minted = _minted(asked.result())
                else:
                    minted = await asyncio.to_thread(_bounded, provider, request)
            self._take(lease, provider, request, minted)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        self._leave(error)
        for running in self._made:
            running.end()
        return self._instead is not None

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        self._leave(error)
        if self._made:
            import asyncio

            await asyncio.shield(asyncio.to_thread(self._end_all))
        return self._instead is not None

    def _end_all(self) -> None:
        for running in self._made:
            running.end()

    def clean(self, value: Any) -> Any:
        """What the body gives, without secrets if that was asked for."""
        if not self._redact or self._call is None:
            return value
        from answerable.redacting import redacted  # What few need loads much.

        return redacted(self._call.vault, value)

    @property
    def raised(self) -> BaseException:
        """What is raised in place of what the body raised, once that was taken away."""
        return VaultError("the body ended unseen") if self._instead is None else self._instead

    def _leave(self, error: BaseException | None) -> None:
        if error is not None and self._redact and self._call is not None:
            from answerable.redacting import scrubbed

            clean = scrubbed(self._call.vault, error)
            # Raised behind the block: within it, Python would tie the one to the other.
            self._instead = None if clean is error else clean

    def _provided(self) -> Iterator[_core.Lease]:
        if self._call is not None and self._call.provided:
            yield from (lease for lease in self._call.leases if lease.provider is not None)

    def _asked(self, lease: _core.Lease) -> tuple[LeaseRequest, Provider]:
        authority = _authority.get()
        call = self._call
        provider = provider_for(os.fspath(lease.store), lease.credential)
        if authority is None or call is None or provider is None:
            refused = call.unlent if call is not None else None
            if refused is None:
                raise VaultError("no governed call runs here", code="lease_elsewhere")
            raise refused(
                f"this process has no provider for `{lease.credential}`",
                "attach it with engine.vault.provide(name, provider)",
            )
        grant = authority.grant
        request = LeaseRequest(
            credential=lease.credential,
            tool=call.tool,
            human=grant.human,
            agent=grant.agent,
            task=grant.task,
            statement=next(iter(grant.statements), None),
            decision=lease.decision or "",
            lease=lease.entry,
            expires=grant.expires_at,
        )
        return request, provider

    def _take(
        self, lease: _core.Lease, provider: Provider, request: LeaseRequest, minted: Minted
    ) -> None:
        running = _Running(lease, provider, request, minted)
        self._made.append(running)
        try:
            with _denied(self._call, lease):
                lease.minted(minted.secret)
        except AccessDenied:
            self._end_all()
            raise
        _watch(running)


class _Running:
    """A minted secret that a provider is to be told of, once."""

    def __init__(
        self, lease: _core.Lease, provider: Provider, request: LeaseRequest, minted: Minted
    ) -> None:
        self.lease, self._provider = lease, provider
        self._request, self._minted = request, minted
        self._lock, self._told = threading.Lock(), False

    @property
    def told(self) -> bool:
        return self._told

    def end(self) -> None:
        with self._lock:
            if self._told:
                return
            self._told = True
        _end(self._provider, self._request, self._minted)


def _end(provider: Provider, request: LeaseRequest, minted: Minted) -> None:
    end = getattr(provider, "end", None)
    if not callable(end):
        return

    def told() -> None:
        try:
            answer = end(request, minted)
            if inspect.iscoroutine(answer):
                import asyncio

                asyncio.run(answer)
        except Exception as error:  # noqa: BLE001 - the call is over; what failed is said.
            ours().error(
                "the provider of %s did not take its secret back: %s",
                request.credential,
                type(error).__name__,
            )

    thread = threading.Thread(target=told, name="answerable-lease-end", daemon=True)
    thread.start()
    thread.join(provider.timeout)
    if thread.is_alive():
        ours().error(
            "the provider of %s takes too long to take its secret back", request.credential
        )


def _bounded(provider: Provider, request: LeaseRequest) -> Minted:
    """Asks a provider, and waits no longer than its timeout. What comes too late is taken back."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    lock, late = threading.Lock(), False

    def ask() -> None:
        try:
            made: Any = provider.mint(request)
            if inspect.iscoroutine(made):
                import asyncio

                made = asyncio.run(made)
            answer: Any = _minted(made)
        except BaseException as error:  # noqa: BLE001 - it goes to whoever waits.
            answer = error
        with lock:
            if not late:
                answers.put(answer)
                return
        if isinstance(answer, Minted):
            _end(provider, request, answer)

    threading.Thread(target=ask, name="answerable-lease", daemon=True).start()
    try:
        answer = answers.get(timeout=provider.timeout)
    except queue.Empty:
        with lock:
            late = answers.empty()
        if late:
            raise Told(f"no answer within {provider.timeout:g} s") from None
        answer = answers.get()
    if isinstance(answer, BaseException):
        raise answer
    minted: Minted = answer
    return minted


def _minted(made: Any) -> Minted:
    if isinstance(made, (str, bytes)):
        return Minted(made)
    if isinstance(made, Minted):
        return made
    raise TypeError("a provider answers text, bytes or Minted")


class _denied:  # noqa: N801 - used as a phrase: `with _denied(self._call, lease):`.
    """Turns what a provider raises into a denial that says no more than its type."""

    def __init__(self, call: _core.Call | None, lease: _core.Lease) -> None:
        self._call, self._lease = call, lease

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._call is None or isinstance(error, AccessDenied):
            return
        if not isinstance(error, Exception):
            return
        what = str(error) if isinstance(error, Told) else type(error).__name__
        denied = self._call.unlent(
            f"the provider of `{self._lease.credential}` gave no secret: {what}",
            "see to the provider, then call again",
        )
        # What a provider raises may hold a secret: only what is known to be safe goes along.
        raise denied from (error if isinstance(error, Told) else None)


# Minted secrets whose leases run: one thread looks after them while there are any.
_running: set[_Running] = set()
_running_lock = threading.Lock()
_INTERVAL = 0.05  # Seconds between two looks.


def _watch(running: _Running) -> None:
    with _running_lock:
        alone = not _running
        _running.add(running)
    if alone:
        threading.Thread(target=_look, name="answerable-leases", daemon=True).start()


def _look() -> None:
    while True:
        time.sleep(_INTERVAL)
        with _running_lock:
            _running.difference_update([one for one in _running if one.told])
            ended = [one for one in _running if one.lease.ended]
        for one in ended:
            one.end()
        with _running_lock:
            _running.difference_update(ended)
            if not _running:
                return


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)


def leasing(function: Callable[..., Any], *, redact: bool) -> Callable[..., Any]:
    """A tool's body with what providers make, and without secrets in what it gives if asked for."""
    kind = kind_of(function)
    running = _call.get

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        call = running()
        if not redact and (call is None or not call.provided):
            # What is stored is there, and ends with the call.
            return function(*args, **kwargs)
        with Lent(call, redact) as lent:
            return lent.clean(function(*args, **kwargs))
        raise lent.raised

    @functools.wraps(function)
    async def coroutine(*args: Any, **kwargs: Any) -> Any:
        call = running()
        if not redact and (call is None or not call.provided):
            return await function(*args, **kwargs)
        async with Lent(call, redact) as lent:
            return lent.clean(await function(*args, **kwargs))
        raise lent.raised

    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Any:
        with Lent(_call.get(), redact) as lent:
            body = function(*args, **kwargs)
            sent: Any = None
            thrown: BaseException | None = None
            while True:
                try:
                    item = body.send(sent) if thrown is None else body.throw(thrown)
                except StopIteration as stop:
                    return lent.clean(stop.value)
                sent = thrown = None
                try:
                    sent = yield lent.clean(item)
                except GeneratorExit:
                    body.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - it goes on into the body.
                    thrown = error
        raise lent.raised

    @functools.wraps(function)
    async def async_generator(*args: Any, **kwargs: Any) -> Any:
        async with Lent(_call.get(), redact) as lent:
            body = function(*args, **kwargs)
            sent: Any = None
            thrown: BaseException | None = None
            while True:
                try:
                    item = await (body.asend(sent) if thrown is None else body.athrow(thrown))
                except StopAsyncIteration:
                    return
                sent = thrown = None
                try:
                    sent = yield lent.clean(item)
                except GeneratorExit:
                    await body.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - it goes on into the body.
                    thrown = error
        raise lent.raised

    wrappers: dict[str, Any] = {
        "function": plain,
        "coroutine": coroutine,
        "generator": generator,
        "async_generator": async_generator,
    }
    wrapper: Callable[..., Any] = wrappers[kind]
    return wrapper if inspect.iscoroutinefunction(wrapper) else marked(wrapper, kind)
