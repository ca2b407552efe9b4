"""PydanticAI: every tool that an agent runs passes the guard.

    from answerable.integrations.pydantic_ai import Answerable

    agent = Agent(model, tools=[…], capabilities=[Answerable(engine)])
    with engine.acting(grant):
        agent.run_sync("Pay the invoices")

A tool is judged where it is run, by the arguments that its function receives, after every other
capability. One decorated with `@ans.tool` keeps its own guard. The authority is the grant in force,
or what the run's `deps` hold as `answerable`: a grant or a handle.

An agent that is run inside a tool has tools of its own: give it the capability too, with `agent=`
to have it act under a grant that is delegated to it and narrowed to its tools.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from answerable import _core
from answerable.context import acting, current
from answerable.errors import AccessDenied
from answerable.integrations.standing import Narrowed, Rules, decorated, standing, without_defaults

try:
    from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
    from pydantic_ai.exceptions import ToolFailed
    from pydantic_ai.toolsets import WrapperToolset
except ImportError as error:
    error.add_note("hint: pip install 'answerable[pydantic-ai]'")
    raise

__all__ = ["Answerable", "govern_toolset"]


class Answerable(AbstractCapability[Any]):
    """Puts the guard between an agent and its tools.

    Args:
        engine: The engine to ask; without it, that of the authority in force. Handles need it.
        agent: The agent that acts, as issued by the engine: its calls are made under a grant that
            is delegated to it from the one in force.
        max_depth: How many further hops may follow that delegation.
        ungoverned: Native tools, which run at the model's provider, that are allowed all the same,
            by name. Others end the run.
        options: `names`, `resources`, `record` and `on_denied`, as for LangChain's middleware.

    Raises:
        InvalidInput: An option that cannot be.
    """

    def __init__(
        self,
        engine: Any = None,
        *,
        agent: _core.Agent | str | None = None,
        max_depth: int = 0,
        ungoverned: Iterable[str] = (),
        **options: Any,
    ) -> None:
        self._rules = Rules(engine, **options)
        self._ungoverned = frozenset(ungoverned)
        self._narrowed = Narrowed(self._rules, agent, max_depth) if agent is not None else None

    def get_ordering(self) -> Any:
        """Next to the tools."""
        return CapabilityOrdering(position="innermost")

    def get_wrapper_toolset(self, toolset: Any) -> Any:
        """The agent's tools under the guard. Called by PydanticAI."""
        return _Governed(toolset, self._rules, self._narrowed)

    async def before_model_request(self, ctx: Any, request_context: Any) -> Any:
        """Refuses tools that run at the provider. Called by PydanticAI."""
        parameters = request_context.model_request_parameters
        for tool in getattr(parameters, "native_tools", ()):
            name = str(getattr(tool, "kind", type(tool).__name__))
            if name not in self._ungoverned:
                sentence = "it runs at the model's provider, where no guard sees it"
                async with self._rules.against(name, {}, "ungoverned_tool", sentence):
                    pass
        return request_context


def govern_toolset(toolset: Any, engine: Any = None, **options: Any) -> Any:
    """Puts the guard into one toolset: `toolsets=[govern_toolset(FunctionToolset([f]))]`.

    Args:
        toolset: Any toolset.
        engine: The engine to ask; without it, that of the authority in force.
        options: `names`, `resources`, `record` and `on_denied`, as for LangChain's middleware.
    """
    return _Governed(toolset, Rules(engine, **options), None)


@dataclass
class _Governed(WrapperToolset[Any]):
    """A toolset that judges each call where it is run. PydanticAI copies it by its fields."""

    rules: Rules
    narrowed: Narrowed | None

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Any, tool: Any) -> Any:
        """Runs one call under the guard. Called by PydanticAI."""
        own = decorated(_function(tool))
        try:
            async with standing(self.rules, _held(ctx.deps), name, tool_args):
                with contextlib.ExitStack() as blocks:
                    if self.narrowed is not None and current() is not None:
                        names = {*self._names(ctx), own or self.rules.name(name)}
                        blocks.enter_context(acting(await self.narrowed.grant(names)))
                    if own is not None:
                        return await super().call_tool(name, tool_args, ctx, tool)
                    async with self.rules.call(
                        name, tool_args, defaulted=_left_at_default(tool, tool_args)
                    ) as call:
                        call.result = await super().call_tool(name, call.arguments, ctx, tool)
                        return call.result
        except AccessDenied as denied:
            if self.rules.on_denied == "raise":
                raise
            raise ToolFailed(str(denied)) from denied

    def _names(self, ctx: Any) -> set[str]:
        """What this agent's calls go by in grants."""
        tools = getattr(ctx.tool_manager, "tools", None) or {}
        return {decorated(_function(tool)) or self.rules.name(name) for name, tool in tools.items()}


def _left_at_default(tool: Any, arguments: dict[str, Any]) -> list[str]:
    function = _function(tool)
    if function is None:
        return []
    return sorted(arguments.keys() - without_defaults(function, arguments).keys())


def _function(tool: Any) -> Any:
    """The Python function behind a tool, if there is one."""
    seen = tool
    while (source := getattr(seen, "source_tool", None)) is not None:
        seen = source
    schema = getattr(getattr(seen, "call_func", None), "__self__", None)
    return getattr(schema, "function", None)


def _held(deps: Any) -> Any:
    if isinstance(deps, Mapping):
        return deps.get("answerable")
    return getattr(deps, "answerable", None)
