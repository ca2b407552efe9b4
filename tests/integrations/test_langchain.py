"""The LangChain adapter: what the model is told, what runs, what is recorded."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chains import MAPPING, Step, World, decorated, pay, undecorated
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.errors import GraphBubbleUp, GraphInterrupt

import answerable as ans
from answerable.integrations.langchain import AnswerableMiddleware


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


def go(agent: Any, use_async: bool) -> list[ToolMessage]:
    """Runs to the end in either mode and returns what the model was told."""
    start = {"messages": [("user", "go")]}
    state = asyncio.run(agent.ainvoke(start)) if use_async else agent.invoke(start)
    assert isinstance(state["messages"][-1], AIMessage), "the run reached its end"
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


both_modes = pytest.mark.parametrize("use_async", [False, True], ids=["invoke", "ainvoke"])
both_kinds = pytest.mark.parametrize("make", [decorated, undecorated])


@both_modes
@both_kinds
def test_an_allowed_call_runs_once_and_is_recorded_once(
    world: World, make: Any, use_async: bool
) -> None:
    agent = world.agent([make(world)], [pay(80)])
    with world.engine.acting(world.grant()):
        (told,) = go(agent, use_async)
    assert (told.status, told.content) == ("success", "paid 80")
    assert world.ran == [("a-1", 80)]
    assert world.effects(tool="pay.transfer") == ["allow"]


@both_modes
@both_kinds
def test_a_denial_is_told_to_the_model_and_the_run_goes_on(
    world: World, make: Any, use_async: bool
) -> None:
    agent = world.agent([make(world)], [pay(501)], [pay(80)])
    with world.engine.acting(world.grant()):
        refused, paid = go(agent, use_async)
    assert refused.status == "error"
    assert refused.name == "transfer"
    assert "amount" in str(refused.content), "the model learns which argument was too large"
    assert (paid.status, paid.content) == ("success", "paid 80")
    assert world.ran == [("a-1", 80)], "the refused body never ran"
    assert sorted(world.effects(tool="pay.transfer")) == ["allow", "deny"]


@both_modes
@both_kinds
def test_without_an_authority_nothing_runs(world: World, make: Any, use_async: bool) -> None:
    (told,) = go(world.agent([make(world)], [pay(80)]), use_async)
    assert told.status == "error"
    assert world.ran == []
    assert world.effects(tool="pay.transfer") == ["deny"]


@both_modes
@both_kinds
def test_on_denied_raise_ends_the_run(world: World, make: Any, use_async: bool) -> None:
    agent = world.agent([make(world)], [pay(501)], on_denied="raise")
    with world.engine.acting(world.grant()), pytest.raises(ans.AccessDenied) as caught:
        go(agent, use_async)
    assert caught.value.decision.effect == "deny"
    assert world.ran == []


@both_modes
def test_the_judged_arguments_are_those_the_body_receives(world: World, use_async: bool) -> None:
    """The model wrote text; LangChain makes it a number before the body sees it."""
    agent = world.agent([undecorated(world)], [pay("501")], [pay("80")])
    with world.engine.acting(world.grant()):
        refused, paid = go(agent, use_async)
    assert (refused.status, paid.status) == ("error", "success")
    assert world.ran == [("a-1", 80)]


@both_modes
def test_invalid_arguments_never_reach_the_body(world: World, use_async: bool) -> None:
    agent = world.agent([undecorated(world)], [pay("a lot")])
    with world.engine.acting(world.grant()):
        (told,) = go(agent, use_async)
    assert told.status == "error"
    assert world.ran == []


@both_modes
@pytest.mark.parametrize("scope", ["narrow", "wide"])
def test_an_unknown_tool_is_refused_and_recorded(world: World, scope: str, use_async: bool) -> None:
    wide = ans.allow("pay.*")
    agent = world.agent([decorated(world)], [("pay.everything", {"amount": 1})], [pay(80)])
    with world.engine.acting(world.grant(wide) if scope == "wide" else world.grant()):
        refused, paid = go(agent, use_async)
    assert (refused.status, paid.status) == ("error", "success")
    assert world.effects(tool="pay.everything") == ["deny"]
    assert "no tool `pay.everything`" in str(refused.content)


@both_modes
@both_kinds
def test_the_error_of_a_tool_is_left_alone(world: World, make: Any, use_async: bool) -> None:
    def explode(account: str, amount: int) -> str:
        world.ran.append("exploded")
        raise ZeroDivisionError("the bank is closed")

    if make is decorated:
        explode = ans.tool("pay.transfer", resource="account/{account}")(explode)
    broken = StructuredTool.from_function(explode, name="transfer", description="Transfer money.")
    agent = world.agent([broken], [pay(80)])
    with world.engine.acting(world.grant()), pytest.raises(ZeroDivisionError):
        go(agent, use_async)
    assert world.ran == ["exploded"]
    assert world.effects(tool="pay.transfer") == ["allow"]


@both_modes
@both_kinds
def test_an_interrupt_passes_through(world: World, make: Any, use_async: bool) -> None:
    def pause(account: str, amount: int) -> str:
        raise GraphInterrupt(())

    if make is decorated:
        pause = ans.tool("pay.transfer", resource="account/{account}")(pause)
    pausing = StructuredTool.from_function(pause, name="transfer", description="Transfer money.")
    request = _request(pausing, pay(80))
    middleware = AnswerableMiddleware(**MAPPING)

    def handler(request: Any) -> Any:
        return request.tool.invoke(request.tool_call)

    async def ahandler(request: Any) -> Any:
        return await request.tool.ainvoke(request.tool_call)

    def call() -> Any:
        if use_async:
            return asyncio.run(middleware.awrap_tool_call(request, ahandler))
        return middleware.wrap_tool_call(request, handler)

    with world.engine.acting(world.grant()), pytest.raises(GraphBubbleUp):
        call()
    assert world.effects(tool="pay.transfer") == ["allow"]


def test_a_closed_engine_denies_and_the_body_does_not_run(world: World) -> None:
    agent = world.agent([undecorated(world)], [pay(80)], engine=world.engine)
    with world.engine.acting(world.grant()):
        world.engine.close()
        (told,) = go(agent, use_async=False)
    assert told.status == "error"
    assert world.ran == []


@both_modes
@both_kinds
def test_parallel_calls_cannot_pass_one_limit(world: World, make: Any, use_async: bool) -> None:
    """LangChain runs the calls of one turn in threads or tasks; the authority is in each."""
    three = ans.allow("pay.transfer", limits=[ans.calls(3)])
    calls = [pay(i, account=f"a-{i}") for i in range(1, 9)]
    agent = world.agent([make(world)], calls)
    with world.engine.acting(world.grant(three)):
        told = go(agent, use_async)
    assert sorted(message.status for message in told) == ["error"] * 5 + ["success"] * 3
    assert len(world.ran) == 3
    assert sorted(world.effects(tool="pay.transfer")) == ["allow"] * 3 + ["deny"] * 5


def test_two_threads_with_two_authorities_do_not_mix(world: World) -> None:
    grants = {"mine": world.grant(), "none": None}
    told: dict[str, ToolMessage] = {}
    barrier = threading.Barrier(len(grants))

    def work(name: str) -> None:
        agent = world.agent([undecorated(world)], [pay(80, account=name)])
        barrier.wait()
        if grants[name] is None:
            (told[name],) = go(agent, use_async=False)
        else:
            with world.engine.acting(grants[name]):
                (told[name],) = go(agent, use_async=False)

    threads = [threading.Thread(target=work, args=(name,)) for name in grants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: message.status for name, message in told.items()} == {
        "mine": "success",
        "none": "error",
    }
    assert world.ran == [("mine", 80)]


@both_modes
def test_a_tool_whose_async_body_alone_is_undecorated_is_governed(
    world: World, use_async: bool
) -> None:
    """A guard on `func` says nothing about `coroutine`, which `ainvoke` would run."""

    async def coroutine(account: str, amount: int) -> str:
        world.ran.append((account, amount))
        return f"paid {amount}"

    guarded = decorated(world)
    mixed = StructuredTool.from_function(
        guarded.func, coroutine, name="transfer", description="Transfer money."
    )
    agent = world.agent([mixed], [pay(501)], [pay(80)])
    with world.engine.acting(world.grant()):
        refused, paid = go(agent, use_async)
    assert (refused.status, paid.status) == ("error", "success")
    assert sorted(world.effects(tool="pay.transfer")) == ["allow", "deny"]


@both_modes
def test_a_tool_class_is_governed_and_counted_once(world: World, use_async: bool) -> None:
    class Transfer(BaseTool):
        name: str = "transfer"
        description: str = "Transfer money."

        def _run(self, account: str, amount: int) -> str:
            world.ran.append((account, amount))
            return f"paid {amount}"

    agent = world.agent([Transfer()], [pay(501)], [pay(80)])
    with world.engine.acting(world.grant()):
        refused, paid = go(agent, use_async)
    assert (refused.status, paid.status) == ("error", "success")
    assert world.ran == [("a-1", 80)]
    assert sorted(world.effects(tool="pay.transfer")) == ["allow", "deny"]


@both_modes
def test_a_tool_class_with_a_guard_of_its_own_is_left_to_it(world: World, use_async: bool) -> None:
    class Transfer(BaseTool):
        name: str = "transfer"
        description: str = "Transfer money."

        @ans.tool("pay.transfer", resource="account/{account}")
        def _run(self, account: str, amount: int) -> str:
            world.ran.append((account, amount))
            return f"paid {amount}"

    agent = world.agent([Transfer()], [pay(80)])
    with world.engine.acting(world.grant()):
        (told,) = go(agent, use_async)
    assert told.status == "success"
    assert world.effects(tool="pay.transfer") == ["allow"]


@both_modes
def test_an_explicit_engine_is_the_one_that_is_asked(
    world: World, tmp_path: Path, use_async: bool
) -> None:
    with ans.open(tmp_path / "other") as other:
        agent = world.agent([undecorated(world)], [pay(80)], engine=other)
        with world.engine.acting(world.grant()):
            go(agent, use_async)
        assert len(other.trail.entries(tool="pay.transfer")) == 1
    assert world.effects(tool="pay.transfer") == []


@both_modes
def test_what_langchain_injects_is_passed_on_and_not_judged(world: World, use_async: bool) -> None:
    @tool
    def transfer(account: str, amount: int, runtime: ToolRuntime) -> str:
        """Transfer money."""
        world.ran.append(runtime.tool_call_id)
        return f"paid {amount}"

    agent = world.agent([transfer], [pay(80)])
    with world.engine.acting(world.grant()):
        (told,) = go(agent, use_async)
    assert told.status == "success"
    assert world.ran == ["0-0"]


@both_modes
def test_a_child_agent_acts_within_a_delegated_grant(world: World, use_async: bool) -> None:
    child = world.agent([decorated(world)], [pay(80, "a-1"), pay(80, "a-2"), pay(300, "a-1")])
    child_told: list[ToolMessage] = []

    @tool
    @ans.tool("pay.vendor", resource="account/{account}")
    def pay_vendor(account: str) -> str:
        """Pay one vendor."""
        narrow = ans.allow(
            "pay.transfer",
            resource=f"account/{account}",
            where={"account": ans.any_(), "amount": ans.at_most(100)},
        )
        with world.engine.delegating(world.payer, scope=[narrow], task="Pay one vendor"):
            child_told.extend(go(child, use_async=False))
        return "done"

    scope = [
        ans.allow("pay.vendor", resource="account/*"),
        ans.allow(
            "pay.transfer",
            resource="account/*",
            where={"account": ans.any_(), "amount": ans.at_most(500)},
        ),
    ]
    agent = world.agent(
        [pay_vendor, decorated(world)],
        [("pay_vendor", {"account": "a-1"})],
        [pay(300, "a-2")],
    )
    with world.engine.acting(world.grant(*scope, max_depth=1)):
        delegated, own = go(agent, use_async)
    assert (delegated.status, own.status) == ("success", "success")
    assert [message.status for message in child_told] == ["success", "error", "error"]
    assert sorted(world.ran) == [("a-1", 80), ("a-2", 300)]
    assert world.effects(tool="pay.transfer", agent="payer").count("deny") == 2
    assert world.effects(tool="pay.transfer", agent="payer").count("allow") == 1


def test_after_a_revocation_the_model_is_refused(world: World) -> None:
    grant = world.grant(ans.allow("pay.*"), ans.allow("files.*"))

    @tool
    @ans.tool("files.revoke")
    def call_it_off() -> str:
        """End the grant."""
        world.engine.revoke(grant, reason="changed my mind")
        return "revoked"

    agent = world.agent([decorated(world), call_it_off], [pay(1)], [("call_it_off", {})], [pay(2)])
    with world.engine.acting(grant):
        first, revoked, second = go(agent, use_async=False)
    assert [m.status for m in (first, revoked, second)] == ["success", "success", "error"]
    assert world.ran == [("a-1", 1)]


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ValueError, match="on_denied"):
        AnswerableMiddleware(on_denied="ignore")  # type: ignore[arg-type]


def test_importing_answerable_imports_no_framework() -> None:
    script = (
        "import sys, answerable\n"
        "loaded = {'langchain', 'langchain_core', 'langgraph', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _request(tool: BaseTool, step: Step) -> Any:
    from langchain.agents.middleware.types import ToolCallRequest

    name, arguments = step
    call = ToolCall(name=name, args=arguments, id="0-0", type="tool_call")
    return ToolCallRequest(tool_call=call, tool=tool, state={}, runtime=None)  # type: ignore[arg-type]
