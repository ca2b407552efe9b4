"""OpenAI Agents SDK: every tool call of an agent, and of those it can reach, passes the guard.

    from answerable.integrations.openai_agents import govern_agent

    agent = govern_agent(Agent(name="planner", tools=[…], handoffs=[payer]), engine,
                         agents={"payer": "payer"})
    with engine.acting(grant):
        await Runner.run(agent, "Pay the invoices")

The agents are governed where they are: a handoff and `as_tool` hold the very objects. One that is
named in `agents` acts under a grant of its own, delegated from the one in force and narrowed to the
tools it has. Arguments are judged as the model wrote them, before they are converted, except for a
tool decorated with `@ans.tool`, which keeps its own guard.

The authority is the grant in force, or the handle that the run's context holds as `answerable`; the
SDK writes that context down, so a grant is not taken there.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any

from answerable import _core
from answerable.context import acting, current
from answerable.errors import AccessDenied, InvalidInput, hearing
from answerable.integrations.standing import Narrowed, Rules, decorated, standing

try:
    from agents import Agent, FunctionTool, Handoff
except ImportError as error:
    error.add_note("hint: pip install 'answerable[openai-agents]'")
    raise

__all__ = ["govern_agent", "govern_tool"]


def govern_agent(
    agent: Any,
    engine: Any = None,
    *,
    agents: Mapping[str, _core.Agent | str] | None = None,
    ungoverned: Iterable[str] = (),
    prefix: str = "mcp",
    max_depth: int = 0,
    **options: Any,
) -> Any:
    """Puts the guard into an agent, the agents it hands over to, and those it has as tools.

    Args:
        agent: The agent that the run starts with.
        engine: The engine to ask; without it, that of the authority in force. Handles need it.
        agents: Agents as issued by the engine, by the SDK's name: what such an agent does is done
            under a grant that is delegated to it.
        ungoverned: Names of what cannot be governed and is allowed all the same: hosted tools,
            shells, patches, and handoffs whose agent cannot be found. Any other is refused.
        prefix: What goes before the names of tools of MCP servers: `mcp.read_file`.
        max_depth: How many further hops may follow each delegation.
        options: `names`, `resources`, `record` and `on_denied`, as for LangChain's middleware.

    Returns:
        The same agent. `agent.clone()` of it has governed tools; new ones that a clone is given are
        not.

    Raises:
        InvalidInput: It holds what cannot be governed, or an option cannot be.
    """
    if not isinstance(agent, Agent):
        raise InvalidInput(f"expected an agent, not {type(agent).__name__}")
    world = _World(Rules(engine, **options), dict(agents or {}), frozenset(ungoverned), prefix)
    world.max_depth = max_depth
    world.govern(agent)
    return agent


def govern_tool(tool: Any, engine: Any = None, **options: Any) -> Any:
    """Puts the guard into one function tool, and returns a copy of it that is governed.

    Args:
        tool: What `function_tool` made, or `agent.as_tool(…)`, whose agent is not governed by this.
        engine: The engine to ask; without it, that of the authority in force.
        options: As for `govern_agent`.

    Raises:
        InvalidInput: It is no function tool.
    """
    if not isinstance(tool, FunctionTool):
        raise InvalidInput(f"expected a function tool, not {type(tool).__name__}")
    return _governed(tool, Rules(engine, **options), tool.name, None)


class _World:
    """The agents that can be reached from one, and what they go by."""

    def __init__(
        self,
        rules: Rules,
        identities: dict[str, Any],
        ungoverned: frozenset[str],
        prefix: str,
    ) -> None:
        self.rules = rules
        self.max_depth = 0
        self._identities = identities
        self._ungoverned = ungoverned
        self._prefix = prefix
        self._seen: dict[int, Any] = {}
        self._names: dict[int, set[str]] = {}

    def govern(self, agent: Any) -> None:
        if id(agent) in self._seen:
            return
        self._seen[id(agent)] = agent
        identity = self._identities.get(agent.name)
        owner = _Owner(identity, agent, self) if identity is not None else None
        for tool in agent.tools:
            inner = getattr(tool, "_agent_instance", None)
            if inner is not None:
                self.govern(inner)
        agent.tools[:] = [self._tool(tool, owner) for tool in agent.tools]
        for handoff in agent.handoffs:
            self._handoff(handoff)
        own_all, own_mcp = agent.get_all_tools, agent.get_mcp_tools

        async def get_mcp_tools(*args: Any, **kwargs: Any) -> list[Any]:
            tools = await own_mcp(*args, **kwargs)
            return [_governed(t, self.rules, self._far(t.name), owner) for t in tools]

        async def get_all_tools(*args: Any, **kwargs: Any) -> list[Any]:
            # What was added since, or comes from somewhere else, is governed or refused here.
            return [self._tool(tool, owner) for tool in await own_all(*args, **kwargs)]

        agent.get_mcp_tools, agent.get_all_tools = get_mcp_tools, get_all_tools

    def names(self, agent: Any) -> set[str]:
        """What an agent's calls go by in grants, and those of the agents it reaches."""
        found: set[str] = set()
        reached, waiting = set(), [agent]
        while waiting:
            here = waiting.pop()
            if id(here) in reached:
                continue
            reached.add(id(here))
            for tool in here.tools:
                if isinstance(tool, FunctionTool):
                    found.add(_own(tool) or self.rules.name(tool.name))
                    waiting += [a for a in [getattr(tool, "_agent_instance", None)] if a]
            waiting += [a for a in map(_target, here.handoffs) if a is not None]
        return found

    def _far(self, name: str) -> str:
        return f"{self._prefix}.{name}"

    def _tool(self, tool: Any, owner: _Owner | None) -> Any:
        if isinstance(tool, FunctionTool):
            return _governed(tool, self.rules, tool.name, owner)
        name = str(getattr(tool, "name", type(tool).__name__))
        if name not in self._ungoverned:
            raise InvalidInput(
                f"the tool `{name}` ({type(tool).__name__}) runs where no guard sees it",
                hint=f'leave it out, or allow it by name: ungoverned=["{name}"]',
            )
        return tool

    def _handoff(self, handoff: Any) -> None:
        agent = _target(handoff)
        if agent is not None:
            self.govern(agent)
            return
        name = str(getattr(handoff, "agent_name", handoff))
        if name not in self._ungoverned:
            raise InvalidInput(
                f"the agent `{name}` behind a handoff cannot be found, so it cannot be governed",
                hint=f'hand over with handoff(agent), or allow it by name: ungoverned=["{name}"]',
            )


def _target(handoff: Any) -> Any:
    """The agent behind a handoff, if it can be told."""
    if isinstance(handoff, Agent):
        return handoff
    reference = getattr(handoff, "_agent_ref", None) if isinstance(handoff, Handoff) else None
    return reference() if reference is not None else None


class _Owner:
    """An agent of the SDK that acts under a grant of its own."""

    def __init__(self, identity: Any, agent: Any, world: _World) -> None:
        self._agent = agent
        self._world = world
        self._narrowed = Narrowed(world.rules, identity, world.max_depth)

    async def grant(self, tool: str) -> Any:
        """Its grant under the one in force; without one the call is denied by the guard."""
        if current() is None:
            return None
        return await self._narrowed.grant({*self._world.names(self._agent), tool})


def _governed(tool: Any, rules: Rules, name: str, owner: _Owner | None) -> Any:
    if isinstance(tool.on_invoke_tool, _Invoker):
        return tool
    made = copy.copy(tool)
    made.on_invoke_tool = _Invoker(made.on_invoke_tool, rules, name, _own(tool), owner)
    return made


def _own(tool: Any) -> str | None:
    """The name in grants of a tool whose function has a guard of its own."""
    return decorated(getattr(tool, "__wrapped__", None))


class _Invoker:
    """Stands where the SDK calls a tool, under the SDK's own name for it."""

    def __init__(
        self, inner: Any, rules: Rules, name: str, own: str | None, owner: _Owner | None
    ) -> None:
        self._parts = inner, rules, name, own, owner

    def __agents_bind_function_tool__(self, tool: Any) -> _Invoker:
        """A copy of the tool keeps its guard."""
        inner, rules, name, own, owner = self._parts
        bind = getattr(inner, "__agents_bind_function_tool__", None)
        return _Invoker(bind(tool) if callable(bind) else inner, rules, name, own, owner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_parts"][0], name)

    async def __call__(self, ctx: Any, input: str) -> Any:  # noqa: A002 - the SDK's name.
        _, rules, name, own, owner = self._parts
        arguments = _arguments(input)
        shown = arguments if arguments is not None else {"input": input}
        try:
            async with standing(rules, _held(ctx), name, shown, kept=True):
                grant = await owner.grant(own or rules.name(name)) if owner is not None else None
                with acting(grant) if grant is not None else contextlib.nullcontext():
                    return await self._judged(ctx, input, arguments, shown)
        except AccessDenied as denied:
            if rules.on_denied == "raise":
                raise
            return str(denied)

    async def _judged(self, ctx: Any, text: str, arguments: Any, shown: dict[str, Any]) -> Any:
        inner, rules, name, own, _ = self._parts
        if own is None:
            async with rules.call(name, shown) as call:
                judged = json.dumps(call.arguments) if arguments is not None else text
                call.result = await inner(ctx, judged)
                return call.result
        with hearing() as denials:
            result = await inner(ctx, text)
        # Its own guard speaks first; the SDK hides from the model what it said.
        said = [denied for denied in denials if not getattr(denied, "answered", False)]
        if said and getattr(said[0].decision, "tool", None) == own:
            raise said[0]
        return result


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        read = json.loads(text or "{}")
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


def _held(ctx: Any) -> Any:
    context = getattr(ctx, "context", None)
    if isinstance(context, Mapping):
        return context.get("answerable")
    return getattr(context, "answerable", None)
