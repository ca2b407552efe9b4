"""A secret is carried out of the vault in an argument, encoded, to be read in the trail.

Class: token theft
Refusal: the stand-in `(credential bank)`
Check: src/engine/describe.rs:recorded: secrets that the vault knows
"""

from __future__ import annotations

import base64
from pathlib import Path

from attacking import World

REMOVED = [("src/engine/describe.rs", "self.vault.redactor.veil_map(arguments)", "None")]
SECRET = "sk-live-0123456789"


def test_a_secret_dressed_as_an_argument(world: World, tmp_path: Path) -> None:
    world.engine.vault.put("bank", SECRET, for_tools=["pay.*"], by=world.alice)
    dressed = base64.b64encode(f"user:{SECRET}".encode()).decode()
    world.allows(world.root, "travel-1", 10, memo=f"see {dressed}")
    world.engine.trail.export(path := tmp_path / "trail.jsonl")
    recorded = path.read_text("utf-8")
    # What the base64 of the secret holds whatever stands before it.
    assert dressed[12:28] not in recorded
    assert "(credential bank)" in recorded
