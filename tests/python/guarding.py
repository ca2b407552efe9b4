"""What the tests of the guard share: an engine, a human, an agent, and a record of what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import answerable as ans


class World:
    """One engine, one human, one agent; tools under `t.`."""

    def __init__(self, folder: Path, durability: str = "before") -> None:
        self.engine = ans.open(folder / "governance", durability=durability)
        self.alice = self.engine.humans.register("alice@example.com", name="Alice")
        self.agent = self.engine.agents.issue(
            "agent", owner=self.alice, purpose="tests", ceiling=[ans.allow("t.**")], ttl="1h"
        )
        self.ran: list[Any] = []

    def grant(self, *scope: ans.Capability, max_depth: int = 0) -> ans.Grant:
        return self.engine.grant(
            self.alice,
            self.agent,
            task="test the guard",
            ttl="30m",
            max_depth=max_depth,
            scope=list(scope) or [ans.allow("t.**")],
        )

    def acting(self, *scope: ans.Capability) -> Any:
        return self.engine.acting(self.grant(*scope))

    def entries(self, tool: str = "t.**", **filters: Any) -> list[ans.Entry]:
        """The decisions over a tool, oldest first."""
        found = list(self.engine.trail.entries(tool=tool, kind="decision", **filters))
        return sorted(found, key=lambda entry: entry.index)

    def effects(self, tool: str = "t.**") -> list[str]:
        return [entry.effect for entry in self.entries(tool)]

    def outcome(self, tool: str = "t.**") -> tuple[str | None, str | None]:
        """How the newest call ended, and the type of what it returned or raised."""
        entry = self.entries(tool)[-1]
        for leaf in self.engine.trail.entries(kind="outcome"):
            if leaf.leaf["decision"] == entry.id:
                return leaf.leaf["status"], leaf.leaf["type"]
        return None, None

    def everything(self) -> str:
        """All that stands in the trail, in clear."""
        self.engine.trail.export(path := self.engine.path / "all.jsonl")
        return Path(path).read_text("utf-8")
