"""LangChain and LangGraph: every tool call passes the guard.

    from answerable.integrations.langchain import AnswerableMiddleware

    agent = create_agent(model, tools, middleware=[AnswerableMiddleware(engine)])
    agent.invoke({"messages": [("user", "Pay the invoices")]}, context={"answerable": grant})

A tool decorated with `@ans.tool` keeps its own guard, and its denial becomes a message that the
model can read. Any other tool is governed here. `govern_tools` puts the guard into the tools
themselves, `govern_tool_node` into a node of a graph, `subagent` makes a tool of an agent that acts
under a grant of its own, narrowed to the tools it has.

The authority is the grant in force, or what the run's context holds as `answerable`: a grant or a
handle. LangGraph writes `configurable` down, so there only a handle is taken.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any, Literal

from answerable import _core
from answerable.context import acting, current
from answerable.errors import AccessDenied, ApprovalRequired, Error, InvalidInput
from answerable.guard import governed
from answerable.integrations.langchain_tools import NEEDS, governed_tool, names_of, standalone
from answerable.integrations.standing import Narrowed, OnDenied, Rules, Turn, Turns, standing

try:
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool, StructuredTool
    from langgraph.config import get_config
    from langgraph.prebuilt import ToolNode
    from langgraph.types import interrupt
except ImportError as error:
    error.add_note("hint: pip install 'answerable[langchain]'")
    raise

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ToolCallRequest
    from langgraph.types import Command

    Middleware = AgentMiddleware[Any, Any, Any]
else:
    Middleware = AgentMiddleware  # How many parameters it takes differs between versions.

__all__ = ["AnswerableMiddleware", "govern_tool_node", "govern_tools", "subagent"]


class AnswerableMiddleware(Middleware):
    """Puts the guard between an agent and its tools.

    List it last, next to the tools: middleware after it could still replace the tool it guards. A
    child agent that is called inside a tool has tools of its own: make it one with `subagent`. One
    that is handed the conversation (`Command(goto=…)`) gets a middleware with its own `agent`.

    Args:
        engine: The engine to ask; without it, that of the authority in force. Handles need it.
        agent: The agent that acts, as issued by the engine: its calls are made under a grant that
            is delegated to it from the one in force, narrowed to the tools it has.
        max_depth: How many further hops may follow that delegation.
        names: Names in the trail and in grants by LangChain's name, for tools without `@ans.tool`:
            `{"read_invoice": "invoice.read"}`. A tool that is not listed goes by its own name.
        resources: Resource templates by LangChain's name, for the same tools:
            `{"read_invoice": "invoice/{number}"}`.
        record: How their arguments are recorded, as for `ans.tool`: `{"login": {"pin": "mask"}}`.
        on_denied: `"message"` tells the model and lets the run go on; `"raise"` ends the run with
            `AccessDenied`.
        on_ask: What a call that waits for a human does: `"message"` tells the model, `"pause"`
            interrupts the graph, which needs a checkpointer, until the approval is answered.
        ungoverned: Tools that run at the model's provider, where no guard sees them, and are
            allowed all the same. Others end the run.

    Raises:
        InvalidInput: An option, name, template or `record` that cannot be.
    """

    def __init__(
        self,
        engine: Any = None,
        *,
        agent: _core.Agent | str | None = None,
        max_depth: int = 0,
        names: Mapping[str, str] | None = None,
        resources: Mapping[str, str] | None = None,
        record: Mapping[str, Mapping[str, str]] | None = None,
        on_denied: OnDenied = "message",
        on_ask: Literal["message", "pause"] = "message",
        ungoverned: Iterable[str] = (),
    ) -> None:
        super().__init__()
        if on_ask not in ("message", "pause"):
            raise InvalidInput(f'on_ask is "message" or "pause", not `{on_ask}`')
        self._rules = Rules(
            engine, names=names, resources=resources, record=record, on_denied=on_denied
        )
        self._turns = Turns(self._rules)
        self._on_ask = on_ask
        self._ungoverned = frozenset(ungoverned)
        self._narrowed = Narrowed(self._rules, agent, max_depth) if agent is not None else None
        self._has: frozenset[str] = frozenset()

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Runs one call under the guard. Called by LangChain."""
        try:
            with self._in_context(request), self._in_config(request), ExitStack() as blocks:
                if request.tool is None:
                    with self._unknown(request):
                        pass
                elif self._narrowed is not None and current() is not None:
                    grant = self._narrowed.grant_here(self._needed(request.tool))
                    blocks.enter_context(acting(grant))
                with self._turn(request) as turn:
                    if turn.answer is None:
                        turn.answer = handler(self._guarded(request))
                    answer: ToolMessage | Command[Any] = turn.answer
                    return answer
        except AccessDenied as denied:
            return self._refusal(request, denied)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Runs one call under the guard without blocking the loop. Called by LangChain."""
        try:
            async with (
                self._in_context(request),
                self._in_config(request),
                AsyncExitStack() as blocks,
            ):
                if request.tool is None:
                    async with self._unknown(request):
                        pass
                elif self._narrowed is not None and current() is not None:
                    grant = await self._narrowed.grant(self._needed(request.tool))
                    blocks.enter_context(acting(grant))
                async with self._turn(request) as turn:
                    if turn.answer is None:
                        turn.answer = await handler(self._guarded(request))
                    answer: ToolMessage | Command[Any] = turn.answer
                    return answer
        except AccessDenied as denied:
            return self._refusal(request, denied)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Refuses tools that run at the provider. Called by LangChain."""
        refusal = self._at_provider(request)
        if refusal is not None:
            refusal.__enter__()
        self._shown(request)
        return handler(request)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        """Refuses tools that run at the provider. Called by LangChain."""
        refusal = self._at_provider(request)
        if refusal is not None:
            await refusal.__aenter__()
        self._shown(request)
        return await handler(request)

    def _shown(self, request: Any) -> None:
        """Notes what the model may call: what a grant of the agent's own is narrowed to."""
        if self._narrowed is not None:
            tools = [tool for tool in request.tools if isinstance(tool, BaseTool)]
            self._has = frozenset(name for tool in tools for name in names_of(tool, self._rules))

    def _needed(self, tool: BaseTool) -> set[str]:
        return {*self._has, *names_of(tool, self._rules)}

    def _at_provider(self, request: Any) -> governed | None:
        for tool in request.tools:
            if not isinstance(tool, dict) or "function" in tool:
                continue  # A function's schema runs nothing: its calls come back to us.
            name = str(tool.get("name") or tool.get("type") or "unnamed")
            if name not in self._ungoverned:
                sentence = "it runs at the model's provider, where no guard sees it"
                return self._rules.against(name, {}, "ungoverned_tool", sentence)
        return None

    def _in_context(self, request: ToolCallRequest) -> standing:
        context = getattr(request.runtime, "context", None)
        held = context.get("answerable") if isinstance(context, Mapping) else None
        given = held if held is not None else getattr(context, "answerable", None)
        return standing(self._rules, given, request.tool_call["name"], request.tool_call["args"])

    def _in_config(self, request: ToolCallRequest) -> standing:
        given = _configurable(request).get("answerable")
        name, arguments = request.tool_call["name"], request.tool_call["args"]
        return standing(self._rules, given, name, arguments, kept=True)

    def _turn(self, request: ToolCallRequest) -> Turn:
        """A second turn comes only from a checkpoint: where the graph resumes, or is replayed."""
        call, configurable = request.tool_call, _configurable(request)
        key = None
        if configurable.get("thread_id") is not None:
            # The namespace holds the id of the task that runs the call, the same when it resumes.
            place = [str(configurable.get(name)) for name in ("thread_id", "checkpoint_ns")]
            said = json.dumps([*place, call["id"], call["name"], call["args"]], default=str)
            key = said.encode()
        return self._turns.turn(key, call["name"], call["args"])

    def _unknown(self, request: ToolCallRequest) -> governed:
        """Entering it denies the call, whatever the grant says: there is no body to run."""
        name = request.tool_call["name"]
        sentence = f"there is no tool `{name[:80]}`"
        return self._rules.against(name, request.tool_call["args"], "unknown_tool", sentence)

    def _guarded(self, request: ToolCallRequest) -> ToolCallRequest:
        if request.tool is None:
            raise AccessDenied("there is no such tool", code="unknown_tool")
        given = frozenset(request.tool_call["args"])
        return request.override(tool=governed_tool(request.tool, self._rules, given))

    def _refusal(self, request: ToolCallRequest, denied: AccessDenied) -> ToolMessage:
        if isinstance(denied, ApprovalRequired) and self._on_ask == "pause":
            # Raises the first time. When the graph is resumed before the approval is answered, it
            # returns, and the model is told that the call still waits.
            interrupt({"answerable": {"approval": denied.approval.id, "message": str(denied)}})
        if self._rules.on_denied == "raise":
            raise denied
        call = request.tool_call
        return ToolMessage(
            str(denied), tool_call_id=call["id"] or "", name=call["name"], status="error"
        )


def govern_tools(
    tools: Sequence[BaseTool | Callable[..., Any]],
    engine: Any = None,
    **options: Any,
) -> list[BaseTool]:
    """Puts the guard into tools, wherever they are called from: a chain, a graph, by hand.

    Name, description, schema and streaming stay as they are; so does the tool that was given. A
    tool with `@ans.tool` is left to its own guard, and its denial becomes a message as the others'.

    Args:
        tools: Tools of any kind, or functions.
        engine: The engine to ask; without it, that of the authority in force.
        options: `names`, `resources`, `record` and `on_denied`, as for `AnswerableMiddleware`.

    Returns:
        Governed copies, in the same order.
    """
    rules = Rules(engine, **options)
    return [standalone(tool, rules) for tool in tools]


def govern_tool_node(
    tools: Sequence[BaseTool | Callable[..., Any]],
    engine: Any = None,
    *,
    node: Mapping[str, Any] | None = None,
    **options: Any,
) -> ToolNode:
    """A `ToolNode` whose tools pass the guard.

    Args:
        tools: Tools of any kind, or functions.
        engine: The engine to ask; without it, that of the authority in force.
        node: Options of the `ToolNode` itself: `{"handle_tool_errors": True}`.
        options: As for `AnswerableMiddleware`.
    """
    guard = AnswerableMiddleware(engine, **options)
    wrappers = {"wrap_tool_call": guard.wrap_tool_call, "awrap_tool_call": guard.awrap_tool_call}
    return ToolNode(tools, **{**(node or {}), **wrappers})


def subagent(
    graph: Any,
    agent: _core.Agent | str,
    *,
    name: str,
    description: str,
    engine: Any = None,
    task: str | None = None,
    max_depth: int = 0,
    **options: Any,
) -> BaseTool:
    """Makes a tool of an agent that acts under a delegated grant, narrowed to the tools it has.

    The child's tools are governed where they are, so that none is left to its own devices. The tool
    itself is governed under its name, with one argument, `request`.

    Args:
        graph: What `create_agent` or a graph's `compile` returned.
        agent: The agent that acts, as issued by the engine.
        name: The tool's name, for the model and, unless `names` maps it, in grants.
        description: What the model is told about it.
        engine: The engine to ask; without it, that of the authority in force.
        task: What the delegation is for; without it, the name.
        max_depth: How many further hops may follow, for a child with subagents of its own.
        options: `names`, `resources`, `record` and `on_denied`, as for `AnswerableMiddleware`.

    Raises:
        InvalidInput: The graph has no tools.
    """
    rules = Rules(engine, **options)
    nodes = list(_tool_nodes(graph))
    tools = [tool for node in nodes for tool in node.tools_by_name.values()]
    names = {called for tool in tools for called in names_of(tool, rules)}
    if not names:
        raise InvalidInput("the graph has no tools, so there is nothing to delegate")
    for node in nodes:
        for tool in list(node.tools_by_name.values()):
            node.tools_by_name[tool.name] = standalone(tool, rules)

    kept: OrderedDict[tuple[str, str, str], _core.Grant] = OrderedDict()

    def delegated(request: str) -> acting:
        grant = current()
        if grant is None:
            raise AccessDenied("nothing is in force here to delegate from", code="no_authority")
        # A run that is resumed goes on under the grant that it began under.
        place = grant.digest, str(_config().get("checkpoint_ns")), request
        child = kept.get(place) if "thread_id" in _config() else None
        if child is None:
            try:
                scope = grant.scope_for(*sorted(names))
                if not scope:
                    raise InvalidInput("the grant in force allows none of the agent's tools")
                child = grant.delegate(agent, scope=scope, task=task or name, max_depth=max_depth)
            except Error as error:
                raise AccessDenied(
                    f"`{name}` cannot act: {error}", code="delegation_refused", hint=error.hint
                ) from error
            kept[place] = child
            if len(kept) > _KEPT:
                kept.popitem(last=False)
        return acting(child)

    def run(request: str) -> str:
        with delegated(request):
            return _last(graph.invoke({"messages": [("user", request)]}))

    async def arun(request: str) -> str:
        with delegated(request):
            return _last(await graph.ainvoke({"messages": [("user", request)]}))

    body = StructuredTool.from_function(run, arun, name=name, description=description)
    made = standalone(body, rules)
    # Whoever has this tool must be able to pass on what the agent behind it needs.
    object.__setattr__(made, NEEDS, frozenset(names))
    return made


_KEPT = 256


def _last(state: Any) -> str:
    message = state["messages"][-1]
    return str(getattr(message, "text", None) or message.content)


def _tool_nodes(graph: Any) -> Iterator[ToolNode]:
    """The nodes that run tools, in a graph and the graphs in it."""
    for node in getattr(graph, "nodes", {}).values():
        bound = getattr(node, "bound", None)
        for part in [bound, *getattr(bound, "steps", ())]:
            if isinstance(part, ToolNode):
                yield part
            elif hasattr(part, "nodes"):
                yield from _tool_nodes(part)


def _config() -> Mapping[str, Any]:
    """What is configured of the run around, if there is one."""
    try:
        return _settings(get_config())
    except RuntimeError:  # There is none.
        return {}


def _settings(config: Any) -> Mapping[str, Any]:
    return (config or {}).get("configurable") or {}


def _configurable(request: ToolCallRequest) -> Mapping[str, Any]:
    return _settings(getattr(request.runtime, "config", None))
