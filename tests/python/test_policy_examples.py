"""The policies that we show, tested as we say that policies are tested."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import answerable as ans
from answerable import _core
from answerable.testing import assert_policy_cases

POLICIES = Path(__file__).resolve().parents[2] / "examples" / "policies"


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.syspath_prepend(str(POLICIES))
    yield __import__("tools")
    # What nobody can call any more does not hold its name.
    sys.modules.pop("tools")


def test_every_case_of_the_example_comes_as_it_says() -> None:
    assert assert_policy_cases(POLICIES) == 10


def test_a_case_that_does_not_is_seen(tmp_path: Path) -> None:
    cases = tmp_path / "cases.toml"
    cases.write_text('[[case]]\ntool = "travel.search"\neffect = "deny"\n')
    with pytest.raises(AssertionError, match="expected deny, got allow"):
        assert_policy_cases(POLICIES, cases)


def test_the_example_has_no_finding_of_high_weight() -> None:
    found = _core.PolicySet.read(POLICIES).check()
    assert [one.code for one in found if one.severity == "high"] == []


def _shadow(engine: ans.Engine) -> dict[str, int]:
    lines = re.findall(r'answerable_policy_shadow_total\{result="(\w+)"\} (\d+)', engine.metrics())
    return {result: int(count) for result, count in lines}


def test_every_judgement_of_the_example_is_that_of_cedar_s_own_evaluator(tmp_path: Path) -> None:
    tools: Any = sys.modules["tools"]
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        *((tools.transfer, ("travel-1", amount)) for amount in (80.0, 500.0, 5000.01, 80.00001)),
        (tools.transfer, ("travel-1", 80.0, "deposit")),
        (tools.search, ("Lisbon", 2)),
        (tools.send, ("bob@example.com", "offsite", "see you there")),
        (tools.send, ("q@cash.example", "hi", "x")),
    ]
    times = ("2026-03-04T10:00:00Z", "2026-03-07T10:00:00Z")  # a Wednesday, a Saturday
    with ans.open(tmp_path / "store", clock=times[0], policy_shadow=1) as engine:
        engine.policies.load(POLICIES)
        alice = engine.humans.register("alice@example.com")
        agent = engine.agents.issue(
            "booker", owner=alice, purpose="books", ceiling=[ans.allow("**")], ttl="90d"
        )
        effects: list[str] = []
        for at in times:
            engine.set_clock(at)
            grant = engine.grant(alice, agent, task="Book", ttl="1h", scope=[ans.allow("**")])
            for tool, arguments in calls:
                with engine.acting(grant):
                    try:
                        tool(*arguments)
                    except ans.AccessDenied as denied:
                        effects.append(denied.decision.reasons[0].code)
                    else:
                        effects.append("allow")
        until = time.monotonic() + 300
        while sum(_shadow(engine).values()) < len(effects) and time.monotonic() < until:
            time.sleep(0.01)
        # What has more digits than a decimal of Cedar is an error to both.
        assert _shadow(engine) == {"equal": 16, "mismatch": 0, "dropped": 0, "unfit": 0}
        assert {"allow", "forbidden", "not_permitted", "policy_error"} == set(effects)
        found = {finding.code for finding in engine.review().findings}
        assert "policy_shadow_mismatch" not in found


@pytest.mark.parametrize("wrong", [0, -1, 1_000_001, True, 1.5, "1"])
def test_the_shadow_check_takes_one_of_so_many(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ans.InvalidInput):
        ans.open(tmp_path / "store", policy_shadow=wrong)


def test_the_shadow_check_is_off_unless_asked_for(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        assert _shadow(engine) == {}
