"""Runs of a graph: where their authority comes from, pauses, what is written down, sub-agents."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from chains import MAPPING, Script, World, decorated, pay, undecorated
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langchain_core.tracers.context import collect_runs
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from payments import approve, asking

import answerable as ans
from answerable.integrations.langchain import (
    AnswerableMiddleware,
    govern_tool_node,
    subagent,
)
from answerable.integrations.standing import Turns

START_OF_RUN = {"messages": [("user", "go")]}
THREAD: Any = {"configurable": {"thread_id": "t-1"}}
both_modes = pytest.mark.parametrize("use_async", [False, True], ids=["invoke", "ainvoke"])


# Set once a call's answer was kept for a second turn.
KEPT = threading.Event()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    keep = Turns.keep

    def kept(self: Turns, at: Any, answer: Any) -> None:
        keep(self, at, answer)
        KEPT.set()

    KEPT.clear()
    monkeypatch.setattr(Turns, "keep", kept)
    world = World(tmp_path)
    yield world
    world.engine.close()


def run(graph: Any, use_async: bool, start: Any = START_OF_RUN, **options: Any) -> Any:
    if use_async:
        return asyncio.run(graph.ainvoke(start, **options))
    return graph.invoke(start, **options)


def told(state: Any) -> list[ToolMessage]:
    return [message for message in state["messages"] if isinstance(message, ToolMessage)]


# ------------------------------------------------------------------ the authority of a run


@dataclass
class Context:
    answerable: Any = None


@both_modes
@pytest.mark.parametrize("make", [decorated, undecorated])
def test_the_runs_context_holds_the_authority(world: World, make: Any, use_async: bool) -> None:
    agent = world.agent([make(world)], [pay(80), pay(501)], engine=world.engine)
    grant = world.grant()
    for held in (grant, grant.handle()):
        world.ran.clear()
        for context in ({"answerable": held}, Context(held)):
            paid, refused = told(run(agent, use_async, context=context))
            assert (paid.status, refused.status) == ("success", "error")
        assert world.ran == [("a-1", 80)] * 2
    entries = world.engine.trail.entries(kind="decision")
    assert {entry.human for entry in entries} == {world.alice.id}
    assert {entry.task for entry in entries} == {grant.task}
    paid, refused = told(run(agent, use_async))
    assert (paid.status, refused.status) == ("error", "error"), "and only that run's"


def test_what_is_configured_holds_a_handle_and_nothing_else(world: World) -> None:
    """LangGraph writes `configurable` into the checkpoint's metadata, in clear."""
    agent = world.agent([undecorated(world)], [pay(80)], engine=world.engine)
    grant = world.grant()

    def configured(held: Any) -> ToolMessage:
        config = {"configurable": {"answerable": held}}
        return told(agent.invoke(START_OF_RUN, config))[0]

    assert configured(grant.handle()).status == "success"
    for held in (grant, grant.token, grant.id, grant.digest, {"answerable": grant}, 7):
        answer = configured(held)
        assert answer.status == "error", held
        assert grant.token not in str(answer.content)
    assert world.ran == [("a-1", 80)]


@pytest.mark.parametrize("held", ["", "hdl_aaaaaaaaaaaaaaaaaaaaaaaaaa", "nonsense", 7, b"x", ["x"]])
def test_what_stands_for_no_grant_denies(world: World, held: Any) -> None:
    agent = world.agent([decorated(world)], [pay(80)], engine=world.engine)
    with world.engine.acting(world.grant()):
        (answer,) = told(agent.invoke(START_OF_RUN, context={"answerable": held}))
    assert answer.status == "error"
    assert world.ran == []
    assert world.effects()[-1:] == ["deny"]


def test_a_handle_needs_the_engine(world: World) -> None:
    agent = world.agent([decorated(world)], [pay(80)])
    (answer,) = told(agent.invoke(START_OF_RUN, context={"answerable": world.grant().handle()}))
    assert "engine=" in str(answer.content)
    assert world.ran == []


def test_of_context_and_block_the_longer_chain_acts_and_unrelated_ones_are_denied(
    world: World,
) -> None:
    agent = world.agent([decorated(world)], [pay(80)], engine=world.engine)
    parent = world.grant(ans.allow("pay.*"), max_depth=1)
    child = parent.delegate(world.payer, scope=ans.allow("pay.transfer"))
    for around, held in ((parent, child), (child, parent)):
        with world.engine.acting(around):
            (answer,) = told(agent.invoke(START_OF_RUN, context={"answerable": held}))
        assert answer.status == "success"
    payer = world.payer.id
    assert [e.agent for e in world.engine.trail.entries(kind="decision")] == [payer, payer]
    other = world.grant(ans.allow("pay.*"))
    with world.engine.acting(other):
        (answer,) = told(agent.invoke(START_OF_RUN, context={"answerable": parent}))
    assert answer.status == "error"
    (entry,) = world.engine.trail.entries(kind="decision", effect="deny")
    assert entry.reasons == ["authority_conflict"]


def test_a_closed_engine_denies_whatever_the_context_holds(world: World) -> None:
    agent = world.agent([undecorated(world)], [pay(80)], engine=world.engine)
    grant = world.grant()
    handle = grant.handle()
    world.engine.close()
    for held in (grant, handle):
        for config in ({}, THREAD):
            (answer,) = told(agent.invoke(START_OF_RUN, config, context={"answerable": held}))
            assert answer.status == "error"
    assert world.ran == []


# ------------------------------------------------------------------------------ pauses


def pausing(world: World) -> Any:
    @tool
    def transfer(account: str, amount: int) -> str:
        """Transfer money."""
        world.ran.append("asked")
        answer = interrupt({"amount": amount})
        world.ran.append((account, amount, answer))
        return f"paid {amount}"

    return transfer


@both_modes
def test_a_tool_that_pauses_is_judged_again_when_it_goes_on(world: World, use_async: bool) -> None:
    agent = world.agent([pausing(world)], [pay(80)], engine=world.engine, saver=InMemorySaver())
    held = {"answerable": world.grant().handle()}
    paused = run(agent, use_async, config=THREAD, context=held)
    assert "__interrupt__" in paused
    entries = world.engine.trail.entries(tool="pay.transfer")
    assert [(e.effect, e.outcome) for e in entries] == [("allow", "raised")]
    state = run(agent, use_async, Command(resume="yes"), config=THREAD, context=held)
    assert [m.content for m in told(state)] == ["paid 80"]
    entries = world.engine.trail.entries(tool="pay.transfer")
    assert [(e.effect, e.outcome) for e in entries] == [("allow", "raised"), ("allow", "returned")]
    assert world.ran == ["asked", "asked", ("a-1", 80, "yes")]


@both_modes
@pytest.mark.parametrize("why", ["revoked", "no authority", "another grant"])
def test_what_is_resumed_is_not_allowed_for_having_been_allowed_before(
    world: World, why: str, use_async: bool
) -> None:
    agent = world.agent([pausing(world)], [pay(80)], engine=world.engine, saver=InMemorySaver())
    grant = world.grant()
    run(agent, use_async, config=THREAD, context={"answerable": grant})
    held: Any = {"answerable": grant}
    if why == "revoked":
        world.engine.revoke(grant, reason="second thoughts")
    elif why == "no authority":
        held = None
    else:
        held = {"answerable": world.grant(ans.allow("files.*"))}
    state = run(agent, use_async, Command(resume="yes"), config=THREAD, context=held)
    assert [m.status for m in told(state)] == ["error"]
    assert world.ran == ["asked"], "what stands after the pause never ran"
    assert world.effects(tool="pay.transfer") == ["allow", "deny"]


@both_modes
def test_a_human_in_the_loop_before_the_call_gives_one_decision(
    world: World, use_async: bool
) -> None:
    middleware = [
        HumanInTheLoopMiddleware({"transfer": True}),
        AnswerableMiddleware(world.engine, **MAPPING),
    ]
    agent = create_agent(
        Script(turns=[[pay(80)]]),
        [undecorated(world)],
        middleware=middleware,
        checkpointer=InMemorySaver(),
    )
    held = {"answerable": world.grant()}
    run(agent, use_async, config=THREAD, context=held)
    assert world.effects(tool="pay.transfer") == []
    decisions = {"decisions": [{"type": "approve"}]}
    run(agent, use_async, Command(resume=decisions), config=THREAD, context=held)
    assert world.ran == [("a-1", 80)]
    assert world.effects(tool="pay.transfer") == ["allow"]


def two_calls(world: World, saver: Any, **options: Any) -> Any:
    """One node with two calls: LangGraph runs the whole node again when it goes on."""

    @tool
    def receipt(account: str, amount: int) -> str:
        """Ask, then send a receipt."""
        # LangGraph gives up what still runs when one call pauses: the other is to have returned.
        assert KEPT.wait(120)
        world.ran.append(("receipt", interrupt("send it?")))
        return "sent"

    node = govern_tool_node(
        [undecorated(world), receipt],
        world.engine,
        **{**MAPPING, "names": {**MAPPING["names"], "receipt": "pay.receipt"}, **options},
    )
    graph = StateGraph(MessagesState)
    graph.add_node("tools", node)
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile(checkpointer=saver)


def both_calls() -> Any:
    arguments = {"account": "a-1", "amount": 80}
    names = ["transfer", "receipt"]
    calls = [ToolCall(name=name, args=arguments, id=name, type="tool_call") for name in names]
    return {"messages": [AIMessage("", tool_calls=calls)]}


@both_modes
def test_a_call_that_returned_before_the_pause_of_another_runs_once(
    world: World, use_async: bool
) -> None:
    graph = two_calls(world, InMemorySaver())
    grant = world.grant(ans.allow("pay.*"))
    with world.engine.acting(grant):
        run(graph, use_async, both_calls(), config=THREAD)
        assert world.ran == [("a-1", 80)]
        state = run(graph, use_async, Command(resume="yes"), config=THREAD)
    assert [m.content for m in told(state)] == ["paid 80", "sent"]
    assert world.ran == [("a-1", 80), ("receipt", "yes")]
    assert world.effects(tool="pay.transfer") == ["allow"], "one decision for the one that ran"
    assert world.effects(tool="pay.receipt") == ["allow", "allow"], "and one for each phase"


@both_modes
def test_where_its_answer_is_gone_it_is_refused_and_not_run(world: World, use_async: bool) -> None:
    """As in another process: the checkpoint is there, what this one kept is not."""
    saver = InMemorySaver()
    grant = world.grant(ans.allow("pay.*"))
    with world.engine.acting(grant):
        run(two_calls(world, saver), use_async, both_calls(), config=THREAD)
        elsewhere = two_calls(world, saver)
        state = run(elsewhere, use_async, Command(resume="yes"), config=THREAD)
    assert [m.status for m in told(state)] == ["error", "success"]
    assert "returned before" in str(told(state)[0].content)
    assert world.ran == [("a-1", 80), ("receipt", "yes")]
    entries = world.engine.trail.entries(tool="pay.transfer")
    assert [(e.effect, e.reasons) for e in entries][-1] == (
        "deny",
        ["already_ran"],
    )


def test_one_pause_resumed_twice_at_once_runs_the_call_once(world: World) -> None:
    agent = world.agent([pausing(world)], [pay(80)], engine=world.engine, saver=InMemorySaver())
    grant = world.grant()
    agent.invoke(START_OF_RUN, THREAD, context={"answerable": grant})
    world.ran.clear()
    barrier = threading.Barrier(4)

    def resume() -> None:
        barrier.wait()
        agent.invoke(Command(resume="yes"), THREAD, context={"answerable": grant})

    threads = [threading.Thread(target=resume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.ran.count(("a-1", 80, "yes")) == 1


def test_a_call_that_raised_may_be_tried_again_from_its_checkpoint(world: World) -> None:
    broken = [True]

    @tool
    def transfer(account: str, amount: int) -> str:
        """Transfer money."""
        if broken:
            raise ConnectionError("the bank is away")
        world.ran.append((account, amount))
        return "paid"

    agent = world.agent([transfer], [pay(80)], engine=world.engine, saver=InMemorySaver())
    held = {"answerable": world.grant()}
    with pytest.raises(ConnectionError):
        agent.invoke(START_OF_RUN, THREAD, context=held)
    broken.clear()
    state = agent.invoke(None, THREAD, context=held)
    assert [m.status for m in told(state)] == ["success"]
    assert world.ran == [("a-1", 80)]
    assert world.effects(tool="pay.transfer") == ["allow", "allow"]


def test_a_run_from_an_earlier_checkpoint_is_a_new_call_judged_and_recorded_anew(
    world: World,
) -> None:
    agent = world.agent([undecorated(world)], [pay(80)], engine=world.engine, saver=InMemorySaver())
    held = {"answerable": world.grant()}
    agent.invoke(START_OF_RUN, THREAD, context=held)
    before = [s for s in agent.get_state_history(THREAD) if "tools" in s.next]
    agent.invoke(None, before[0].config, context=held)
    assert len(world.ran) == len(world.effects(tool="pay.transfer", effect="allow"))
    ran = len(world.ran)
    agent.invoke(None, before[0].config)
    assert len(world.ran) == ran, "and nothing without authority"


# ------------------------------------------------------------------------ calls that ask


@both_modes
@pytest.mark.parametrize("make", [decorated, undecorated])
def test_a_call_that_asks_is_told_to_the_model(world: World, make: Any, use_async: bool) -> None:
    agent = world.agent([make(world)], [pay(80)], engine=world.engine)
    asking(world)
    held = {"answerable": world.grant()}
    assert "needs a human's approval" in str(told(run(agent, use_async, context=held))[0].content)
    assert world.ran == []
    approve(world)
    assert told(run(agent, use_async, context=held))[0].status == "success"
    assert world.ran == [("a-1", 80)]
    assert world.effects(tool="pay.transfer") == ["ask", "allow"]


@both_modes
@pytest.mark.parametrize("make", [decorated, undecorated])
@pytest.mark.parametrize("answered", [True, False])
def test_a_call_that_asks_can_pause_the_graph(
    world: World, make: Any, answered: bool, use_async: bool
) -> None:
    agent = world.agent(
        [make(world)], [pay(80)], engine=world.engine, on_ask="pause", saver=InMemorySaver()
    )
    asking(world)
    held = {"answerable": world.grant().handle()}
    paused = run(agent, use_async, config=THREAD, context=held)
    (pending,) = world.engine.approvals.pending()
    (asked,) = paused["__interrupt__"]
    assert asked.value["answerable"]["approval"] == pending.id
    assert world.ran == []
    if answered:
        approve(world)
    state = run(agent, use_async, Command(resume="go on"), config=THREAD, context=held)
    (answer,) = told(state)
    if answered:
        assert answer.content == "paid 80"
        assert world.ran == [("a-1", 80)]
        assert world.effects(tool="pay.transfer") == ["ask", "allow"]
    else:
        assert "needs a human's approval" in str(answer.content)
        assert world.ran == []
        assert world.effects(tool="pay.transfer") == ["ask", "ask"]


# ------------------------------------------------------------------- what is written down


def written(saver: InMemorySaver) -> str:
    """All that a checkpointer was given: each blob, each write, all metadata."""
    return repr((dict(saver.storage), dict(saver.writes), dict(saver.blobs)))


@both_modes
def test_neither_checkpoint_nor_span_nor_log_holds_the_chain(
    world: World, use_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    saver = InMemorySaver()
    agent = world.agent([pausing(world)], [pay(80)], [pay(501)], engine=world.engine, saver=saver)
    parent = world.grant(ans.allow("pay.*"), max_depth=1)
    grant = parent.delegate(world.payer, scope=CAPPED)
    handle = grant.handle()
    config = {"configurable": {"thread_id": "t-1", "answerable": handle}}
    with collect_runs() as spans:
        run(agent, use_async, config=config, context={"answerable": grant})
        run(agent, use_async, Command(resume="yes"), config=config, context={"answerable": grant})
    down = written(saver)
    assert handle in down, "the test looks where LangGraph writes"
    spans_text = repr([span.model_dump() for span in spans.traced_runs])
    for place, text in {"checkpoint": down, "span": spans_text, "log": caplog.text}.items():
        for hop in grant.token.replace("~", " ").split():
            assert hop not in text, f"a hop of the chain stands in the {place}"
        assert grant.digest not in text, place
    assert world.ran == ["asked", "asked", ("a-1", 80, "yes")]


def test_a_grant_in_the_state_is_not_written_down(world: World) -> None:
    class State(MessagesState):
        answerable: Any

    graph = StateGraph(State)
    graph.add_node("node", lambda _: {})
    graph.add_edge(START, "node")
    saver = InMemorySaver()
    grant = world.grant()
    with pytest.raises((TypeError, ValueError)):
        graph.compile(checkpointer=saver).invoke({"messages": [], "answerable": grant}, THREAD)
    assert grant.token not in written(saver)


# -------------------------------------------------------------------------- sub-agents


def child(world: World, *turns: Any, **options: Any) -> Any:
    return create_agent(Script(turns=list(turns)), [undecorated(world)], **options)


def hand_over(world: World, graph: Any, **options: Any) -> Any:
    return subagent(
        graph,
        world.payer,
        name="ask_payer",
        description="Have the payer pay.",
        engine=world.engine,
        **{**MAPPING, **options},
    )


CAPPED = ans.allow(
    "pay.transfer",
    resource="account/*",
    where={"account": ans.any_(), "amount": ans.at_most(500)},
)
ASK = ("ask_payer", {"request": "Pay a-1"})


@both_modes
def test_a_subagent_acts_under_a_grant_narrowed_to_the_tools_it_has(
    world: World, use_async: bool
) -> None:
    """The child has no middleware of its own: its tools are governed all the same."""
    delegate = hand_over(world, child(world, [pay(80), pay(501)]))
    agent = world.agent([delegate], [ASK], engine=world.engine)
    scope = [ans.allow("ask_payer"), ans.allow("files.*"), CAPPED]
    grant = world.engine.grant(
        world.alice, world.boss, task="Pay the week", ttl="10m", scope=scope, max_depth=1
    )
    (answer,) = told(run(agent, use_async, context={"answerable": grant}))
    assert answer.status == "success"
    assert world.ran == [("a-1", 80)]
    calls = world.engine.trail.entries(tool="pay.transfer")
    assert sorted(e.effect for e in calls) == ["allow", "deny"]
    assert {e.agent for e in calls} == {world.payer.id}
    (asked,) = world.engine.trail.entries(tool="ask_payer")
    assert asked.agent == world.boss.id
    assert "1. boss" in str(world.engine.trail.story(calls[0]))
    assert "2. payer" in str(world.engine.trail.story(calls[0]))
    assert "narrowed: files.* was not passed on" in str(world.engine.trail.story(calls[0]))


@both_modes
def test_a_subagent_without_a_grant_for_its_tools_is_refused_readably(
    world: World, use_async: bool
) -> None:
    delegate = hand_over(world, child(world, [pay(80)]))
    agent = world.agent([delegate], [ASK], engine=world.engine)
    for scope, depth in (([ans.allow("ask_payer"), ans.allow("files.*")], 1), (None, 0)):
        grant = world.engine.grant(
            world.alice,
            world.boss,
            task="Pay",
            ttl="10m",
            scope=scope or [ans.allow("ask_payer"), CAPPED],
            max_depth=depth,
        )
        (answer,) = told(run(agent, use_async, context={"answerable": grant}))
        assert answer.status == "error"
        assert "cannot act" in str(answer.content)
    assert world.ran == []


def test_called_without_authority_a_subagent_does_nothing(world: World) -> None:
    delegate = hand_over(world, child(world, [pay(80)]))
    assert "not allowed" in delegate.invoke({"request": "Pay"})
    assert world.ran == []


@both_modes
def test_a_pause_in_a_subagent_goes_on_under_the_grant_it_began_under(
    world: World, use_async: bool
) -> None:
    graph = create_agent(Script(turns=[[pay(80)]]), [pausing(world)])
    agent = world.agent(
        [hand_over(world, graph)], [ASK], engine=world.engine, saver=InMemorySaver()
    )
    grant = world.engine.grant(
        world.alice,
        world.boss,
        task="Pay",
        ttl="10m",
        scope=[ans.allow("ask_payer"), CAPPED],
        max_depth=1,
    )
    held = {"answerable": grant.handle()}
    assert "__interrupt__" in run(agent, use_async, config=THREAD, context=held)
    state = run(agent, use_async, Command(resume="yes"), config=THREAD, context=held)
    assert [m.status for m in told(state)] == ["success"]
    assert world.ran == ["asked", "asked", ("a-1", 80, "yes")]
    assert world.effects(tool="pay.transfer") == ["allow", "allow"]
    assert len(world.engine.trail.entries(kind="grant", agent="payer")) == 1


def test_a_subagent_of_a_subagent(world: World) -> None:
    inner = hand_over(world, child(world, [pay(80), pay(501)]))
    outer_graph = create_agent(Script(turns=[[ASK]]), [inner])
    outer = subagent(
        outer_graph,
        world.planner,
        name="ask_planner",
        description="Have it planned.",
        engine=world.engine,
        max_depth=1,
    )
    scope = [ans.allow("ask_planner"), ans.allow("ask_payer"), CAPPED]
    grant = world.engine.grant(
        world.alice, world.boss, task="Pay", ttl="10m", scope=scope, max_depth=2
    )
    with world.engine.acting(grant):
        outer.invoke({"request": "go"})
    assert world.ran == [("a-1", 80)]
    entries = world.engine.trail.entries(kind="decision")
    boss, planner, payer = world.boss.id, world.planner.id, world.payer.id
    assert {(e.tool, e.agent, e.effect) for e in entries} == {
        ("ask_planner", boss, "allow"),
        ("ask_payer", planner, "allow"),
        ("pay.transfer", payer, "allow"),
        ("pay.transfer", payer, "deny"),
    }


# ---------------------------------------------------------------------------- handoffs


def handing_over(world: World) -> Any:
    """A tool that hands the conversation to the next agent, as LangGraph documents it."""

    @tool
    def to_payer(tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Hand over to the payer."""
        said = ToolMessage("over to you", tool_call_id=tool_call_id, name="to_payer")
        update = {"messages": [said]}
        return Command(goto="payer", graph=Command.PARENT, update=update)

    return to_payer


def team(world: World, *turns: Any, **options: Any) -> Any:
    """A planner that hands over to a payer, each an agent of its own in one graph."""
    over = AnswerableMiddleware(world.engine, names={"to_payer": "pay.hand_over"})
    planner = create_agent(
        Script(turns=[[("to_payer", {})]]), [handing_over(world)], middleware=[over]
    )
    own = AnswerableMiddleware(world.engine, **MAPPING, **options)
    payer = create_agent(Script(turns=list(turns)), [undecorated(world)], middleware=[own])
    builder = StateGraph(MessagesState, context_schema=Context)
    builder.add_node("planner", planner, destinations=("payer",))
    builder.add_node("payer", payer)
    builder.add_edge(START, "planner")
    return builder.compile()


HANDED = [ans.allow("pay.hand_over"), ans.allow("files.*"), CAPPED]


@both_modes
def test_after_a_handoff_the_other_agent_acts_under_a_narrowed_grant(
    world: World, use_async: bool
) -> None:
    graph = team(world, [pay(80), pay(501)], [pay(70)], agent="payer")
    grant = world.grant(*HANDED, max_depth=1)
    state = run(graph, use_async, context=Context(grant))
    assert [m.status for m in told(state)] == ["success", "success", "error", "success"]
    assert world.ran == [("a-1", 80), ("a-1", 70)]
    (handed,) = world.engine.trail.entries(tool="pay.hand_over")
    assert (handed.agent, handed.effect) == (world.planner.id, "allow")
    calls = world.engine.trail.entries(tool="pay.transfer")
    assert [e.agent for e in calls] == [world.payer.id] * 3
    assert "narrowed: files.* was not passed on" in str(world.engine.trail.story(calls[0]))
    assert len(world.engine.trail.entries(kind="grant", agent="payer")) == 1
    world.engine.agents.suspend("payer", by=world.alice, reason="a look")
    state = run(graph, use_async, context=Context(grant))
    assert [m.status for m in told(state)] == ["success", "error", "error", "error"]


@both_modes
def test_a_handoff_that_the_grant_does_not_allow_stays_where_it_is(
    world: World, use_async: bool
) -> None:
    state = run(team(world, [pay(80)]), use_async, context=Context(world.grant()))
    assert [m.status for m in told(state)] == ["error"]
    assert world.ran == []


@both_modes
def test_an_agent_that_cannot_be_given_a_grant_is_refused_readably(
    world: World, use_async: bool
) -> None:
    graph = team(world, [pay(80)], agent="payer")
    for grant in (world.grant(*HANDED), world.grant(ans.allow("pay.hand_over"), max_depth=1)):
        state = run(graph, use_async, context=Context(grant))
        assert [m.status for m in told(state)] == ["success", "error"]
        assert "cannot act" in str(told(state)[-1].content)
    assert world.ran == []


def test_a_graph_without_tools_is_no_subagent(world: World) -> None:
    with pytest.raises(ValueError, match="no tools"):
        hand_over(world, create_agent(Script(turns=[]), []))
