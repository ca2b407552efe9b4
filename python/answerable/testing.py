"""pytest: fixtures for tools and agents, and the contract that a tool or an adapter must meet.

The plugin loads with answerable; it imports no framework.

Example:
    def test_a_large_transfer_is_refused(answerable_engine, answerable_decisions, assert_denied):
        grant = ...  # answerable_engine.grant(…)
        with answerable_engine.acting(grant), assert_denied("caveat_failed"):
            transfer("travel-1", 800)
        assert answerable_decisions.effects == ["deny"]
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import pytest

from answerable import _core
from answerable.cases import run_cases
from answerable.engine import Engine
from answerable.errors import AccessDenied
from answerable.opening import open as open_engine

__all__ = ["Decisions", "assert_denied", "assert_policy_cases", "check_tool_contract"]

NOW = "2026-01-01T00:00:00Z"
"""The time at which the clock of `answerable_engine` stands; `engine.set_clock` moves it."""


class Decisions(Sequence[Any]):
    """The decisions that an engine has recorded, in their order; always up to date."""

    def __init__(self, engine: _core.Engine) -> None:
        self._engine = engine

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        return self._read()[at]

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return f"<decisions {[(entry.effect, entry.tool) for entry in self._read()]}>"

    @property
    def effects(self) -> list[str]:
        """What was decided: `allow`, `deny` or `ask`, one word a call."""
        return [entry.effect for entry in self._read()]

    def of(self, tool: str) -> list[Any]:
        """The decisions over one tool, or over those that a pattern such as `pay.*` names."""
        return list(self._engine.trail.entries(kind="decision", tool=tool))

    def _read(self) -> list[Any]:
        return list(self._engine.trail.entries(kind="decision"))


@contextlib.contextmanager
def assert_denied(code: str | None = None) -> Iterator[pytest.ExceptionInfo[AccessDenied]]:
    """Fails unless the block is denied, for this reason where one is given.

    Args:
        code: The code of the reason that decided, such as `caveat_failed`.

    Example:
        with assert_denied("no_authority") as caught:
            transfer("travel-1", 80)
    """
    with pytest.raises(AccessDenied) as caught:
        yield caught
    if code is not None:
        assert caught.value.code == code, f"denied for {caught.value.code}: {caught.value}"


def assert_policy_cases(policies: str | Path, cases: str | Path | None = None) -> int:
    """Fails unless every case beside policies comes as it states.

    Args:
        policies: A folder of policies; its tools are those that the test has imported.
        cases: A case file or a folder of them; the policies' folder without it.

    Returns:
        How many cases there were: at least one.

    Raises:
        InvalidInput: There is no case, or one that cannot be read.

    Example:
        def test_the_policies():
            import my_tools  # declares them with @ans.tool
            assert_policy_cases("policies/")
    """
    results = list(run_cases(_core.PolicySet.read(policies), cases or policies))
    failed = [str(result) for result in results if not result.ok]
    assert not failed, "\n".join(failed)
    return len(results)


@pytest.fixture
def answerable_engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine over a store that vanishes after the test, with a clock that stands still."""
    with open_engine(tmp_path / "governance", clock=NOW) as engine:
        yield engine


@pytest.fixture
def answerable_decisions(answerable_engine: Engine) -> Decisions:
    """What `answerable_engine` decides in the test."""
    return Decisions(answerable_engine)


@pytest.fixture(name="assert_denied")
def _assert_denied() -> Any:
    """`answerable.testing.assert_denied`."""
    return assert_denied


class _World:
    """One engine, one grant over one tool, and what ran."""

    def __init__(self, folder: Path, tool: str) -> None:
        self.tool = tool
        self.ran: list[tuple[Any, Any]] = []
        self.fault: BaseException | None = None
        self.engine = open_engine(folder / "governance")
        human = self.engine.humans.register("contract@example.com")
        agent = self.engine.agents.issue(
            "contract",
            owner=human,
            purpose="keeps the contract",
            ceiling=[_core.allow(tool)],
            ttl="1h",
        )
        where = {"text": _core.any_(), "number": _core.at_most(10)}
        self.grant = self.engine.grant(
            human,
            agent,
            task="keep the contract",
            ttl="10m",
            scope=[_core.allow(tool, where=where)],
        )

    def body(self, text: str, number: int) -> str:
        """Notes that it ran."""
        self.ran.append((text, number))
        if self.fault is not None:
            raise self.fault
        return f"{text} {number}"

    def entries(self) -> list[Any]:
        return list(self.engine.trail.entries(kind="decision", tool=self.tool))


def check_tool_contract(
    make: Callable[[Callable[[str, int], str]], Callable[..., Any]],
    *,
    tool: str,
    is_denied: Callable[[Any], bool] | None = None,
    raises_own: bool = True,
) -> None:
    """Checks what every governed tool, and every adapter that governs tools, must do.

    An allowed call runs the body once, with the arguments that were judged, and is recorded with
    its outcome. A call that is denied, for want of authority, by the scope, after a revocation or
    because the engine cannot answer, never runs it. An error of the body's own arrives untouched.

    Args:
        make: Takes a body `(text: str, number: int) -> str` and returns the function that calls it
            under governance, by keyword; it may be a coroutine function.
        tool: The name that the call goes by in grants.
        is_denied: Says of a result whether it tells of a denial, for adapters that turn the
            exception into a message.
        raises_own: Whether an error of the body reaches the caller.

    Raises:
        AssertionError: With the part of the contract that is not met.

    Example:
        check_tool_contract(ans.tool("pay.transfer"), tool="pay.transfer")
    """
    with tempfile.TemporaryDirectory() as folder:
        world = _World(Path(folder), tool)
        try:
            _check(world, _Caller(make(world.body), is_denied), raises_own=raises_own)
        finally:
            world.engine.close()


class _Caller:
    def __init__(
        self, function: Callable[..., Any], is_denied: Callable[[Any], bool] | None
    ) -> None:
        self._function = function
        self._is_denied = is_denied or (lambda _: False)

    def __call__(self, number: int) -> Any:
        result = self._function(text="a", number=number)
        return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result

    def denied(self, number: int) -> bool:
        try:
            return self._is_denied(self(number))
        except AccessDenied:
            return True


async def _awaited(result: Any) -> Any:
    return await result


def _check(world: _World, call: _Caller, *, raises_own: bool) -> None:
    assert call.denied(1), "a call without authority is denied"
    assert world.ran == [], "a call without authority does not run the body"
    assert [e.effect for e in world.entries()] == ["deny"], "and is recorded"

    with world.engine.acting(world.grant):
        call(1)
        assert world.ran == [("a", 1)], "an allowed call runs the body once, as it was judged"
        entry = world.entries()[-1]
        assert (entry.effect, entry.outcome) == ("allow", "returned"), "and is recorded"
        assert entry.arguments == {"text": "a", "number": 1}, "with the arguments it received"

        assert call.denied(11), "a call beyond the scope is denied"
        assert world.ran == [("a", 1)], "a call beyond the scope does not run the body"
        assert [e.effect for e in world.entries()] == ["deny", "allow", "deny"], "and is recorded"

        world.ran.clear()
        world.fault = ZeroDivisionError("the body's own")
        if raises_own:
            with pytest.raises(ZeroDivisionError) as caught:
                call(2)
            assert caught.value is world.fault, "the body's own error arrives untouched"
        else:
            call(2)
        assert len(world.ran) == 1, "a body that raises ran once"
        assert world.entries()[-1].outcome == "raised", "its outcome says so"
        world.fault = None

        world.ran.clear()
        world.engine.revoke(world.grant, reason="the contract says so")
        assert call.denied(3), "a call after the revocation is denied"
        world.engine.close()
        assert call.denied(3), "a call that the engine cannot answer is denied"
        assert world.ran == [], "neither runs the body"
