"""What an adapter costs over the bare guard, in microseconds a call: medians over rounds.

    python benches/frameworks.py    # the rows of whatever is installed

`make integrations` runs it in each framework's environment, with `--smoke`.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import answerable as ans

Call = Callable[[], Awaitable[Any]]


def transfer(account: str, amount: int) -> str:
    """Pay."""
    return "ok"


RULES: dict[str, Any] = {
    "names": {"transfer": "pay.transfer"},
    "resources": {"transfer": "account/{account}"},
}
PAY = {"account": "a-1", "amount": 80}


def langchain(engine: ans.Engine) -> tuple[Call, Call]:
    from langchain_core.tools import tool

    from answerable.integrations.langchain import govern_tools

    bare = tool(transfer)
    (governed,) = govern_tools([bare], engine, **RULES)
    return lambda: bare.ainvoke(PAY), lambda: governed.ainvoke(PAY)


def mcp(engine: ans.Engine) -> tuple[Call, Call]:
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError:
        from mcp.server.fastmcp import FastMCP as MCPServer

    from answerable.integrations.mcp import govern

    bare, governed = MCPServer("bare"), MCPServer("governed")
    for server in (bare, governed):
        server.add_tool(transfer)
    govern(governed, engine, local=True, **RULES)
    return lambda: bare.call_tool("transfer", PAY), lambda: governed.call_tool("transfer", PAY)


def fastmcp(engine: ans.Engine) -> tuple[Call, Call]:
    from fastmcp import FastMCP

    from answerable.integrations.fastmcp import govern

    bare, governed = FastMCP("bare"), FastMCP("governed")
    for server in (bare, governed):
        server.tool(transfer)
    govern(governed, engine, local=True, **RULES)
    return lambda: bare.call_tool("transfer", PAY), lambda: governed.call_tool("transfer", PAY)


def agents(engine: ans.Engine) -> tuple[Call, Call]:
    from agents import function_tool
    from agents.tool_context import ToolContext

    from answerable.integrations.openai_agents import govern_tool

    bare = function_tool(transfer)
    governed, text = govern_tool(bare, engine, **RULES), json.dumps(PAY)

    def call(tool: Any) -> Any:
        context = ToolContext(
            context=None, tool_name="transfer", tool_call_id="c", tool_arguments=text
        )
        return tool.on_invoke_tool(context, text)

    return lambda: call(bare), lambda: call(governed)


def pydantic_ai(engine: ans.Engine) -> tuple[Call, Call]:
    from pydantic_ai import RunContext
    from pydantic_ai.models.test import TestModel
    from pydantic_ai.toolsets import FunctionToolset
    from pydantic_ai.usage import RunUsage

    from answerable.integrations.pydantic_ai import govern_toolset

    bare = FunctionToolset([transfer])
    governed = govern_toolset(bare, engine, **RULES)
    context: Any = RunContext(deps=None, model=TestModel(), usage=RunUsage())
    tools = asyncio.run(bare.get_tools(context))

    def call(toolset: Any) -> Any:
        return toolset.call_tool("transfer", PAY, context, tools["transfer"])

    return lambda: call(bare), lambda: call(governed)


FRAMEWORKS = {
    "langchain_core": langchain,
    "fastmcp": fastmcp,
    "mcp": mcp,
    "agents": agents,
    "pydantic_ai": pydantic_ai,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    rounds, count = (2, 10) if parser.parse_args().smoke else (15, 200)
    os.environ["FASTMCP_LOG_LEVEL"] = "ERROR"
    runs = rounds + 5
    print(f"import answerable: {imported(runs):.0f} ms of CPU, the least of {runs}")
    with (
        tempfile.TemporaryDirectory() as folder,
        ans.open(folder + "/relaxed", durability="relaxed", flush_ms=200) as engine,
    ):
        alice = engine.humans.register("alice@example.com")
        scope = ans.allow("pay.transfer")
        engine.agents.issue("bench", owner=alice, purpose="bench", ceiling=scope, ttl="8h")
        grant = engine.grant(alice, "bench", task="Measure", ttl="4h", scope=scope)

        async def guard() -> Any:
            with ans.guard.governed("pay.transfer", PAY, resource="account/{account}") as call:
                call.result = transfer(**call.arguments)

        with engine.acting(grant):
            print(f"{'':30}{'bare µs':>10}{'governed':>10}{'over guard':>12}")
            own = measured(guard, rounds, count, engine)
            print(f"{'the guard alone':30}{'':10}{own:10.1f}")
            for name, make in FRAMEWORKS.items():
                if importlib.util.find_spec(name) is None:
                    continue
                bare, governed = (measured(c, rounds, count, engine) for c in make(engine))
                print(f"{name:30}{bare:10.1f}{governed:10.1f}{governed - bare - own:12.1f}")


def measured(call: Call, rounds: int, count: int, engine: ans.Engine) -> float:
    async def once() -> float:
        start = time.perf_counter()
        for _ in range(count):
            await call()
        return (time.perf_counter() - start) / count * 1e6

    times = []
    for _ in range(rounds):
        engine.trail.checkpoint()  # Empties the queue.
        times.append(asyncio.run(once()))
    return statistics.median(times)


def imported(runs: int) -> float:
    script = (
        "import time; t = time.process_time(); import answerable; print(time.process_time() - t)"
    )
    times = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        times.append(float(done.stdout) * 1e3)
    return min(times)


if __name__ == "__main__":
    main()
