"""The pytest plugin: its fixtures, and a contract that finds what breaks it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

import answerable as ans
from answerable.testing import Decisions, check_tool_contract


@ans.tool("t.fixture")
def fixture_tool(number: int) -> int:
    return number


def test_the_fixtures(
    answerable_engine: ans.Engine, answerable_decisions: Decisions, assert_denied: Any
) -> None:
    engine = answerable_engine
    human = engine.humans.register("a@example.com")
    agent = engine.agents.issue("a", owner=human, purpose="t", ceiling=[ans.allow("t.*")], ttl="1h")
    where = {"number": ans.at_most(5)}
    scope = [ans.allow("t.*", where=where)]
    grant = engine.grant(human, agent, task="t", ttl="10m", scope=scope)
    with engine.acting(grant):
        assert fixture_tool(1) == 1
        with assert_denied("caveat_failed") as caught:
            fixture_tool(6)
        assert caught.value.decision.effect == "deny"
        engine.set_clock("2026-01-01T00:11:00Z")
        with assert_denied("expired"):
            fixture_tool(1)
    assert answerable_decisions.effects == ["allow", "deny", "deny"]
    assert len(answerable_decisions.of("t.fixture")) == len(answerable_decisions) == 3
    assert answerable_decisions[0].outcome == "returned"
    assert "allow" in repr(answerable_decisions)


def test_assert_denied_can_fail(assert_denied: Any) -> None:
    with pytest.raises(pytest.fail.Exception), assert_denied():
        pass
    with pytest.raises(AssertionError, match="no_engine"), assert_denied("expired"):
        raise ans.AccessDenied("x", code="no_engine")


def test_a_decorated_tool_keeps_the_contract() -> None:
    check_tool_contract(ans.tool("t.contract"), tool="t.contract")


def test_a_decorated_coroutine_keeps_the_contract() -> None:
    def make(body: Callable[[str, int], str]) -> Any:
        @ans.tool("t.contract.async")
        async def later(text: str, number: int) -> str:
            await asyncio.sleep(0)
            return body(text, number)

        return later

    check_tool_contract(make, tool="t.contract.async")


def test_the_langchain_adapter_keeps_the_contract() -> None:
    from langchain.agents.middleware.types import ToolCallRequest
    from langchain_core.messages import ToolCall
    from langchain_core.tools import StructuredTool

    from answerable.integrations.langchain import AnswerableMiddleware

    def make(body: Callable[[str, int], str]) -> Any:
        middleware = AnswerableMiddleware(names={"probe": "t.contract.langchain"})
        probe = StructuredTool.from_function(body, name="probe", description="Probe.")

        def call(**arguments: Any) -> Any:
            made = ToolCall(name="probe", args=arguments, id="1", type="tool_call")
            request = ToolCallRequest(tool_call=made, tool=probe, state={}, runtime=None)  # type: ignore[arg-type]
            return middleware.wrap_tool_call(request, lambda r: r.tool.invoke(r.tool_call))  # type: ignore[union-attr, return-value]

        return call

    check_tool_contract(
        make, tool="t.contract.langchain", is_denied=lambda result: result.status == "error"
    )


def runs_twice(body: Any) -> Any:
    guarded = ans.tool("t.broken")(body)

    def call(text: str, number: int) -> Any:
        guarded(text, number)
        return guarded(text, number)

    return call


def runs_before_asking(body: Any) -> Any:
    guarded = ans.tool("t.broken")(lambda text, number: None)

    def call(text: str, number: int) -> Any:
        result = body(text, number)
        guarded(text, number)
        return result

    return call


def changes_arguments(body: Any) -> Any:
    return ans.tool("t.broken")(lambda text, number: body(text, number + 1))


def wraps_errors(body: Any) -> Any:
    def wrapper(text: str, number: int) -> Any:
        try:
            return body(text, number)
        except ZeroDivisionError as error:
            raise RuntimeError from error

    return ans.tool("t.broken")(wrapper)


def lets_faults_through(body: Any) -> Any:
    guarded = ans.tool("t.broken")(body)

    def call(text: str, number: int) -> Any:
        try:
            return guarded(text, number)
        except ans.AccessDenied as denied:
            if denied.code == "engine_closed":
                return body(text, number)
            raise

    return call


def unguarded(body: Any) -> Any:
    return functools.partial(body)


@pytest.mark.parametrize(
    "make",
    [
        runs_twice,
        runs_before_asking,
        changes_arguments,
        wraps_errors,
        lets_faults_through,
        unguarded,
    ],
)
def test_what_breaks_the_contract_is_found(make: Any) -> None:
    with pytest.raises((AssertionError, RuntimeError, pytest.fail.Exception)):
        check_tool_contract(make, tool="t.broken")
