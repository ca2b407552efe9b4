"""The engine: what the binary knows, and what Python adds to it; here, or in another process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from answerable import _core
from answerable.approvals import Approvals
from answerable.context import _authority, acting, somebody_acts
from answerable.errors import AccessDenied
from answerable.explain import Explanation
from answerable.serving import GROUPS, OWN, THERE_ONLY, Link
from answerable.vault import Vault
from answerable.watching import Hub, Rules

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from types import TracebackType

    from answerable.watching import Event, Watch

__all__ = ["Engine"]


class Engine(_core.Engine):
    """One authority, one tenant, one store; made by `answerable.open`."""

    # Whether it is being closed, or is.
    _ends = False

    def acting(
        self, grant: _core.Grant, *, own: dict[str, Any] | None = None
    ) -> contextlib.AbstractContextManager[_core.Grant]:
        """Puts a grant in force for the calls of a block.

        Args:
            grant: What `engine.grant`, `grant.delegate` or `engine.accept` returned.
            own: Attributes of your own, such as a tenant: policies read them as `context.own`, and
                they are recorded with each call. A block within this one has them too.

        Returns:
            A context manager; `with engine.acting(grant):` answers the grant.
        """
        return acting(grant, own=own)

    def delegating(
        self,
        agent: _core.Agent | str,
        *,
        scope: _core.Capability | Sequence[_core.Capability],
        task: str | None = None,
        ttl: str | float | timedelta | None = None,
        limits: _core.Limit | Sequence[_core.Limit] | None = None,
        max_depth: int = 0,
        key: _core.SecretKey | None = None,
    ) -> contextlib.AbstractContextManager[_core.Grant]:
        """Delegates from the grant in force and puts the new grant in force for a block.

        Args:
            agent: Who acts in the block.
            scope: What it may do there, within the grant in force.
            task: What this hop is for, in a sentence.
            ttl: How long; without it, to the earlier of the parent's and the holder's end.
            limits: Limits over all capabilities of the hop.
            max_depth: How many further hops may follow.
            key: The delegating agent's secret key, where the engine does not keep it.

        Returns:
            A context manager; `with engine.delegating(…) as grant:` answers the new grant.

        Raises:
            AccessDenied: Nothing is in force here, or its block has ended.
            InvalidGrant: The hop would not be within the grant in force.
        """
        authority = _authority.get()
        if authority is None:
            raise AccessDenied(
                "no grant is in force here, so there is nothing to delegate",
                code="no_authority",
                hint="delegate inside `with engine.acting(grant):`",
            )
        if not authority.alive:
            raise AccessDenied(
                "the block that gave this authority has ended",
                code="authority_ended",
                hint="delegate before `with engine.acting(grant):` ends",
            )
        grant = authority.grant.delegate(
            agent, scope=scope, task=task, ttl=ttl, limits=limits, max_depth=max_depth, key=key
        )
        return acting(grant)

    @property
    def approvals(self) -> Approvals:
        """What waits for a human, and the answers."""
        return Approvals(self, somebody_acts)

    @property
    def vault(self) -> Vault:
        """The credentials that tools use and agents never hold."""
        return Vault(self)

    @property
    def rules(self) -> Rules:
        """What is done by itself when a review finds something."""
        return Rules(self, self._hub.run_rules)

    def watch(
        self,
        callback: Callable[[Event], object],
        *,
        kinds: Sequence[str] = ("decision",),
        findings: bool = True,
        since: str | int | None = None,
    ) -> Watch:
        """Tells a callable what happens, from a thread of its own.

        The trail is the queue: a slow callable lags behind and misses nothing, one that raises is
        counted and logged, and no governed call feels either. Findings are looked for at most once
        a second, and told when they are new.

        Args:
            callback: Called with each `Event`, one at a time.
            kinds: Which kinds of entries to tell, such as `"halt"`; an empty list for all of them.
            findings: Whether to tell what reviews find.
            since: The `position` of another watch or event, to begin there; without it, from now
                on. It tells when the store was put back to an older state, and leads to the last
                place that both have: then entries may be told again, and none is left out. The bare
                number of a place tells no more than that the trail is long enough.

        Returns:
            The watch: `close()` ends it, and so does `engine.close()`.

        Raises:
            InvalidInput: What names no place.
            NotFound: A place that the trail does not reach to, or of another trail.
        """
        return self._hub.watch(callback, kinds=kinds, findings=findings, since=since)

    def close(self) -> None:
        """Ends watches and rules, writes all that was appended and lets the store go."""
        self._ends = True
        self._hub.close()
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @functools.cached_property
    def _hub(self) -> Hub:
        return Hub(self)

    def explain(self, entry: _core.Entry | str) -> Explanation:
        """Says why a call was allowed or not, for whoever has to act on it.

        Args:
            entry: A decision's entry or its outcome's, or its id, as in `denied.decision.entry`.

        Returns:
            A short text that is safe for a model, a long one for an operator, and their parts.

        Raises:
            InvalidInput: There is no such entry, or it records no call.
        """
        return Explanation.of(self.trail.story(entry), self.policies.explain(entry))

    @property
    def attached(self) -> bool:
        """Whether another process holds the store, and this engine reaches it through that one."""
        return False


class _Attached(Engine):
    """An engine on a store that another process holds: reads here, has changes made there."""

    _link: Link

    @property
    def attached(self) -> bool:
        return True

    def close(self) -> None:
        self._link.close()
        super().close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getattribute__(self, name: str) -> Any:
        # What the binary knows is asked of an engine that is new enough, or of the holder; what
        # stands above it, such as `explain`, is built on that.
        if name.startswith("_") or name in OWN:
            return super().__getattribute__(name)
        if name in GROUPS or name in THERE_ONLY or hasattr(_core.Engine, name):
            return super().__getattribute__("_link").get(name)
        return super().__getattribute__(name)
