"""The binary half of answerable: hand-kept types of everything that crosses.

Durations are text such as `"30m"`, a `timedelta`, or seconds. Moments are a `datetime` with a zone,
RFC 3339 text, or a duration into the past. Wherever a human, agent, grant or entry is taken, its id
is taken too; a human's account and an agent's name where they are unique. Every error is one of
`answerable.errors`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, Protocol, Self, SupportsIndex, TypeAlias, final, overload

import pandas  # pyright: ignore[reportMissingImports]
import polars  # pyright: ignore[reportMissingImports]
import pyarrow  # pyright: ignore[reportMissingImports]
from typing_extensions import disjoint_base

from answerable.errors import AccessDenied
from answerable.following import Follow

__all__ = [
    "Agent",
    "AgentUse",
    "Agents",
    "Approval",
    "Approvals",
    "Authority",
    "Call",
    "Capability",
    "Caveat",
    "Chain",
    "Checkpoint",
    "Could",
    "CredentialFacts",
    "Decision",
    "Engine",
    "Entries",
    "EntriesIterator",
    "Entry",
    "Fault",
    "Finding",
    "Follower",
    "Grant",
    "Halt",
    "Hop",
    "Human",
    "Humans",
    "Lease",
    "Limit",
    "Offboarding",
    "OffboardingItem",
    "Policies",
    "Policy",
    "PolicyAnswer",
    "PolicyExplanation",
    "PolicyFault",
    "PolicyFinding",
    "PolicySet",
    "PolicyTold",
    "Reason",
    "Receipt",
    "Reconstruction",
    "Replay",
    "ReplayedDecision",
    "Report",
    "Review",
    "Revocation",
    "Rule",
    "Rules",
    "SecretKey",
    "Story",
    "Task",
    "Tasks",
    "Tool",
    "Trail",
    "Vault",
    "Witness",
    "__version__",
    "absent",
    "all_of",
    "allow",
    "any_",
    "ask",
    "at_least",
    "at_most",
    "between",
    "calls",
    "check_receipt",
    "close_all",
    "consistent",
    "contains",
    "cosigned_at",
    "declare",
    "each",
    "email_at",
    "ends_with",
    "equals",
    "forget_declared",
    "holder",
    "host_in",
    "in_network",
    "judge_cedar",
    "length",
    "limits_from_wire",
    "log_flush",
    "log_level",
    "log_to",
    "matches",
    "one_of",
    "present",
    "rate",
    "read_checkpoint",
    "same_as",
    "scope_from_wire",
    "serve",
    "shown",
    "signed_by",
    "starts_with",
    "subset_of",
    "to_wire",
    "total",
    "under",
    "verify",
    "verify_offboarding",
]

__version__: str

_Duration: TypeAlias = str | float | timedelta

class _Stream(Protocol):
    """What speaks the Arrow PyCapsule interface."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

_Moment: TypeAlias = datetime | str | timedelta
_Path: TypeAlias = str | PathLike[str]
_Scope: TypeAlias = Capability | Sequence[Capability]
_Limits: TypeAlias = Limit | Sequence[Limit]
_Effect: TypeAlias = Literal["allow", "deny", "ask"]
_Since: TypeAlias = Checkpoint | str | PathLike[str]

# ---------------------------------------------------------------------------------------- engine

@disjoint_base
class Engine:
    """One engine: one authority, one tenant, one store. Made by `answerable.open`."""

    def __new__(
        cls,
        path: _Path,
        *,
        durability: str = "before",
        flush_ms: int = 50,
        master_key: bytes | str | None = None,
        clock: _Moment | None = None,
        max_hops: int = 8,
        approval_ttl: _Duration | None = None,
        approval_wait: _Duration | None = None,
        attach: bool | Engine | None = None,
        accept_restore: str | None = None,
        repair: bool = False,
        policy_shadow: int | None = None,
        retention: _Duration | dict[str, _Duration] | None = None,
    ) -> Self: ...
    @property
    def authority(self) -> str:
        """The authority's public key, as PASERK text: enough to verify the trail with."""

    @property
    def path(self) -> Path:
        """The store's folder."""

    @property
    def durability(self) -> Literal["before", "strict", "after", "relaxed"]:
        """When a decision and its outcome must be on disk."""

    @property
    def _vault(self) -> Vault:
        """The vault, without the providers that only Python knows."""

    @property
    def humans(self) -> Humans:
        """The humans that are accountable here."""

    @property
    def agents(self) -> Agents:
        """The agents that were issued here."""

    @property
    def tasks(self) -> Tasks:
        """What chains were issued for."""

    @property
    def policies(self) -> Policies:
        """The organisation's rules: load, read, check, replay."""

    @property
    def trail(self) -> Trail:
        """The append-only record."""

    def grant(
        self,
        human: Human | str,
        agent: Agent | str,
        *,
        task: str,
        scope: _Scope,
        ttl: _Duration,
        limits: _Limits | None = None,
        max_depth: int = 0,
        by: Human | str | None = None,
    ) -> Grant:
        """Makes a root grant: a human gives an agent a scope, for a task, until a time.

        Args:
            human: Who is accountable in the end.
            agent: Who will hold the grant.
            task: What for, in a sentence of at most 4096 bytes, or the id of an open task.
            scope: One capability or several, within the agent's ceiling.
            ttl: How long; it may not outlive the agent.
            limits: Limits over all capabilities of the grant.
            max_depth: How many further hops may follow, 0 to 255.
            by: Who makes it; the operating system's account without it, marked asserted.

        Returns:
            The verified chain, recorded and durable.

        Raises:
            NotFound: No such human, agent or task.
            InvalidInput: The scope reaches beyond the ceiling, or a value has no meaning.
            InvalidGrant: The grant cannot be signed, for its size.
            IllegalTransition: The human has left, the agent may not hold grants, the task ended, or
                the clock was set back.
            StoreError: The record cannot be written.

        Example:
            engine.grant(alice, planner, task="Book the offsite", scope=ans.allow("travel.*"),
                         ttl="30m")
        """

    def backup(self, path: _Path) -> int:
        """Copies the live store into a new folder, at one moment; answers how many records.

        With the master key, which is not in it, the folder opens as a store. It is older than what
        goes on here: going back to it has to be said (`answerable doctor --accept-restore`).

        Raises:
            StoreError: The folder is there already, or cannot be written.
        """

    def request_access(
        self,
        grant: Grant,
        *,
        scope: _Scope,
        reason: str,
        ttl: _Duration,
        limits: _Limits | None = None,
    ) -> Approval:
        """Asks a human for a further grant to a grant's holder, for its human and its task.

        Asking the same again while it waits finds the same approval. A yes makes a root grant: it
        stands in `approval.grant`, lapses with the task, and cannot be delegated from.

        Args:
            grant: The grant under which the agent works now.
            scope: What it needs beside that, within the agent's ceiling.
            reason: Why, in a sentence for whoever answers.
            ttl: How long the new grant lasts from the answer on.
            limits: Limits over all its capabilities.

        Raises:
            InvalidInput: It reaches beyond the agent's ceiling or term, or there is no reason.
            IllegalTransition: The grant does not hold now, too much waits already, or a human
                refused the same.
        """

    def accept(self, token: str, *, statements: Iterable[str | None] | None = None) -> Grant:
        """Verifies a chain's text, made here or offline, and takes it up.

        Args:
            token: `grant.token`.
            statements: What each hop stated, the task's sentence first; each is checked against
                what was signed.

        Raises:
            InvalidGrant: It does not verify; `hop` and `code` say where and why.
            InvalidInput: A statement is not the one that was signed.
        """

    def by_handle(self, handle: str) -> Grant:
        """The grant that a handle stands for, verified anew.

        Raises:
            NotFound: There is no such handle, or its grant has run out.
            InvalidInput: It is no handle: a grant's token, an id and a digest are none.
            InvalidGrant: The chain does not verify any more.
        """

    def check(
        self,
        tool: str,
        *,
        resource: str | None = None,
        arguments: dict[str, Any] | None = None,
        grant: Grant | None = None,
        own: dict[str, Any] | None = None,
    ) -> Decision:
        """Judges a call without running or recording anything; `entry` of the answer is None.

        `own` is what `engine.acting` would be given: policies read it as `context.own`.
        Limits are not drawn on: one that is used up refuses the call, not this.

        Example:
            engine.check("pay.transfer", arguments={"amount": 80}, grant=grant).allowed
        """

    def revoke(
        self,
        target: Grant | Task | Agent | Human | str,
        *,
        reason: str,
        by: Human | str | None = None,
    ) -> Revocation:
        """Revokes a grant, task, agent or human and everything below it, from the next call on.

        An agent or human is revoked up to now: what they held ends, what is granted later does not.

        Args:
            target: What ends, or its id; a grant also by its digest in hexadecimal, whether it was
                seen here or delegated offline.
            reason: Why, in a sentence.
            by: Who revokes; the operating system's account without it.

        Returns:
            The entry, and whether more is to be done: who made the grant could make another.

        Raises:
            NotFound: Nothing has that id.
            IllegalTransition: It was revoked already.
            InvalidInput: The reason is empty or holds control characters.
        """

    def halt(
        self,
        *,
        reason: str,
        agent: Agent | str | None = None,
        owner: Human | str | None = None,
        tool: str | None = None,
        by: Human | str | None = None,
    ) -> str:
        """Halts everything, or one agent, all of one owner, or the tools that a pattern matches.

        No call that starts later is allowed; it survives a restart, and a halt that cannot be read
        halts everything.

        Args:
            reason: Why, in a sentence.
            agent: The agent that stands still, with all it delegated.
            owner: The human whose agents stand still, and what is done for them.
            tool: The tools that stand still, by pattern.
            by: Who halts; the operating system's account without it.

        Returns:
            The id of the trail's entry.

        Raises:
            NotFound: No such agent or human.
            IllegalTransition: It is halted already.
            InvalidInput: More than one target, no pattern, or an empty reason.
        """

    def unhalt(
        self,
        *,
        reason: str | None = None,
        agent: Agent | str | None = None,
        owner: Human | str | None = None,
        tool: str | None = None,
        by: Human | str | None = None,
    ) -> str:
        """Lifts a halt; the targets are those of `halt`. Answers the entry's id.

        Raises:
            IllegalTransition: It is not halted.
        """

    def metrics(self) -> str:
        """What is counted, in the text that Prometheus reads (format 0.0.4).

        Counters begin at zero with the process; names of tools and codes are bounded in number.
        """

    def samples(self) -> list[dict[str, Any]]:
        """What is counted, for exporters: name, help, kind, labels, value, sum, buckets."""

    def halts(self) -> list[Halt]:
        """The halts in force."""

    def review(
        self, *, dormant: _Duration | None = None, recent: _Duration | None = None
    ) -> Review:
        """Looks through all agents and grants, and how they were used; reads the whole trail.

        Args:
            dormant: How long without use makes an agent dormant; 30 days without it.
            recent: What is recent; a day without it.
        """

    @property
    def signing_key(self) -> str:
        """The authority's key that signs now, as PASERK text; `authority` until it is rotated."""

    def rotate_authority(
        self,
        *,
        reason: str,
        overlap: _Duration | None = None,
        by: Human | str | None = None,
    ) -> str:
        """Gives the authority another key, named by the present one; answers the entry's id.

        `authority` stays what it is, and is enough to verify all that either key signs.

        Args:
            reason: Why, in a sentence.
            overlap: How long grants by the old key go on; without it they end at once.
            by: Who does it; the operating system's account without it.
        """

    def rotate_checkpoint_key(self, *, reason: str, by: Human | str | None = None) -> str:
        """Gives the trail another checkpoint key; answers the entry's id."""

    def set_clock(self, at: _Moment) -> None:
        """Sets the time of an engine that was opened with `clock=`.

        Raises:
            InvalidInput: The engine goes by the machine's clock.
        """

    def close(self) -> None:
        """Writes all that was appended and lets the store go. Closing twice is no error."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
        /,
    ) -> None: ...
    def __reduce__(self) -> NoReturn: ...

@final
class Humans:
    """The humans of an engine."""

    def register(
        self, account: str, *, name: str | None = None, by: Human | str | None = None
    ) -> Human:
        """Registers a human, asserted by whoever runs this.

        Args:
            account: The name at an identity provider, such as an e-mail address.
            name: What people call them.
            by: Who says so; the operating system's account without it.

        Raises:
            IllegalTransition: The account is registered already.
            InvalidInput: Text that is empty, too long or holds control characters.
        """

    def offboard(
        self,
        human: Human | str,
        *,
        reason: str,
        successor: Human | str | None = None,
        by: Human | str | None = None,
    ) -> Offboarding:
        """Lets a human leave: what they own and what was granted for them ends.

        Every agent they own is suspended, or transferred; every grant given for them is revoked,
        and what waits for a human under it, or was approved by them and not used yet, has ended.
        Their account may be registered again, as another human.

        Args:
            human: Who leaves.
            reason: Why, in a sentence.
            successor: Who takes over their agents.
            by: Who sees to it; the operating system's account without it.

        Returns:
            The departure, with a signed proof as `text`.

        Raises:
            NotFound: Nobody has that id or account.
            IllegalTransition: They have left already, or the successor has.
        """

    def operator(self) -> Human:
        """The operating system's account as a human, asserted: who does what names nobody else."""

    def get(self, human: Human | str) -> Human:
        """A human by id, or by account where only one issuer knows it.

        Raises:
            NotFound: Nobody has that id or account.
        """

    def list(self) -> list[Human]:
        """All humans, oldest first."""

@final
class Agents:
    """The agents of an engine."""

    def issue(
        self,
        name: str,
        *,
        owner: Human | str,
        purpose: str,
        ceiling: _Scope,
        ttl: _Duration,
        key: str | None = None,
        model: str | None = None,
        version: str | None = None,
        by: Human | str | None = None,
    ) -> Agent:
        """Issues an agent.

        Args:
            name: Its name, of which there is one.
            owner: Who answers for it.
            purpose: What it is for, in a sentence.
            ceiling: The widest scope it may ever be granted.
            ttl: How long its term lasts.
            key: Its own public key as PASERK text; then only it can sign. Without it the engine
                makes a key and keeps it sealed.
            model: The model it runs on.
            version: Its own version.
            by: Who issues it; the operating system's account without it.

        Raises:
            IllegalTransition: The name or the key is taken.
            NotFound: No such owner.
            InvalidInput: A value that has no meaning here.
        """

    def suspend(self, agent: Agent | str, *, reason: str, by: Human | str | None = None) -> Agent:
        """Suspends an agent: what it holds or delegated is denied until it is resumed.

        Raises:
            NotFound: No such agent.
            IllegalTransition: It is not active.
        """

    def resume(
        self, agent: Agent | str, *, reason: str | None = None, by: Human | str | None = None
    ) -> Agent:
        """Resumes a suspended agent: its grants hold again as far as nothing else ended them.

        Raises:
            NotFound: No such agent.
            IllegalTransition: It is not suspended, or its owner has left.
        """

    def rotate(
        self,
        agent: Agent | str,
        *,
        key: str | None = None,
        overlap: _Duration | None = None,
        reason: str | None = None,
        by: Human | str | None = None,
    ) -> Agent:
        """Gives an agent another key.

        Args:
            agent: The agent.
            key: Its own new public key as PASERK text; without it the engine makes one.
            overlap: How long grants to the key before go on; without it they end at once, and so do
                all overlaps before.
            reason: Why, in a sentence.
            by: Who does it; the operating system's account without it.

        Raises:
            NotFound: No such agent.
            IllegalTransition: It is retired, or the key was used before.
            InvalidInput: The agent keeps its own key, and none is given.
        """

    def transfer(
        self,
        agent: Agent | str,
        *,
        owner: Human | str,
        reason: str | None = None,
        by: Human | str | None = None,
    ) -> Agent:
        """Gives an agent another owner; its grants go on, for the humans they name.

        Raises:
            NotFound: No such agent or human.
            IllegalTransition: It is retired, theirs already, or they have left.
        """

    def renew(
        self,
        agent: Agent | str,
        *,
        ttl: _Duration,
        reason: str | None = None,
        by: Human | str | None = None,
    ) -> Agent:
        """Moves the end of an agent's term further away: from now, for `ttl`.

        Raises:
            NotFound: No such agent.
            IllegalTransition: It is retired, or its owner has left.
            InvalidInput: It would not end later than it does.
        """

    def retire(self, agent: Agent | str, *, reason: str, by: Human | str | None = None) -> Agent:
        """Retires an agent: everything it holds or delegated ends with the next call.

        Raises:
            NotFound: No such agent.
            IllegalTransition: It is retired already.
        """

    def get(self, agent: Agent | str) -> Agent:
        """An agent by id or name.

        Raises:
            NotFound: No agent has that id or name.
        """

    def list(self, *, status: str | None = None, owner: Human | str | None = None) -> list[Agent]:
        """All agents, oldest first; of one status or owner where it is given.

        Args:
            status: `"active"`, `"suspended"` or `"retired"`.
            owner: Whose.
        """

@final
class Tasks:
    """The tasks of an engine."""

    def end(self, task: Task | str, *, reason: str, by: Human | str | None = None) -> str:
        """Ends a task and every grant made for it; answers the entry's id.

        Args:
            task: The task's id, as in `grant.task`.
            reason: Why, in a sentence.
            by: Who ends it; the operating system's account without it.

        Raises:
            NotFound: No such task.
            IllegalTransition: It has ended already.
        """

    def get(self, task: Task | str) -> Task:
        """A task by id.

        Raises:
            NotFound: No such task.
        """

    def list(self, *, ended: bool | None = None) -> list[Task]:
        """All tasks, oldest first; only those that go on, or have ended, where it is asked."""

    def sentence(self, task: Task | str) -> str:
        """The sentence of a task, by its id.

        Raises:
            InvalidInput: No such task, or its sentence was erased.
        """

# ---------------------------------------------------------------------------------------- people

@final
class Human:
    """An accountable person. Equal where the ids are."""

    @property
    def id(self) -> str:
        """Its random id, `hum_…`."""

    @property
    def account(self) -> str:
        """The name at the issuer."""

    @property
    def issuer(self) -> str:
        """The identity provider; `"local"` for one registered here, `"os"` for an account."""

    @property
    def name(self) -> str | None:
        """What people call them."""

    @property
    def assurance(self) -> Literal["asserted", "oidc", "signed"]:
        """How sure we are of them."""

    @property
    def offboarded(self) -> bool:
        """Whether they have left."""

    @property
    def registered_at(self) -> datetime:
        """When, in UTC."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class Agent:
    """Software that acts for somebody. Equal where the ids are."""

    @property
    def id(self) -> str:
        """Its random id, `agt_…`."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def owner(self) -> str:
        """The owner's id."""

    @property
    def purpose(self) -> str:
        """What it is for."""

    @property
    def status(self) -> Literal["active", "suspended", "retired"]:
        """The state of its life."""

    @property
    def model(self) -> str | None:
        """The model it runs on, where it was stated."""

    @property
    def version(self) -> str | None:
        """Its own version, where it was stated."""

    @property
    def uri(self) -> str:
        """`answerable://<authority>/agent/<id>`: its name in the manner of SPIFFE."""

    @property
    def ceiling(self) -> list[Capability]:
        """The widest scope it may be granted."""

    @property
    def key(self) -> str:
        """The public key, as PASERK text."""

    @property
    def managed(self) -> bool:
        """Whether the engine keeps the secret key."""

    @property
    def issued_at(self) -> datetime:
        """When, in UTC."""

    @property
    def expires_at(self) -> datetime:
        """When its term ends, in UTC."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class Task:
    """The purpose that grants were made for. Equal where the ids are."""

    @property
    def id(self) -> str:
        """Its random id, `tsk_…`."""

    @property
    def human(self) -> str:
        """The id of the human it is done for."""

    @property
    def sentence(self) -> str | None:
        """What it is, in the human's words; None once erased."""

    @property
    def opened_at(self) -> datetime:
        """When, in UTC."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, in UTC; None while it goes on."""

    @property
    def grants(self) -> int:
        """How many grants were made for it, those delegated included."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

# --------------------------------------------------------------------------------------- endings

@final
class Revocation:
    """What a revocation did, and what it leaves to do. `str()` is the entry's id."""

    def __new__(
        cls,
        *,
        entry: str,
        target: str,
        id: str | None,  # noqa: A002 - as the property.
        seen: bool,
        children: int,
        holder: str | None,
        issuer: str | None,
        hint: str,
    ) -> Self: ...
    @property
    def entry(self) -> str:
        """Its entry."""

    @property
    def target(self) -> Literal["grant", "task", "agent", "human"]:
        """What was revoked."""

    @property
    def id(self) -> str | None:
        """The id of what was revoked; None for a grant that was never seen here."""

    @property
    def seen(self) -> bool:
        """Whether a grant that it names was seen here; those that were not end all the same."""

    @property
    def children(self) -> int:
        """How many grants known here were made directly under it: they end too."""

    @property
    def holder(self) -> str | None:
        """The id of the agent that held the grant."""

    @property
    def issuer(self) -> str | None:
        """The id of the agent that made the grant, and could make another like it."""

    @property
    def hint(self) -> str:
        """What to do beside, if anything."""

@final
class Halt:
    """A halt in force."""

    @property
    def target(self) -> Literal["everything", "owner", "agent", "tool"]:
        """What stands still."""

    @property
    def name(self) -> str:
        """The owner's or agent's id, or the tool pattern; empty for everything."""

    @property
    def at(self) -> datetime:
        """Since when, in UTC."""

    @property
    def by(self) -> str | None:
        """The id of who halted it; None if the record cannot be read, which halts everything."""

    @property
    def reason(self) -> str | None:
        """Why; None where it cannot be read."""

@final
class OffboardingItem:
    """One agent, grant, lease or approval of a departure."""

    @property
    def kind(self) -> Literal["agent", "grant", "lease", "approval"]:
        """What it is."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def action(self) -> str:
        """`suspended`, `transferred`, `suspended before`, `revoked` or `ended`."""

    @property
    def entry(self) -> str:
        """The entry that says so; a grant's own."""

    @property
    def digest(self) -> str | None:
        """A grant's digest, in hexadecimal."""

@final
class Offboarding:
    """A departure and its proof. `str()` is the proof."""

    @property
    def text(self) -> str:
        """The proof: JSON text that `verify_offboarding` checks with the public key alone."""

    @property
    def human(self) -> str:
        """The id of who left."""

    @property
    def successor(self) -> str | None:
        """The id of who has their agents now."""

    @property
    def by(self) -> str:
        """The id of who saw to it."""

    @property
    def at(self) -> datetime:
        """When, in UTC."""

    @property
    def entry(self) -> str:
        """The entry of the departure."""

    @property
    def revocation(self) -> str:
        """The entry that revokes every grant given for them."""

    @property
    def agents(self) -> int:
        """How many agents."""

    @property
    def grants(self) -> int:
        """How many grants still stood."""

    @property
    def leases(self) -> int:
        """How many leases of credentials ran."""

    @property
    def approvals(self) -> int:
        """How many approvals were open: asked for in their name, or given by them and not used."""

    @property
    def items(self) -> list[OffboardingItem]:
        """Each of them."""

def verify_offboarding(proof: str | Offboarding, authority: str) -> Offboarding:
    """Checks an offboarding proof with the authority's public key alone: no engine, no store.

    Args:
        proof: `Offboarding.text`.
        authority: `engine.authority`.

    Raises:
        TrailCorrupted: It was not signed so; `code` is `proof_invalid`.
    """

@final
class Finding:
    """Something that somebody should look at."""

    @property
    def code(self) -> str:
        """The stable slug."""

    @property
    def severity(self) -> Literal["info", "low", "medium", "high"]:
        """How much it matters."""

    @property
    def subjects(self) -> list[str]:
        """The ids of what it is about, the first foremost."""

    @property
    def why(self) -> str:
        """Why, with the numbers."""

    @property
    def suggestion(self) -> str:
        """What would settle it."""

    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class AgentUse:
    """One agent and its use."""

    @property
    def agent(self) -> Agent:
        """The agent."""

    @property
    def last_use(self) -> datetime | None:
        """When a call was last allowed under it, itself acting or one it delegated to."""

    @property
    def allowed(self) -> int:
        """How many calls were allowed."""

    @property
    def refused(self) -> int:
        """How many calls of its own were refused."""

    @property
    def standing(self) -> int:
        """How many grants to it have not ended."""

    @property
    def children(self) -> int:
        """How many grants that it made have not ended."""

@final
class Review:
    """What a review found. Its length is the number of findings."""

    @property
    def at(self) -> datetime:
        """When, in UTC."""

    @property
    def size(self) -> int:
        """How many entries were read."""

    @property
    def agents(self) -> list[AgentUse]:
        """All agents, oldest first."""

    @property
    def findings(self) -> list[Finding]:
        """The findings, those that matter most first."""

    def above(self, severity: str) -> list[Finding]:
        """The findings of a severity or above.

        Raises:
            InvalidInput: There is no such severity.
        """

    def attest(self, *, note: str, by: Human | str | None = None) -> str:
        """Records that somebody looked through it and stands for what is there.

        Args:
            note: What they say, in a sentence.
            by: Who; the operating system's account without it.

        Returns:
            The id of the trail's entry.
        """

    def __len__(self) -> int: ...
    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class SecretKey:
    """An Ed25519 secret key of an agent that signs for itself. It cannot be pickled."""

    @staticmethod
    def generate() -> SecretKey:
        """A new key."""

    @staticmethod
    def parse(text: str) -> SecretKey:
        """A key from PASERK text, `k4.secret.…`.

        Raises:
            InvalidInput: It is no such key.
        """

    @property
    def public(self) -> str:
        """The public key, as PASERK text."""

    def reveal(self) -> str:
        """The secret key itself, as PASERK text: whoever has it can sign for the agent."""

    def __reduce__(self) -> NoReturn: ...

@final
class Grant:
    """A verified chain: the authority that an agent holds for one task of one human."""

    @property
    def id(self) -> str:
        """The id of the last hop's grant, `gnt_…`."""

    @property
    def digest(self) -> str:
        """The digest of the last hop's signed bytes, 64 hexadecimal characters."""

    @property
    def human(self) -> str:
        """The id of the human accountable."""

    @property
    def agent(self) -> str:
        """The id of the agent that holds it."""

    @property
    def task(self) -> str:
        """The id of the task."""

    @property
    def depth(self) -> int:
        """How many hops precede it: 0 for a root grant."""

    @property
    def expires_at(self) -> datetime:
        """Until when, in UTC."""

    @property
    def scope(self) -> list[Capability]:
        """What it allows."""

    def scope_for(self, *tools: str) -> list[Capability]:
        """What it allows of these tools, and nothing else: a scope to delegate.

        Resources and conditions are as they stand here. Limits are left out, since every call
        draws on them where they stand.

        Raises:
            InvalidInput: A name that is no tool's.

        Example:
            grant.delegate(booker, scope=grant.scope_for("pay.transfer"))
        """

    def handle(self) -> str:
        """Makes a handle: what a framework may write down in place of the chain.

        128 random bits that lapse with the grant. The store keeps their digest and, sealed under
        the human's key, the chain; the trail holds neither. `engine.by_handle` takes it back.

        Returns:
            `hdl_…`. Whoever can make calls of this engine can act under it: treat it as the
            session of a signed-in user.

        Raises:
            InvalidInput: The chain is too long to be kept.
            StoreError: It cannot be written.
        """

    def claim(self, call: bytes) -> Literal["new", "running", "ended", "unknown"]:
        """Claims a call that a framework may start again after a pause; durable when it returns.

        Args:
            call: Bytes that say which call of this grant it is.

        Returns:
            `"new"`: it may run, and is to be settled. `"running"`: it runs now. `"ended"`: it
            returned before. `"unknown"`: it began in a process that is gone, and whether it took
            effect is not known.

        Raises:
            StoreError: It cannot be written.
        """

    def settle(self, call: bytes, *, returned: bool) -> None:
        """Ends a claim.

        Args:
            call: As given to `claim`.
            returned: Whether the call returned, and may not run again; else it may.

        Raises:
            StoreError: It cannot be written: then the call counts as begun.
        """

    @property
    def token(self) -> str:
        """The chain's text: evidence, not a bearer secret."""

    @property
    def statements(self) -> list[str | None]:
        """What each hop stated, the task's sentence first; None where it is not known here."""

    def extends(self, other: Grant) -> bool:
        """Whether this grant is `other` or below it."""

    def delegate(
        self,
        agent: Agent | str,
        *,
        scope: _Scope,
        task: str | None = None,
        ttl: _Duration | None = None,
        limits: _Limits | None = None,
        max_depth: int = 0,
        key: SecretKey | None = None,
    ) -> Grant:
        """Adds a hop for another agent, within this grant.

        Args:
            agent: Who will hold the new grant.
            scope: What it allows; beyond this grant is refused, never clipped.
            task: What this hop is for, in a sentence.
            ttl: How long; without it, to the earlier of this grant's and the agent's end.
            limits: Limits over all capabilities of the hop.
            max_depth: How many further hops may follow.
            key: The delegating agent's secret key, where the engine does not keep it.

        Raises:
            InvalidGrant: It would not be within this grant; `code` says in which way.
            InvalidInput: Beyond the agent's ceiling or term, or a key is missing.
            IllegalTransition: The agent may not hold grants now.
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> NoReturn: ...
    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

# ----------------------------------------------------------------------------------------- scope

@final
class Caveat:
    """A condition on one argument. `str()` says in words what it allows."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Limit:
    """A bound over calls. `str()` says it in words."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Capability:
    """One tool pattern on resource patterns, with caveats and limits. `str()` says it in words."""

    @property
    def tool(self) -> str:
        """The tool pattern."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

def allow(
    tool: str,
    resource: str | Sequence[str] | None = None,
    where: dict[str, Caveat] | None = None,
    limits: _Limits | None = None,
) -> Capability:
    """One capability; several in a list are alternatives.

    Args:
        tool: Segments of `[A-Za-z0-9_-]` and dots; `*` is one segment, a `*` at the end of a
            segment a prefix, `**` at the end any rest.
        resource: One pattern of slash segments or several; without it any resource.
        where: Caveats by argument name, a closed world; without it any arguments.
        limits: Bounds over the calls that this capability covers.

    Raises:
        InvalidInput: A pattern, name, caveat or limit that cannot be; `code` says which.

    Example:
        ans.allow("pay.transfer", resource="account/*", where={"amount": ans.at_most(500)})
    """

def equals(value: Any) -> Caveat:
    """Exactly this value, of this type: `True` is not `1`, `1.0` is not `1`."""

def one_of(*values: Any) -> Caveat:
    """Exactly one of these values, at most 256."""

def at_least(value: Any) -> Caveat:
    """A number, or a datetime with a zone, not below this one; `bool` is no number."""

def at_most(value: Any) -> Caveat:
    """A number, or a datetime with a zone, not above this one; `bool` is no number."""

def between(low: Any, high: Any) -> Caveat:
    """A number, or a datetime with a zone, from `low` to `high`, both included."""

def starts_with(text: str) -> Caveat:
    """Text that starts so. For paths use `under`, for URLs `host_in`."""

def ends_with(text: str) -> Caveat:
    """Text that ends so. For e-mail addresses use `email_at`."""

def matches(text: str) -> Caveat:
    """Text like this one, whose one `*` stands for text without separators or white space."""

def email_at(text: str) -> Caveat:
    """Exactly one e-mail address at this domain."""

def host_in(*hosts: str) -> Caveat:
    """A URL to one of these hosts."""

def under(text: str) -> Caveat:
    """A canonical path below this directory."""

def in_network(text: str) -> Caveat:
    """An IP address in this network, such as `"10.0.0.0/8"`."""

def length(min: int | None = None, max: int | None = None) -> Caveat:  # noqa: A002 - the public face's own.
    """So many code points, bytes, items or entries, both bounds included."""

def each(caveat: Caveat) -> Caveat:
    """A list or tuple, each of whose items passes."""

def subset_of(*values: Any) -> Caveat:
    """A list or tuple of nothing but these values."""

def contains(value: Any) -> Caveat:
    """A list or tuple that contains this value."""

def all_of(*caveats: Caveat) -> Caveat:
    """What passes each of these."""

def same_as(text: str) -> Caveat:
    """The same value as another argument, or with dots a field, of the same call."""

def present() -> Caveat:
    """Any value, None too; no missing argument."""

def absent() -> Caveat:
    """Only a missing argument."""

def any_() -> Caveat:
    """Anything, a missing argument too."""

def calls(n: int) -> Limit:
    """At most so many calls, 1 to 2^53 - 1.

    Under the durabilities `"after"` and `"relaxed"`, where calls do not wait for the disk, up to 16
    are reserved at once: what a killed process had reserved and not used counts as used.
    """

def rate(n: int, per: _Duration) -> Limit:
    """At most so many calls in any span of this length."""

def total(argument: str, max: Any) -> Limit:  # noqa: A002 - the public face's own.
    """At most so much of a number argument in all; negative amounts are refused."""

# ------------------------------------------------------------------------------------- decisions

@final
class Reason:
    """One reason for a decision. Nothing in it holds a masked value."""

    @property
    def code(self) -> str:
        """The stable slug; docs/errors.md has them all."""

    @property
    def hop(self) -> int | None:
        """The hop of the chain that decided, 0 at the root."""

    @property
    def message(self) -> str:
        """A sentence, safe to show a model."""

    @property
    def allowed(self) -> str | None:
        """What is allowed there instead."""

    @property
    def fix(self) -> str | None:
        """The smallest legal change that would help."""

    def __eq__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Decision:
    """What was decided about one call, and why."""

    @property
    def effect(self) -> _Effect:
        """`"allow"`, `"deny"` or `"ask"`."""

    @property
    def allowed(self) -> bool:
        """Whether the call may run."""

    @property
    def tool(self) -> str:
        """The tool's name."""

    @property
    def reasons(self) -> list[Reason]:
        """All reasons, the first decides; empty for an allow."""

    @property
    def policy_version(self) -> str:
        """The version of the policies that were asked; `"none"` without any."""

    @property
    def approval(self) -> str | None:
        """The id of the approval that an ask waits for, or that an allow used up."""

    @property
    def policies(self) -> list[str]:
        """The ids of the policies that decided: the forbids that hold, else the permits."""

    @property
    def policy_errors(self) -> list[str]:
        """The ids of the policies that could not be evaluated."""

    @property
    def entry(self) -> str | None:
        """The id of the trail's entry; None if nothing was recorded."""

    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

# -------------------------------------------------------------------------------------- policies

@final
class Policies:
    """The policies of an engine. Once some are loaded, what they do not permit is denied."""

    @property
    def version(self) -> str:
        """The version in force, as entries name it; `"none"` if none were ever loaded."""

    def load(self, path: _Path, *, by: Human | str | None = None) -> PolicySet:
        """Loads a folder of policies, all or nothing, for this engine and after every restart.

        Args:
            path: A folder with `*.cedar` files, entities as `*.json` beside them, and types of
                one's own as `*.cedarschema`; or one `.cedar` file.
            by: Who loads them; the operating system's account without it.

        Raises:
            InvalidPolicy: Every fault with file, line and column; nothing has changed then.
            InvalidInput: The folder cannot be read, is too large, or changed meanwhile.
        """

    def read(self, path: _Path | None = None, *, version: str | None = None) -> PolicySet:
        """Compiles policies without putting them in force.

        Args:
            path: A folder, as for `load`.
            version: A version that was loaded before; without either, those in force.

        Raises:
            InvalidPolicy: They were refused.
            NotFound: There never was such a version.
            InvalidInput: No policies were ever loaded, or they cannot be read any more.
        """

    def check(self, path: _Path | None = None) -> list[PolicyFinding]:
        """Looks for what policies should not say: those of a folder, or those in force.

        Raises:
            InvalidPolicy: They were refused.
            InvalidInput: No policies were ever loaded, or they cannot be read any more.
        """

    def replay(
        self, path: _Path, *, since: _Moment | None = None, until: _Moment | None = None
    ) -> Replay:
        """Judges the calls of the past again under the policies of a folder. Records nothing.

        Args:
            path: A folder, as for `load`.
            since: From when on; without it, from the first entry.
            until: To before when.

        Raises:
            InvalidPolicy: They were refused.
        """

    def explain(self, entry: Entry | str | int) -> PolicyExplanation:
        """Says which policies decided a recorded call, which nearly did, and what would allow it.

        The version that judged it is asked again, with what the entry recorded: what was masked
        stays masked.

        Raises:
            InvalidInput: There is no such entry.
        """

@final
class PolicyExplanation:
    """What the policies said of a recorded call."""

    @property
    def version(self) -> str:
        """The version that judged it; `"none"` if no policies were in force."""

    @property
    def policies(self) -> list[PolicyTold]:
        """The policies that decided, erred, or nearly permitted it."""

    @property
    def changes(self) -> list[str]:
        """The smallest changes that would have allowed it."""

    @property
    def unknown(self) -> str | None:
        """Why not all of it can be told, if so."""

@final
class PolicyTold:
    """One policy's part in a decision."""

    @property
    def id(self) -> str:
        """Its `@id`."""

    @property
    def role(self) -> Literal["decided", "erred", "nearly"]:
        """Its part."""

    @property
    def effect(self) -> Literal["permit", "forbid"]:
        """What it does where it holds."""

    @property
    def source(self) -> str:
        """The name of its file."""

    @property
    def line(self) -> int:
        """Its line there, from 1."""

    @property
    def reason(self) -> str | None:
        """The sentence that it has for its caller."""

    @property
    def scope(self) -> list[str]:
        """What of its head did not admit the call."""

    @property
    def parts(self) -> list[tuple[str, int, int, str, dict[str, str]]]:
        """Text, line, column, outcome and values read, of each part of its condition in order."""

@final
class PolicySet:
    """A compiled set of policies, in force or not."""

    @staticmethod
    def read(path: _Path) -> PolicySet:
        """Reads a folder without an engine, held to the tools that this process declares.

        Raises:
            InvalidPolicy: They were refused.
        """

    @property
    def version(self) -> str:
        """The version, as entries name it."""

    @property
    def entry(self) -> str | None:
        """The entry that put it in force, if `load` made it."""

    @property
    def policies(self) -> list[Policy]:
        """The policies, in the order of their files."""

    @property
    def coverage(self) -> tuple[int, int]:
        """How many policies are compiled, and how many there are."""

    @property
    def tools(self) -> list[str]:
        """The names of the tools that the policies were held to."""

    def check(self) -> list[PolicyFinding]:
        """Looks for what the policies should not say."""

    def judge(
        self,
        tool: str,
        *,
        resource: str | None = None,
        arguments: dict[str, Any] | None = None,
        human: str | dict[str, Any] | None = None,
        agent: str | dict[str, Any] | None = None,
        chain: list[str] | dict[str, Any] | None = None,
        task: str | None = None,
        time: _Moment | None = None,
        host: str | None = None,
        own: dict[str, Any] | None = None,
        approved: bool = ...,
    ) -> PolicyAnswer:
        """Judges a request that nobody made, by the policies alone.

        Args:
            tool: The tool's name.
            resource: What it reaches.
            arguments: The arguments by name.
            human: An account, or a dict of id, account, issuer, assurance and groups.
            agent: A name, or a dict of name, purpose, groups and owner.
            chain: The agents from the root to the one that acts, or a dict of agents, issued and
                latest.
            task: The task's sentence.
            time: When it is called; now without it.
            host: The machine's name.
            own: Your own attributes of the call, as `engine.acting` takes them.
            approved: Whether a human's yes to this very request stands.

        Raises:
            InvalidInput: A word or value that means nothing in a request.
        """

    def __len__(self) -> int: ...

@final
class Policy:
    """One policy."""

    @property
    def id(self) -> str:
        """Its `@id`."""

    @property
    def effect(self) -> Literal["permit", "forbid"]:
        """What it does where it holds."""

    @property
    def source(self) -> str:
        """The name of its file."""

    @property
    def line(self) -> int:
        """Its line there, from 1."""

    @property
    def text(self) -> str:
        """What it says."""

    @property
    def annotations(self) -> dict[str, str]:
        """Its annotations."""

@final
class PolicyAnswer:
    """What policies answer to one request."""

    @property
    def effect(self) -> _Effect:
        """`"allow"`, `"deny"` or `"ask"`."""

    @property
    def reasons(self) -> list[Reason]:
        """Why not, or why a human must be asked; the first decides."""

    @property
    def policies(self) -> list[str]:
        """The ids of the policies that decide."""

    @property
    def errors(self) -> list[str]:
        """The ids of the policies that cannot be evaluated."""

    @property
    def masks(self) -> list[str]:
        """The arguments that are masked."""

@final
class PolicyFinding:
    """Something that somebody should look at in policies."""

    @property
    def code(self) -> str:
        """The stable slug."""

    @property
    def severity(self) -> Literal["info", "low", "medium", "high"]:
        """How much it matters."""

    @property
    def source(self) -> str:
        """The file, or what else it is about."""

    @property
    def line(self) -> int | None:
        """The line, from 1; None where it has no place in a file."""

    @property
    def policy(self) -> str | None:
        """The id of the policy; None where it is about no one policy."""

    @property
    def message(self) -> str:
        """What it is."""

    @property
    def fix(self) -> str:
        """What would settle it."""

@final
class PolicyFault:
    """One fault of policies that were refused."""

    @property
    def source(self) -> str:
        """The name of the file."""

    @property
    def line(self) -> int | None:
        """The line, from 1; None where the fault has no place."""

    @property
    def column(self) -> int | None:
        """The column, from 1."""

    @property
    def message(self) -> str:
        """What is wrong."""

    @property
    def suggestion(self) -> str | None:
        """What to do about it, where that is known."""

@final
class Replay:
    """What judging the past again found."""

    @property
    def version(self) -> str:
        """The version that was tried."""

    @property
    def examined(self) -> int:
        """How many decisions were judged again."""

    @property
    def same(self) -> int:
        """How many stay as they were."""

    @property
    def changes(self) -> list[ReplayedDecision]:
        """The decisions that would change, oldest first."""

    @property
    def undecided(self) -> list[ReplayedDecision]:
        """The decisions that cannot be told: the record no longer says enough."""

@final
class ReplayedDecision:
    """A decision that other policies would have changed, or cannot tell about."""

    @property
    def entry(self) -> str:
        """The id of the decision's entry."""

    @property
    def at(self) -> datetime:
        """When it was made."""

    @property
    def tool(self) -> str:
        """The tool."""

    @property
    def agent(self) -> str:
        """The name of the agent that acted."""

    @property
    def before(self) -> str:
        """What was decided."""

    @property
    def after(self) -> str:
        """What would be; `"unknown"` where the record no longer says enough."""

    @property
    def policies(self) -> list[str]:
        """The ids of the policies that would decide."""

    @property
    def why(self) -> str:
        """The first reason, or why it cannot be told."""

def declare(tool: Tool) -> None:
    """Takes note of what a tool declares, here and in every engine that may meet it."""

def forget_declared() -> None:
    """Forgets what was declared: what is opened later meets a tool when it is called.

    Tests that share a process keep apart by it.
    """

# ----------------------------------------------------------------------------------------- trail

@final
class Receipt:
    """What convinces a third party: one JSON text, and a C2SP tlog-proof of what it is about.

    `str()` is the text in ASCII, harmless in a terminal: the same JSON, which verifies alike.
    """

    @property
    def text(self) -> str:
        """The JSON text; `docs/formats.md`, section "Receipts"."""

    @property
    def proof(self) -> str:
        """The place of the entry, or of the task's opening, as a C2SP tlog-proof."""

    def save(self, path: _Path) -> None:
        """Writes the JSON text to a file."""

    def __len__(self) -> int: ...
    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

def check_receipt(text: str, authority: str) -> str:
    """Verifies a receipt's text; what was verified, as JSON. `ans.verify_receipt` tells it.

    Raises:
        TrailCorrupted: With every fault, its step and its place.
    """

@final
class Trail:
    """The trail of an engine."""

    def entries(
        self,
        *,
        human: Human | str | None = None,
        agent: Agent | str | None = None,
        via: Agent | str | None = None,
        grant: Grant | str | None = None,
        tool: str | None = None,
        resource: str | None = None,
        task: Task | str | None = None,
        effect: str | None = None,
        reason: str | None = None,
        kind: str | None = None,
        action: str | None = None,
        by: Human | str | None = None,
        parent: Entry | str | int | None = None,
        since: _Moment | None = None,
        until: _Moment | None = None,
        after: Entry | str | int | None = None,
        before: Entry | str | int | None = None,
        order: str | None = None,
    ) -> Entries:
        """The entries that a filter asks for, of those there are now; read as they are looked at.

        Args:
            human: Who is accountable; `"none"` for calls that nobody answers for.
            agent: Who acted.
            via: Any agent on the chain.
            grant: A grant anywhere on the chain, or that the entry is about: by value, id or
                digest in hexadecimal.
            tool: A pattern of the tools that were called.
            resource: A resource pattern.
            task: A task, or its id.
            effect: `"allow"`, `"deny"` or `"ask"`.
            reason: The code of a reason.
            kind: The kind of entry. Outcomes are answered only when asked for by kind; elsewhere
                they belong to their decision.
            action: What an administrative entry did, such as `"issued"` or `"suspended"`.
            by: The human who did it.
            parent: The call that this one was made in.
            since: Not before.
            until: Before.
            after: Only entries that come after this one in the trail: where a page ended.
            before: Only entries that come before this one.
            order: `"oldest"` first, which is the default, or `"newest"`.

        Raises:
            NotFound: No such human, agent, grant or entry.
            InvalidInput: A pattern, effect, moment or order that cannot be.

        Example:
            page = engine.trail.entries(tool="pay.*", effect="deny", order="newest")[:50]
            older = engine.trail.entries(tool="pay.*", effect="deny", order="newest",
                                         before=page[-1])[:50]
        """

    def _ids(self, places: list[int]) -> list[str | None]:
        """The ids of the entries at some places, ascending; `None` where none can be read."""

    def _granted(self) -> _Stream:
        """All grants as Arrow columns, for `answerable.analysis`."""

    def wait(self, size: int, timeout: float) -> int:
        """Waits until more than `size` entries are durable, and answers how many are.

        Args:
            size: How many there were.
            timeout: For how many seconds at most.

        Raises:
            EngineClosed: The engine was closed.
        """

    def follow(
        self,
        *,
        after: Entry | str | int | None = None,
        human: Human | str | None = None,
        agent: Agent | str | None = None,
        via: Agent | str | None = None,
        grant: Grant | str | None = None,
        tool: str | None = None,
        resource: str | None = None,
        task: Task | str | None = None,
        effect: str | None = None,
        reason: str | None = None,
        kind: str | None = None,
        action: str | None = None,
        by: Human | str | None = None,
        parent: Entry | str | int | None = None,
    ) -> Follow:
        """Entries as they become durable, in their order: to iterate over, or `async for`.

        Args:
            after: Where to begin: after this entry, or at the `cursor` of another; without it, with
                what comes from now on. A cursor tells when the store was put back to an older
                state, and leads to the last place that both have; a bare place tells no more than
                that the trail is long enough.
            human: This and the others: as `entries`.
            agent: As `entries`.
            via: As `entries`.
            grant: As `entries`.
            tool: As `entries`.
            resource: As `entries`.
            task: As `entries`.
            effect: As `entries`.
            reason: As `entries`.
            kind: As `entries`.
            action: As `entries`.
            by: As `entries`.
            parent: As `entries`.

        Returns:
            An iterator that waits for the next entry and ends when the engine is closed.

        Raises:
            InvalidInput: A filter that means nothing, or what names no place.
            NotFound: There is no such entry, such as one that was lost in a restore.

        Example:
            for entry in engine.trail.follow(effect="deny"):
                print(engine.trail.story(entry))
        """

    def reconstruct(self, what: Entry | Task | Human | str | int) -> Reconstruction:
        """What happened, as a tree: human, task, hops of authority, calls, calls within calls.

        Args:
            what: A call's entry (its outermost call with all that was made within it), a task, or
                a human, or the id of one.

        Raises:
            NotFound: There is no such entry or human.
            InvalidInput: The entry records no call.
        """

    def who_could(
        self, tool: str, resource: str | None = None, *, at: _Moment | None = None
    ) -> list[Could]:
        """Who held authority over a tool, and a resource, at a moment: from the trail alone.

        The grants of that moment are judged with the state of humans, agents, tasks, revocations
        and halts as the trail has it for then. Arguments, limits and policies are not looked at:
        they may have narrowed it further. Warns of grants whose content was erased.

        Args:
            tool: A tool's name.
            resource: A resource; without it, any.
            at: The moment; now without it.

        Raises:
            InvalidInput: A name, resource or moment that cannot be.
        """

    def get(self, entry: Entry | str | int) -> Entry:
        """One entry by its id, or by its place in the trail.

        Raises:
            NotFound: There is no such entry.
        """

    def story(self, entry: Entry | str | int) -> Story:
        """The four questions of one decision, readable.

        Args:
            entry: A decision's entry or its outcome's, its id, or its place in the trail.

        Raises:
            InvalidInput: There is no such entry, or it records no call.
        """

    def chain(self, grant: Grant | str) -> Chain:
        """A chain told, by a grant, its token or its id. Nothing is recorded.

        Raises:
            NotFound: No grant has that id.
            InvalidGrant: The chain does not verify.
            InvalidInput: The grant's token was erased.
        """

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints signed so far, smallest first."""

    def checkpoint(self) -> Checkpoint:
        """Flushes all that was appended and signs the tree's head."""

    def export(self, path: _Path) -> int:
        """Writes the whole trail as JSON lines, and answers the number of entries.

        The file appears whole or not at all.
        """

    def erase(
        self,
        *,
        human: Human | str | None = None,
        entry: Entry | str | int | None = None,
        reason: str,
        by: Human | str | None = None,
    ) -> str:
        """Forgets a human who has left, or the values of one entry, and answers its own entry's id.

        Keys and values go, leaves and proofs stay: ids, times and commitments are as they were, and
        the trail verifies as before. The store is written anew without what is erased while calls
        go on, so when this returns nothing of it is left in the store's files, and old copies of
        them do not open with today's key file. Copies that were exported, and backups together with
        the key file of their time, are out of its reach.

        Args:
            human: Everything recorded under their keys: their account and name, their agents'
                names, their tasks, what was done for them, the reasons they gave.
            entry: The values of one entry and, for a decision, of its outcome and its approval.
            reason: Why; recorded.
            by: Who erases.

        Raises:
            IllegalTransition: The human is still here: offboard them first.
            InvalidInput: The entry is of a kind that is not erased by itself.
            StoreError: It is recorded and not done; the next opening does it.
        """

    def receipt(
        self, entry: Entry | str | int | None = None, *, task: Task | str | None = None
    ) -> Receipt:
        """Makes a receipt: what convinces a third party of one entry, or of a whole task.

        It holds the entry with its values, its outcome, the grants of its chain, who the parties
        are, what approved it, and the authority's statements, each with a proof under a checkpoint
        signed now. `ans.verify_receipt` checks it with the authority's public key alone.

        Args:
            entry: An entry; for a decision, its outcome goes with it.
            task: A task: all that was granted, decided and done for it.

        Raises:
            InvalidInput: There is no such entry or task.
        """

    def expire(
        self,
        *,
        kinds: Sequence[str] | None = None,
        older_than: _Duration | None = None,
        reason: str,
        by: Human | str | None = None,
    ) -> str:
        """Drops the values of old entries, as `erase` does, and answers its own entry's id.

        Args:
            kinds: Of `decision`, `outcome`, `grant`, `task`, `revocation` and `approval`; the first
                two unless others are named.
            older_than: The age; 180 days, which is also the least.
            reason: Why; recorded.
            by: Who drops them.

        Raises:
            InvalidInput: Another kind, or an age below 180 days.
        """

    def page(self, start: int, count: int) -> Entries:
        """Up to `count` entries from a place on, in the order of the trail, each as it stands.

        An outcome is an entry of its own here. What exporters read: memory is bounded by `count`.
        """

    def checkpoint_key(self) -> str:
        """The key that signs checkpoints now, as a C2SP verifier key: what a witness trusts."""

    def consistency(self, old: int, new: int) -> list[str]:
        """The proof that the first `old` entries begin the first `new`: hashes in base64.

        Raises:
            InvalidInput: The trail has no such sizes, or `old` is zero.
        """

    def add_cosignatures(self, size: int, lines: str, *, key: str | None = None) -> Checkpoint:
        """Takes up the signature lines that witnesses gave for the checkpoint over `size` entries.

        Exports and receipts have them from then on.

        Args:
            size: How many entries the checkpoint covers.
            lines: The lines. Without a key they are taken unseen, into half of the places only.
            key: The witness's verifier key: only its cosignature is taken, once it verifies, in the
                place of any other line of that name and id.

        Raises:
            InvalidInput: There is no such checkpoint, the lines are none, or none is by the key.
        """

    def verify(
        self,
        *,
        since: _Since | Iterable[_Since] | None = None,
        witnesses: list[str] | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> Report:
        """Verifies the live trail.

        Args:
            since: Checkpoints that left the machine earlier: values, texts, or files of them.
            witnesses: Verifier keys of witnesses, each of which must have cosigned a checkpoint.
            progress: Called every 1024 entries with the entries verified so far and in all; what it
                raises ends the verification.

        Raises:
            TrailCorrupted: With every fault and its place.
        """

    def archive(self, path: _Path) -> int:
        """Writes the trail's leaves and tree into a folder, in the layout of C2SP tlog-tiles.

        Into the folder of an earlier archive of this trail it adds what came since. No values are
        in it, so nothing in it has to be erased. `ans.verify(folder, authority)` verifies it.

        Args:
            path: A new folder, or that of an earlier archive.

        Returns:
            How many entries it covers.

        Raises:
            InvalidInput: The folder holds other things, or the archive there is of another trail or
                history, or ahead of this store.

        Example:
            engine.trail.archive("archive")
        """

    def compact(self) -> dict[str, int]:
        """Copies the store's records into fresh files, which take the place of the old ones.

        The files grow with all that was ever written. It happens by itself where they are large and
        take more than three times what their records take; calls go on meanwhile. If it is ended
        early, the old files are in force.

        Returns:
            Bytes: `before` and `after` of the files, `live` of the records; and how many `records`.

        Raises:
            StoreError: The copy could not be written; the old files are in force.
        """

    def __len__(self) -> int: ...

@final
class Entries:
    """Entries of the trail: a sequence that is read as it is looked at.

    Slices are sequences of the same kind. It implements the Arrow PyCapsule interface, so pandas,
    polars, DuckDB and pyarrow take it as it is, in batches.
    """

    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Entry: ...
    @overload
    def __getitem__(self, index: slice, /) -> Entries: ...
    def __iter__(self) -> EntriesIterator: ...
    def count_by(self, field: str) -> dict[Any, int]:
        """How many there are by the values of a field, the most first.

        Args:
            field: `"kind"`, `"human"`, `"agent"`, `"via"` (each agent on the chain), `"tool"`,
                `"task"`, `"effect"`, `"reason"` (each of them), `"action"`, `"by"`; `"hour"` or
                `"day"` in UTC, in the order of time; `"resource"`, which is slower, as it has to
                be opened.

        Returns:
            Values to counts; people and agents by name, with the id where two have the same. An
            entry with several values counts for each, one with none for none.

        Raises:
            InvalidInput: Entries are not counted by that.

        Example:
            engine.trail.entries(effect="deny", since="7d").count_by("reason")
        """

    def to_arrow(self) -> pyarrow.Table:
        """A `pyarrow.Table`; needs `answerable[arrow]`.

        Columns: index, id, at (UTC), kind, human, human_name, agent, agent_name, via, tool,
        effect, reason (the first), task, policy, action, outcome, outcome_type as dictionaries;
        resource, parent, duration_us; reasons as a list, and chain as a list of hops (agent,
        agent_name, grant).
        """

    def to_pandas(self) -> pandas.DataFrame:
        """A `pandas.DataFrame` of the same columns; needs `answerable[pandas]`."""

    def to_polars(self) -> polars.DataFrame:
        """A `polars.DataFrame` of the same columns; needs `answerable[polars]`."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow PyCapsule interface: a stream of record batches."""

    def __arrow_c_schema__(self) -> object:
        """The Arrow PyCapsule interface: the schema of the stream."""

    def _pieces(self) -> Iterator[Any]:
        """The batches of the stream one by one, each an Arrow stream to be taken once."""

    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class EntriesIterator:
    """Goes through entries, some of them in memory at a time."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> Entry: ...

@final
class Reconstruction:
    """What happened, as a tree; as text it is drawn."""

    @property
    def calls(self) -> int:
        """How many calls it holds."""

    @property
    def cut(self) -> bool:
        """Whether there were more than it holds: the oldest are here."""

    @property
    def tree(self) -> list[dict[str, Any]]:
        """The tree as nested dictionaries.

        Each has `what` (human, task, hop or call), `id`, `label`, `index`, `at`, `effect`, and
        `below`, a list of the same.
        """

    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class Could:
    """One grant under which a call could have been made."""

    @property
    def agent(self) -> str:
        """The id of the agent that held it."""

    @property
    def agent_name(self) -> str:
        """The agent's name."""

    @property
    def human(self) -> str:
        """The id of the human in whose name."""

    @property
    def human_name(self) -> str:
        """The human's name."""

    @property
    def via(self) -> list[str]:
        """The names of the agents on the chain, from the root."""

    @property
    def grant(self) -> str:
        """The grant's id."""

    @property
    def task(self) -> str:
        """The task's id."""

    @property
    def since(self) -> datetime:
        """From when it held."""

    @property
    def until(self) -> datetime:
        """Until when it would have held."""

    @property
    def recorded(self) -> datetime:
        """When the grant came to the record; one that was delegated offline held before."""

    @property
    def capability(self) -> str:
        """The capability that covers tool and resource, and what arguments had to be, in words."""

@final
class Entry:
    """One entry of the trail. Equal where the leaves are."""

    @property
    def id(self) -> str:
        """Its random id, `ent_…`."""

    @property
    def index(self) -> int:
        """Its place in the trail, from 0."""

    @property
    def kind(self) -> str:
        """What it records: decision, outcome, grant, identity, task, key, revocation and more."""

    @property
    def at(self) -> datetime:
        """When it was sequenced, in UTC."""

    @property
    def human(self) -> str | None:
        """The id of the human accountable; `"none"` for a call that nobody answers for."""

    @property
    def human_name(self) -> str | None:
        """The human's name."""

    @property
    def agent(self) -> str | None:
        """The id of the acting agent, or of the one the entry is about."""

    @property
    def agent_name(self) -> str | None:
        """The agent's name."""

    @property
    def via(self) -> list[str]:
        """The names of the agents on the chain, from the root."""

    @property
    def task(self) -> str | None:
        """The id of the task."""

    @property
    def tool(self) -> str | None:
        """The tool, for a decision."""

    @property
    def resource(self) -> str | None:
        """The resource, for a decision that names one."""

    @property
    def arguments(self) -> dict[str, Any] | None:
        """The recorded arguments by name; what was masked is shown as such."""

    @property
    def effect(self) -> _Effect | None:
        """`"allow"`, `"deny"` or `"ask"`, for a decision."""

    @property
    def reasons(self) -> list[str]:
        """The codes of a decision's reasons."""

    @property
    def policy(self) -> str | None:
        """The version of the policies that were asked."""

    @property
    def parent(self) -> str | None:
        """The entry of the call that this one was made in."""

    @property
    def outcome(self) -> Literal["returned", "raised"] | None:
        """How an allowed call ended; None while it has not."""

    @property
    def duration(self) -> float | None:
        """How long the call took, in seconds; None while it has not ended."""

    @property
    def leaf(self) -> dict[str, Any]:
        """All keys of the leaf."""

    @property
    def values(self) -> dict[str, Any]:
        """The values beside the leaf that could be opened, by field."""

    def json(self) -> str:
        """The entry as one line of JSON: index, leaf and opened values."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class Hop:
    """One agent on the chain of a story."""

    @property
    def agent(self) -> str:
        """The agent's id."""

    @property
    def name(self) -> str:
        """The agent's name."""

    @property
    def grant(self) -> str:
        """The grant's id."""

    @property
    def until(self) -> str:
        """Until when the grant lasted, RFC 3339 in UTC."""

    @property
    def statement(self) -> str | None:
        """What the hop itself stated."""

    @property
    def scope(self) -> list[str]:
        """What the grant allows, a line a capability."""

    @property
    def limits(self) -> list[str]:
        """The grant's own limits, over all its capabilities."""

    @property
    def narrowed(self) -> list[str]:
        """What this hop narrowed away, a line a difference."""

    @property
    def allowed_by(self) -> list[str]:
        """The capability that covered an allowed call.

        Several, where masked or erased arguments cannot tell which of them it was.
        """

    @property
    def closest(self) -> str | None:
        """The capability that came closest, for a deny that this hop's scope is a reason for."""

@final
class Chain:
    """A verified chain, told: who gave what to whom, and what speaks against it now."""

    @property
    def grant(self) -> str:
        """The id of the last hop's grant."""

    @property
    def digest(self) -> str:
        """The digest of its signed bytes, 64 hexadecimal characters."""

    @property
    def human(self) -> str:
        """The id of the human accountable."""

    @property
    def human_name(self) -> str:
        """What people call them."""

    @property
    def task(self) -> str:
        """The task's id."""

    @property
    def sentence(self) -> str | None:
        """The task's sentence, where it is known here."""

    @property
    def further_hops(self) -> int:
        """How many further hops may follow."""

    @property
    def hops(self) -> list[Hop]:
        """Every hop, from the root."""

    @property
    def against(self) -> list[Reason]:
        """What speaks against every call under it, as things stand; empty where nothing does."""

    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class Story:
    """The story of one decision: who, via what, what and where, and why. `str()` reads well."""

    @property
    def entry(self) -> str:
        """The id of the decision's entry."""

    @property
    def index(self) -> int:
        """The decision's place in the trail, from 0."""

    @property
    def at(self) -> datetime:
        """When it was decided, in UTC."""

    @property
    def headline(self) -> str:
        """Who, through whom, did what, and what was decided, in one line."""

    @property
    def human(self) -> str:
        """The id of the human accountable; `"none"` if there was none."""

    @property
    def human_name(self) -> str:
        """What people call them."""

    @property
    def assurance(self) -> str:
        """The account and how sure we are of it, in words."""

    @property
    def via(self) -> list[Hop]:
        """The chain, from the root."""

    @property
    def task(self) -> str | None:
        """The task's sentence."""

    @property
    def tool(self) -> str:
        """The tool."""

    @property
    def resource(self) -> str | None:
        """The resource."""

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments as they were recorded, in words, by name."""

    @property
    def effect(self) -> _Effect:
        """`"allow"`, `"deny"` or `"ask"`."""

    @property
    def reasons(self) -> list[Reason]:
        """All reasons, the first decides."""

    @property
    def outcome(self) -> str | None:
        """How it ended, in words; None if it did not run, or has not ended."""

    @property
    def policy(self) -> str:
        """The version of the policies that were asked."""

    @property
    def approval(self) -> str | None:
        """What a human was asked and answered, in words; None where nobody was."""

    @property
    def parent(self) -> str | None:
        """The entry of the call that this one was made in."""

    @property
    def erased(self) -> list[str]:
        """What was recorded and is erased, or dropped by age: the fields' names."""

    def text(self, *, time: Callable[[datetime], str] | None = None) -> str:
        """The story as text.

        Args:
            time: How an instant is shown; in UTC without it.
        """

    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class Checkpoint:
    """A signed head of the trail: origin, size and root, a C2SP checkpoint."""

    @staticmethod
    def parse(text: str) -> Checkpoint:
        """A checkpoint from its text; its signature is checked where it is used.

        Raises:
            InvalidInput: It is no checkpoint.
        """

    @property
    def text(self) -> str:
        """The signed note; keep it outside the machine."""

    @property
    def origin(self) -> str:
        """The log's name."""

    @property
    def size(self) -> int:
        """How many entries it covers."""

    @property
    def root(self) -> str:
        """The root hash, 64 hexadecimal characters."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Fault:
    """One fault of a trail, with its place and both states."""

    @property
    def code(self) -> str:
        """The stable slug; docs/errors.md has them all."""

    @property
    def what(self) -> str:
        """A sentence."""

    @property
    def place(self) -> str:
        """Where, in words."""

    @property
    def line(self) -> int | None:
        """The line of the export, from 1."""

    @property
    def index(self) -> int | None:
        """The entry's index, or the first of a range."""

    @property
    def through(self) -> int | None:
        """The last index of a range."""

    @property
    def entry(self) -> str | None:
        """The entry's id."""

    @property
    def field(self) -> str | None:
        """The field of the entry."""

    @property
    def expected(self) -> str | None:
        """What should be there."""

    @property
    def found(self) -> str | None:
        """What is there."""

@final
class Report:
    """What was verified. `str()` sums it up."""

    @property
    def size(self) -> int:
        """How many entries there are."""

    @property
    def root(self) -> str:
        """The root over them, 64 hexadecimal characters."""

    @property
    def origin(self) -> str:
        """The log's name."""

    @property
    def checkpoints(self) -> int:
        """How many checkpoints of the trail's own verified."""

    @property
    def since_agreed(self) -> int:
        """How many checkpoints given for comparison agreed."""

    @property
    def kinds(self) -> dict[str, int]:
        """How many entries of each kind."""

    @property
    def unknown_kinds(self) -> list[str]:
        """The kinds that this version does not know."""

    @property
    def newest_checkpoint_size(self) -> int:
        """The size of the newest checkpoint; 0 without one."""

    @property
    def unanchored(self) -> int:
        """How many entries follow that checkpoint."""

    @property
    def disclosed(self) -> int:
        """How many values were disclosed and are those committed to."""

    @property
    def withheld(self) -> int:
        """How many committed values were withheld or erased."""

    @property
    def decisions_without_outcome(self) -> int:
        """How many allowed calls have no outcome."""

    @property
    def grants_verified(self) -> int:
        """How many grants were verified: signature, narrowing, and what their entry says."""

    @property
    def grants_unverified(self) -> int:
        """How many could not be, as their token or one above it is not shown."""

    @property
    def decisions_followed(self) -> int:
        """How many allowed calls follow from what they cite."""

    @property
    def not_followed(self) -> int:
        """How many allowed calls name nothing that could be compared."""

    @property
    def witnessed(self) -> int:
        """The newest size that every witness asked for had cosigned by then; 0 if none was."""

    @property
    def file_bytes(self) -> int | None:
        """How many bytes of an exported file were verified; None for a live trail or an archive."""

    @property
    def file_sha256(self) -> str | None:
        """The SHA-256 of those bytes, in hexadecimal: what is read later is compared with it."""

    def _repr_html_(self) -> str: ...
    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, str]: ...

@final
class Witness:
    """A witness's key: it cosigns checkpoints (C2SP tlog-cosignature, version 1)."""

    def __new__(cls, text: str) -> Witness:
        """From the text that `secret` answered."""

    @staticmethod
    def generate(name: str) -> Witness:
        """A new key for a witness of this name, such as `witness.example.com/w1`."""

    def secret(self) -> str:
        """The secret key as text: for a private file."""

    @property
    def key(self) -> str:
        """The C2SP verifier key."""

    def cosign(self, note: str, seconds: int) -> str:
        """The cosignature line of a checkpoint at a time, in seconds since 1970.

        It checks nothing: `answerable.net.witness.Log` does, and remembers.
        """

def read_checkpoint(note: str) -> tuple[str, int, str]:
    """Origin, size and root (base64) of a checkpoint, without looking at its signature."""

def signed_by(note: str, key: str) -> bool:
    """Whether a checkpoint is signed by a log's key, a C2SP verifier key."""

def cosigned_at(note: str, key: str) -> int | None:
    """When a witness cosigned a checkpoint, in seconds since 1970; None if it did not."""

def consistent(old: tuple[int, str], new: tuple[int, str], proof: list[str]) -> bool:
    """Whether a tree is the beginning of another: size and root of each, hashes in base64."""

def verify(
    path: _Path,
    authority: str,
    *,
    since: _Since | Iterable[_Since] | None = None,
    witnesses: list[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Verifies an exported trail or an archive: no engine, no store, no trust in the writer.

    Args:
        path: A file that `trail.export` wrote, or a folder that `trail.archive` wrote.
        authority: The authority's public key, `engine.authority`.
        since: Checkpoints that left the machine earlier: values, texts, or files of them.
        witnesses: Verifier keys of witnesses, each of which must have cosigned a checkpoint.
        progress: Called with the entries verified so far and in all.

    Raises:
        TrailCorrupted: With every fault and its place.
        InvalidInput: The file or a checkpoint cannot be read, or the key is none.

    Example:
        ans.verify("trail.jsonl", authority="k4.public.…", since="monday.checkpoint")
    """

def shown(text: str, most: int = 200) -> str:
    r"""Foreign text for a terminal or a log.

    Control, format, bidirectional and invisible characters are escaped, line ends included, and no
    more than `most` characters are shown.

    Example:
        >>> shown("a\x1b[31mb")
        'a\\u{1b}[31mb'
    """

def close_all() -> str | None:
    """Closes every engine of this process, at its exit; answers what could not be written."""

# ------------------------------------------------------------------------- logging

def log_to(
    emit: Callable[[list[tuple[int, float, str, str, str, list[tuple[str, str]]]], int], object],
) -> None:
    """Hands what the binary says on, from a thread of its own; `answerable.logs` calls it once.

    Each message is a level of `logging`, a time in seconds since 1970, the thread's name, the place
    in the code, the text and its fields; the number says how many were dropped before them.
    """

def log_level(level: int) -> None:
    """From which level of `logging` on somebody listens, 0 to 60."""

def log_flush(*, end: bool = False) -> None:
    """Waits until all that was said is handed on, 2 seconds at most.

    Args:
        end: Whether nothing is taken up after it.
    """

# ------------------------------------------------------------------------- the holder's socket

def serve(engine: Engine, answer: Callable[[str, Engine], str]) -> None:
    """Serves other processes of the same user while the engine holds its store.

    Args:
        engine: One that holds its store; for another nothing happens.
        answer: Does what a request asks to be changed: called with its text and an engine, from a
            thread of the binary's.
    """

def holder(engine: Engine) -> tuple[int, int, int] | None:
    """The process that holds an attached engine's store, and two numbers that stand for its state.

    None for an engine that holds its store itself.

    Raises:
        StoreUnavailable: The holder is gone.
    """

def ask(engine: Engine, request: str) -> str:
    """Hands a request of at most 1 MiB to the process that holds the store; answers its text.

    Raises:
        StoreUnavailable: The holder is gone; where it was gone before it answered, the trail says
            whether it was done.
        InvalidInput: The engine holds its store itself.
    """

def to_wire(items: _Scope | _Limits) -> str:
    """Capabilities or limits as JSON text, in the form that grants are signed in."""

def scope_from_wire(text: str) -> list[Capability]:
    """Capabilities from the text that `to_wire` made."""

def limits_from_wire(text: str) -> list[Limit]:
    """Limits from the text that `to_wire` made."""

# ------------------------------------------------------------------------- the guard's own doorway

@final
class Approval:
    """What a human is asked: one call, or access. Its answer is looked up when it is asked for."""

    @property
    def id(self) -> str:
        """The id, `apr_…`."""

    @property
    def kind(self) -> Literal["call", "access"]:
        """What is asked for."""

    @property
    def status(self) -> Literal["pending", "approved", "refused", "used", "expired", "ended"]:
        """Where it stands now."""

    @property
    def tool(self) -> str:
        """The tool; empty where access is asked for."""

    @property
    def resource(self) -> str | None:
        """The resource; None where there is none, or once erased."""

    @property
    def arguments(self) -> dict[str, str]:
        """The arguments as they were recorded, in words, by name."""

    @property
    def reasons(self) -> list[Reason]:
        """Why the call was not simply allowed."""

    @property
    def scope(self) -> list[str]:
        """The scope that is asked for, a line a capability; empty for a call."""

    @property
    def reason(self) -> str | None:
        """Why access is asked for, in the asker's words; None for a call, or once erased."""

    @property
    def ttl(self) -> float | None:
        """How long access is asked for, in seconds."""

    @property
    def human(self) -> str:
        """The id of the human accountable."""

    @property
    def agent(self) -> str:
        """The id of the agent that asks."""

    @property
    def human_name(self) -> str:
        """What people call the human accountable."""

    @property
    def via(self) -> list[str]:
        """What the agents of the chain are called, from the root."""

    @property
    def task(self) -> str:
        """The task's id."""

    @property
    def sentence(self) -> str | None:
        """The task's sentence; None once erased."""

    @property
    def policy_version(self) -> str:
        """The version of the policies that asked."""

    @property
    def entry(self) -> str:
        """The id of the entry that asks."""

    @property
    def decision(self) -> str | None:
        """The id of the decision that asked; None where access is asked for."""

    @property
    def asked_at(self) -> datetime:
        """When it was asked for."""

    @property
    def expires_at(self) -> datetime:
        """When it lapses, answered or not."""

    @property
    def by(self) -> str | None:
        """The id of the human who answered."""

    @property
    def by_name(self) -> str | None:
        """What people call the human who answered."""

    @property
    def assurance(self) -> Literal["asserted", "oidc", "signed"] | None:
        """How sure we were of who answered."""

    @property
    def answered_at(self) -> datetime | None:
        """When it was answered."""

    @property
    def note(self) -> str | None:
        """The note of who answered; None without one, or once erased."""

    @property
    def because(self) -> str | None:
        """The code of what ended it, such as `revoked`."""

    @property
    def used(self) -> str | None:
        """The id of the decision that used the yes."""

    @property
    def grant(self) -> Grant | None:
        """The grant that a yes to access gave."""

    def wait(self, timeout: _Duration | None = None) -> bool:
        """Waits until it is not pending any more; answers whether it is not.

        Args:
            timeout: How long at most; without it, until it is answered, ends, or the engine closes.
        """

    def when_answered(self, done: Callable[[], object]) -> int:
        """Calls `done` once, from another thread, when it is not pending any more."""

    def forget(self, token: int) -> None:
        """Takes back what `when_answered` answered a token for."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@disjoint_base
class Approvals:
    """The approvals of an engine."""

    def __new__(cls, engine: Engine) -> Self: ...
    def pending(self) -> list[Approval]:
        """What waits for a human, oldest first."""

    def list(self, *, status: str | None = None) -> list[Approval]:
        """Approvals by status, oldest first; all of them without one."""

    def get(self, approval: Approval | str) -> Approval:
        """One approval, open or not.

        Raises:
            NotFound: There is none of that id.
        """

    def approve(
        self, approval: Approval | str, *, by: Human | str, note: str | None = None
    ) -> Approval:
        """Records a human's yes."""

    def refuse(
        self, approval: Approval | str, *, by: Human | str, note: str | None = None
    ) -> Approval:
        """Records a human's no."""

@final
class Follower:
    """Follows the trail as it reaches the disk; what watches and rules are made of."""

    def __new__(cls, engine: Engine) -> Self: ...
    def size(self) -> int:
        """How many entries were appended, on the disk or not yet."""

    def wait(self, size: int, seconds: float) -> int:
        """How many entries are on the disk; waits for more than `size`, at most so many seconds."""

    def read(self, place: int, most: int, kinds: Sequence[str]) -> tuple[list[Entry], int]:
        """Entries from a place on, and the place to go on from."""

    def review(self) -> Review:
        """Reviews, reading only what was written since the last time."""

    def run_rules(self) -> list[tuple[Rule, Finding, str | None]]:
        """Reviews and has the rules act; answers the webhooks to call, each with its secret."""

    def delivered(self, rule: Rule, finding: Finding, told: bool) -> None:
        """Records whether a webhook was told."""

@final
class Rule:
    """What is done by itself when a review finds something."""

    @property
    def id(self) -> str:
        """The id, `rul_…`."""

    @property
    def on(self) -> str | None:
        """The code of the findings it is for; None for any."""

    @property
    def severity(self) -> str:
        """The least severity of the findings it is for."""

    @property
    def then(self) -> Literal["suspend", "halt", "webhook"]:
        """What it does."""

    @property
    def url(self) -> str | None:
        """The webhook's address."""

    @property
    def by(self) -> str:
        """The id of the human who set it."""

    @property
    def at(self) -> datetime:
        """When it was set."""

    @property
    def reason(self) -> str | None:
        """Why; None once erased."""

@disjoint_base
class Rules:
    """The rules of an engine."""

    def __new__(cls, engine: Engine) -> Self: ...
    def add(
        self,
        *,
        then: str,
        reason: str,
        on: str | None = None,
        severity: str = "info",
        secret: str | None = None,
        by: Human | str | None = None,
    ) -> Rule:
        """Sets a rule."""

    def get(self, rule: str) -> Rule:
        """A rule by its id.

        Raises:
            NotFound: There is none of that id.
        """

    def list(self) -> list[Rule]:
        """All rules."""

    def remove(self, rule: Rule | str, *, reason: str, by: Human | str | None = None) -> None:
        """Removes a rule.

        Raises:
            NotFound: There is none of that id.
        """

@final
class Authority:
    """The authority in force in a block: a grant, and whether the block still runs."""

    def __new__(
        cls,
        grant: Grant,
        outer: Authority | None = None,
        left: Callable[[], bool] | None = None,
        own: dict[str, Any] | None = None,
    ) -> Self: ...
    def end(self) -> None:
        """Ends the block: whatever still runs below it is denied from here on."""

    @property
    def alive(self) -> bool:
        """Whether the block and those around it still run, and the caller is in it."""

    @property
    def grant(self) -> Grant:
        """The grant in force."""

@final
class Tool:
    """A tool as the guard sees it: names, signature, how arguments are recorded."""

    def __new__(
        cls,
        name: str,
        *,
        resource: str | None = None,
        parameters: Sequence[tuple[str, int, bool, Any]] = ...,
        declares: str | None = None,
        record: dict[str, str] | None = None,
        pass_through: Sequence[str] = ...,
        engine: Engine | None = None,
        dangerous: bool = False,
        credentials: Sequence[str] = ...,
        redacts: bool = False,
        strict: bool = True,
        wait: _Duration | None = None,
    ) -> Self: ...
    @property
    def credentials(self) -> list[str]:
        """The names of the credentials that a call of it is lent."""

    @property
    def name(self) -> str:
        """The tool's name."""

    @property
    def dangerous(self) -> bool:
        """Whether it was declared dangerous."""

    def patience(self, approval: Approval) -> float | None:
        """How long a call that asks waits for its answer, in seconds; None where it does not."""

    def begin(
        self,
        authority: Authority | None,
        parent: Call | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        receiver: bool = False,
        wait: bool = True,
        against: tuple[str, str] | None = None,
        defaulted: Sequence[str] = ...,
    ) -> tuple[Call, tuple[Any, ...], dict[str, Any]]:
        """Judges a call and records the decision; answers the arguments to pass on.

        Raises:
            ApprovalRequired: A human must approve the call first.
            AccessDenied: And nothing else.
        """

@final
class CredentialFacts:
    """What the vault says of a credential: everything but its secret."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def version(self) -> int:
        """The number of the newest version, from 1."""

    @property
    def provider(self) -> str | None:
        """The kind of the provider that makes a secret for each lease; None for a stored one."""

    @property
    def for_tools(self) -> list[str]:
        """The tools that may use it, as patterns."""

    @property
    def for_agents(self) -> list[str] | None:
        """The ids of the agents that may use it; None for all."""

    @property
    def owner(self) -> str:
        """The id of the human who answers for it."""

    @property
    def expires(self) -> datetime | None:
        """When it ends; None for never."""

    @property
    def removed(self) -> datetime | None:
        """When it was removed; None while it stands."""

    @property
    def versions(self) -> list[dict[str, Any]]:
        """Its versions, oldest first: `version`, `at`, `by`, `until`."""

@final
class Lease:
    """A credential in one call's hands."""

    @property
    def entry(self) -> str:
        """Its entry."""

    @property
    def decision(self) -> str | None:
        """The entry of the decision that allowed its call."""

    @property
    def credential(self) -> str:
        """The credential's name."""

    @property
    def version(self) -> int:
        """The version that was leased."""

    @property
    def provider(self) -> str | None:
        """The kind of the provider that has to make its secret; None for a stored one."""

    @property
    def store(self) -> Path:
        """The folder of the store that it is of."""

    @property
    def ended(self) -> bool:
        """Whether the call is over, or what gave it its authority has ended."""

    def reveal(self, call: Call | None) -> str | bytes:
        """The secret, inside the body of the very call that it was leased to.

        Raises:
            VaultError: It is not, or what it hangs on has ended.
        """

    def minted(self, secret: str | bytes) -> None:
        """Takes in what a provider made for this lease.

        Raises:
            VaultError: The call is over.
        """

@final
class Vault:
    """The vault's verbs; `answerable.vault.Vault` has them with their documentation."""

    def put(
        self,
        name: str,
        secret: str | bytes | None,
        *,
        for_tools: str | Sequence[str],
        provider: str | None = None,
        for_agents: Sequence[Agent | str] | None = None,
        owner: Human | str | None = None,
        expires: str | float | timedelta | datetime | None = None,
        by: Human | str | None = None,
    ) -> CredentialFacts:
        """Puts a credential: a secret, or the kind of the provider that makes one."""

    def rotate(
        self,
        name: str,
        secret: str | bytes,
        *,
        overlap: str | float | timedelta | None = None,
        expires: str | float | timedelta | datetime | None = None,
        by: Human | str | None = None,
    ) -> CredentialFacts:
        """Replaces a stored secret."""

    def remove(self, name: str, *, reason: str, by: Human | str | None = None) -> None:
        """Removes a credential and drops its secrets."""

    def rewrap(
        self,
        master_key: bytes | str | None = None,
        *,
        reason: str,
        by: Human | str | None = None,
    ) -> str:
        """Replaces the store's master key; answers the entry's id."""

    def get(self, name: str) -> CredentialFacts:
        """What the vault says of one credential, removed or not."""

    def list(self, *, removed: bool | None = None) -> list[CredentialFacts]:
        """All credentials, by name; never their secrets."""

    def redact(self, text: object) -> str | None:
        """A text without any secret that the vault knows; None if it holds none."""

    def holds(self, data: bytes) -> bool:
        """Whether bytes hold a secret that the vault knows."""

    @property
    def running(self) -> int:
        """How many leases run."""

@final
class Call:
    """An allowed call that runs."""

    @property
    def entry(self) -> str | None:
        """The decision's entry."""

    @property
    def pending(self) -> bool:
        """Whether the decision's entry has to become durable before the tool may run."""

    @property
    def cancelled(self) -> bool:
        """Whether what gave the call its authority has ended since it was allowed."""

    @property
    def tool(self) -> str:
        """The tool's name."""

    @property
    def leases(self) -> list[Lease]:
        """What the call was lent."""

    def lease(self, name: str) -> Lease | None:
        """What it was lent of a credential, if it was."""

    @property
    def provided(self) -> bool:
        """Whether a provider has to make a secret for it."""

    @property
    def vault(self) -> Vault:
        """The vault that its credentials are of."""

    def unlent(self, message: str, fix: str) -> AccessDenied:
        """The denial of a call whose credential's provider gave no secret."""

    def when_durable(
        self, upto: int | None, done: Callable[[BaseException | None], object]
    ) -> None:
        """Calls `done` from another thread when the entry is durable, or cannot become so."""

    def wait(self, upto: int | None = None) -> BaseException | None:
        """Waits until the entry is durable; answers why it could not become so, else None."""

    def settle(self, error: BaseException | None = None) -> None:
        """Raises the denial that a pending call turned out to be, if it is one."""

    def returned(self, result: Any, *, wait: bool = True) -> int | None:
        """Records that the call returned; answers what must be durable before it is released."""

    def raised(self, error: BaseException, *, wait: bool = True) -> int | None:
        """Records that the call raised."""

def judge_cedar(
    policies: str,
    entities: str,
    requests: Sequence[tuple[tuple[str, str], tuple[str, str], tuple[str, str], str, bool]],
    schema: str | None = None,
    *,
    by_place: bool = ...,
) -> tuple[list[tuple[bool, list[str], list[str]]], float]:
    """Judges requests by plain Cedar: see `answerable.analysis.cedar`.

    Args:
        policies: Policies in Cedar.
        entities: Entities in Cedar's JSON.
        requests: Principal, action and resource, each as type and id; the context in Cedar's
            JSON; whether the request must fit the schema.
        schema: A schema, in Cedar's schema language or its JSON.
        by_place: Names policies by where they stand, also those that have an `@id`.

    Returns:
        For each request whether it is allowed, the determining and the erroring ids; and the
        share of the policies that are compiled.

    Raises:
        InvalidPolicy: If something is not what Cedar takes.
        InvalidInput: For an argument of another type, or more than a million requests.
    """
