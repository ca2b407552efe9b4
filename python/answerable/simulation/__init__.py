"""A company that works with agents, simulated: a trail to look at, measure and practise on.

Humans with their agents, tasks, delegations, calls, refusals of every common cause, payments that
a human is asked about, people who leave, a process that dies, and two incidents. Every call runs
through the guard and the engine; nothing is forged. The clock of the engine is moved along, so that
a month is over in a minute.

The same seed gives the same events at the same times, in the same order. Ids, keys and salts are
random in every trail, as they must be, and how long a body really ran is measured.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from answerable.errors import InvalidInput
from answerable.simulation.company import Company
from answerable.simulation.facts import START, Incident, Simulation

__all__ = ["START", "Incident", "Simulation", "simulate"]


def simulate(
    store: str | Path,
    *,
    entries: int = 200_000,
    seed: int = 1,
    humans: int = 50,
    agents: int = 300,
    days: int = 30,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Simulates a company into a new store.

    Args:
        store: A new folder.
        entries: About how many entries; at least 2,000.
        seed: Which company, which events.
        humans: How many humans, at least 5.
        agents: How many agents, at least 10.
        days: Over how many days.
        progress: Told now and then how many entries there are, of how many.

    Returns:
        What was simulated. The store is closed.

    Raises:
        InvalidInput: There is a store already, or a number is too small.

    Example:
        facts = simulate("./company", entries=20_000)
    """
    if (Path(store) / "FORMAT").exists():
        raise InvalidInput(f"there is a store in {store}", hint="simulate into a new folder")
    least = {"entries": (entries, 2000), "humans": (humans, 5), "agents": (agents, 10)}
    for name, (number, lowest) in {**least, "days": (days, 2)}.items():
        if number < lowest:
            raise InvalidInput(f"{name}={number} is too small", hint=f"at least {lowest}")
    company = Company(store, random.Random(seed), Simulation(seed), days)
    try:
        company.found(humans, agents)
        company.run(entries, progress)
        facts = company.facts
        facts.entries, facts.end = len(company.engine.trail), company.now
    finally:
        company.engine.close()
    return facts
