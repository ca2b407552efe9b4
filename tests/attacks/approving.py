"""What attackers of approvals have: an agent whose larger payments need a human's yes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import answerable as ans

ASKS = """
@id("asks") @advice("ask") permit (principal, action == Action::"pay.send", resource);
"""
FORBIDS = (
    ASKS
    + """
@id("never") forbid (principal, action == Action::"pay.send", resource);
"""
)


class Asking:
    """Alice's agent may pay, and every payment asks; `ran` holds those that ran."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = engine = ans.open(path)
        self.alice = engine.humans.register("alice@example.com", name="Alice")
        self.bob = engine.humans.register("bob@example.com", name="Bob")
        pay = [ans.allow("pay.*")]
        self.agent = engine.agents.issue(
            "payer", owner=self.alice, purpose="pays", ceiling=pay, ttl="8h"
        )
        self.grant = engine.grant(self.alice, self.agent, task="Pay", ttl="1h", scope=pay)
        self.ran: list[Any] = []

        @ans.tool("pay.send")
        def send(to: str, amount: int) -> None:
            self.ran.append((to, amount))

        self.send = send
        self.load(ASKS)

    def load(self, text: str) -> None:
        folder = self.path.with_name("policies")
        folder.mkdir(exist_ok=True)
        (folder / "all.cedar").write_text(text)
        self.engine.policies.load(folder)

    def pay(self, to: str = "acme", amount: int = 80) -> None:
        with self.engine.acting(self.grant):
            self.send(to, amount)

    def asked(self, to: str = "acme", amount: int = 80) -> Any:
        """The approval that a payment waits for; its body did not run."""
        before = len(self.ran)
        with pytest.raises(ans.ApprovalRequired) as asked:
            self.pay(to, amount)
        assert len(self.ran) == before
        return asked.value.approval

    def approved(self, to: str = "acme", amount: int = 80) -> Any:
        return self.engine.approvals.approve(self.asked(to, amount), by=self.bob)
