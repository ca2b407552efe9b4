"""Text where text is meant: anything else is `InvalidInput`, and nothing is recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import answerable as ans


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ans.Engine]:
    with ans.open(tmp_path / "store") as engine:
        engine.humans.register("alice@example.com")
        engine.agents.issue(
            "planner",
            owner="alice@example.com",
            purpose="plans",
            ceiling=ans.allow("pay.*"),
            ttl="8h",
        )
        yield engine


def verbs(e: Any, wrong: Any) -> dict[str, Callable[[], object]]:
    pay = ans.allow("pay.*")
    grant = {"task": "x", "scope": pay, "ttl": "1h"}
    issue = {"owner": "alice@example.com", "purpose": "x", "ceiling": pay, "ttl": "1h"}
    return {
        "register": lambda: e.humans.register(wrong),
        "register name": lambda: e.humans.register("bob@example.com", name=wrong),
        "human": lambda: e.humans.get(wrong),
        "issue": lambda: e.agents.issue(wrong, **issue),
        "issue purpose": lambda: e.agents.issue("a", **{**issue, "purpose": wrong}),
        "issue owner": lambda: e.agents.issue("a", **{**issue, "owner": wrong}),
        "agent": lambda: e.agents.get(wrong),
        "suspend": lambda: e.agents.suspend("planner", reason=wrong),
        "retire": lambda: e.agents.retire("planner", reason=wrong),
        "offboard": lambda: e.humans.offboard("alice@example.com", reason=wrong),
        "grant human": lambda: e.grant(wrong, "planner", **grant),
        "grant task": lambda: e.grant("alice@example.com", "planner", **{**grant, "task": wrong}),
        "accept": lambda: e.accept(wrong),
        "revoke": lambda: e.revoke(wrong, reason="x"),
        "halt": lambda: e.halt(reason=wrong),
        "end": lambda: e.tasks.end(wrong, reason="x"),
        "check": lambda: e.check(wrong),
        "entries": lambda: e.trail.entries(tool=wrong),
        "entries effect": lambda: e.trail.entries(effect=wrong),
        "story": lambda: e.trail.story(wrong),
    }


@pytest.mark.parametrize("wrong", [5, 1.5, b"x", ["x"], {"x": 1}, object(), "\ud800"])
def test_what_is_no_text_is_invalid_input(engine: ans.Engine, wrong: object) -> None:
    before = len(engine.trail)
    for name, verb in verbs(engine, wrong).items():
        # An entry goes by its number too.
        expected = ans.NotFound if name == "story" and wrong == 5 else ans.InvalidInput
        with pytest.raises((expected, ans.InvalidInput)):
            verb()
    assert len(engine.trail) <= before + 1  # The operator, who was named first.


def test_a_way_to_record_gathered_arguments_names_each() -> None:
    def pay(**kw: object) -> None: ...

    with pytest.raises(ans.InvalidInput, match="name the arguments in it"):
        ans.tool("pay.gathered", record={"kw": "mask"})(pay)
    ans.tool("pay.gathered", record={"memo": "mask"})(pay)


def test_a_comparison_with_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        engine.trail.export(tmp_path / "trail.jsonl")
        for since in ([], (), iter([])):
            with pytest.raises(ans.InvalidInput, match="no checkpoint in since="):
                engine.trail.verify(since=since)
            with pytest.raises(ans.InvalidInput, match="no checkpoint in since="):
                ans.verify(tmp_path / "trail.jsonl", engine.authority, since=since)
