"""The company that the notebooks look at: simulated once, then used by all four."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from answerable.simulation import Incident, Simulation, simulate

ENTRIES = int(os.environ.get("ANSWERABLE_NOTEBOOK_ENTRIES", "200000"))
FOLDER = Path(os.environ.get("ANSWERABLE_NOTEBOOK_STORE", "company"))


def company() -> tuple[Path, Simulation]:
    """A copy of the simulated store, for whoever asks, and what was simulated.

    The same seed gives the same events at the same times; ids and keys are new in every store.
    """
    whole = FOLDER / f"{ENTRIES}"
    told = whole / "facts.json"
    if not told.exists():
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir(parents=True)
        # 50 humans and 300 agents; fewer where there is not enough to do for them.
        humans, agents = min(50, ENTRIES // 500), min(300, ENTRIES // 130)
        made = simulate(whole / "store", entries=ENTRIES, humans=humans, agents=agents)
        told.write_text(json.dumps(made.record(), default=datetime.isoformat), "utf-8")
    # Each notebook writes into a store of its own, as long as it runs; its key lies beside it.
    own = Path(tempfile.mkdtemp(prefix="open-", dir=FOLDER))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    shutil.copytree(whole, own, dirs_exist_ok=True)
    return own / "store", facts_of(told)


def facts_of(file: Path) -> Simulation:
    """What was simulated, as `simulate` told it."""
    read = json.loads(file.read_text("utf-8"))
    incidents = [Incident(**_times(one)) for one in read.pop("incidents")]
    return Simulation(**_times(read), incidents=incidents)


def _times(record: dict[str, object]) -> dict[str, object]:
    times = ("start", "end")
    return {k: datetime.fromisoformat(str(v)) if k in times else v for k, v in record.items()}
