"""answerable makes every action of an AI agent answerable to a human.

    import answerable as ans

    engine = ans.open("./governance")

Agent developers decorate their tools with `ans.tool`; engineers issue, scope and retire agents with
the engine; auditors read `engine.trail` and check it with `ans.verify`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from answerable import _core, watching
from answerable._core import (
    Agent,
    Capability,
    Caveat,
    Checkpoint,
    Decision,
    Entries,
    Entry,
    Fault,
    Grant,
    Human,
    Limit,
    Reason,
    Receipt,
    Report,
    SecretKey,
    Story,
    absent,
    all_of,
    allow,
    any_,
    at_least,
    at_most,
    between,
    calls,
    contains,
    each,
    email_at,
    ends_with,
    equals,
    host_in,
    in_network,
    length,
    matches,
    one_of,
    present,
    rate,
    same_as,
    starts_with,
    subset_of,
    total,
    under,
    verify,
    verify_offboarding,
)
from answerable.context import cancelled, carry, current
from answerable.engine import Engine
from answerable.errors import (
    AccessDenied,
    ApprovalRequired,
    EngineClosed,
    Error,
    IllegalTransition,
    InvalidGrant,
    InvalidInput,
    InvalidPolicy,
    NotFound,
    StoreBusy,
    StoreError,
    StoreUnavailable,
    TrailCorrupted,
    VaultError,
)
from answerable.explain import Explanation
from answerable.guard import tool
from answerable.leasing import Credential, credential
from answerable.opening import open
from answerable.receipts import VerifiedReceipt, verify_receipt
from answerable.vault import LeaseRequest, Minted, Vault

if TYPE_CHECKING:
    from answerable.net.rules import Runner

__version__ = _core.__version__


def _make_runner(engine: _core.Engine) -> Runner:
    from answerable.net.rules import Runner

    return Runner(engine)


watching.make_runner = _make_runner

__all__ = [
    "AccessDenied",
    "Agent",
    "ApprovalRequired",
    "Capability",
    "Caveat",
    "Checkpoint",
    "Credential",
    "Decision",
    "Engine",
    "EngineClosed",
    "Entries",
    "Entry",
    "Error",
    "Explanation",
    "Fault",
    "Grant",
    "Human",
    "IllegalTransition",
    "InvalidGrant",
    "InvalidInput",
    "InvalidPolicy",
    "LeaseRequest",
    "Limit",
    "Minted",
    "NotFound",
    "Reason",
    "Receipt",
    "Report",
    "SecretKey",
    "StoreBusy",
    "StoreError",
    "StoreUnavailable",
    "Story",
    "TrailCorrupted",
    "Vault",
    "VaultError",
    "VerifiedReceipt",
    "absent",
    "all_of",
    "allow",
    "any_",
    "at_least",
    "at_most",
    "between",
    "calls",
    "cancelled",
    "carry",
    "contains",
    "credential",
    "current",
    "each",
    "email_at",
    "ends_with",
    "equals",
    "host_in",
    "in_network",
    "length",
    "matches",
    "one_of",
    "open",
    "present",
    "rate",
    "same_as",
    "starts_with",
    "subset_of",
    "tool",
    "total",
    "under",
    "verify",
    "verify_offboarding",
    "verify_receipt",
]
