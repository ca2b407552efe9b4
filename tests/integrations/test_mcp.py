"""MCP servers of both major versions, over memory, stdio and HTTP: who calls, what runs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import mcp.types as types
import pytest
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import Server
from payments import CAPPED, RULES, World, approve, asking, kinds, pay

import answerable as ans
from answerable.integrations.mcp import META_KEY, carrying, govern, outgoing

TWO = importlib.metadata.version("mcp").startswith("2.")
if TWO:
    from mcp import Client
    from mcp.server.mcpserver import Context
    from mcp.server.mcpserver import MCPServer as HighServer
else:
    from mcp.server.fastmcp import FastMCP as HighServer
    from mcp.shared.memory import create_connected_server_and_client_session


@contextlib.asynccontextmanager
async def connected(server: Any) -> AsyncIterator[Any]:
    if TWO:
        async with Client(server) as client:
            yield client
    else:
        low = getattr(server, "_mcp_server", server)
        async with create_connected_server_and_client_session(low) as session:
            yield session


def served(world: World, *functions: Any, local: bool = True, **options: Any) -> Any:
    server = HighServer("payments")
    for function in functions:
        server.add_tool(function)
    return govern(server, world.engine, local=local, **{**RULES, **options})


def failed(result: Any) -> bool:
    return bool(result.is_error if TWO else result.isError)


def text(result: Any) -> str:
    return " ".join(part.text for part in result.content)


# --------------------------------------------------------------------------- the contract


@kinds
async def test_what_the_grant_allows_runs_and_nothing_else(world: World, make: Any) -> None:
    async with connected(served(world, make(world))) as client:
        with world.engine.acting(world.grant()):
            paid = await carrying(client).call_tool("transfer", pay(80))
            refused = await carrying(client).call_tool("transfer", pay(501))
        assert (failed(paid), text(paid)) == (False, "paid 80")
        assert failed(refused)
        assert "at most 500" in text(refused)
        assert "Error executing" not in text(refused)
        nobody = await client.call_tool("transfer", pay(80))
        assert failed(nobody)
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["allow", "deny", "deny"]
    assert world.engine.trail.entries(effect="allow")[0].human == world.alice.id


@kinds
async def test_the_grant_in_force_around_a_local_server_counts(world: World, make: Any) -> None:
    with world.engine.acting(world.grant()):
        async with connected(served(world, make(world))) as client:
            assert text(await client.call_tool("transfer", pay(80))) == "paid 80"
            assert failed(await client.call_tool("transfer", pay(501)))
    assert world.effects() == ["allow", "deny"]


async def test_the_judged_arguments_are_those_the_body_receives(world: World) -> None:
    """The SDK turns text into numbers: the guard sees what the body sees."""
    with world.engine.acting(world.grant()):
        async with connected(served(world, world.transfer())) as client:
            refused = await client.call_tool("transfer", pay("501"))
            assert "is 501;" in text(refused)
            assert text(await client.call_tool("transfer", pay("80"))) == "paid 80"
            memo = await client.call_tool("transfer", {**pay(80), "memo": "psst"})
            assert "`memo`" in text(memo)
            assert failed(await client.call_tool("transfer", pay("a lot")))
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["deny", "allow", "deny"]


async def test_no_log_of_the_server_and_nothing_it_answers_holds_the_chain(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for name in ("answerable", "mcp.server"):
        caplog.set_level("DEBUG", logger=name)
    grant = world.grant()
    async with connected(served(world, world.transfer())) as client:
        with world.engine.acting(grant):
            answers = [await client.call_tool("transfer", pay(n)) for n in (80, 501)]
            answers += [await carrying(client).call_tool("transfer", pay(n)) for n in (80, 501)]
    assert caplog.text, "the test looks where the SDK writes"
    for text in (caplog.text, repr(answers)):
        assert grant.token not in text
        assert grant.digest not in text


async def test_an_unknown_tool_is_refused_and_recorded(world: World) -> None:
    with world.engine.acting(world.grant(ans.allow("**"))):
        async with connected(served(world, world.transfer())) as client:
            refused = await client.call_tool("everything", {})
    assert failed(refused)
    assert "no tool `everything`" in text(refused)
    assert world.reasons("everything") == ["unknown_tool"]


async def test_the_error_of_a_tool_is_left_alone(world: World) -> None:
    def transfer(account: str, amount: int) -> str:
        raise ZeroDivisionError("the bank is closed")

    with world.engine.acting(world.grant()):
        async with connected(served(world, transfer)) as client:
            governed = await client.call_tool("transfer", pay(80))
    bare = HighServer("payments")
    bare.add_tool(transfer)
    async with connected(bare) as client:
        ungoverned = await client.call_tool("transfer", pay(80))
    assert text(governed) == text(ungoverned)
    (entry,) = world.engine.trail.entries(tool="pay.transfer")
    assert (entry.effect, entry.outcome) == ("allow", "raised")


async def test_a_closed_engine_denies(world: World) -> None:
    async with connected(served(world, world.transfer())) as client:
        meta = outgoing(world.grant())
        world.engine.close()
        assert failed(await client.call_tool("transfer", pay(80), meta=meta))
        assert (await carrying_nothing(client)) == []
    assert world.ran == []


async def carrying_nothing(client: Any) -> list[str]:
    return [tool.name for tool in (await client.list_tools()).tools]


@kinds
async def test_parallel_calls_cannot_pass_one_limit(world: World, make: Any) -> None:
    three = ans.allow("pay.transfer", limits=[ans.calls(3)])
    async with connected(served(world, make(world))) as client:
        with world.engine.acting(world.grant(three)):
            calls = [carrying(client).call_tool("transfer", pay(n)) for n in range(8)]
            results = await asyncio.gather(*calls)
    assert sum(failed(result) for result in results) == 5
    assert len(world.ran) == 3


async def test_two_callers_at_once_are_not_mixed(world: World) -> None:
    grants = [world.grant(human=human) for human in (world.alice, world.bob)]
    async with connected(served(world, world.atransfer())) as client:
        calls = [
            carrying(client, grants[n % 2]).call_tool("transfer", pay(n, f"a-{n % 2}"))
            for n in range(20)
        ]
        await asyncio.gather(*calls)
    for n, human in enumerate((world.alice, world.bob)):
        entries = world.engine.trail.entries(human=human.account)
        found = {e.resource for e in entries if e.kind == "decision"}
        assert found == {f"account/a-{n}"}


async def test_on_denied_raise_answers_with_an_error_of_the_protocol(world: World) -> None:
    async with connected(served(world, world.transfer(), on_denied="raise")) as client:
        with pytest.raises(Exception, match="no grant is in force"):
            await client.call_tool("transfer", pay(80))
    assert world.ran == []


# ------------------------------------------------------------------------- what is listed


async def test_tools_are_listed_that_the_chain_could_call(world: World) -> None:
    def refund(account: str) -> str:
        return "refunded"

    async with connected(served(world, world.decorated(), refund)) as client:

        async def listed(grant: Any) -> list[str]:
            found = await carrying(client, grant).list_tools()
            return [tool.name for tool in found.tools]

        grant = world.grant()
        assert await listed(grant) == ["transfer"]
        assert await listed(world.grant(ans.allow("pay.*"))) == ["transfer", "refund"]
        assert await listed(world.grant(ans.allow("files.*"))) == []
        world.engine.revoke(grant, reason="over")
        assert await listed(grant) == []
        assert await carrying_nothing(client) == []
    assert not world.engine.trail.entries(kind="decision")


async def test_a_listed_tool_is_described_as_it_was(world: World) -> None:
    bare = HighServer("payments")
    bare.add_tool(world.transfer())
    async with connected(bare) as client:
        expected = (await client.list_tools()).tools
    async with connected(served(world, world.transfer())) as client:
        assert (await carrying(client, world.grant()).list_tools()).tools == expected


# --------------------------------------------------------------------------- ways around


async def test_a_tool_that_is_added_later_is_governed(world: World) -> None:
    server = served(world)
    server.add_tool(world.transfer())

    @server.tool()
    def refund(account: str) -> str:
        world.ran.append("refund")
        return "refunded"

    async with connected(server) as client:
        for name, arguments in (("transfer", pay(80)), ("refund", {"account": "a-1"})):
            assert failed(await client.call_tool(name, arguments))
    assert world.ran == []
    assert (world.effects(), world.effects("pay.refund")) == (["deny"], ["deny"])


@kinds
async def test_no_way_within_the_server_goes_around_the_guard(world: World, make: Any) -> None:
    server = served(world, make(world))
    manager = server._tool_manager
    found = manager.get_tool("transfer")
    context = server.get_context() if hasattr(server, "get_context") else None

    def direct() -> Any:
        result = found.fn(**pay(501))
        return result if asyncio.iscoroutine(result) else asyncio.sleep(0)

    ways = [
        lambda: server.call_tool("transfer", pay(501)),
        lambda: manager.call_tool("transfer", pay(501), context),
        lambda: found.run(pay(501), context),
        direct,
    ]
    with world.engine.acting(world.grant()):
        for way in ways:
            with pytest.raises(Exception, match=r"at most 500|Error executing tool"):
                await way()
    assert world.ran == []
    assert world.effects() == ["deny"] * len(ways)


async def test_governing_twice_judges_once(world: World) -> None:
    server = govern(served(world, world.transfer()), world.engine, local=True, **RULES)
    with world.engine.acting(world.grant()):
        async with connected(server) as client:
            assert text(await client.call_tool("transfer", pay(80))) == "paid 80"
    assert world.effects() == ["allow"]


def test_what_is_no_server_is_refused(world: World) -> None:
    with pytest.raises(ans.InvalidInput):
        govern(object(), world.engine)
    with pytest.raises(ans.InvalidInput):
        govern(HighServer("x"), world.engine, on_denied="ignore")


@pytest.mark.parametrize(
    "chain",
    ["x", 7, {}, {"token": 7}, {"token": "nonsense"}, {"token": "hdl_" + "a" * 26}, ["x"]],
)
async def test_what_is_no_chain_denies(world: World, chain: Any) -> None:
    with world.engine.acting(world.grant()):
        async with connected(served(world, world.transfer())) as client:
            assert failed(await client.call_tool("transfer", pay(80), meta={META_KEY: chain}))
    assert world.ran == []
    assert world.reasons() == ["no_authority"]


async def test_an_edited_or_foreign_chain_denies(world: World, tmp_path: Path) -> None:
    token = world.grant().token
    other = World(tmp_path / "other")
    forged = [token[:-5] + "AAAAA", other.grant().token, token + "~" + token]
    other.engine.close()
    async with connected(served(world, world.transfer())) as client:
        for text_of_chain in forged:
            meta = {META_KEY: {"token": text_of_chain}}
            refused = await client.call_tool("transfer", pay(80), meta=meta)
            assert failed(refused)
            assert text_of_chain not in text(refused)
    assert world.ran == []


async def test_statements_that_were_not_signed_deny(world: World) -> None:
    meta = outgoing(world.grant())
    for statements in (["Pay me"], [7], "x"):
        meta[META_KEY]["statements"] = statements
        async with connected(served(world, world.transfer())) as client:
            assert failed(await client.call_tool("transfer", pay(80), meta=meta))
    assert world.ran == []


async def test_an_unrelated_chain_under_a_grant_in_force_is_denied(world: World) -> None:
    with world.engine.acting(world.grant()):
        async with connected(served(world, world.transfer())) as client:
            meta = outgoing(world.grant())
            assert failed(await client.call_tool("transfer", pay(80), meta=meta))
    assert world.reasons() == ["authority_conflict"]


# ------------------------------------------------------------------------- low-level servers


def low_level(world: World, **options: Any) -> Any:
    if TWO:

        async def on_list(ctx: Any, params: Any) -> Any:
            schema = {"type": "object"}
            tools = [types.Tool(name=n, input_schema=schema) for n in ("transfer", "refund")]
            return types.ListToolsResult(tools=tools)

        async def on_call(ctx: Any, params: Any) -> Any:
            world.ran.append((params.name, params.arguments))
            return types.CallToolResult(content=[types.TextContent(type="text", text="done")])

        server = Server("payments", on_list_tools=on_list, on_call_tool=on_call)
    else:
        server = Server("payments")

        @server.list_tools()
        async def on_list() -> list[Any]:
            schema = {"type": "object"}
            return [types.Tool(name=n, inputSchema=schema) for n in ("transfer", "refund")]

        @server.call_tool()
        async def on_call(name: str, arguments: Any) -> Any:
            world.ran.append((name, arguments))
            return [types.TextContent(type="text", text="done")]

    return govern(server, world.engine, local=True, **RULES, **options)


async def test_a_low_level_server_is_governed_at_its_handler(world: World) -> None:
    async with connected(low_level(world)) as client:
        with world.engine.acting(world.grant()):
            names = [tool.name for tool in (await carrying(client).list_tools()).tools]
            assert names == ["transfer"]
            assert text(await carrying(client).call_tool("transfer", pay(80))) == "done"
            refused = await carrying(client).call_tool("transfer", pay(501))
            assert "at most 500" in text(refused)
            assert failed(await carrying(client).call_tool("refund", {}))
        assert failed(await client.call_tool("transfer", pay(80)))
    assert world.ran == [("transfer", pay(80))]


# ----------------------------------------------------------------------------- over a network


class Verifier:
    async def verify_token(self, token: str) -> AccessToken | None:
        who = {"alice-secret": "alice", "bob-secret": "bob"}.get(token)
        if who is None:
            return None
        claims = {"subject": who} if "subject" in AccessToken.model_fields else {}
        return AccessToken(token=token, client_id=who, scopes=[], expires_at=None, **claims)


@contextlib.contextmanager
def http(server: Any) -> Iterator[str]:
    import uvicorn

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = server.streamable_http_app()
    runner = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=runner.run)
    thread.start()
    while not runner.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        runner.should_exit = True
        thread.join()


@contextlib.asynccontextmanager
async def signed_in(url: str, token: str | None) -> AsyncIterator[Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if TWO:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        async with (
            httpx2.AsyncClient(headers=headers) as connection,
            Client(streamable_http_client(url, http_client=connection)) as client,
        ):
            yield client
    else:
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client

        async with (
            streamablehttp_client(url, headers=headers) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            yield session


def networked(world: World, authority: Any, *, sign_in: bool = True, **options: Any) -> Any:
    auth = AuthSettings(
        issuer_url="http://127.0.0.1:9",
        resource_server_url="http://127.0.0.1:9",
        required_scopes=[],
    )
    signing: dict[str, Any] = {"auth": auth, "token_verifier": Verifier()} if sign_in else {}
    server = HighServer("payments", **signing)
    server.add_tool(world.transfer())
    return govern(server, world.engine, authority=authority, **RULES, **options)


async def test_over_a_network_the_token_says_who_calls(world: World) -> None:
    grants = {"alice": world.grant(), "bob": world.grant(ans.allow("pay.*"), human=world.bob)}
    with http(networked(world, lambda token: grants.get(token.client_id))) as url:
        async with signed_in(url, "alice-secret") as client:
            assert text(await client.call_tool("transfer", pay(80))) == "paid 80"
            assert "at most 500" in text(await client.call_tool("transfer", pay(501)))
        async with signed_in(url, "bob-secret") as client:
            assert text(await client.call_tool("transfer", pay(501))) == "paid 501"
        with pytest.raises(BaseException):  # noqa: B017 - each version has its own.
            async with signed_in(url, "stolen") as client:
                await client.call_tool("transfer", pay(80))
    humans = [e.human for e in world.engine.trail.entries(tool="pay.transfer")]
    assert humans == [world.alice.id, world.alice.id, world.bob.id]


async def test_a_chain_alone_is_not_enough_over_a_network(world: World) -> None:
    """Whoever has seen a chain could send it: alone it says nothing of who calls."""
    grant = world.grant()
    for options in ({}, {"local": True}):
        server = networked(world, lambda token: None, sign_in=False, **options)
        with http(server) as url:
            async with signed_in(url, None) as client:
                refused = await carrying(client, grant).call_tool("transfer", pay(80))
                assert "no proof" in text(refused)
                listed = await carrying(client, grant).list_tools()
                assert listed.tools == []
                handle = {META_KEY: {"token": grant.handle()}}
                assert failed(await client.call_tool("transfer", pay(80), meta=handle))
    assert world.ran == []
    assert set(world.reasons()) == {"no_authority"}


async def test_with_a_token_a_chain_counts_if_it_comes_from_the_callers_grant(
    world: World,
) -> None:
    mine = world.grant(CAPPED, max_depth=1)
    narrow = ans.allow(
        "pay.transfer",
        resource="account/*",
        where={"account": ans.any_(), "amount": ans.at_most(10)},
    )
    child = mine.delegate(world.payer, scope=narrow)
    others = world.grant(ans.allow("pay.*"), human=world.bob)
    with http(networked(world, lambda token: mine)) as url:
        async with signed_in(url, "alice-secret") as client:
            assert failed(await carrying(client, child).call_tool("transfer", pay(11)))
            assert text(await carrying(client, child).call_tool("transfer", pay(9))) == "paid 9"
            assert failed(await carrying(client, others).call_tool("transfer", pay(9)))
    entries = world.engine.trail.entries(tool="pay.transfer")
    assert [e.agent for e in entries][:2] == [world.payer.id] * 2
    assert world.reasons() == ["caveat_failed", "authority_conflict"]


async def test_what_is_in_force_where_the_server_runs_is_nobodys_over_a_network(
    world: World,
) -> None:
    with world.engine.acting(world.grant()):
        server = networked(world, lambda token: None)
        with http(server) as url:
            async with signed_in(url, "alice-secret") as client:
                assert failed(await client.call_tool("transfer", pay(80)))
    assert world.ran == []


async def test_an_authority_that_fails_lets_nobody_in_and_tells_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(token: Any) -> Any:
        raise RuntimeError(f"no such user: {token.token}")

    async def later(token: Any) -> Any:
        await asyncio.sleep(0)
        return {"not": "a grant"}

    for authority in (broken, later):
        with http(networked(world, authority)) as url:
            async with signed_in(url, "alice-secret") as client:
                refused = await client.call_tool("transfer", pay(80))
                assert failed(refused)
                assert "alice-secret" not in text(refused)
    assert world.ran == []
    assert "alice-secret" not in caplog.text


async def test_an_authority_may_answer_later_and_with_a_handle(world: World) -> None:
    handle = world.grant().handle()

    async def later(token: Any) -> Any:
        await asyncio.sleep(0)
        return handle

    with http(networked(world, later)) as url:
        async with signed_in(url, "alice-secret") as client:
            assert text(await client.call_tool("transfer", pay(80))) == "paid 80"


# ----------------------------------------------------------------------------- over stdio

STDIO = """
import sys
import answerable as ans
from answerable.integrations.mcp import govern
try:
    from mcp.server.mcpserver import MCPServer
except ImportError:
    from mcp.server.fastmcp import FastMCP as MCPServer

def transfer(account: str, amount: int) -> str:
    return f"paid {amount}"

with ans.open(sys.argv[1]) as engine:
    server = MCPServer("payments")
    server.add_tool(transfer)
    govern(server, engine, local=True, names={"transfer": "pay.transfer"},
           resources={"transfer": "account/{account}"}).run("stdio")
"""


async def test_over_stdio_a_chain_comes_along(world: World) -> None:
    from mcp import StdioServerParameters
    from mcp.client.stdio import stdio_client

    grant = world.grant()
    world.engine.close()
    params = StdioServerParameters(
        command=sys.executable,
        args=["-c", STDIO, str(world.path)],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    )

    async def use(client: Any) -> None:
        assert text(await carrying(client, grant).call_tool("transfer", pay(80))) == "paid 80"
        assert "at most" in text(await carrying(client, grant).call_tool("transfer", pay(501)))
        assert failed(await client.call_tool("transfer", pay(80)))

    if TWO:
        async with Client(params) as client:
            await use(client)
    else:
        from mcp import ClientSession

        async with stdio_client(params) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            await use(session)
    world.engine = ans.open(world.path)
    assert world.effects() == ["allow", "deny", "deny"]


# ------------------------------------------------------------------------------- pauses


@pytest.mark.skipif(not TWO, reason="mcp 1 pauses inside the call")
async def test_a_call_that_asks_the_client_is_judged_each_round(world: World) -> None:
    async def transfer(account: str, amount: int, ctx: Context) -> Any:
        answers = ctx.input_responses
        if not answers:
            world.ran.append("asked")
            ask = types.ElicitRequest(
                params=types.ElicitRequestFormParams(
                    message="Sure?", requested_schema={"type": "object", "properties": {}}
                )
            )
            return types.InputRequiredResult(input_requests={"sure": ask})
        world.ran.append((account, amount))
        return f"paid {amount}"

    async def sure(context: Any, params: Any) -> Any:
        return types.ElicitResult(action="accept", content={})

    server = served(world, transfer)
    grant = world.grant()
    async with Client(server, elicitation_callback=sure) as client:
        result = await carrying(client, grant).call_tool("transfer", pay(80))
        assert "paid 80" in text(result)
    assert world.ran == ["asked", ("a-1", 80)]
    assert world.effects() == ["allow", "allow"]


@kinds
async def test_a_call_that_asks_is_told_and_runs_once_it_is_approved(
    world: World, make: Any
) -> None:
    async with connected(served(world, make(world))) as client:
        asking(world)
        grant = world.grant()
        waits = await carrying(client, grant).call_tool("transfer", pay(80))
        assert failed(waits)
        assert "needs a human's approval" in text(waits)
        assert world.ran == []
        approve(world)
        assert text(await carrying(client, grant).call_tool("transfer", pay(80))) == "paid 80"
        assert failed(await carrying(client, grant).call_tool("transfer", pay(80))), "once"
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["ask", "allow", "ask"]
