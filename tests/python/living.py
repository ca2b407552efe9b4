"""What the tests of the lifecycle share: Alice, Bob, a planner that delegates to a booker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import answerable as ans

START = "2026-11-24T08:00:00Z"
PAY = ans.allow("pay.transfer")


class World:
    """One store with Alice, Bob, and a planner that may delegate to a booker."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.engine = ans.open(path, **options)
        humans, agents = self.engine.humans, self.engine.agents
        self.alice = humans.register("alice@example.com", name="Alice")
        self.bob = humans.register("bob@example.com", name="Bob")
        pay = [ans.allow("pay.*")]
        self.planner = agents.issue(
            "planner", owner=self.alice, purpose="plans", ceiling=pay, ttl="8h"
        )
        self.booker = agents.issue(
            "booker", owner=self.alice, purpose="books", ceiling=pay, ttl="8h"
        )

    def grant(self, human: Any = None, agent: Any = None, **options: Any) -> ans.Grant:
        options = {
            "task": "Pay the deposit",
            "scope": PAY,
            "ttl": "1h",
            "max_depth": 2,
            **options,
        }
        return self.engine.grant(human or self.alice, agent or self.planner, **options)

    def child(self, grant: ans.Grant, **options: Any) -> ans.Grant:
        return grant.delegate(self.booker, scope=PAY, **options)

    def use(self, grant: ans.Grant, tool: str = "pay.transfer") -> None:
        """Makes a governed call of nothing."""
        with self.engine.acting(grant), ans.guard.governed(tool, {}):
            pass

    def code(self, grant: ans.Grant) -> str:
        """`allow`, or the code that decides; the recorded call says the same as the dry run."""
        checked = self.engine.check("pay.transfer", arguments={}, grant=grant)
        dry = "allow" if checked.effect == "allow" else checked.reasons[0].code
        code = "allow"
        try:
            self.use(grant)
        except ans.AccessDenied as denied:
            code = denied.code
        assert code == dry
        return code

    def reopen(self) -> None:
        self.engine.close()
        self.engine = ans.open(self.path)
