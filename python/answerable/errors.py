"""What can go wrong, as types that a program can branch on.

Every error has a stable `code` (branch on it), a message (read it) and a `hint` (the smallest step
that would help). The hint is shown as a note below the traceback, never inside the message.

Example:
    >>> try:
    ...     raise NotFound("no agent `booker`", code="not_found", hint="issue it first")
    ... except Error as error:
    ...     error.code, str(error), error.hint
    ('not_found', 'no agent `booker`', 'issue it first')
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, ClassVar

__all__ = [
    "AccessDenied",
    "ApprovalRequired",
    "EngineClosed",
    "Error",
    "IllegalTransition",
    "InvalidGrant",
    "InvalidInput",
    "InvalidPolicy",
    "NotFound",
    "StoreBusy",
    "StoreError",
    "StoreUnavailable",
    "TrailCorrupted",
    "VaultError",
]


_heard: ContextVar[list[AccessDenied] | None] = ContextVar("answerable_heard", default=None)


@contextlib.contextmanager
def hearing() -> Iterator[list[AccessDenied]]:
    """Lists the denials of a block, for adapters to frameworks that hide what a tool raised."""
    heard: list[AccessDenied] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


class Error(Exception):
    """The base of every error that answerable raises.

    Args:
        message: What happened, in one sentence without a final period.
        code: A stable slug for programs; the class has a default.
        hint: The smallest step that would help, or an empty text.
        details: The evidence a subclass carries, by name.
    """

    code: str = "error"
    hint: str = ""
    _details: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, message: str = "", *, code: str | None = None, hint: str = "", **details: Any
    ) -> None:
        super().__init__(message)
        unknown = details.keys() - set(self._details)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no detail named {sorted(unknown)}")
        if code is not None:
            self.code = code
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")
        for name, value in details.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        details = {name: _portable(getattr(self, name)) for name in self._details}
        return _restore, (type(self), str(self), self.code, self.hint, details)


class AccessDenied(Error, PermissionError):
    """A call was not allowed and its tool did not run. `str()` is safe to show to a model.

    Attributes:
        decision: The recorded decision with its reasons; None where none could be made.
    """

    code = "access_denied"
    _details: ClassVar[tuple[str, ...]] = ("decision",)
    decision: Any = None

    def __init__(self, *args: Any, **facts: Any) -> None:
        super().__init__(*args, **facts)
        heard = _heard.get()
        if heard is not None:
            heard.append(self)


class ApprovalRequired(AccessDenied):
    """A call waits for a human's answer and its tool did not run.

    Attributes:
        approval: The pending approval, bound to this one request.
    """

    answered: bool = False
    """Whether somebody waited for the answer and went on from there."""
    code = "approval_required"
    _details = ("decision", "approval")
    approval: Any = None


class InvalidGrant(Error):
    """A grant is malformed, badly signed, or wider than the one before it.

    Attributes:
        hop: The position in the chain, 0 being the root grant; None if it has none.
    """

    code = "invalid_grant"
    _details = ("hop",)
    hop: int | None = None


class InvalidPolicy(Error):
    """A policy does not parse or does not validate.

    Attributes:
        line: Where, counted from 1; None if it concerns the whole set.
        column: Where, counted from 1.
        faults: Every fault that was found, the first foremost: `source`, `line`, `column`,
            `message` and `suggestion` of each.
    """

    code = "invalid_policy"
    _details = ("line", "column", "faults")
    line: int | None = None
    column: int | None = None
    faults: Any = ()


class InvalidInput(Error, ValueError):
    """An argument of an API call has no meaning here."""

    code = "invalid_input"


class IllegalTransition(Error):
    """The state of a thing does not allow this step, such as resuming a retired agent."""

    code = "illegal_transition"


class NotFound(Error, LookupError):
    """Nothing, or more than one thing, goes by that id or name."""

    code = "not_found"


class TrailCorrupted(Error):
    """The record does not agree with itself or with a checkpoint.

    Attributes:
        faults: Every fault that was found, each with its place.
    """

    code = "trail_corrupted"
    _details = ("faults",)

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        hint: str = "",
        faults: list[Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.faults: list[Any] = list(faults or ())


class VaultError(Error):
    """A secret cannot be stored, opened or lent. Its text never holds the secret."""

    code = "vault_error"


class StoreError(Error):
    """The store failed; the engine allows nothing more until it is healthy."""

    code = "store_error"


class StoreBusy(StoreError):
    """Another process holds the store."""

    code = "store_busy"


class StoreUnavailable(StoreError):
    """The store cannot be read or written now."""

    code = "store_unavailable"


class EngineClosed(StoreError):
    """The engine was closed."""

    code = "engine_closed"


def _portable(value: Any) -> Any:
    """`value` if it can travel to another process, else None: an error must always arrive."""
    try:
        import pickle  # Only who pickles pays for it.

        pickle.dumps(value)
    except Exception:
        return None
    return value


def _restore(
    cls: type[Error], message: str, code: str, hint: str, details: dict[str, Any]
) -> Error:
    return cls(message, code=code, hint=hint, **details)
