"""A secret is carried out of the vault as a name: of a tool, a type, a member, or of nothing known.

Names stand in leaves as they are, and refusals repeat them.

Class: token theft
Refusal: `unknown_tool` for a tool of that name, the stand-in `(credential bank)` everywhere else
Check: src/engine/redacting.rs:secret_in_name: asked before a call is judged
"""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import Any

import pytest
from attacking import World

import answerable as ans

SECRET = "sk-live-0123456789"
REMOVED = [
    ("src/engine/judge.rs", "let named = «self.secret_in_name(call.tool)»;", "None::<Reason>"),
    (
        "src/engine/policies/load.rs",
        "if «self.secret_in_name(name.as_str())».is_some()",
        "None::<Reason>",
    ),
    ("src/engine/describe.rs", "self.redact(«name»).map_or", '""'),
    (
        "src/python/errors.rs",
        "(«scrub_everywhere(message)», scrub_everywhere(hint))",
        "None::<String>",
    ),
]


def told_by(engine: ans.Engine, folder: Path) -> str:
    """All that the engine records and counts, as text."""
    engine.trail.export(path := folder / "trail.jsonl")
    return path.read_text("utf-8") + repr(engine.metrics())


def test_a_secret_in_a_tools_name(world: World, tmp_path: Path) -> None:
    engine = world.engine
    engine.vault.put("bank", SECRET, for_tools=["pay.*"], by=world.alice)
    grant = world.grant(scope=[ans.allow("pay.*")])

    @ans.tool(f"pay.{SECRET}")
    def named() -> None:
        world.ran.append("named")

    @ans.tool("pay.sound")
    def sound() -> None:
        world.ran.append("sound")

    with engine.acting(grant), pytest.raises(ans.AccessDenied) as denied:
        named()
    with engine.acting(grant):
        sound()
    assert world.ran.pop() == "sound"
    assert denied.value.code == "unknown_tool"
    assert SECRET not in f"{denied.value} {denied.value.decision!r} {denied.value.hint}"
    assert world.ran == []
    recorded = engine.trail.get(denied.value.decision.entry)
    assert recorded.effect == "deny"
    for halt in (engine.halt, engine.unhalt):
        with pytest.raises(ans.Error) as refused:
            halt(tool=f"pay.{SECRET}", reason="r", by=world.alice)
        assert SECRET not in str(refused.value)
    told = told_by(engine, tmp_path)
    assert SECRET not in told
    assert "(credential bank)" in told
    engine.close()
    for file in world.path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    assert any(b"pay.sound" in file.read_bytes() for file in world.path.rglob("db"))


def test_a_secret_in_a_types_name(world: World, tmp_path: Path) -> None:
    engine = world.engine
    engine.vault.put("bank", SECRET, for_tools=["pay.*"], by=world.alice)
    grant = world.grant(scope=[ans.allow("pay.any")])
    given: list[Any] = [
        enum.Enum("Word", {SECRET: "x"})[SECRET],
        next(iter(enum.Enum(SECRET, ["ONE"]))),  # type: ignore[misc]
        dataclasses.make_dataclass(SECRET, [("text", str)])("x"),
    ]

    @ans.tool("pay.any", engine=engine)
    def give(value: Any) -> Any:
        raise type(SECRET, (Exception,), {})("x") if value is None else give_up(value)

    def give_up(value: Any) -> Exception:
        return ValueError(type(value).__name__)

    @ans.tool("pay.again", engine=engine)
    def back(value: int) -> Any:
        return [*given, type(SECRET, (), {})()][value]

    with engine.acting(grant):
        for value in [*given, None]:
            with pytest.raises(Exception) as raised:
                give(value)
            assert not isinstance(raised.value, ans.Error)
    with engine.acting(world.grant(scope=[ans.allow("pay.again")])):
        for place in range(len(given) + 1):
            back(place)
    told = told_by(engine, tmp_path)
    assert SECRET not in told
    assert told.count("(credential bank)") >= 2 * len(given) + 2


def test_a_secret_that_is_looked_up(world: World) -> None:
    engine = world.engine
    attempts = (
        lambda: engine.humans.get(SECRET),
        lambda: engine.agents.get(SECRET),
        lambda: engine.agents.get(SECRET.encode().hex()),
        lambda: engine.vault.remove(SECRET, reason="r", by=world.alice),
        lambda: engine.grant(SECRET, world.planner, task="t", scope=world.wide(), ttl="1h"),
        lambda: engine.accept(SECRET),
        lambda: ans.open(world.path / SECRET / "x" / "y", durability=SECRET),
    )
    for attempt in attempts:
        with pytest.raises(ans.Error) as known:
            attempt()
        assert known.value.code
    engine.vault.put("bank", SECRET, for_tools=["pay.*"], by=world.alice)
    for attempt in attempts:
        with pytest.raises(ans.Error) as refused:
            attempt()
        for spelling in (SECRET, SECRET.encode().hex()):
            assert spelling not in f"{refused.value} {refused.value.hint}"
