"""LangChain: every tool call of an agent passes the guard.

    from answerable.integrations.langchain import AnswerableMiddleware

    agent = create_agent(model, tools, middleware=[AnswerableMiddleware()])
    with engine.acting(grant):
        agent.invoke({"messages": [("user", "Pay this week's invoices")]})

A tool decorated with `@ans.tool` keeps its own guard, and its denial becomes a message that the
model can read. Any other tool is governed here. A child agent that is called inside a tool has
tools of its own: give it this middleware too. Tools that run at the model's provider never pass
through LangChain and cannot be governed by it.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from answerable.errors import AccessDenied
from answerable.guard import governed

try:
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import BaseTool
    from langchain_core.utils.pydantic import get_fields
except ImportError as error:
    error.add_note("hint: pip install 'answerable[langchain]'")
    raise

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ToolCallRequest
    from langgraph.types import Command

__all__ = ["AnswerableMiddleware"]


class AnswerableMiddleware(AgentMiddleware[Any, Any, Any]):
    """Puts the guard between an agent and its tools.

    List it last, next to the tools: middleware after it could still replace the tool it guards.

    Args:
        engine: The engine to ask; without it, that of the authority in force.
        tools: Names in the trail and in grants by LangChain's name, for tools without `@ans.tool`:
            `{"read_invoice": "invoice.read"}`. A tool that is not listed goes by its own name.
        resources: Resource templates by LangChain's name, for the same tools:
            `{"read_invoice": "invoice/{number}"}`.
        on_denied: `"message"` tells the model and lets the run go on; `"raise"` ends the run with
            `AccessDenied`.
    """

    def __init__(
        self,
        engine: Any = None,
        *,
        tools: Mapping[str, str] | None = None,
        resources: Mapping[str, str] | None = None,
        on_denied: Literal["message", "raise"] = "message",
    ) -> None:
        super().__init__()
        if on_denied not in ("message", "raise"):
            raise ValueError(f'on_denied is "message" or "raise", not `{on_denied}`')
        self._engine = engine
        self._names = dict(tools or {})
        self._resources = dict(resources or {})
        self._on_denied = on_denied

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Runs one call under the guard. Called by LangChain."""
        try:
            return handler(self._guarded(request))
        except AccessDenied as denied:
            return self._refusal(request, denied)

    async def awrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]],
    ) -> ToolMessage | Command[Any]:
        """Runs one call under the guard without blocking the loop. Called by LangChain."""
        try:
            if request.tool is None:
                await self._arefuse_unknown(request)
            return await handler(self._guarded(request))
        except AccessDenied as denied:
            return self._refusal(request, denied)

    def _guarded(self, request: ToolCallRequest) -> ToolCallRequest:
        tool = request.tool
        if tool is None:
            self._refuse_unknown(request)
        else:
            sync_open, async_open = _undecorated(tool)
            if sync_open or async_open:
                given = frozenset(request.tool_call["args"])
                copy = self._governed(tool, given, sync_open, async_open)
                return request.override(tool=copy)
        return request

    def _governed(
        self, tool: BaseTool, given: frozenset[str], sync_open: bool, async_open: bool
    ) -> BaseTool:
        """A copy whose body runs under the guard.

        LangChain validates and converts what the model wrote before it calls `_run` or `_arun`, so
        only there do the judged arguments equal those that the body receives: `"80"` arrives as 80.
        """
        judged = frozenset(_argument_names(tool)) | given
        ask = functools.partial(
            governed,
            self._names.get(tool.name, tool.name),
            resource=self._resources.get(tool.name),
            engine=self._engine,
        )

        @functools.wraps(tool._run)
        def run(**kwargs: Any) -> Any:
            with ask(_only(kwargs, judged)) as call:
                call.result = tool._run(**{**kwargs, **call.arguments})
                return call.result

        @functools.wraps(tool._arun)
        async def arun(**kwargs: Any) -> Any:
            async with ask(_only(kwargs, judged)) as call:
                call.result = await tool._arun(**{**kwargs, **call.arguments})
                return call.result

        # On the instance and past pydantic: a subclass would lose the tool's own type and state.
        copy = tool.model_copy()
        if sync_open:
            object.__setattr__(copy, "_run", run)
        if async_open:
            object.__setattr__(copy, "_arun", arun)
        return copy

    def _refuse_unknown(self, request: ToolCallRequest) -> None:
        name = request.tool_call["name"]
        with governed(name, dict(request.tool_call["args"]), engine=self._engine) as call:
            raise _unknown(name, call)

    async def _arefuse_unknown(self, request: ToolCallRequest) -> None:
        name = request.tool_call["name"]
        async with governed(name, dict(request.tool_call["args"]), engine=self._engine) as call:
            raise _unknown(name, call)

    def _refusal(self, request: ToolCallRequest, denied: AccessDenied) -> ToolMessage:
        if self._on_denied == "raise":
            raise denied
        call = request.tool_call
        return ToolMessage(
            str(denied), tool_call_id=call["id"] or "", name=call["name"], status="error"
        )


def _undecorated(tool: BaseTool) -> tuple[bool, bool]:
    """Whether `_run` and `_arun` would reach a body that has no guard of its own."""
    func, coroutine = getattr(tool, "func", None), getattr(tool, "coroutine", None)
    sync_body = func or tool._run
    inherited = type(tool)._arun is BaseTool._arun  # which calls `_run` in a thread
    async_body = coroutine or func or (tool._run if inherited else tool._arun)
    return not hasattr(sync_body, "__answerable__"), not hasattr(async_body, "__answerable__")


def _argument_names(tool: BaseTool) -> list[str]:
    """The arguments that a model may fill, without those that LangChain injects."""
    schema = tool.tool_call_schema
    if isinstance(schema, dict):
        return list(schema.get("properties", ()))
    return list(get_fields(schema))


def _only(arguments: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name in names}


def _unknown(name: str, call: Any) -> AccessDenied:
    """For a scope wide enough to cover a tool that does not exist: there is no body to run."""
    return AccessDenied(
        f"there is no tool `{name}`",
        code="unknown_tool",
        hint="call one of the tools that the agent was given",
        decision=getattr(call, "decision", None),
    )
