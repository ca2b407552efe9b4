"""MCP: every tool call that a server is asked for passes the guard.

    from answerable.integrations.mcp import govern

    server = govern(MCPServer("payments"), engine, authority=grant_of)   # FastMCP of mcp 1.x too
    server = govern(MCPServer("payments"), engine, local=True)           # over stdio or in memory

Who calls? A chain that comes along in `_meta` is evidence, not a secret: whoever has seen it could
send it. So over a network the caller is whoever the access token names: `authority` maps that to a
grant, and a chain in `_meta` counts only if it was delegated from that grant. Only where the server
is told that it is reached over stdio or in memory, by whoever started it, is the chain believed by
itself, or the grant in force around the server.

A client sends the grant in force with `carrying(client).call_tool(…)`. Prompts and resources are no
tools and are not governed.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

from answerable import _core
from answerable.context import acting, current, in_force
from answerable.engine import Engine
from answerable.errors import AccessDenied, Error, InvalidInput
from answerable.integrations.standing import (
    Rules,
    decorated,
    grant_of,
    joined,
    logger,
    visible,
    without_defaults,
)
from answerable.wrappers import wrapped

try:
    import anyio
    import mcp.types
    from mcp.server.lowlevel import Server
except ImportError as error:
    error.add_note("hint: pip install 'answerable[mcp]'")
    raise

__all__ = ["META_KEY", "Authority", "Gate", "carrying", "govern", "outgoing"]

META_KEY = "answerable/chain"
"""The key of `_meta` under which a chain travels."""

Authority = Callable[[Any], Any]

_denied: ContextVar[list[tuple[str, AccessDenied]] | None] = ContextVar("denied", default=None)


def govern(
    server: Any,
    engine: Engine,
    *,
    authority: Authority | None = None,
    local: bool = False,
    **options: Any,
) -> Any:
    """Puts the guard into a server: its calls, its list of tools, and the tools it gets later.

    Args:
        server: `MCPServer` (mcp 2), `FastMCP` of mcp 1, or a low-level `Server` whose handlers
            are registered already.
        engine: The engine to ask.
        authority: What an authenticated caller may do: takes the access token, whose `subject`,
            `client_id` and `claims` say who it is, and returns a grant, a handle, or None. It may
            be a coroutine function.
        local: The server is reached over stdio or in memory only, by whoever started it.
        options: `names`, `resources`, `record` and `on_denied`, as for LangChain's middleware;
            `on_denied="raise"` answers with an error of the protocol.

    Returns:
        The same server.

    Raises:
        InvalidInput: It is no server, or an option cannot be.
    """
    rules = Rules(engine, **options)
    low = _low(server)
    manager = getattr(server, "_tool_manager", None)
    if manager is not None:
        _govern_tools(manager, rules)
    gate = _Served(Gate(rules, authority, local), manager)
    if hasattr(low, "get_request_handler"):
        _wrap_two(low, gate)
    else:
        _wrap_one(low, gate)
    return server


def outgoing(grant: _core.Grant | None = None) -> dict[str, Any]:
    """What to send along as `_meta`: the grant in force, or the one given.

    Raises:
        AccessDenied: There is none.
    """
    grant = grant or current()
    if grant is None:
        raise AccessDenied("no grant is in force here to send along", code="no_authority")
    return {META_KEY: {"token": grant.token, "statements": grant.statements}}


class carrying:  # noqa: N801 - used as a verb.
    """A client, or a session, that sends the grant in force along with each call and listing.

    Example:
        with engine.acting(grant):
            await carrying(client).call_tool("pay", {"amount": 80})
    """

    def __init__(self, client: Any, grant: _core.Grant | None = None) -> None:
        self._client = client
        self._grant = grant

    async def call_tool(self, name: str, arguments: Any = None, **options: Any) -> Any:
        """As the client's own."""
        meta = {**(options.pop("meta", None) or {}), **outgoing(self._grant)}
        return await self._client.call_tool(name, arguments, meta=meta, **options)

    async def list_tools(self, cursor: str | None = None) -> Any:
        """As the client's own; what another grant was shown is not taken from a cache."""
        known = inspect.signature(self._client.list_tools).parameters
        meta = outgoing(self._grant)
        if "meta" in known:
            return await self._client.list_tools(cursor=cursor, meta=meta, cache_mode="bypass")
        given = {"cursor": cursor, "_meta": meta}
        params = mcp.types.PaginatedRequestParams.model_validate(given)
        return await self._client.list_tools(params=params)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class Gate:
    """Says whose a call is, for one server."""

    def __init__(self, rules: Rules, authority: Authority | None, local: bool) -> None:
        self.rules = rules
        self._authority = authority
        self._local = local

    @contextlib.asynccontextmanager
    async def under(
        self, wire: bool, request: Any, meta: Any
    ) -> AsyncIterator[tuple[str, str] | None]:
        """Puts the caller's grant in force, or says what speaks against the call."""
        chain = (meta or {}).get(META_KEY)
        network = wire and (not self._local or request is not None)
        if not network:
            grant, refusal = await self._joined(current(), chain)
        else:
            # What is in force where the server was started is nobody's who calls over a network.
            held, refusal = await self._of_token(request)
            if held is None and refusal is None and chain is not None:
                refusal = "no_authority", "a chain alone is no proof of who sends it; sign in first"
            grant = held
            if refusal is None:
                grant, refusal = await self._joined(held, chain)
        with contextlib.ExitStack() as blocks:
            if network:
                blocks.enter_context(in_force(None, None))
            if grant is not None:
                blocks.enter_context(acting(grant))
            yield refusal

    async def _of_token(self, request: Any) -> tuple[_core.Grant | None, tuple[str, str] | None]:
        user = request.scope.get("user") if hasattr(request, "scope") else None
        token = getattr(user, "access_token", None)
        if token is None or self._authority is None:
            return None, None
        try:
            held = self._authority(token)
            if inspect.isawaitable(held):
                held = await held
            return (None if held is None else grant_of(self.rules, held)), None
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody is let in.
            # Its text may hold the token.
            logger.error("no authority could be found for a caller: %s", type(error).__name__)
            return None, ("no_authority", "who calls could not be told")

    async def _joined(
        self, here: _core.Grant | None, chain: Any
    ) -> tuple[_core.Grant | None, tuple[str, str] | None]:
        if chain is None:
            return here, None
        try:
            grant = await anyio.to_thread.run_sync(self._accepted, chain)
        except Error as error:
            return None, ("no_authority", f"the chain that came along is not taken: {error}")
        return joined(here, grant)

    def _accepted(self, chain: Any) -> _core.Grant:
        if not isinstance(chain, Mapping) or not isinstance(chain.get("token"), str):
            raise InvalidInput("it is no chain")
        statements = chain.get("statements")
        if statements is not None and not (
            isinstance(statements, list)
            and all(text is None or isinstance(text, str) for text in statements)
        ):
            raise InvalidInput("its statements are no texts")
        if self.rules.engine is None:
            raise InvalidInput("a chain is taken up by the engine: give govern one")
        return self.rules.engine.accept(chain["token"], statements=statements)


class _Served:
    """The calls and listings of one server, between the wire and its handlers."""

    def __init__(self, gate: Gate, manager: Any) -> None:
        self.rules = gate.rules
        self._gate = gate
        self._manager = manager

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        request: Any,
        meta: Any,
        run: Callable[[], Awaitable[Any]],
        failed: Callable[[Any], bool],
    ) -> Any:
        """The handler's result, or the denial: the server's own words for it hide the reason."""
        found: list[tuple[str, AccessDenied]] = []
        token = _denied.set(found)
        try:
            async with self._gate.under(True, request, meta) as refusal:
                known = self._manager is None or self._manager.get_tool(tool) is not None
                if refusal is None and not known:
                    refusal = "unknown_tool", f"there is no tool `{tool[:80]}`"
                if refusal is not None:
                    async with self.rules.against(tool, arguments, *refusal):
                        pass
                if self._manager is None:
                    async with self.rules.call(tool, arguments):
                        return await run()
                result = await run()  # The tool itself is governed, by what it receives.
            return found[-1][1] if found and found[-1][0] == tool and failed(result) else result
        except AccessDenied as denied:
            return denied
        finally:
            _denied.reset(token)

    async def listed(self, tools: list[Any], request: Any, meta: Any) -> list[Any]:
        """The tools that the caller may call with some arguments."""
        async with self._gate.under(True, request, meta) as refusal:
            grant = current() if refusal is None else None
            return [tool for tool in tools if visible(self.rules, grant, self._name(tool.name))]

    def _name(self, tool: str) -> str:
        known = self._manager.get_tool(tool) if self._manager is not None else None
        return decorated(getattr(known, "fn", None)) or self.rules.name(tool)


def _low(server: Any) -> Any:
    for candidate in (
        getattr(server, "_lowlevel_server", None),
        getattr(server, "_mcp_server", None),
        server,
    ):
        if isinstance(candidate, Server):
            return candidate
    raise InvalidInput(f"expected a server of mcp, not {type(server).__name__}")


def _govern_tools(manager: Any, rules: Rules) -> None:
    """Governs the functions of all tools, those that are added later included."""

    def add(*args: Any, **kwargs: Any) -> Any:
        return _govern_tool(own(*args, **kwargs), rules)

    own = manager.add_tool
    manager.add_tool = add
    for tool in manager.list_tools():
        _govern_tool(tool, rules)


def _govern_tool(tool: Any, rules: Rules) -> Any:
    """Governs what a tool calls: there arguments are as the function receives them."""
    if getattr(tool.fn, "__answerable_mcp__", False):
        return tool
    body = tool.fn
    if decorated(body) is None:
        injected = [*getattr(tool, "resolved_params", ())]
        injected += [tool.context_kwarg] if tool.context_kwarg else []
        body = wrapped(rules.spec(tool.name, body, pass_through=injected), body)

    def note(denied: AccessDenied) -> None:
        found = _denied.get()
        if found is not None:
            found.append((tool.name, denied))

    @functools.wraps(body)
    def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return body(*args, **without_defaults(body, kwargs))
        except AccessDenied as denied:
            note(denied)
            raise

    @functools.wraps(body)
    async def later(*args: Any, **kwargs: Any) -> Any:
        try:
            return await body(*args, **without_defaults(body, kwargs))
        except AccessDenied as denied:
            note(denied)
            raise

    tool.fn = later if tool.is_async else plain
    tool.fn.__answerable_mcp__ = True
    return tool


def _wrap_two(low: Any, gate: _Served) -> None:
    """Version 2: handlers take a context and params."""
    from mcp.shared.exceptions import MCPError

    def failed(result: Any) -> bool:
        return bool(getattr(result, "is_error", False))

    call, listing = (low.get_request_handler(name) for name in ("tools/call", "tools/list"))

    async def called(ctx: Any, params: Any) -> Any:
        run = functools.partial(call.handler, ctx, params)
        arguments, meta = params.arguments or {}, params.meta
        result = await gate.call(params.name, arguments, ctx.request, meta, run, failed)
        if not isinstance(result, AccessDenied):
            return result
        if gate.rules.on_denied == "raise":
            raise MCPError(_REFUSED, str(result))
        return mcp.types.CallToolResult(content=_text(result), is_error=True)

    async def listed(ctx: Any, params: Any) -> Any:
        result = await listing.handler(ctx, params)
        meta = params.meta if params is not None else None
        tools = await gate.listed(list(result.tools), ctx.request, meta)
        return result.model_copy(update={"tools": tools})

    if call is not None:
        low.add_request_handler("tools/call", call.params_type, called)
    if listing is not None:
        low.add_request_handler("tools/list", listing.params_type, listed)


def _wrap_one(low: Any, gate: _Served) -> None:
    """Version 1: handlers take a request, its context is a ContextVar."""
    from mcp.shared.exceptions import McpError

    handlers, types = low.request_handlers, mcp.types

    def of(req: Any) -> tuple[Any, Any]:
        meta = req.params.meta if req is not None and req.params is not None else None
        return low.request_context.request, meta.model_dump() if meta is not None else None

    def failed(result: Any) -> bool:
        return bool(getattr(getattr(result, "root", None), "isError", False))

    call, listing = handlers.get(types.CallToolRequest), handlers.get(types.ListToolsRequest)

    async def called(req: Any) -> Any:
        run = functools.partial(call, req)
        name, arguments = req.params.name, req.params.arguments or {}
        result = await gate.call(name, arguments, *of(req), run, failed)
        if not isinstance(result, AccessDenied):
            return result
        if gate.rules.on_denied == "raise":
            raise McpError(types.ErrorData(code=_REFUSED, message=str(result)))
        return types.ServerResult(types.CallToolResult(content=_text(result), isError=True))

    async def listed(req: Any) -> Any:
        result = await listing(req)
        if req is None:  # The server asks itself, for the schemas that it validates by.
            return result
        tools = await gate.listed(list(result.root.tools), *of(req))
        return types.ServerResult(result.root.model_copy(update={"tools": tools}))

    if call is not None:
        handlers[types.CallToolRequest] = called
    if listing is not None:
        handlers[types.ListToolsRequest] = listed


_REFUSED = -32001


def _text(denied: AccessDenied) -> list[Any]:
    return [mcp.types.TextContent(type="text", text=str(denied))]
