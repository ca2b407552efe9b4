"""One file of a folder is cut off in the middle; the sound ones must not be taken alone.

Class: fail-open
Refusal: InvalidPolicy
Check: src/policy/load.rs:load: all or nothing
"""

from __future__ import annotations

from pathlib import Path

from attacking import World
from policing import ALL, Policed

import answerable as ans

REMOVED = [
    (
        "src/policy/load.rs",
        "if faults.is_empty() { Ok(policies) } else { Err(faults) }",
        "Ok(policies)",
    )
]
FORBID = '@id("no") forbid (principal, action == Action::"pay.wire", resource);'


def test_a_folder_half_written(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    policed.write("a.cedar", ALL)
    policed.write("b.cedar", FORBID)
    world.engine.policies.load(policed.folder)
    policed.denies("forbidden")
    for end in range(1, len(FORBID)):
        if FORBID[:end].strip().endswith(";"):
            continue
        policed.write("b.cedar", FORBID[:end])
        if end % 7 == 1:
            policed.refuses(ans.InvalidPolicy, "b.cedar")
    policed.write("b.cedar", FORBID.encode() + b"\xff")
    policed.refuses(ans.InvalidPolicy, "UTF-8")
    policed.write("b.cedar", FORBID)
    policed.write("entities.json", '[{"uid": {"type": "Group"')
    policed.refuses(ans.InvalidPolicy, "entities.json")
    policed.denies("forbidden")
