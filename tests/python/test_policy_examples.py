"""The policies that we show, tested as we say that policies are tested."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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
