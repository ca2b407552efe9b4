"""A halted deployment is restarted.

Class: lifecycle bypass
Refusal: AccessDenied halted
Check: src/registry/halts.rs:load: halts outlive the process
"""

from __future__ import annotations

from attacking import World

REMOVED = [
    (
        "src/registry/halts.rs",
        "let halt = Halt { target: target.clone(), at: record.at, by: Some(record.by), "
        "reason };\n"
        "        «state.halts.all.insert(target, halt)»",
        "{ let _ = (target, halt); None::<Halt> }",
    )
]


def test_a_halt_lifted_by_a_restart(world: World) -> None:
    world.engine.halt(reason="incident")
    world.denies(world.held, "halted")
    world.reopen()
    world.denies(world.engine.accept(world.held.token), "halted")
