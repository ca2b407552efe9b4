"""A tool of this engine is called under another engine's grant.

Class: confused deputy
Refusal: AccessDenied no_authority
Check: src/python/guard/mod.rs:in_force: the engines are the same
"""

from __future__ import annotations

from pathlib import Path

import pytest
from attacking import World

import answerable as ans

REMOVED = [
    ("src/python/guard/mod.rs", "!Arc::ptr_eq(&authority.core, core)", "false"),
    ("src/engine/judge.rs", "bound.chain.authority_id() != self.authority_id", "false"),
    ("src/authorizer/standing.rs", "root_until.is_none()", "false"),
    (
        "src/authorizer/standing.rs",
        "None => «faults.push(\n"
        '                Reason::new(code::UNKNOWN_HUMAN, "the human of the chain is not '
        'registered here")\n'
        '                    .fix("register the human and grant anew"),\n'
        "            )»",
        "()",
    ),
    (
        "src/authorizer/standing.rs",
        "self.faults.push(\n"
        "                Reason::new(\n"
        "                    code::UNKNOWN_AGENT,\n"
        '                    format!("the agent {} is not registered here", holder.agent),\n'
        "                )\n"
        "                .at(hop)\n"
        '                .fix("issue the agent with engine.agents.issue and grant to it"),\n'
        "            )",
        "()",
    ),
]


def test_a_grant_of_another_engine(world: World, tmp_path: Path) -> None:
    other = World(tmp_path / "other")

    @ans.tool("pay.note", engine=world.engine)
    def note() -> None:
        world.ran.append("note")

    with (
        pytest.raises(ans.AccessDenied) as denied,
        other.engine.acting(other.grant(scope=ans.allow("pay.note"))),
    ):
        note()
    assert denied.value.code == "no_authority"
    assert world.ran == []
    other.engine.close()
