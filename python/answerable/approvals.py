"""Approvals: what an agent asks, and a human answers.

A yes is for one call, once: the same tool, resource and arguments under the same chain and
policies. Whoever acts under a grant cannot answer, not even in a human's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from answerable import _core
from answerable.errors import IllegalTransition

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Approvals"]


class Approvals(_core.Approvals):
    """What waits for a human, and the answers; `engine.approvals`."""

    _in_force: Callable[[], bool]

    def __new__(cls, engine: _core.Engine, in_force: Callable[[], bool]) -> Self:
        """The approvals of an engine; `in_force` says whether an agent acts here."""
        made = super().__new__(cls, engine)
        made._in_force = in_force
        return made

    def approve(
        self,
        approval: _core.Approval | str,
        *,
        by: _core.Human | str,
        note: str | None = None,
    ) -> _core.Approval:
        """Records a human's yes: exactly that call may be made once, until the approval lapses.

        Args:
            approval: The approval or its id.
            by: Who says yes: a human who is registered and here.
            note: What they say to it; it lies beside the entry under their key.

        Returns:
            The approval as it stands then; for access, its `grant` is the new grant.

        Raises:
            IllegalTransition: It is not pending any more, what it hangs on has ended, or a grant
                is in force here: an agent does not answer itself.
            NotFound: There is no such approval or human.
        """
        self._needs_a_human()
        return super().approve(approval, by=by, note=note)

    def refuse(
        self,
        approval: _core.Approval | str,
        *,
        by: _core.Human | str,
        note: str | None = None,
    ) -> _core.Approval:
        """Records a human's no: it stands against the same call until the approval lapses.

        Args:
            approval: The approval or its id.
            by: Who says no.
            note: What they say to it.

        Returns:
            The approval as it stands then.

        Raises:
            IllegalTransition: As for `approve`.
            NotFound: There is no such approval or human.
        """
        self._needs_a_human()
        return super().refuse(approval, by=by, note=note)

    def _needs_a_human(self) -> None:
        if self._in_force():
            raise IllegalTransition(
                "an agent acts here, and an approval is a human's to answer",
                code="approval_by_agent",
                hint="answer it outside `with engine.acting(…)` and outside every tool",
            )
