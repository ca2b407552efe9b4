"""What the tests of the other frameworks share: one engine, Alice, three agents, what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import answerable as ans

CAPPED = ans.allow(
    "pay.transfer",
    resource="account/*",
    where={"account": ans.any_(), "amount": ans.at_most(500)},
)
RULES: dict[str, Any] = {
    "names": {"transfer": "pay.transfer", "refund": "pay.refund"},
    "resources": {"transfer": "account/{account}"},
}


class World:
    """One engine, one human, three agents, and a list of what really ran."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "governance"
        self.engine = ans.open(self.path)
        self.alice = self.engine.humans.register("alice@example.com", name="Alice")
        self.bob = self.engine.humans.register("bob@example.com", name="Bob")
        self.planner, self.payer, self.clerk = (
            self.engine.agents.issue(
                name, owner=self.alice, purpose="pays", ceiling=[ans.allow("**")], ttl="1h"
            )
            for name in ("planner", "payer", "clerk")
        )
        self.ran: list[Any] = []

    def grant(self, *scope: Any, human: Any = None, max_depth: int = 0) -> Any:
        return self.engine.grant(
            human or self.alice,
            self.planner,
            task="Pay the week",
            ttl="10m",
            max_depth=max_depth,
            scope=[*(scope or [CAPPED])],
        )

    def effects(self, tool: str = "pay.transfer", **filters: Any) -> list[str]:
        entries = self.engine.trail.entries(kind="decision", tool=tool, **filters)
        return [entry.effect for entry in entries]

    def reasons(self, tool: str = "pay.transfer") -> list[str]:
        return [e.reasons[0] for e in self.engine.trail.entries(tool=tool, effect="deny")]

    def transfer(self) -> Any:
        def transfer(account: str, amount: int, memo: str = "") -> str:
            """Transfer money."""
            self.ran.append((account, amount))
            return f"paid {amount}"

        return transfer

    def atransfer(self) -> Any:
        async def transfer(account: str, amount: int, memo: str = "") -> str:
            """Transfer money."""
            self.ran.append((account, amount))
            return f"paid {amount}"

        return transfer

    def decorated(self) -> Any:
        return ans.tool("pay.transfer", resource="account/{account}")(self.transfer())

    def adecorated(self) -> Any:
        return ans.tool("pay.transfer", resource="account/{account}")(self.atransfer())


ASK = """
@id("ask") @advice("ask") @reason("transfers need a human's yes")
permit (principal, action, resource);
"""


def asking(world: Any) -> None:
    """From here on every transfer asks a human first."""
    file = world.path.with_name("ask.cedar")
    file.write_text(ASK, encoding="utf-8")
    world.engine.policies.load(file)


def approve(world: Any) -> None:
    """Bob says yes to all that waits."""
    for approval in world.engine.approvals.pending():
        world.engine.approvals.approve(approval, by=world.bob, note="fine")


KINDS = {
    "sync": World.transfer,
    "async": World.atransfer,
    "decorated": World.decorated,
    "decorated async": World.adecorated,
}
kinds = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


def pay(amount: Any = 80, account: str = "a-1") -> dict[str, Any]:
    return {"account": account, "amount": amount}
