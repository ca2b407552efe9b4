"""Governed tools: every documented way to call one, and nothing about them changed."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from chains import MAPPING, Script, World, decorated, pay
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, tool
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from pydantic import BaseModel, Field

import answerable as ans
from answerable.integrations.langchain import (
    AnswerableMiddleware,
    govern_tool_node,
    govern_tools,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.engine.close()


def bodies(world: World) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def transfer(account: str, amount: int, memo: str = "") -> str:
        """Transfer money."""
        world.ran.append((account, amount))
        return f"paid {amount}"

    async def atransfer(account: str, amount: int, memo: str = "") -> str:
        """Transfer money."""
        world.ran.append((account, amount))
        return f"paid {amount}"

    return transfer, atransfer


def synchronous(world: World) -> BaseTool:
    return StructuredTool.from_function(bodies(world)[0], name="transfer")


def asynchronous(world: World) -> BaseTool:
    return StructuredTool.from_function(coroutine=bodies(world)[1], name="transfer")


def both(world: World) -> BaseTool:
    return StructuredTool.from_function(*bodies(world), name="transfer")


def of_a_class(world: World) -> BaseTool:
    class Transfer(BaseTool):
        name: str = "transfer"
        description: str = "Transfer money."
        return_direct: bool = True

        def _run(self, account: str, amount: int, memo: str = "") -> str:
            world.ran.append((account, amount))
            return f"paid {amount}"

    return Transfer()


def of_a_json_schema(world: World) -> BaseTool:
    schema = {
        "type": "object",
        "properties": {"account": {"type": "string"}, "amount": {"type": "integer"}},
        "required": ["account", "amount"],
    }
    return StructuredTool(
        name="transfer", description="Pay.", func=bodies(world)[0], args_schema=schema
    )


SYNC = [synchronous, both, of_a_class, of_a_json_schema, decorated]
ASYNC = [synchronous, asynchronous, both, of_a_class, of_a_json_schema, decorated]


def call(amount: int) -> ToolCall:
    return ToolCall(name="transfer", args=args(amount), id="c-1", type="tool_call")


def args(amount: int) -> dict[str, Any]:
    return {"account": "a-1", "amount": amount}


def in_a_node(tool: BaseTool, amount: int) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([tool]))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile(), {"messages": [AIMessage("", tool_calls=[call(amount)])]}


def through_node(tool: BaseTool, amount: int) -> Any:
    graph, start = in_a_node(tool, amount)
    return graph.invoke(start)["messages"][-1]


def through_plain_node(tool: BaseTool, amount: int) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("by_hand", lambda _: {"messages": [tool.invoke(call(amount))]})
    graph.add_edge(START, "by_hand")
    return graph.compile().invoke({"messages": []})["messages"][-1]


def through_task(tool: BaseTool, amount: int) -> Any:
    @task
    def pay_it(amount: int) -> Any:
        return tool.invoke(args(amount))

    @entrypoint()
    def flow(amount: int) -> Any:
        return pay_it(amount).result()

    return flow.invoke(amount)


def told(agent: Any) -> Any:
    messages = agent.invoke({"messages": [("user", "go")]})["messages"]
    return next(message for message in messages if isinstance(message, ToolMessage))


def through_old_agent(tool: BaseTool, amount: int) -> Any:
    from langgraph.prebuilt import create_react_agent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agent = create_react_agent(Script(turns=[[("transfer", args(amount))]]), [tool])
    return told(agent)


def through_bare_agent(tool: BaseTool, amount: int) -> Any:
    agent = create_agent(Script(turns=[[("transfer", args(amount))]]), [tool])
    return told(agent)


WAYS: dict[str, Callable[[BaseTool, int], Any]] = {
    "invoke": lambda tool, n: tool.invoke(args(n)),
    "invoke a call": lambda tool, n: tool.invoke(call(n)),
    "run": lambda tool, n: tool.run(args(n)),
    "batch": lambda tool, n: tool.batch([args(n)])[0],
    "batch_as_completed": lambda tool, n: next(iter(tool.batch_as_completed([args(n)])))[1],
    "stream": lambda tool, n: next(iter(tool.stream(args(n)))),
    "transform": lambda tool, n: next(iter(tool.transform(iter([args(n)])))),
    "map": lambda tool, n: tool.map().invoke([args(n)])[0],
    "pipe": lambda tool, n: (RunnableLambda(args) | tool).invoke(n),
    "parallel": lambda tool, n: RunnableParallel(x=tool).invoke(args(n))["x"],
    "with_retry": lambda tool, n: tool.with_retry(stop_after_attempt=1).invoke(args(n)),
    "with_config": lambda tool, n: tool.with_config(tags=["x"]).invoke(args(n)),
    "bind": lambda tool, n: tool.bind(verbose=False).invoke(args(n)),
    "with_fallbacks": lambda tool, n: tool.with_fallbacks([RunnableLambda(str)]).invoke(args(n)),
    "with_listeners": lambda tool, n: tool.with_listeners().invoke(args(n)),
    "as_tool": lambda tool, n: tool.as_tool(arg_types={"account": str, "amount": int}).invoke(
        args(n)
    ),
    "copy": lambda tool, n: tool.model_copy().invoke(args(n)),
    "copy renamed": lambda tool, n: tool.model_copy(update={"name": "other"}).invoke(args(n)),
    "deep copy": lambda tool, n: __import__("copy").copy(tool).invoke(args(n)),
    "a tool node": through_node,
    "a node of one's own": through_plain_node,
    "a task": through_task,
    "create_react_agent": through_old_agent,
    "create_agent without the middleware": through_bare_agent,
}


EVERY = os.environ.get("ANSWERABLE_CASES") == "full"


@pytest.mark.parametrize("make", SYNC if EVERY else [synchronous, of_a_class])
@pytest.mark.parametrize("way", WAYS)
def test_no_way_to_call_a_governed_tool_goes_around_the_guard(
    world: World, make: Any, way: str
) -> None:
    (governed,) = govern_tools([make(world)], **MAPPING)
    with world.engine.acting(world.grant()):
        refused = WAYS[way](governed, 501)
        assert "at most 500" in str(getattr(refused, "content", refused))
        assert world.ran == []
        done = WAYS[way](governed, 80)
        assert "paid 80" in str(getattr(done, "content", done))
    assert world.ran == [("a-1", 80)]
    assert "paid" not in str(WAYS[way](governed, 80)), "and nothing without authority"
    assert world.effects(tool="pay.transfer") == ["deny", "allow", "deny"]


async def one(stream: Any) -> Any:
    return await anext(aiter(stream))


async def afeed(amount: int) -> Any:
    yield args(amount)


AWAYS: dict[str, Callable[[BaseTool, int], Any]] = {
    "ainvoke": lambda tool, n: tool.ainvoke(args(n)),
    "ainvoke a call": lambda tool, n: tool.ainvoke(call(n)),
    "arun": lambda tool, n: tool.arun(args(n)),
    "astream": lambda tool, n: one(tool.astream(args(n))),
    "atransform": lambda tool, n: one(tool.atransform(afeed(n))),
    "abatch": lambda tool, n: tool.abatch([args(n)]),
    "pipe": lambda tool, n: (RunnableLambda(args) | tool).ainvoke(n),
}


@pytest.mark.parametrize("make", ASYNC if EVERY else [both, decorated])
@pytest.mark.parametrize("way", AWAYS)
async def test_nor_does_any_asynchronous_way(world: World, make: Any, way: str) -> None:
    (governed,) = govern_tools([make(world)], **MAPPING)
    with world.engine.acting(world.grant()):
        refused = await AWAYS[way](governed, 501)
        assert "at most 500" in str(getattr(refused, "content", refused))
        assert world.ran == []
        assert "paid 80" in str(await AWAYS[way](governed, 80))
    assert world.ran == [("a-1", 80)]
    assert world.effects(tool="pay.transfer") == ["deny", "allow"]


@pytest.mark.parametrize("make", [synchronous, asynchronous, both, of_a_json_schema])
def test_nor_does_the_function_taken_out_of_it(world: World, make: Any) -> None:
    (governed,) = govern_tools([make(world)], **MAPPING)

    def direct(amount: int) -> Any:
        if make is asynchronous:
            return asyncio.run(governed.coroutine(**args(amount)))
        return governed.func("a-1", amount)

    with world.engine.acting(world.grant()):
        with pytest.raises(ans.AccessDenied, match="at most 500"):
            direct(501)
        assert direct(80) == "paid 80"
    assert world.ran == [("a-1", 80)]
    assert world.effects(tool="pay.transfer") == ["deny", "allow"]


def test_the_body_under_its_private_name_is_governed_too(world: World) -> None:
    (governed,) = govern_tools([of_a_class(world)], **MAPPING, on_denied="raise")
    with world.engine.acting(world.grant()), pytest.raises(ans.AccessDenied):
        governed._run(account="a-1", amount=501)
    assert world.ran == []


def test_a_denial_raises_where_that_was_chosen(world: World) -> None:
    (governed,) = govern_tools([synchronous(world)], **MAPPING, on_denied="raise")
    with world.engine.acting(world.grant()), pytest.raises(ans.AccessDenied) as caught:
        governed.invoke(args(501))
    assert caught.value.decision.effect == "deny"


@pytest.mark.parametrize("make", ASYNC)
def test_nothing_of_a_tool_is_changed(world: World, make: Any) -> None:
    bare = make(world)
    (governed,) = govern_tools([bare], **MAPPING)
    assert governed is not bare
    assert isinstance(governed, type(bare))
    assert governed.args_schema is bare.args_schema

    def facts(tool: BaseTool) -> Any:
        schema = tool.tool_call_schema
        told = schema if isinstance(schema, dict) else schema.model_json_schema()
        listed = ["name", "description", "return_direct", "response_format", "tags", "metadata"]
        return told, tool.args, [getattr(tool, name) for name in listed]

    assert facts(governed) == facts(bare)


def test_an_argument_left_at_its_default_need_not_be_named_by_the_grant(world: World) -> None:
    (governed,) = govern_tools([synchronous(world)], **MAPPING)
    with world.engine.acting(world.grant()):
        assert governed.invoke(args(80)) == "paid 80"
        refused = governed.invoke({**args(80), "memo": "psst"})
    assert "memo" in refused
    assert world.ran == [("a-1", 80)]


def test_what_a_json_schema_does_not_name_is_judged_all_the_same(world: World) -> None:
    """LangChain passes on whatever the model wrote where the schema is no class."""
    ran: list[Any] = []

    def transfer(**given: Any) -> str:
        ran.append(given)
        return "paid"

    schema = {"type": "object", "properties": {"account": {"type": "string"}}}
    loose = StructuredTool(name="transfer", description="Pay.", func=transfer, args_schema=schema)
    (governed,) = govern_tools([loose], **MAPPING)
    agent = world.agent([loose], [("transfer", {"account": "a-1", "amount": 9, "to": "me"})])
    with world.engine.acting(world.grant()):
        assert "`to`" in governed.invoke({"account": "a-1", "amount": 9, "to": "me"})
        agent.invoke({"messages": [("user", "go")]})
    assert ran == []


def test_a_tool_of_one_text_is_governed(world: World) -> None:
    ran: list[str] = []

    def look(text: str) -> str:
        ran.append(text)
        return f"saw {text}"

    bare = Tool(name="look", description="Look.", func=look)
    (governed,) = govern_tools([bare], names={"look": "files.look"})
    argument = next(iter(bare.args))
    scope = ans.allow("files.look", where={argument: ans.starts_with("ok")})
    with world.engine.acting(world.grant(scope)):
        assert governed.invoke("ok 1") == "saw ok 1"
        assert "not allowed" in governed.invoke("bad")
        assert "not allowed" in governed.run("bad")
    assert ran == ["ok 1"]


def test_the_errors_of_a_tool_stay_its_own(world: World) -> None:
    def fail(account: str, amount: int) -> str:
        """Fail."""
        raise ToolException("the bank is closed")

    def broken(**options: Any) -> BaseTool:
        made = StructuredTool.from_function(fail, name="transfer", **options)
        return govern_tools([made], **MAPPING)[0]

    with world.engine.acting(world.grant()):
        with pytest.raises(ToolException, match="the bank is closed"):
            broken().invoke(args(80))
        assert broken(handle_tool_error=True).invoke(args(80)) == "the bank is closed"
        assert broken(handle_tool_error="sorry").invoke(args(80)) == "sorry"
        assert broken(handle_tool_error=lambda e: f"<{e}>").invoke(args(80)) == (
            "<the bank is closed>"
        )
        assert "at most 500" in broken(handle_tool_error="sorry").invoke(args(501))
    assert world.effects(tool="pay.transfer", effect="allow") == ["allow"] * 4


def test_arguments_that_do_not_validate_are_not_judged(world: World) -> None:
    class Strict(BaseModel):
        account: str
        amount: int = Field(gt=0)

    made = StructuredTool.from_function(bodies(world)[0], name="transfer", args_schema=Strict)
    (governed,) = govern_tools([made], **MAPPING)
    with world.engine.acting(world.grant()), pytest.raises(ValueError, match="amount"):
        governed.invoke(args(-1))
    assert world.ran == []
    assert world.effects(tool="pay.transfer") == []


def test_what_a_node_injects_goes_by_reference(world: World) -> None:
    seen: list[Any] = []

    @tool
    def transfer(account: str, amount: int, state: Annotated[dict, InjectedState]) -> str:
        """Transfer money."""
        seen.append(len(state["messages"]))
        return f"paid {amount}"

    (governed,) = govern_tools([transfer], **MAPPING)
    with world.engine.acting(world.grant()):
        assert through_node(governed, 80).content == "paid 80"
        assert "not allowed" in through_node(governed, 501).content
    assert seen == [1]


def test_a_model_cannot_fill_in_what_is_injected(world: World) -> None:
    @tool
    def transfer(account: str, amount: int, state: Annotated[dict, InjectedState]) -> str:
        """Transfer money."""
        world.ran.append(type(state["messages"][0]).__name__)
        return "paid"

    step = ("transfer", {**args(80), "state": {"messages": ["forged"]}})
    agent = world.agent([transfer], [step])
    with world.engine.acting(world.grant()):
        agent.invoke({"messages": [("user", "go")]})
    assert "str" not in world.ran


@pytest.mark.parametrize("handled", [True, "sorry", (ValueError,)])
def test_a_tool_node_of_ours(world: World, handled: Any) -> None:
    node = govern_tool_node(
        [bodies(world)[0]], world.engine, node={"handle_tool_errors": handled}, **MAPPING
    )
    calls = [call(501), {**call(80), "id": "c-2"}, {**call(1), "id": "c-3", "name": "nothing"}]
    graph = StateGraph(MessagesState)
    graph.add_node("tools", node)
    graph.add_edge(START, "tools")
    start = {"messages": [AIMessage("", tool_calls=calls)]}
    with world.engine.acting(world.grant()):
        for state in (graph.compile().invoke(start), asyncio.run(graph.compile().ainvoke(start))):
            answers = [m for m in state["messages"] if isinstance(m, ToolMessage)]
            assert [m.status for m in answers] == ["error", "success", "error"]
            assert "no tool `nothing`" in str(answers[2].content)
    assert world.ran == [("a-1", 80)] * 2
    assert world.effects(tool="nothing") == ["deny", "deny"]


def streaming(world: World) -> BaseTool:
    @tool
    def transfer(account: str, amount: int) -> str:
        """Transfer money."""
        write = get_stream_writer()
        for part in range(3):
            write({"part": part})
        return f"paid {amount}"

    return transfer


def plain(event: Any) -> Any:
    """What is streamed, without ids that differ from run to run."""
    mode, payload = event
    if mode == "custom":
        return mode, payload
    if mode == "messages":
        return mode, type(payload[0]).__name__, payload[0].content
    return mode, [(node, [m.content for m in u["messages"]]) for node, u in payload.items()]


async def collected(stream: Any) -> list[Any]:
    return [plain(event) async for event in stream]


def test_what_streams_without_the_guard_streams_with_it(world: World) -> None:
    script = Script(turns=[[pay(80)]])
    middleware = AnswerableMiddleware(world.engine, **MAPPING)
    (governed,) = govern_tools([streaming(world)], **MAPPING)
    agents = [
        create_agent(script, [streaming(world)]),
        create_agent(script, [streaming(world)], middleware=[middleware]),
        create_agent(script, [governed]),
    ]
    modes = {"stream_mode": ["updates", "custom", "messages"]}
    start = {"messages": [("user", "go")]}
    with world.engine.acting(world.grant()):
        bare, *others = [[plain(e) for e in agent.stream(start, **modes)] for agent in agents]
        assert {"part": 2} in [event[1] for event in bare]
        assert others == [bare, bare]
        abare, *aothers = [asyncio.run(collected(a.astream(start, **modes))) for a in agents]
        assert aothers == [abare, abare]


async def test_events_of_a_governed_tool_are_those_of_the_bare_one(world: World) -> None:
    bare = synchronous(world)
    (governed,) = govern_tools([bare], **MAPPING)

    async def events(tool: BaseTool) -> list[Any]:
        seen = tool.astream_events(args(80), version="v2")
        return [(e["event"], e["name"], e["data"]) async for e in seen]

    with world.engine.acting(world.grant()):
        assert await events(governed) == await events(bare)


def test_a_tool_that_middleware_hands_over_at_the_call_is_governed(world: World) -> None:
    """LangChain's way to add tools while an agent runs: named by no list, found by middleware."""
    from langchain.agents.middleware import AgentMiddleware

    handed = synchronous(world)

    class Dynamic(AgentMiddleware):
        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(tool=handed))

    guard = AnswerableMiddleware(world.engine, **MAPPING)
    script = Script(turns=[[pay(501)], [pay(80)]])
    listed = Tool(name="look", description="Look.", func=str)
    agent = create_agent(script, [listed], middleware=[Dynamic(), guard])
    with world.engine.acting(world.grant()):
        state = agent.invoke({"messages": [("user", "go")]})
    statuses = [m.status for m in state["messages"] if isinstance(m, ToolMessage)]
    assert statuses == ["error", "success"]
    assert world.ran == [("a-1", 80)]


@pytest.mark.parametrize("use_async", [False, True], ids=["invoke", "ainvoke"])
def test_a_tool_at_the_provider_is_refused_unless_it_is_allowed_by_name(
    world: World, use_async: bool
) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    start = {"messages": [("user", "go")]}

    def run(**options: Any) -> Any:
        guard = AnswerableMiddleware(world.engine, **options)
        agent = create_agent(Script(turns=[]), [search], middleware=[guard])
        return asyncio.run(agent.ainvoke(start)) if use_async else agent.invoke(start)

    with world.engine.acting(world.grant()):
        with pytest.raises(ans.AccessDenied) as caught:
            run()
        assert caught.value.code == "ungoverned_tool"
        run(ungoverned=["web_search"])
    assert world.effects(tool="web_search") == ["deny"]
