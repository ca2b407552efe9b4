"""One deployment to attack: Alice's planner may pay, and Mallory's agent holds a little of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from attacking import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "store")
    yield world
    world.engine.close()


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[World]:
    """The same at eight o'clock of a day, until the clock is set."""
    world = World(tmp_path / "clocked", clock="2026-11-24T08:00:00Z")
    yield world
    world.engine.close()
