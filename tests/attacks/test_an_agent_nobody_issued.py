"""A hop names an agent that was never issued.

Class: key confusion
Refusal: AccessDenied unknown_agent
Check: src/authorizer/standing.rs:add_agent: the agent is known
"""

from __future__ import annotations

from attacking import World

import answerable as ans

REMOVED = [
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
    )
]


def test_an_agent_nobody_issued(world: World) -> None:
    holder = {"agent": "agt_" + "a" * 26, "key": ans.SecretKey.generate().public}
    grant = world.engine.accept(world.forged(lambda p: p.update(holder=holder)))
    world.denies(grant, "unknown_agent")
