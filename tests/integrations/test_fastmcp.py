"""FastMCP servers: who calls, what runs, and the ways around."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastmcp import Client, Context, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from payments import CAPPED, RULES, World, approve, asking, kinds, pay

import answerable as ans
from answerable.integrations.fastmcp import govern, outgoing
from answerable.integrations.mcp import META_KEY


def served(world: World, *functions: Any, local: bool = True, **options: Any) -> Any:
    server = FastMCP("payments", **options.pop("server", {}))
    for function in functions:
        server.tool(function)
    return govern(server, world.engine, local=local, **{**RULES, **options})


async def call(client: Any, name: str, arguments: Any, grant: Any = None) -> Any:
    meta = outgoing(grant) if grant is not None else None
    return await client.call_tool(name, arguments, meta=meta, raise_on_error=False)


def text(result: Any) -> str:
    return " ".join(part.text for part in result.content)


@kinds
async def test_what_the_grant_allows_runs_and_nothing_else(world: World, make: Any) -> None:
    grant = world.grant()
    async with Client(served(world, make(world))) as client:
        paid = await call(client, "transfer", pay(80), grant)
        refused = await call(client, "transfer", pay(501), grant)
        nobody = await call(client, "transfer", pay(80))
    assert (paid.is_error, text(paid)) == (False, "paid 80")
    assert refused.is_error
    assert text(refused).startswith("`pay.transfer` was not allowed")
    assert "at most 500" in text(refused)
    assert nobody.is_error
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["allow", "deny", "deny"]


async def test_the_judged_arguments_are_those_the_body_receives(world: World) -> None:
    grant = world.grant()
    async with Client(served(world, world.transfer())) as client:
        assert "is 501;" in text(await call(client, "transfer", pay("501"), grant))
        assert text(await call(client, "transfer", pay("80"), grant)) == "paid 80"
        memo = await call(client, "transfer", {**pay(80), "memo": "psst"}, grant)
        assert "`memo`" in text(memo)
        assert (await call(client, "transfer", pay("a lot"), grant)).is_error
    assert world.ran == [("a-1", 80)]


async def test_what_is_injected_goes_by_reference(world: World) -> None:
    async def transfer(account: str, amount: int, ctx: Context) -> str:
        world.ran.append(type(ctx).__name__)
        return f"paid {amount}"

    grant = world.grant()
    async with Client(served(world, transfer)) as client:
        assert text(await call(client, "transfer", pay(80), grant)) == "paid 80"
        assert (await call(client, "transfer", {**pay(80), "ctx": "x"}, grant)).is_error
    assert world.ran == ["Context"]


async def test_no_log_of_the_server_and_nothing_it_answers_holds_the_chain(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    # FastMCP's own logger passes nothing on, so that the test listens there.
    loggers = [logging.getLogger(name) for name in ("fastmcp", "mcp", "answerable")]
    for logger in loggers:
        caplog.set_level("DEBUG", logger=logger.name)
        logger.addHandler(caplog.handler)
    grant = world.grant()
    try:
        async with Client(served(world, world.transfer())) as client:
            answers = [await call(client, "transfer", pay(n), grant) for n in (80, 501)]
            answers.append(await client.list_tools())
    finally:
        for logger in loggers:
            logger.removeHandler(caplog.handler)
    assert "transfer" in caplog.text, "the test looks where the server writes"
    for text_of in (caplog.text, repr(answers)):
        assert grant.token not in text_of
        assert grant.digest not in text_of


async def test_an_unknown_tool_is_refused_and_recorded(world: World) -> None:
    async with Client(served(world, world.transfer())) as client:
        refused = await call(client, "everything", {}, world.grant(ans.allow("**")))
    assert "no tool `everything`" in text(refused)
    assert world.reasons("everything") == ["unknown_tool"]


async def test_the_error_of_a_tool_is_left_alone(world: World) -> None:
    def transfer(account: str, amount: int) -> str:
        raise ZeroDivisionError("the bank is closed")

    bare = FastMCP("payments")
    bare.tool(transfer)
    async with Client(bare) as client:
        ungoverned = await call(client, "transfer", pay(80))
    async with Client(served(world, transfer)) as client:
        governed = await call(client, "transfer", pay(80), world.grant())
    assert text(governed) == text(ungoverned)
    (entry,) = world.engine.trail.entries(tool="pay.transfer")
    assert (entry.effect, entry.outcome) == ("allow", "raised")


async def test_a_closed_engine_denies(world: World) -> None:
    grant = world.grant()
    meta = outgoing(grant)
    async with Client(served(world, world.transfer())) as client:
        world.engine.close()
        refused = await client.call_tool("transfer", pay(80), meta=meta, raise_on_error=False)
        assert refused.is_error
        assert await client.list_tools() == []
    assert world.ran == []


@kinds
async def test_parallel_calls_cannot_pass_one_limit(world: World, make: Any) -> None:
    grant = world.grant(ans.allow("pay.transfer", limits=[ans.calls(3)]))
    async with Client(served(world, make(world))) as client:
        calls = [call(client, "transfer", pay(n), grant) for n in range(8)]
        results = await asyncio.gather(*calls)
    assert sum(result.is_error for result in results) == 5
    assert len(world.ran) == 3


async def test_two_callers_at_once_are_not_mixed(world: World) -> None:
    grants = [world.grant(human=human) for human in (world.alice, world.bob)]
    async with Client(served(world, world.atransfer())) as client:
        calls = [call(client, "transfer", pay(n, f"a-{n % 2}"), grants[n % 2]) for n in range(20)]
        await asyncio.gather(*calls)
    for n, human in enumerate((world.alice, world.bob)):
        entries = world.engine.trail.entries(human=human.account, kind="decision")
        assert {e.resource for e in entries} == {f"account/a-{n}"}


async def test_tools_are_listed_that_the_caller_could_call(world: World) -> None:
    def refund(account: str) -> str:
        return "refunded"

    server = served(world, world.decorated(), refund)
    bare = FastMCP("payments")
    for function in (world.transfer(), refund):
        bare.tool(function)
    async with Client(bare) as client:
        expected = await client.list_tools()

    async def listed(grant: Any) -> list[Any]:
        with world.engine.acting(grant):
            async with Client(server) as client:
                return await client.list_tools()

    grant = world.grant()
    assert [tool.name for tool in await listed(grant)] == ["transfer"]
    assert await listed(world.grant(ans.allow("pay.*"))) == expected, "described as they were"
    world.engine.revoke(grant, reason="over")
    assert await listed(grant) == []
    async with Client(server) as client:
        assert await client.list_tools() == []
    assert not world.engine.trail.entries(kind="decision")


@pytest.mark.parametrize("chain", ["x", 7, {}, {"token": 7}, {"token": "nonsense"}, ["x"]])
async def test_what_is_no_chain_denies(world: World, chain: Any) -> None:
    with world.engine.acting(world.grant()):
        async with Client(served(world, world.transfer())) as client:
            refused = await client.call_tool(
                "transfer", pay(80), meta={META_KEY: chain}, raise_on_error=False
            )
    assert refused.is_error
    assert world.ran == []
    assert world.reasons() == ["no_authority"]


# --------------------------------------------------------------------------- ways around


@kinds
async def test_no_way_within_the_server_goes_around_the_guard(world: World, make: Any) -> None:
    server = served(world, make(world))
    tool = await server.get_tool("transfer")
    (listed,) = await server.list_tools(run_middleware=False)
    ways = [
        lambda: server.call_tool("transfer", pay(501)),
        lambda: server.call_tool("transfer", pay(501), run_middleware=False),
        lambda: tool.run(pay(501)),
        lambda: listed.run(pay(501)),
        lambda: tool.model_copy(update={"name": "other"}).run(pay(501)),
    ]
    with world.engine.acting(world.grant()):
        for way in ways:
            with pytest.raises(ToolError, match="at most 500"):
                await way()
        assert "paid 80" in str(await server.call_tool("transfer", pay(80)))
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["deny"] * len(ways) + ["allow"]


async def test_a_tool_that_is_added_later_is_governed(world: World) -> None:
    server = served(world)
    server.tool(world.transfer())
    async with Client(server) as client:
        assert (await call(client, "transfer", pay(80))).is_error
    assert world.ran == []


async def test_a_mounted_server_is_governed_as_a_part(world: World) -> None:
    child = FastMCP("child")
    child.tool(world.transfer())
    server = FastMCP("parent")
    server.mount(child, "bank")
    govern(
        server,
        world.engine,
        local=True,
        names={"bank_transfer": "pay.transfer"},
        resources={"bank_transfer": "account/{account}"},
    )
    grant = world.grant()
    async with Client(server) as client:
        assert (await call(client, "bank_transfer", pay(501), grant)).is_error
        assert text(await call(client, "bank_transfer", pay(80), grant)) == "paid 80"
        assert (await call(client, "transfer", pay(80), grant)).is_error
    assert world.ran == [("a-1", 80)]


async def test_a_proxied_server_is_governed_by_what_is_sent(world: World) -> None:
    from fastmcp.server import create_proxy

    far = FastMCP("far")
    far.tool(world.transfer())
    server = govern(create_proxy(far, name="near"), world.engine, local=True, **RULES)
    grant = world.grant()
    async with Client(server) as client:
        assert (await call(client, "transfer", pay(501), grant)).is_error
        assert text(await call(client, "transfer", pay(80), grant)) == "paid 80"
        assert (await call(client, "transfer", pay(80))).is_error
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["deny", "allow", "deny"]


async def test_a_transformed_tool_is_governed(world: World) -> None:
    from fastmcp.tools import Tool

    server = FastMCP("payments")
    server.tool(world.transfer())
    govern(server, world.engine, local=True, **{**RULES, "names": {"send": "pay.transfer"}})
    original = Tool.from_function(world.transfer())
    server.add_tool(Tool.from_tool(original, name="send"))
    scope = ans.allow("pay.transfer", where={"account": ans.any_(), "amount": ans.at_most(5)})
    with world.engine.acting(world.grant(scope)):
        async with Client(server) as client:
            assert (await call(client, "send", pay(6))).is_error
            assert text(await call(client, "send", pay(5))) == "paid 5"
    assert world.ran == [("a-1", 5)]


async def test_a_tool_that_middleware_injects_is_governed(world: World) -> None:
    from fastmcp.server.middleware.tool_injection import ToolInjectionMiddleware
    from fastmcp.tools import Tool

    server = FastMCP("payments")
    server.add_middleware(ToolInjectionMiddleware([Tool.from_function(world.transfer())]))
    govern(server, world.engine, local=True, **RULES)
    async with Client(server) as client:
        assert (await call(client, "transfer", pay(80))).is_error
        await call(client, "transfer", pay(501), world.grant())
    assert world.ran == []


def test_what_is_no_server_or_governed_already_is_refused(world: World) -> None:
    with pytest.raises(ans.InvalidInput):
        govern(object(), world.engine)
    with pytest.raises(ans.InvalidInput):
        govern(served(world), world.engine)


# ----------------------------------------------------------------------------- over a network


@contextlib.contextmanager
def http(server: Any) -> Iterator[str]:
    import uvicorn

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(server.http_app(), host="127.0.0.1", port=port, log_level="error")
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=runner.run)
    thread.start()
    while not runner.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        runner.should_exit = True
        thread.join()


def signed_in(url: str, token: str | None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Client(StreamableHttpTransport(url, headers=headers))


def tokens() -> Any:
    return StaticTokenVerifier(
        {f"{who}-secret": {"client_id": who, "scopes": []} for who in ("alice", "bob")}
    )


async def test_over_a_network_the_token_says_who_calls(world: World) -> None:
    mine = world.grant(CAPPED, max_depth=1)
    grants = {"alice": mine, "bob": world.grant(ans.allow("pay.*"), human=world.bob)}
    server = served(
        world,
        world.transfer(),
        local=False,
        server={"auth": tokens()},
        authority=lambda token: grants.get(token.client_id),
    )
    child = mine.delegate(world.payer, scope=CAPPED)
    with world.engine.acting(world.grant(ans.allow("**"))), http(server) as url:
        async with signed_in(url, "alice-secret") as client:
            assert text(await call(client, "transfer", pay(80))) == "paid 80"
            assert (await call(client, "transfer", pay(501))).is_error
            assert text(await call(client, "transfer", pay(9), child)) == "paid 9"
            assert (await call(client, "transfer", pay(9), grants["bob"])).is_error
        async with signed_in(url, "bob-secret") as client:
            assert text(await call(client, "transfer", pay(501))) == "paid 501"
    humans = [e.human for e in world.engine.trail.entries(tool="pay.transfer", effect="allow")]
    assert humans == [world.alice.id, world.alice.id, world.bob.id]


@pytest.mark.parametrize("local", [False, True])
async def test_a_chain_alone_is_not_enough_over_a_network(world: World, local: bool) -> None:
    server = served(world, world.transfer(), local=local)
    grant = world.grant()
    with world.engine.acting(grant), http(server) as url:
        async with signed_in(url, None) as client:
            assert (await call(client, "transfer", pay(80))).is_error
            assert "no proof" in text(await call(client, "transfer", pay(80), grant))
            assert await client.list_tools() == []
    assert world.ran == []


@kinds
async def test_a_call_that_asks_is_told_and_runs_once_it_is_approved(
    world: World, make: Any
) -> None:
    async with Client(served(world, make(world))) as client:
        asking(world)
        grant = world.grant()
        assert "needs a human's approval" in text(await call(client, "transfer", pay(80), grant))
        assert world.ran == []
        approve(world)
        assert text(await call(client, "transfer", pay(80), grant)) == "paid 80"
    assert world.ran == [("a-1", 80)]
    assert world.effects() == ["ask", "allow"]
