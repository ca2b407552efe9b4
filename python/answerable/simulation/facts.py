"""What was simulated, and what was planted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["START", "Incident", "Simulation"]

START = datetime(2026, 1, 5, 6, tzinfo=UTC)  # A Monday.


@dataclass(frozen=True)
class Incident:
    """What was planted, and where to find it.

    Attributes:
        name: Which one.
        what: What happened, in a sentence.
        agent: The agent's name.
        task: The task's id.
        start: When it began.
        end: When it was ended.
    """

    name: str
    what: str
    agent: str
    task: str
    start: datetime
    end: datetime


@dataclass
class Simulation:
    """What was simulated.

    Attributes:
        seed: The seed.
        entries: How many entries the trail has.
        humans: How many humans.
        agents: How many agents.
        tasks: How many tasks.
        start: When it began.
        end: When it ended.
        refused: Refusals by the code that decided.
        asked: How many calls a human was asked about.
        incidents: What was planted.
    """

    seed: int
    entries: int = 0
    humans: int = 0
    agents: int = 0
    tasks: int = 0
    start: datetime = START
    end: datetime = START
    refused: dict[str, int] = field(default_factory=dict)
    asked: int = 0
    incidents: list[Incident] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """The facts, for JSON."""
        return asdict(self)
