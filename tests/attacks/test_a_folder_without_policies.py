"""The policies are deleted, or emptied, and loaded again: nothing is forbidden any more.

Class: fail-open
Refusal: InvalidPolicy
Check: src/engine/policies/folder.rs:read: a folder without a policy file is refused
"""

from __future__ import annotations

from pathlib import Path

from attacking import World
from policing import Policed

import answerable as ans

REMOVED = [
    ("src/engine/policies/folder.rs", "if «folder.policies.is_empty()» {", "false"),
    ("src/engine/policies/compile.rs", "if «set.policies().is_empty()» {", "false"),
]


def test_a_folder_without_policies(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    policed.load('@id("no") forbid (principal, action, resource);')
    (policed.folder / "policies.cedar").unlink()
    policed.refuses(ans.InvalidPolicy, "no file named `*.cedar`")
    policed.write("policies.cedar.bak", "")
    policed.refuses(ans.InvalidPolicy, "no file named `*.cedar`")
    policed.write("policies.cedar", "// all gone\n")
    policed.refuses(ans.InvalidPolicy, "no policy")
    policed.folder.rename(tmp_path / "elsewhere")
    policed.refuses(ans.InvalidInput, "cannot be read")
    policed.denies("forbidden")
