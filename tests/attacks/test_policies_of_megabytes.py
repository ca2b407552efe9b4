"""A policy file of 100 MB, one nested without end, thousands of files, a pipe that never ends.

Class: depth and size bombs
Refusal: InvalidInput or InvalidPolicy
Check: src/engine/policies/folder.rs:read: sizes are looked at before anything is read
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attacking import World
from policing import ALL, Policed

import answerable as ans

REMOVED = [("src/engine/policies/folder.rs", "total > MAX_POLICY_BYTES", "false")]


def test_policies_of_megabytes(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    policed.load(ALL)
    for part in range(3):
        policed.write(f"part{part}.cedar", " " * (3 * 1024 * 1024))
    policed.refuses(ans.InvalidInput, "bytes")
    for part in range(3):
        (policed.folder / f"part{part}.cedar").unlink()
    huge = policed.write("huge.cedar", "")
    with huge.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    policed.refuses(ans.InvalidInput, "bytes")
    huge.unlink()
    os.mkfifo(policed.folder / "pipe.cedar")
    policed.refuses(ans.InvalidInput, "not a file")
    (policed.folder / "pipe.cedar").unlink()
    (policed.folder / "gone.cedar").symlink_to(tmp_path / "nowhere")
    policed.refuses(ans.InvalidInput, "cannot be read")
    (policed.folder / "gone.cedar").unlink()
    policed.call()


@pytest.mark.parametrize("depth", [1_000, 100_000])
@pytest.mark.parametrize(
    ("opens", "closes"), [("(", ")"), ("[", "]"), ("!", ""), ("if true then ", " else false")]
)
def test_a_policy_nested_without_end(
    world: World, tmp_path: Path, opens: str, closes: str, depth: int
) -> None:
    policed = Policed(world, tmp_path)
    policed.load(ALL)
    condition = opens * depth + "true" + closes * depth
    policed.write(
        "deep.cedar", f'@id("deep") permit (principal, action, resource) when {{ {condition} }};'
    )
    try:
        world.engine.policies.load(policed.folder)
    except ans.InvalidPolicy:
        pass
    else:
        assert depth < 10_000, "work is bounded"
    policed.call()
