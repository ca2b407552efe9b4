"""Who left is registered again, to have their grants back.

Class: lifecycle bypass
Refusal: AccessDenied human_offboarded
Check: src/authorizer/standing.rs:of: the human is here
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    ("src/authorizer/standing.rs", "Some(human) if «human.offboarded» =>", "false"),
    ("src/authorizer/standing.rs", "ended(human.cut, chain.made(0))", "false"),
    ("src/authorizer/standing.rs", "if «agent.owner_left» {", "false"),
    (
        "src/authorizer/standing.rs",
        "agent.status",
        "if agent.status == Status::Suspended { Status::Active } else { agent.status }",
    ),
]


def test_a_human_who_came_back(world: World) -> None:
    world.engine.humans.offboard(world.alice, reason="left")
    again = world.engine.humans.register("alice@example.com")
    assert again.id != world.alice.id
    world.denies(world.held, "human_offboarded")
