"""The simulated company: the same seed gives the same trail, whatever is random in it."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import answerable as ans
from answerable.simulation import Simulation, simulate

# 200,000 entries, as the notebooks have them, where all is asked for.
FULL = os.environ.get("ANSWERABLE_CASES") == "full"
SMALL: dict[str, Any] = {"entries": 2_500, "humans": 10, "agents": 40, "days": 5}
SIZE: dict[str, Any] = {"entries": 200_000} if FULL else {**SMALL, "entries": 6_000, "agents": 70}

ID = re.compile(r"\b([a-z]{3})_[a-z2-7]{26}\b")
# Random, signed, a digest of what is, or measured: promised of no two trails.
LEFT_OUT = {
    *("salt", "hash", "commitments", "statement", "token", "key", "request", "duration_us"),
    *("authority", "origin", "checkpoint", "note", "proof"),
}


def told(file: Path) -> Iterator[Any]:
    """Each line of an export: ids and digests by the order in which they are met."""
    met: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return met.setdefault(match[0], f"{match[1]}#{len(met)}")

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {"$bytes"}:
                return met.setdefault(value["$bytes"], f"bytes#{len(met)}")
            return {key: plain(one) for key, one in value.items() if key not in LEFT_OUT}
        if isinstance(value, list):
            return [plain(one) for one in value]
        return ID.sub(name, value) if isinstance(value, str) else value

    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield plain(json.loads(line))


def export(folder: Path, **given: Any) -> tuple[Simulation, Path]:
    facts = simulate(folder / "store", **given)
    with ans.open(folder / "store", clock=facts.end) as engine:
        engine.trail.export(folder / "trail.jsonl")
    return facts, folder / "trail.jsonl"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ans.Engine, Simulation]]:
    folder = tmp_path_factory.mktemp("company")
    facts = simulate(folder / "store", **SMALL)
    with ans.open(folder / "store", clock=facts.end) as engine:
        yield engine, facts


def test_the_same_seed_gives_the_same_trail(tmp_path: Path) -> None:
    (first, one), (second, other) = (export(tmp_path / n, seed=5, **SIZE) for n in "ab")
    for at, (left, right) in enumerate(itertools.zip_longest(told(one), told(other))):
        assert left == right, at
    named = [{**facts.record(), "incidents": None} for facts in (first, second)]
    assert named[0] == named[1]
    times = [[(i.name, i.agent, i.start, i.end) for i in f.incidents] for f in (first, second)]
    assert times[0] == times[1]
    # Somebody left: what they had is handed over in one order.
    assert one.read_text("utf-8").count('"action":"transferred"') >= 6
    # What must be random is.
    assert one.read_bytes() != other.read_bytes()


def test_another_seed_gives_another(company: tuple[ans.Engine, Simulation], tmp_path: Path) -> None:
    other, _ = export(tmp_path, seed=2, **SMALL)
    assert (other.refused, other.end) != (company[1].refused, company[1].end)


def test_the_simulation_is_what_it_says(company: tuple[ans.Engine, Simulation]) -> None:
    engine, facts = company
    assert facts.entries == len(engine.trail) >= 2500
    assert (len(engine.humans.list()), len(engine.agents.list())) == (
        facts.humans + 1,
        facts.agents,
    )
    refused = engine.trail.entries(kind="decision", effect="deny").count_by("reason")
    assert {"no_authority", "tool_not_covered", "resource_not_covered"} <= set(refused)
    assert sum(facts.refused.values()) == len(engine.trail.entries(effect="deny"))
    assert facts.asked == len(engine.trail.entries(effect="ask")) > 0
    invoice, bulk = facts.incidents
    planted = engine.trail.entries(task=invoice.task, resource="account/offshore-1")
    assert [entry.effect for entry in planted] == ["deny"] * 5
    assert len(engine.trail.entries(task=bulk.task, effect="allow")) == 400
    report = engine.trail.verify()
    assert report.size >= facts.entries
    assert "2 allowed calls without an outcome" in str(report)


def test_a_company_needs_room_and_a_place_of_its_own(tmp_path: Path) -> None:
    simulate(tmp_path / "again", **{**SMALL, "entries": 2_000})
    with pytest.raises(ans.InvalidInput, match="there is a store"):
        simulate(tmp_path / "again", entries=2500)
    for wrong in ({"entries": 10}, {"humans": 1}, {"agents": 2}, {"days": 1}):
        with pytest.raises(ans.InvalidInput, match="too small"):
            simulate(tmp_path / "small", **{**SMALL, **wrong})
    assert not (tmp_path / "small").exists()
