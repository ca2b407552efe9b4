"""A datetime is given a microsecond past a forbidden instant, and would be cut to that instant.

Class: fail-open
Refusal: policy_error
Check: src/policy/read.rs:millis: an instant finer than policies count cannot be read
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attacking import World
from policing import ALL, Policed

import answerable as ans

REMOVED = [("src/policy/read.rs", "if «micros % 1000 == 0» { Ok(micros / 1000) }", "true")]


def test_an_instant_between_milliseconds(world: World, tmp_path: Path) -> None:
    policed = Policed(world, tmp_path)
    ran: list[datetime] = []

    @ans.tool("pay.at", engine=world.engine)
    def at(when: datetime) -> None:
        ran.append(when)

    policed.load(
        ALL + '@id("late") forbid (principal, action == Action::"pay.at", resource)'
        ' when { context.arguments.when > datetime("2026-01-05T10:00:00Z") };'
    )
    noon = datetime(2026, 1, 5, 10, tzinfo=UTC)
    with world.engine.acting(policed.grant):
        at(noon)
        with pytest.raises(ans.AccessDenied) as denied:
            at(noon + timedelta(microseconds=1))
    assert denied.value.code == "policy_error"
    assert "whole milliseconds" in str(denied.value)
    assert ran == [noon]
