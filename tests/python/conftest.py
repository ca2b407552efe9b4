"""Each test declares its tools in a process of its own, as far as their names go."""

from __future__ import annotations

import pytest

from answerable import guard


@pytest.fixture(autouse=True)
def own_tool_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tool names belong to one function a process; tests share a process."""
    monkeypatch.setattr(guard, "_tools", {})
