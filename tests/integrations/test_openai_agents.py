"""The OpenAI Agents SDK: agents, handoffs, agents as tools, MCP servers, and the ways around."""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from typing import Any

import pytest
from agents import (
    Agent,
    CodeInterpreterTool,
    FunctionTool,
    RunConfig,
    Runner,
    RunState,
    WebSearchTool,
    function_tool,
    handoff,
    set_tracing_disabled,
)
from agents.mcp import MCPServer
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.tool_context import ToolContext
from mcp.types import CallToolResult, Tool
from payments import CAPPED, RULES, World, approve, asking, kinds, pay

import answerable as ans
from answerable.integrations.openai_agents import govern_agent, govern_tool

set_tracing_disabled(True)
MODES = ["run", "run_sync", "run_streamed"]
modes = pytest.mark.parametrize("mode", MODES)


def script(*turns: list[tuple[str, Any]]) -> ScriptedModel:
    steps: list[Any] = [
        [function_call(name, args, call_id=uuid.uuid4().hex) for name, args in turn]
        for turn in turns
    ]
    return ScriptedModel([*steps, [assistant_message("done")]])


def agent(tools: list[Any], *turns: Any, name: str = "planner", **options: Any) -> Agent[Any]:
    return Agent(name=name, tools=tools, model=script(*turns), **options)


def told(result: Any) -> list[str]:
    """What the model was told of each call."""
    outputs = [item for item in result.new_items if item.type == "tool_call_output_item"]
    return [str(item.output) for item in outputs]


def go(mode: str, agent: Any, start: Any = "go", **options: Any) -> Any:
    if mode == "run_sync":
        return Runner.run_sync(agent, start, **options)

    async def run() -> Any:
        if mode == "run":
            return await Runner.run(agent, start, **options)
        result = Runner.run_streamed(agent, start, **options)
        async for _ in result.stream_events():
            pass
        return result

    return asyncio.run(run())


def tool(function: Any, **options: Any) -> FunctionTool:
    return function_tool(function, **options)


TRANSFER = ("transfer", pay(80))
TOO_MUCH = ("transfer", pay(501))


# --------------------------------------------------------------------------- the contract


@modes
@kinds
def test_what_the_grant_allows_runs_and_nothing_else(world: World, make: Any, mode: str) -> None:
    planner = govern_agent(agent([tool(make(world))], [TOO_MUCH], [TRANSFER]), **RULES)
    with world.engine.acting(world.grant()):
        result = go(mode, planner)
    refused, paid = told(result)
    assert refused.startswith("`pay.transfer` was not allowed")
    assert "at most 500" in refused
    assert paid == "paid 80"
    assert result.final_output == "done", "the run goes on"
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["deny", "allow"]


@kinds
def test_without_an_authority_nothing_runs(world: World, make: Any) -> None:
    planner = govern_agent(agent([tool(make(world))], [TRANSFER]), **RULES)
    (refused,) = told(go("run", planner))
    assert "no grant is in force" in refused
    assert world.ran == []
    assert world.effects() == ["deny"]


@kinds
def test_a_denial_ends_the_run_where_that_was_chosen(world: World, make: Any) -> None:
    planner = govern_agent(agent([tool(make(world))], [TOO_MUCH]), on_denied="raise", **RULES)
    with world.engine.acting(world.grant()), pytest.raises(Exception, match="at most 500"):
        go("run", planner)
    assert world.ran == []


@kinds
def test_parallel_calls_cannot_pass_one_limit(world: World, make: Any) -> None:
    calls = [("transfer", pay(n)) for n in range(8)]
    planner = govern_agent(agent([tool(make(world))], calls), **RULES)
    three = ans.allow("pay.transfer", limits=[ans.calls(3)])
    with world.engine.acting(world.grant(three)):
        answers = told(go("run", planner))
    assert sum("not allowed" in answer for answer in answers) == 5
    assert len(world.ran) == 3


def test_the_error_of_a_tool_is_left_alone(world: World) -> None:
    def transfer(account: str, amount: int) -> str:
        raise ZeroDivisionError("the bank is closed")

    for options in ({}, {"failure_error_function": lambda ctx, error: f"<{error}>"}):
        bare = told(go("run", agent([tool(transfer, **options)], [TRANSFER])))
        planner = govern_agent(agent([tool(transfer, **options)], [TRANSFER]), **RULES)
        with world.engine.acting(world.grant()):
            assert told(go("run", planner)) == bare
    raising = govern_agent(
        agent([tool(transfer, failure_error_function=None)], [TRANSFER]), **RULES
    )
    with world.engine.acting(world.grant()), pytest.raises(Exception, match="the bank is closed"):
        go("run", raising)
    assert world.effects() == ["allow"] * 3


def test_a_closed_engine_denies(world: World) -> None:
    planner = govern_agent(agent([tool(world.transfer())], [TRANSFER]), world.engine, **RULES)
    grant = world.grant()
    handle = grant.handle()
    with world.engine.acting(grant):
        world.engine.close()
        (refused,) = told(go("run", planner))
    assert "closed" in refused
    again = govern_agent(agent([tool(world.transfer())], [TRANSFER]), world.engine, **RULES)
    assert "paid" not in told(go("run", again, context={"answerable": handle}))[0]
    assert world.ran == []


def test_an_unknown_tool_runs_nothing(world: World) -> None:
    planner = govern_agent(agent([tool(world.transfer())], [("everything", {})]), **RULES)
    with world.engine.acting(world.grant(ans.allow("**"))), pytest.raises(Exception, match="every"):
        go("run", planner)
    assert world.ran == []


def test_arguments_are_judged_as_the_model_wrote_them(world: World) -> None:
    for arguments in ("not json", "[1]", json.dumps(pay("80")), '{"account":"a-1"}'):
        planner = govern_agent(agent([tool(world.transfer())], [("transfer", arguments)]), **RULES)
        with world.engine.acting(world.grant()):
            assert "paid" not in str(told(go("run", planner)))
    twice = '{"account":"a-1","amount":1,"amount":501}'
    planner = govern_agent(agent([tool(world.transfer())], [("transfer", twice)]), **RULES)
    with world.engine.acting(world.grant()):
        assert "at most 500" in told(go("run", planner))[0]
    assert world.ran == []


def test_two_runs_with_two_authorities_do_not_mix(world: World) -> None:
    grants = [world.grant(human=human) for human in (world.alice, world.bob)]

    async def one(n: int) -> None:
        own = ("transfer", pay(n, f"a-{n % 2}"))
        planner = govern_agent(agent([tool(world.transfer())], [own]), **RULES)
        with world.engine.acting(grants[n % 2]):
            await Runner.run(planner, "go")

    async def many() -> None:
        await asyncio.gather(*(one(n) for n in range(10)))

    asyncio.run(many())
    for n, human in enumerate((world.alice, world.bob)):
        entries = world.engine.trail.entries(human=human.account, kind="decision")
        assert {e.resource for e in entries} == {f"account/a-{n}"}
        assert len(entries) == 5


# -------------------------------------------------------------------------- other agents

NARROW = {"agents": {"payer": "payer"}, **RULES}


@modes
def test_after_a_handoff_the_other_agent_acts_under_a_narrowed_grant(
    world: World, mode: str
) -> None:
    for make in (lambda payer: payer, handoff):
        payer = agent([tool(world.transfer())], [TRANSFER], [TOO_MUCH], name="payer")
        planner = agent(
            [tool(world.transfer())], [("transfer_to_payer", {})], handoffs=[make(payer)]
        )
        govern_agent(planner, world.engine, **NARROW)
        scope = [CAPPED, ans.allow("files.*")]
        with world.engine.acting(world.grant(*scope, max_depth=1)):
            paid, refused = told(go(mode, planner))[-2:]
        assert paid == "paid 80"
        assert "at most 500" in refused
    entries = world.engine.trail.entries(tool="pay.transfer")
    assert {e.agent for e in entries} == {world.payer.id}
    assert "files.* was not passed on" in str(world.engine.trail.story(entries[0]))


def test_an_agent_as_a_tool_acts_under_a_narrowed_grant(world: World) -> None:
    payer = agent([tool(world.transfer())], [TRANSFER, TOO_MUCH], name="payer")
    ask = payer.as_tool("ask_payer", "Have it paid.")
    planner = govern_agent(agent([ask], [("ask_payer", {"input": "pay"})]), world.engine, **NARROW)
    with world.engine.acting(world.grant(CAPPED, ans.allow("ask_payer"), max_depth=1)):
        go("run", planner)
    assert world.ran == [("a-1", 80)]
    entries = world.engine.trail.entries(tool="pay.transfer")
    assert {e.agent for e in entries} == {world.payer.id}
    assert sorted(world.effects()) == ["allow", "deny"]
    assert world.effects("ask_payer") == ["allow"]
    assert len(world.engine.trail.entries(kind="grant", agent="payer")) == 1


def test_without_a_name_in_agents_it_acts_under_the_grant_in_force(world: World) -> None:
    payer = agent([tool(world.transfer())], [TRANSFER, TOO_MUCH], name="payer")
    planner = agent([payer.as_tool("ask_payer", "Ask.")], [("ask_payer", {"input": "pay"})])
    govern_agent(planner, **RULES)
    with world.engine.acting(world.grant(CAPPED, ans.allow("ask_payer"))):
        go("run", planner)
    assert world.ran == [("a-1", 80)]
    assert {e.agent for e in world.engine.trail.entries(tool="pay.transfer")} == {world.planner.id}


def test_an_agent_that_cannot_be_given_a_grant_is_refused_readably(world: World) -> None:
    payer = agent([tool(world.transfer())], [TRANSFER], name="payer")
    planner = agent([], [("transfer_to_payer", {})], handoffs=[payer])
    govern_agent(planner, world.engine, **NARROW)
    for grant in (world.grant(CAPPED), world.grant(ans.allow("files.*"), max_depth=1)):
        payer.model, planner.model = script([TRANSFER]), script([("transfer_to_payer", {})])
        with world.engine.acting(grant):
            assert "cannot act" in told(go("run", planner))[-1]
    assert world.ran == []


def test_agents_that_hand_over_to_each_other_are_all_governed(world: World) -> None:
    one = agent([tool(world.transfer())], [TRANSFER], name="one")
    two = agent([tool(world.transfer())], [TRANSFER], name="two", handoffs=[one])
    one.handoffs.append(two)
    govern_agent(one, **RULES)
    for each in (one, two):
        go("run", each)
    assert world.ran == []


# -------------------------------------------------------------------------------- MCP


class Far(MCPServer):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    @property
    def name(self) -> str:
        return "far"

    async def connect(self) -> None: ...

    async def cleanup(self) -> None: ...

    async def list_tools(self, *args: Any, **kwargs: Any) -> list[Any]:
        schema = {"type": "object", "properties": {"path": {"type": "string"}}}
        given = {"name": "read", "inputSchema": schema, "description": "Read."}
        return [Tool.model_validate(given)]

    async def call_tool(self, tool_name: str, arguments: Any, meta: Any = None) -> Any:
        self._world.ran.append((tool_name, arguments))
        content = [{"type": "text", "text": f"read {arguments['path']}"}]
        return CallToolResult.model_validate({"content": content})

    async def list_prompts(self) -> Any: ...

    async def get_prompt(self, name: str, arguments: Any = None) -> Any: ...


def test_the_tools_of_a_server_are_governed_under_a_prefix(world: World) -> None:
    calls = [("read", {"path": "a"}), ("read", {"path": "b"})]
    planner = govern_agent(agent([], calls, mcp_servers=[Far(world)]), world.engine)
    scope = ans.allow("mcp.read", where={"path": ans.equals("a")})
    with world.engine.acting(world.grant(scope)):
        answers = told(go("run", planner))
    assert "read a" in answers[0]
    assert "not allowed" in answers[1]
    assert world.ran == [("read", {"path": "a"})]
    assert world.effects("mcp.read") == ["allow", "deny"]


# ---------------------------------------------------------------------------- ways around


@pytest.mark.parametrize(
    "hosted",
    [
        WebSearchTool(),
        CodeInterpreterTool(
            tool_config={"type": "code_interpreter", "container": {"type": "auto"}}
        ),
    ],
)
def test_what_cannot_be_governed_is_refused_unless_it_is_allowed_by_name(
    world: World, hosted: Any
) -> None:
    with pytest.raises(ans.InvalidInput, match="where no guard sees it"):
        govern_agent(agent([hosted]))
    inner = agent([hosted], name="inner")
    for outer in (agent([], handoffs=[inner]), agent([inner.as_tool("ask", "Ask.")])):
        with pytest.raises(ans.InvalidInput, match="where no guard sees it"):
            govern_agent(outer)
    govern_agent(agent([hosted]), ungoverned=[hosted.name])
    later = govern_agent(agent([tool(world.transfer())], [TRANSFER]))
    later.tools.append(hosted)
    with pytest.raises(ans.InvalidInput):
        go("run", later)


def test_shells_and_patches_are_refused(world: World) -> None:
    from agents import ApplyPatchTool, ShellTool

    shell = ShellTool(executor=lambda request: "ran")
    patch = ApplyPatchTool(editor=object())  # type: ignore[arg-type]
    for each in (shell, patch):
        with pytest.raises(ans.InvalidInput, match="where no guard sees it"):
            govern_agent(agent([each]))


@kinds
def test_tools_that_come_later_are_governed(world: World, make: Any) -> None:
    planner = govern_agent(agent([], [TRANSFER]), **RULES)
    planner.tools.append(tool(make(world)))
    with world.engine.acting(world.grant(ans.allow("files.*"))):
        assert "not allowed" in told(go("run", planner))[0]
    assert world.ran == []


@kinds
def test_no_copy_of_a_governed_tool_or_agent_loses_its_guard(world: World, make: Any) -> None:
    from agents import tool_namespace

    planner = govern_agent(agent([tool(make(world))], [TOO_MUCH]), **RULES)
    (governed,) = planner.tools
    copies = [
        governed,
        copy.copy(governed),
        govern_tool(tool(make(world)), **RULES),
        *tool_namespace(name="bank", description="A bank.", tools=[governed]),
        *planner.clone(name="clone").tools,
    ]

    async def invoke(each: FunctionTool) -> Any:
        text = json.dumps({**pay(501), "memo": ""})
        context = ToolContext(
            context=None, tool_name=each.name, tool_call_id="c", tool_arguments=text
        )
        return await each.on_invoke_tool(context, text)

    with world.engine.acting(
        world.grant(
            ans.allow(
                "pay.transfer",
                where={"account": ans.any_(), "amount": ans.at_most(500), "memo": ans.any_()},
            )
        )
    ):
        for each in copies:
            assert "at most 500" in str(asyncio.run(invoke(each)))
        result = go("run", planner.clone(model=script([TOO_MUCH])))
        assert "at most 500" in told(result)[0]
    assert world.ran == []


def test_nothing_of_a_tool_is_changed(world: World) -> None:
    bare = tool(world.transfer())
    governed = govern_tool(bare)
    for fact in ("name", "description", "params_json_schema", "strict_json_schema", "is_enabled"):
        assert getattr(governed, fact) == getattr(bare, fact)
    assert not hasattr(governed, "__wrapped__"), "nobody takes the bare function out of it"


def test_governing_twice_judges_once(world: World) -> None:
    planner = govern_agent(agent([tool(world.transfer())], [TRANSFER]), **RULES)
    govern_agent(planner, **RULES)
    with world.engine.acting(world.grant()):
        go("run", planner)
    assert world.effects() == ["allow"]


def test_what_is_no_agent_or_tool_is_refused() -> None:
    with pytest.raises(ans.InvalidInput):
        govern_agent(object())
    with pytest.raises(ans.InvalidInput):
        govern_tool(WebSearchTool())


# ---------------------------------------------------------------------- context and pauses


def test_the_runs_context_holds_a_handle_and_nothing_else(world: World) -> None:
    """The SDK writes the context of a paused run down, in clear."""
    grant = world.grant()

    def run(context: Any) -> str:
        planner = govern_agent(agent([tool(world.transfer())], [TRANSFER]), world.engine, **RULES)
        return told(go("run", planner, context=context))[0]

    class Held:
        answerable = grant.handle()

    assert run({"answerable": grant.handle()}) == "paid 80"
    assert run(Held()) == "paid 80"
    assert run(None) != "paid 80"
    for wrong in (grant, grant.token, grant.id, "hdl_" + "a" * 26, 7):
        assert "not allowed" in run({"answerable": wrong})
    with world.engine.acting(world.grant()):
        assert "not allowed" in run({"answerable": grant.handle()}), "unrelated chains"
    assert world.ran == [("a-1", 80)] * 2


@pytest.mark.parametrize("revoked", [False, True])
def test_a_paused_call_is_judged_when_it_goes_on(world: World, revoked: bool) -> None:
    paused_tool = tool(world.transfer(), needs_approval=True)
    grant = world.grant()
    context = {"answerable": grant.handle()}

    def planner(*turns: Any) -> Any:
        made = agent([tool(world.transfer(), needs_approval=True)], *turns)
        return govern_agent(made, world.engine, **RULES)

    assert paused_tool.needs_approval

    async def run() -> Any:
        first = await Runner.run(planner([TRANSFER]), "go", context=context)
        assert len(first.interruptions) == 1
        assert world.effects() == []
        kept = first.to_state().to_string()
        for hop in grant.token.replace("~", " ").split():
            assert hop not in kept
        assert grant.digest not in kept
        if revoked:
            world.engine.revoke(grant, reason="second thoughts")
        again = planner()
        state = await RunState.from_string(again, kept)
        for item in state.get_interruptions():
            state.approve(item)
        return await Runner.run(again, state, run_config=RunConfig())

    answers = told(asyncio.run(run()))
    if revoked:
        assert "revoked" in answers[-1]
        assert (world.ran, world.effects()) == ([], ["deny"])
    else:
        assert answers[-1] == "paid 80"
        assert (world.ran, world.effects()) == ([("a-1", 80)], ["allow"])


def test_neither_span_nor_log_holds_the_chain(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    from agents.tracing import add_trace_processor, set_trace_processors
    from agents.tracing.processor_interface import TracingProcessor

    seen: list[Any] = []

    class Keeps(TracingProcessor):
        def on_trace_start(self, trace: Any) -> None: ...
        def on_trace_end(self, trace: Any) -> None: ...
        def on_span_start(self, span: Any) -> None: ...
        def on_span_end(self, span: Any) -> None:
            seen.append(span.export())

        def shutdown(self) -> None: ...
        def force_flush(self) -> None: ...

    caplog.set_level("DEBUG")
    set_tracing_disabled(False)
    set_trace_processors([Keeps()])
    try:
        grant = world.grant()
        planner = govern_agent(
            agent([tool(world.transfer())], [TRANSFER, TOO_MUCH]), world.engine, **RULES
        )
        with world.engine.acting(grant):
            go("run", planner)
    finally:
        set_tracing_disabled(True)
        set_trace_processors([])
        del add_trace_processor
    assert "paid 80" in repr(seen), "the test looks where the SDK writes"
    for text in (repr(seen), caplog.text):
        assert grant.token not in text
        assert grant.digest not in text


@kinds
def test_a_call_that_asks_is_told_and_runs_once_it_is_approved(world: World, make: Any) -> None:
    function = make(world)
    make = lambda _: function  # noqa: E731 - one function, two agents.
    asking(world)
    grant = world.grant()
    with world.engine.acting(grant):
        assert (
            "needs a human's approval"
            in told(go("run", govern_agent(agent([tool(make(world))], [TRANSFER]), **RULES)))[0]
        )
        assert world.ran == []
    approve(world)
    with world.engine.acting(grant):
        assert told(go("run", govern_agent(agent([tool(make(world))], [TRANSFER]), **RULES))) == [
            "paid 80"
        ]
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["ask", "allow"]
