"""PydanticAI: agents, toolsets, deferred tools, and the ways around."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import Any

import pytest
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Span, Tracer, TracerProvider
from payments import CAPPED, RULES, World, approve, asking, kinds, pay
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, RunContext, Tool
from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.exceptions import ApprovalRequired
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.toolsets import FunctionToolset

import answerable as ans
from answerable.integrations.pydantic_ai import Answerable, govern_toolset

TRANSFER = ("transfer", pay(80))
TOO_MUCH = ("transfer", pay(501))
MODES = ["run_sync", "run", "run_stream", "iter"]
modes = pytest.mark.parametrize("mode", MODES)


def script(*turns: list[tuple[str, Any]]) -> FunctionModel:
    """Makes these calls, one list a turn, then says that it is done."""

    def turn_of(messages: Any) -> int:
        return sum(isinstance(message, ModelResponse) for message in messages)

    def answer(messages: Any, info: Any) -> ModelResponse:
        turn = turn_of(messages)
        if turn >= len(turns):
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(name, args) for name, args in turns[turn]])

    async def stream(messages: Any, info: Any) -> Any:
        turn = turn_of(messages)
        if turn >= len(turns):
            yield "done"
        else:
            yield {
                i: DeltaToolCall(name, json.dumps(args) if not isinstance(args, str) else args)
                for i, (name, args) in enumerate(turns[turn])
            }

    return FunctionModel(answer, stream_function=stream)


def agent(tools: list[Any], *turns: Any, guard: Any = None, **options: Any) -> Agent[Any, Any]:
    guards = [guard if guard is not None else Answerable(**RULES)]
    extra = options.pop("beside", [])
    return Agent(script(*turns), tools=tools, capabilities=[*extra, *guards], **options)


def go(mode: str, agent: Any, **options: Any) -> list[str]:
    """Runs to the end and answers what the model was told of each call."""
    if mode == "run_sync":
        messages = agent.run_sync("go", **options).all_messages()
    else:
        messages = asyncio.run(later(mode, agent, **options))
    parts = [part for message in messages for part in message.parts]
    assert "done" in [p.content for p in parts if isinstance(p, TextPart)], "the run went on"
    return [
        str(part.content)
        for part in parts
        if part.part_kind in ("tool-return", "retry-prompt") and part.tool_name
    ]


async def later(mode: str, agent: Any, **options: Any) -> Any:
    if mode == "run":
        return (await agent.run("go", **options)).all_messages()
    if mode == "run_stream":
        async with agent.run_stream("go", **options) as result:
            await result.get_output()
            return result.all_messages()
    async with agent.iter("go", **options) as run:
        async for _ in run:
            pass
        return run.result.all_messages()


# --------------------------------------------------------------------------- the contract


@modes
@kinds
def test_what_the_grant_allows_runs_and_nothing_else(world: World, make: Any, mode: str) -> None:
    planner = agent([make(world)], [TOO_MUCH], [TRANSFER])
    with world.engine.acting(world.grant()):
        refused, paid = go(mode, planner)
    assert refused.startswith("`pay.transfer` was not allowed")
    assert "at most 500" in refused
    assert paid == "paid 80"
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["deny", "allow"]


@kinds
def test_without_an_authority_nothing_runs(world: World, make: Any) -> None:
    (refused,) = go("run_sync", agent([make(world)], [TRANSFER]))
    assert "no grant is in force" in refused
    assert (world.ran, world.effects()) == ([], ["deny"])


@kinds
def test_a_denial_ends_the_run_where_that_was_chosen(world: World, make: Any) -> None:
    planner = agent([make(world)], [TOO_MUCH], guard=Answerable(on_denied="raise", **RULES))
    with world.engine.acting(world.grant()), pytest.raises(ans.AccessDenied) as caught:
        go("run_sync", planner)
    assert caught.value.decision.effect == "deny"
    assert world.ran == []


@kinds
def test_parallel_calls_cannot_pass_one_limit(world: World, make: Any) -> None:
    planner = agent([make(world)], [("transfer", pay(n)) for n in range(8)])
    with world.engine.acting(world.grant(ans.allow("pay.transfer", limits=[ans.calls(3)]))):
        answers = go("run", planner)
    assert sum("not allowed" in answer for answer in answers) == 5
    assert len(world.ran) == 3


def test_the_judged_arguments_are_those_the_body_receives(world: World) -> None:
    planner = agent([world.transfer()], [("transfer", pay("501"))], [("transfer", pay("80"))])
    with world.engine.acting(world.grant()):
        refused, paid = go("run_sync", planner)
    assert "is 501;" in refused
    assert paid == "paid 80"
    memo = agent([world.transfer()], [("transfer", {**pay(80), "memo": "psst"})])
    with world.engine.acting(world.grant()):
        assert "`memo`" in go("run_sync", memo)[0]
    assert world.ran == [("a-1", 80)]


def test_the_error_of_a_tool_is_left_alone(world: World) -> None:
    def transfer(account: str, amount: int) -> str:
        raise ZeroDivisionError("the bank is closed")

    with world.engine.acting(world.grant()), pytest.raises(ZeroDivisionError):
        go("run_sync", agent([transfer], [TRANSFER]))
    (entry,) = world.engine.trail.entries(tool="pay.transfer")
    assert (entry.effect, entry.outcome) == ("allow", "raised")


def test_a_closed_engine_denies(world: World) -> None:
    guard = Answerable(world.engine, **RULES)
    grant = world.grant()
    handle = grant.handle()
    with world.engine.acting(grant):
        world.engine.close()
        (refused,) = go("run_sync", agent([world.transfer()], [TRANSFER], guard=guard))
    assert "closed" in refused
    planner = agent([world.transfer()], [TRANSFER], guard=guard)
    assert "paid" not in go("run_sync", planner, deps={"answerable": handle})[0]
    assert world.ran == []


def test_an_unknown_tool_runs_nothing(world: World) -> None:
    planner = agent([world.transfer()], [("everything", {})])
    with world.engine.acting(world.grant(ans.allow("**"))):
        (told,) = go("run_sync", planner)
    assert "everything" in told
    assert world.ran == []


def test_two_runs_with_two_authorities_do_not_mix(world: World) -> None:
    grants = [world.grant(human=human) for human in (world.alice, world.bob)]

    async def one(n: int) -> None:
        planner = agent([world.transfer()], [("transfer", pay(n, f"a-{n % 2}"))])
        with world.engine.acting(grants[n % 2]):
            await planner.run("go")

    async def many() -> None:
        await asyncio.gather(*(one(n) for n in range(10)))

    asyncio.run(many())
    for n, human in enumerate((world.alice, world.bob)):
        entries = world.engine.trail.entries(human=human.account, kind="decision")
        assert {e.resource for e in entries} == {f"account/a-{n}"}
        assert len(entries) == 5


def test_two_threads_with_two_authorities_do_not_mix(world: World) -> None:
    grants = [world.grant(human=human) for human in (world.alice, world.bob)]
    barrier = threading.Barrier(2)

    def work(n: int) -> None:
        planner = agent([world.transfer()], [("transfer", pay(n, f"a-{n}"))] * 3)
        barrier.wait()
        with world.engine.acting(grants[n]):
            planner.run_sync("go")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n, human in enumerate((world.alice, world.bob)):
        entries = world.engine.trail.entries(human=human.account, kind="decision")
        assert [e.resource for e in entries] == [f"account/a-{n}"] * 3


# ------------------------------------------------------------------- the authority of a run


def test_what_the_run_depends_on_holds_the_authority(world: World) -> None:
    guard = Answerable(world.engine, **RULES)
    grant = world.grant()

    class Deps:
        answerable = grant

    def run(deps: Any) -> str:
        return go("run_sync", agent([world.transfer()], [TRANSFER], guard=guard), deps=deps)[0]

    for deps in ({"answerable": grant}, {"answerable": grant.handle()}, Deps()):
        assert run(deps) == "paid 80"
    for wrong in (grant.token, grant.id, "hdl_" + "a" * 26, 7):
        assert "not allowed" in run({"answerable": wrong})
    with world.engine.acting(world.grant()):
        assert "not allowed" in run({"answerable": grant}), "unrelated chains"
    assert world.ran == [("a-1", 80)] * 3


# -------------------------------------------------------------------------- other agents


def delegating(world: World, payer: Any) -> Any:
    async def ask_payer(ctx: RunContext[Any], request: str) -> str:
        """Have it paid."""
        return str((await payer.run(request, deps=ctx.deps)).output)

    return ask_payer


@modes
def test_an_agent_in_a_tool_acts_under_a_narrowed_grant(world: World, mode: str) -> None:
    guard = Answerable(world.engine, agent="payer", **RULES)
    payer = agent([world.transfer()], [TRANSFER, TOO_MUCH], guard=guard)
    planner = agent([delegating(world, payer)], [("ask_payer", {"request": "pay"})])
    scope = [CAPPED, ans.allow("files.*"), ans.allow("ask_payer")]
    grant = world.grant(*scope, max_depth=1)
    with world.engine.acting(grant):
        go(mode, planner, deps={"answerable": grant})
    assert world.ran == [("a-1", 80)]
    entries = world.engine.trail.entries(tool="pay.transfer")
    assert {e.agent for e in entries} == {world.payer.id}
    assert sorted(world.effects()) == ["allow", "deny"]
    assert "files.* was not passed on" in str(world.engine.trail.story(entries[0]))
    assert len(world.engine.trail.entries(kind="grant", agent="payer")) == 1


def test_an_agent_that_cannot_be_given_a_grant_is_refused_readably(world: World) -> None:
    guard = Answerable(world.engine, agent="payer", **RULES)
    for grant in (world.grant(CAPPED), world.grant(ans.allow("files.*"), max_depth=1)):
        with world.engine.acting(grant):
            (told,) = go("run_sync", agent([world.transfer()], [TRANSFER], guard=guard))
        assert "cannot act" in told
    assert world.ran == []


# ---------------------------------------------------------------------------- ways around


@kinds
def test_a_toolset_may_be_governed_by_itself(world: World, make: Any) -> None:
    toolset = govern_toolset(FunctionToolset([make(world)]), **RULES)
    planner = Agent(script([TOO_MUCH], [TRANSFER]), toolsets=[toolset])
    with world.engine.acting(world.grant()):
        refused, paid = go("run_sync", planner)
    assert "at most 500" in refused
    assert paid == "paid 80"
    assert world.effects() == ["deny", "allow"]


@kinds
def test_every_way_to_give_an_agent_a_tool_is_governed(world: World, make: Any) -> None:
    def later() -> Any:
        planner = agent([], [TRANSFER])
        planner.tool_plain(make(world))
        return planner, {}

    def with_context() -> Any:
        planner = agent([], [TRANSFER])

        @planner.tool
        def transfer(ctx: RunContext[Any], account: str, amount: int) -> str:
            world.ran.append("ran")
            return "paid"

        return planner, {}

    ways = {
        "tools": lambda: (agent([make(world)], [TRANSFER]), {}),
        "Tool": lambda: (agent([Tool(make(world))], [TRANSFER]), {}),
        "toolset": lambda: (agent([], [TRANSFER], toolsets=[FunctionToolset([make(world)])]), {}),
        "of the run": lambda: (
            agent([], [TRANSFER]),
            {"toolsets": [FunctionToolset([make(world)])]},
        ),
        "decorator": later,
        "with context": with_context,
    }
    for name, way in ways.items():
        planner, options = way()
        with world.engine.acting(world.grant(ans.allow("files.*"))):
            assert "not allowed" in go("run_sync", planner, **options)[0], name
    planner = agent([make(world)], [TRANSFER])
    with planner.override(tools=[make(world)]):
        assert "not allowed" in go("run_sync", planner)[0]
    bare = Agent(script([TRANSFER]), tools=[world.transfer()])
    assert "not allowed" in go("run_sync", bare, capabilities=[Answerable(**RULES)])[0]
    assert world.ran == []


def test_a_prefixed_or_renamed_tool_goes_by_the_name_it_has(world: World) -> None:
    toolset = FunctionToolset([world.transfer()]).prefixed("bank")
    rules = {
        "names": {"bank_transfer": "pay.transfer"},
        "resources": {"bank_transfer": "account/{account}"},
    }
    calls = [("bank_transfer", pay(501))], [("bank_transfer", pay(80))]
    planner = agent([], *calls, toolsets=[toolset], guard=Answerable(**rules))
    with world.engine.acting(world.grant()):
        refused, paid = go("run_sync", planner)
    assert "at most 500" in refused
    assert paid == "paid 80"


def test_what_another_capability_changes_is_judged_as_it_then_is(world: World) -> None:
    """`before_tool_execute` of others runs within `wrap_tool_execute`: the guard stands below."""

    class Raises(AbstractCapability[Any]):
        async def before_tool_execute(self, ctx: Any, **facts: Any) -> Any:
            return {**facts["args"], "amount": 501}

        async def wrap_tool_execute(self, ctx: Any, **facts: Any) -> Any:
            return await facts["handler"]({**facts["args"], "account": "a-2"})

    for order in (lambda guard: [Raises(), guard], lambda guard: [guard, Raises()]):
        guards = order(Answerable(**RULES))
        planner = Agent(script([TRANSFER]), tools=[world.transfer()], capabilities=guards)
        with world.engine.acting(world.grant()):
            (told,) = go("run_sync", planner)
        assert "is 501;" in told
    assert world.ran == []
    assert {e.resource for e in world.engine.trail.entries(tool="pay.transfer")} == {"account/a-2"}


def test_a_native_tool_is_refused_unless_it_is_allowed_by_name(world: World) -> None:
    from pydantic_ai.models.test import TestModel
    from pydantic_ai.native_tools import WebSearchTool

    class Searching(AbstractCapability[Any]):
        def get_native_tools(self) -> Any:
            return [WebSearchTool()]

    def run(**options: Any) -> Any:
        guards = [Searching(), Answerable(world.engine, **options)]
        return Agent(TestModel(), capabilities=guards).run_sync("go")

    refused = pytest.raises(ans.AccessDenied, match="where no guard sees it")
    with world.engine.acting(world.grant()), refused:
        run()
    assert world.reasons("web_search") == ["ungoverned_tool"]
    with pytest.raises(Exception, match="TestModel"):  # Which has none: it was asked.
        run(ungoverned=["web_search"])


# ------------------------------------------------------------------------ deferred tools


@pytest.mark.parametrize("revoked", [False, True])
def test_a_call_that_waits_for_approval_is_judged_when_it_goes_on(
    world: World, revoked: bool
) -> None:
    def made() -> Any:
        waiting = Tool(world.transfer(), requires_approval=True)
        return agent([waiting], [TRANSFER], output_type=[str, DeferredToolRequests])

    grant = world.grant()
    with world.engine.acting(grant):
        first = made().run_sync("go")
        assert isinstance(first.output, DeferredToolRequests)
        assert world.effects() == []
        kept = ModelMessagesTypeAdapter.dump_json(first.all_messages()).decode()
        assert grant.token not in kept
        assert grant.digest not in kept
        if revoked:
            world.engine.revoke(grant, reason="second thoughts")
        results = DeferredToolResults(
            approvals={call.tool_call_id: True for call in first.output.approvals}
        )
        history = ModelMessagesTypeAdapter.validate_json(kept)
        second = made().run_sync(message_history=history, deferred_tool_results=results)
    parts = [part for message in second.all_messages() for part in message.parts]
    told = [str(p.content) for p in parts if isinstance(p, ToolReturnPart)]
    if revoked:
        assert "revoked" in told[-1]
        assert (world.ran, world.effects()) == ([], ["deny"])
    else:
        assert told[-1] == "paid 80"
        assert (world.ran, world.effects()) == ([("a-1", 80)], ["allow"])


@pytest.mark.parametrize("mode", ["run_sync", "run_stream"])
def test_neither_message_nor_span_nor_log_holds_the_chain(
    world: World, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    seen: list[Any] = []

    class Keeps(Span):
        def __init__(self, name: str, attributes: Any) -> None:
            seen.append((name, dict(attributes or {})))

        def end(self, end_time: Any = None) -> None: ...
        def get_span_context(self) -> Any:
            return INVALID_SPAN_CONTEXT

        def set_attributes(self, attributes: Any) -> None:
            seen.append(dict(attributes))

        def set_attribute(self, key: str, value: Any) -> None:
            seen.append((key, value))

        def add_event(self, name: str, attributes: Any = None, timestamp: Any = None) -> None:
            seen.append((name, attributes))

        def update_name(self, name: str) -> None: ...
        def is_recording(self) -> bool:
            return True

        def set_status(self, status: Any, description: Any = None) -> None:
            seen.append((repr(status), description))

        def record_exception(self, exception: BaseException, *args: Any, **more: Any) -> None:
            seen.append(repr(exception))

    class Traces(Tracer):
        def start_span(self, name: str, *args: Any, **options: Any) -> Any:
            return Keeps(name, options.get("attributes"))

        @contextlib.contextmanager
        def start_as_current_span(self, name: str, *args: Any, **options: Any) -> Any:
            yield self.start_span(name, **options)

    class Provider(TracerProvider):
        def get_tracer(self, *args: Any, **options: Any) -> Any:
            return Traces()

    caplog.set_level("DEBUG")
    grant = world.grant()
    spans = InstrumentationSettings(tracer_provider=Provider())
    beside = [Instrumentation(settings=spans)]
    planner = agent([world.transfer()], [TOO_MUCH], [TRANSFER], beside=beside)
    with world.engine.acting(grant):
        told = go(mode, planner)
    assert told[1] == "paid 80"
    assert "paid 80" in repr(seen), "the test looks where the framework writes"
    for text in (repr(seen), caplog.text, repr(told)):
        assert grant.token not in text
        assert grant.digest not in text


def test_a_tool_that_asks_in_its_body_is_judged_again_when_it_goes_on(world: World) -> None:
    def transfer(ctx: RunContext[Any], account: str, amount: int) -> str:
        world.ran.append("asked")
        if not ctx.tool_call_approved:
            raise ApprovalRequired
        world.ran.append((account, amount))
        return "paid"

    def made() -> Any:
        return agent([transfer], [TRANSFER], output_type=[str, DeferredToolRequests])

    with world.engine.acting(world.grant()):
        first = made().run_sync("go")
        approvals = {call.tool_call_id: True for call in first.output.approvals}
        results = DeferredToolResults(approvals=approvals)
        made().run_sync(message_history=first.all_messages(), deferred_tool_results=results)
    assert world.ran == ["asked", "asked", ("a-1", 80)]
    entries = world.engine.trail.entries(tool="pay.transfer")
    assert [(e.effect, e.outcome) for e in entries] == [("allow", "raised"), ("allow", "returned")]


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ans.InvalidInput):
        Answerable(on_denied="ignore")  # type: ignore[arg-type]


@kinds
def test_a_call_that_asks_is_told_and_runs_once_it_is_approved(world: World, make: Any) -> None:
    function = make(world)
    make = lambda _: function  # noqa: E731 - one function, two agents.
    asking(world)
    grant = world.grant()
    with world.engine.acting(grant):
        assert "needs a human's approval" in go("run_sync", agent([make(world)], [TRANSFER]))[0]
        assert world.ran == []
    approve(world)
    with world.engine.acting(grant):
        assert go("run_sync", agent([make(world)], [TRANSFER])) == ["paid 80"]
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["ask", "allow"]
