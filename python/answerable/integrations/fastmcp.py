"""FastMCP: every tool call that a server is asked for passes the guard.

    from answerable.integrations.fastmcp import govern

    server = govern(FastMCP("payments", auth=verifier), engine, authority=grant_of)
    server = govern(FastMCP("payments"), engine, local=True)     # over stdio or in memory

Who calls is told as for `answerable.integrations.mcp`, which has the rule and the client's helper.
A tool is governed where its function is called, by the arguments that it receives; one without a
function, of a mounted or proxied server, by the arguments that were sent.
"""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from answerable.context import current
from answerable.engine import Engine
from answerable.errors import AccessDenied, InvalidInput
from answerable.integrations.mcp import Authority, Gate, carrying, outgoing
from answerable.integrations.standing import Rules, decorated, visible, without_defaults
from answerable.wrappers import wrapped

try:
    from fastmcp import FastMCP
    from fastmcp.exceptions import NotFoundError, ToolError
    from fastmcp.server.middleware import Middleware
    from fastmcp.server.transforms import Transform
    from fastmcp.tools import FunctionTool
except ImportError as error:
    error.add_note("hint: pip install 'answerable[fastmcp]'")
    raise

__all__ = ["carrying", "govern", "outgoing"]


def govern(
    server: Any,
    engine: Engine,
    *,
    authority: Authority | None = None,
    local: bool = False,
    **options: Any,
) -> Any:
    """Puts the guard into a server: its calls, its list of tools, and the tools it gets later.

    Call it last: middleware that is added later stands nearer to the tools.

    Args:
        server: A `FastMCP`. A mounted server is governed as a part of it, by the names it has
            there; one that is reached by itself too is governed by a call of its own.
        engine: The engine to ask.
        authority: What an authenticated caller may do, as for `answerable.integrations.mcp`.
        local: The server is reached over stdio or in memory only, by whoever started it.
        options: `names`, `resources` and `record`, as for LangChain's middleware.

    Returns:
        The same server. A denial is an error result that the model can read.

    Raises:
        InvalidInput: It is no server, or an option cannot be.
    """
    if not isinstance(server, FastMCP):
        raise InvalidInput(f"expected a server of fastmcp, not {type(server).__name__}")
    if any(getattr(known, "__answerable_fastmcp__", False) for known in server.middleware):
        raise InvalidInput("this server is governed already")
    rules = Rules(engine, **options)
    server.add_transform(_Governed(rules))
    server.add_middleware(_Judged(rules, Gate(rules, authority, local)))
    return server


class _Governed(Transform):
    """Hands out each tool with the guard in it."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._made: OrderedDict[int, tuple[Any, Any]] = OrderedDict()

    async def list_tools(self, tools: Sequence[Any]) -> Sequence[Any]:
        return [self._governed(tool) for tool in tools]

    async def get_tool(self, name: str, call_next: Any, *, version: Any = None) -> Any:
        tool = await call_next(name, version=version)
        return None if tool is None else self._governed(tool)

    def _governed(self, tool: Any) -> Any:
        known = self._made.get(id(tool))
        if known is None or known[0] is not tool:
            known = self._made[id(tool)] = tool, _governed(tool, self._rules)
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        return known[1]


_KEPT = 1024


class _Judged(Middleware):
    """Between the wire and the tools: whose call it is, and what it is told."""

    __answerable_fastmcp__ = True

    def __init__(self, rules: Rules, gate: Gate) -> None:
        self._rules = rules
        self._gate = gate

    async def on_call_tool(self, context: Any, call_next: Any) -> Any:
        name, arguments = context.message.name, context.message.arguments or {}
        try:
            async with self._gate.under(*_of(context)) as refusal:
                if refusal is not None:
                    async with self._rules.against(name, arguments, *refusal):
                        pass
                tool = await context.fastmcp_context.fastmcp.get_tool(name)
                if tool is None or _guarded(tool):
                    return await call_next(context)
                async with self._rules.call(name, arguments):
                    return await call_next(context)
        except NotFoundError:
            return await self._unknown(name, arguments)
        except AccessDenied as denied:
            raise ToolError(str(denied)) from denied

    async def _unknown(self, name: str, arguments: Any) -> Any:
        sentence = f"there is no tool `{name[:80]}`"
        try:
            async with self._rules.against(name, arguments, "unknown_tool", sentence):
                pass
        except AccessDenied as denied:
            raise ToolError(str(denied)) from denied

    async def on_list_tools(self, context: Any, call_next: Any) -> Any:
        tools = await call_next(context)
        async with self._gate.under(*_of(context)) as refusal:
            grant = current() if refusal is None else None
            return [tool for tool in tools if visible(self._rules, grant, self._name(tool))]

    def _name(self, tool: Any) -> str:
        return decorated(getattr(tool, "fn", None)) or self._rules.name(tool.name)


def _of(context: Any) -> tuple[bool, Any, Any]:
    """Whether a call came over a wire, its HTTP request, and its `_meta`."""
    request = getattr(context.fastmcp_context, "request_context", None)
    if request is None:
        return False, None, None  # The code that holds the server calls it.
    meta: Any = getattr(request, "meta", None)
    meta = meta.model_dump() if hasattr(meta, "model_dump") else meta
    return True, getattr(request, "request", None), meta


def _guarded(tool: Any) -> bool:
    return getattr(tool, "__dict__", {}).get(_MARK, False) is True


_MARK = "__answerable_governed__"


def _governed(tool: Any, rules: Rules) -> Any:
    """A copy of a tool that judges each call, where it can by what the function receives."""
    if _guarded(tool):
        return tool
    copy = tool.model_copy()
    if not isinstance(tool, FunctionTool):
        # Bound to the tool itself, so that one does not judge again what the other has judged.
        for name in ("run", "_run"):
            object.__setattr__(copy, name, _sent(tool, getattr(tool, name), rules))
    else:
        body = function = tool.fn
        if decorated(function) is None:
            shown = tool.parameters.get("properties", {})
            spec = rules.spec(tool.name, body, pass_through=_Beside(shown))
            body = wrapped(spec, body)
        object.__setattr__(copy, "fn", _told(body))
    object.__setattr__(copy, _MARK, True)
    return copy


class _Beside:
    """The names that a schema does not show: what FastMCP injects."""

    def __init__(self, shown: Any) -> None:
        self._shown = shown

    def __contains__(self, name: object) -> bool:
        return name not in self._shown


def _sent(tool: Any, own: Any, rules: Rules) -> Any:
    @functools.wraps(own)
    async def run(arguments: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        try:
            async with rules.call(tool.name, arguments):
                return await own(arguments, *args, **kwargs)
        except AccessDenied as denied:
            raise ToolError(str(denied)) from denied

    return run


def _told(body: Any) -> Any:
    """The same function, whose denial FastMCP tells the model as it is."""

    @functools.wraps(body)
    def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return body(*args, **without_defaults(body, kwargs))
        except AccessDenied as denied:
            raise ToolError(str(denied)) from denied

    @functools.wraps(body)
    async def later(*args: Any, **kwargs: Any) -> Any:
        try:
            return await body(*args, **without_defaults(body, kwargs))
        except AccessDenied as denied:
            raise ToolError(str(denied)) from denied

    return later if inspect.iscoroutinefunction(body) else plain
