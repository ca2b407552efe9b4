"""A policy names an argument that its tool does not have, and so would never hold.

Class: fail-open
Refusal: InvalidPolicy
Check: src/policy/validate.rs:validate: each policy in each kind of request that its scope admits
"""

from __future__ import annotations

from pathlib import Path

from attacking import World
from policing import ALL, Policed

import answerable as ans

REMOVED = [("src/policy/validate.rs", "if «faults.is_empty()» { Ok(checked) }", "true")]


def test_another_tools_argument_in_a_policy(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)

    @ans.tool("pay.read", engine=world.engine)
    def read(total: float) -> None: ...

    policed.write(
        "policies.cedar",
        ALL + '@id("cap") forbid (principal, action == Action::"pay.wire", resource)'
        ' when { context.arguments.total.greaterThan(decimal("100.0")) };',
    )
    policed.refuses(ans.InvalidPolicy, "total")
    assert read is not None
