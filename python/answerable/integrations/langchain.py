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

from answerable.errors import AccessDenied, InvalidInput
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
        record: How their arguments are recorded, as for `ans.tool`: `{"login": {"pin": "mask"}}`.
        on_denied: `"message"` tells the model and lets the run go on; `"raise"` ends the run with
            `AccessDenied`.

    Raises:
        InvalidInput: An option, name, template or `record` that cannot be.
    """

    def __init__(
        self,
        engine: Any = None,
        *,
        tools: Mapping[str, str] | None = None,
        resources: Mapping[str, str] | None = None,
        record: Mapping[str, Mapping[str, str]] | None = None,
        on_denied: Literal["message", "raise"] = "message",
    ) -> None:
        super().__init__()
        if on_denied not in ("message", "raise"):
            raise InvalidInput(f'on_denied is "message" or "raise", not `{on_denied}`')
        self._engine = engine
        self._names = dict(tools or {})
        self._resources = dict(resources or {})
        self._record = {name: dict(ways) for name, ways in (record or {}).items()}
        self._on_denied = on_denied
        for name in {*self._names, *self._resources, *self._record}:
            # What is misspelt is told here and not at the first call.
            governed(
                self._names.get(name, name),
                {},
                resource=self._resources.get(name),
                engine=engine,
                record=self._record.get(name),
            )

    def wrap_tool_call(
        self,
        request: ToolCallRequest,
        handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]],
    ) -> ToolMessage | Command[Any]:
        """Runs one call under the guard. Called by LangChain."""
        try:
            if request.tool is None:
                with self._unknown(request):
                    pass
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
                async with self._unknown(request):
                    pass
            return await handler(self._guarded(request))
        except AccessDenied as denied:
            return self._refusal(request, denied)

    def _unknown(self, request: ToolCallRequest) -> governed:
        """Entering it denies the call, whatever the grant says: there is no body to run."""
        name = request.tool_call["name"]
        against = "unknown_tool", f"there is no tool `{name[:80]}`"
        return governed(name, request.tool_call["args"], engine=self._engine, against=against)

    def _guarded(self, request: ToolCallRequest) -> ToolCallRequest:
        tool = request.tool
        if tool is None:
            raise AccessDenied("there is no such tool", code="unknown_tool")
        sync_open, async_open = _undecorated(tool)
        if not (sync_open or async_open):
            return request
        given = frozenset(request.tool_call["args"])
        return request.override(tool=self._governed(tool, given, sync_open, async_open))

    def _governed(
        self, tool: BaseTool, given: frozenset[str], sync_open: bool, async_open: bool
    ) -> BaseTool:
        """A copy whose body runs under the guard.

        LangChain validates and converts what the model wrote before it calls `_run` or `_arun`, so
        only there do the judged arguments equal those that the body receives: `"80"` arrives as 80.
        """
        judged = frozenset(_argument_names(tool)) | given

        def ask(kwargs: dict[str, Any]) -> governed:
            return governed(
                self._names.get(tool.name, tool.name),
                {name: value for name, value in kwargs.items() if name in judged},
                resource=self._resources.get(tool.name),
                engine=self._engine,
                by_reference={
                    name: value
                    for name, value in kwargs.items()
                    if name not in judged and name not in _PLUMBING
                },
                defaulted=_left_at_default(tool, kwargs, given),
                record=self._record.get(tool.name),
            )

        @functools.wraps(tool._run)
        def run(*args: Any, **kwargs: Any) -> Any:
            named = _by_name(tool, args, kwargs)
            with ask(named) as call:
                call.result = tool._run(**{**named, **call.arguments})
                return call.result

        @functools.wraps(tool._arun)
        async def arun(*args: Any, **kwargs: Any) -> Any:
            named = _by_name(tool, args, kwargs)
            async with ask(named) as call:
                call.result = await tool._arun(**{**named, **call.arguments})
                return call.result

        # On the instance and past pydantic: a subclass would lose the tool's own type and state.
        copy = tool.model_copy()
        if sync_open:
            object.__setattr__(copy, "_run", run)
        if async_open:
            object.__setattr__(copy, "_arun", arun)
        return copy

    def _refusal(self, request: ToolCallRequest, denied: AccessDenied) -> ToolMessage:
        if self._on_denied == "raise":
            raise denied
        call = request.tool_call
        return ToolMessage(
            str(denied), tool_call_id=call["id"] or "", name=call["name"], status="error"
        )


# What LangChain hands to its own `_run` and `_arun`, besides a tool's arguments.
_PLUMBING = frozenset({"config", "run_manager"})


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


def _by_name(tool: BaseTool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name: a tool of one text gets it by place."""
    names = [name for name in _argument_names(tool) if name not in kwargs]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _left_at_default(
    tool: BaseTool, kwargs: dict[str, Any], given: frozenset[str]
) -> frozenset[str]:
    """The arguments that LangChain filled in because the model left them out.

    Only what is certainly so: a field with an alias may have been given under it, and a validator
    may have made a value of another argument.
    """
    schema = tool.args_schema
    if schema is None or isinstance(schema, dict):
        return frozenset()
    left = set()
    for name, field in get_fields(schema).items():
        alias = getattr(field, "validation_alias", None) or getattr(field, "alias", None)
        if name in given or name not in kwargs or alias not in (None, name):
            continue
        value, default = kwargs[name], getattr(field, "default", None)
        if type(value) is type(default) and value == default:
            left.add(name)
    return frozenset(left)
