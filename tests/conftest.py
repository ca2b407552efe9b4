"""Each test declares its tools in a process of its own: no other test's name or type is there."""

from __future__ import annotations

from types import FunctionType

import pytest

from answerable import _core, guard


@pytest.fixture(autouse=True)
def own_tools(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool's name belongs to one function a process, and policies are held to its types.

    Tests share a process: what others declared is forgotten, but for the tools of the test's file.
    """
    monkeypatch.setattr(guard, "_tools", {})
    _core.forget_declared()
    for thing in vars(request.module).values():
        spec = getattr(thing, "__answerable__", None) if type(thing) is FunctionType else None
        if spec is not None:
            _core.declare(spec)
