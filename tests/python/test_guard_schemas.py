"""Frameworks derive the same schema from a decorated function as from the bare one."""

from __future__ import annotations

import enum
import importlib
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import answerable as ans


class Address(BaseModel):
    street: str
    number: int = 1


class Speed(enum.Enum):
    FAST = "fast"


def plain(account: str, amount: int = 5, memo: str | None = None) -> str:
    """Transfer money.

    Args:
        account: Where it goes.
        amount: How much.
    """
    return f"{account} {amount} {memo}"


async def coroutine(account: Annotated[str, Field(description="where")], to: Address) -> str:
    """Transfer money later."""
    return f"{account} {to}"


def rich(
    kind: Literal["a", "b"],
    speed: Speed = Speed.FAST,
    *,
    items: list[Address],
    limits: dict[str, float] | None = None,
) -> list[Any]:
    """Many types."""
    return [kind, speed, items, limits]


BARE = [plain, coroutine, rich]


@pytest.mark.parametrize("bare", BARE)
def test_langchain_sees_the_same_tool(bare: Any) -> None:
    tools = pytest.importorskip("langchain_core.tools", reason="run by `make integrations`")
    StructuredTool, tool = tools.StructuredTool, tools.tool  # noqa: N806 - a class.
    decorated = ans.tool("t.schema")(bare)

    def described(function: Any) -> Any:
        kind = "coroutine" if function is bare and bare is coroutine else "func"
        kind = "coroutine" if bare is coroutine else kind
        made = StructuredTool.from_function(**{kind: function})
        return made.name, made.description, made.args_schema.model_json_schema(), made.args

    assert described(decorated) == described(bare)
    one, other = tool(decorated), tool(bare)
    assert (one.name, one.description, one.args) == (other.name, other.description, other.args)
    assert (one.coroutine is None) == (other.coroutine is None), "and whether it is async"


@pytest.mark.parametrize("bare", BARE)
def test_the_openai_agents_sdk_sees_the_same_tool(bare: Any) -> None:
    agents = pytest.importorskip("agents", reason="run by `make integrations`")
    one, other = (
        agents.function_tool(strict_mode=False)(function)
        for function in (ans.tool("t.schema")(bare), bare)
    )
    assert (one.name, one.description) == (other.name, other.description)
    assert one.params_json_schema == other.params_json_schema


@pytest.mark.parametrize("bare", BARE)
def test_pydantic_ai_sees_the_same_tool(bare: Any) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai", reason="run by `make integrations`")
    one, other = (pydantic_ai.Tool(f).tool_def for f in (ans.tool("t.schema")(bare), bare))
    assert one == other


@pytest.mark.parametrize("bare", BARE)
def test_mcp_sees_the_same_tool(bare: Any) -> None:
    mcp = pytest.importorskip("mcp", reason="run by `make integrations`")
    try:
        tools = importlib.import_module("mcp.server.mcpserver.tools.base")
    except ImportError:  # Its name before mcp 2.
        tools = importlib.import_module(f"{mcp.__name__}.server.fastmcp.tools.base")
    one, other = (
        tools.Tool.from_function(function) for function in (ans.tool("t.schema")(bare), bare)
    )
    for fact in ("name", "description", "parameters", "is_async", "output_schema"):
        assert getattr(one, fact) == getattr(other, fact)


@pytest.mark.parametrize("bare", BARE)
def test_fastmcp_sees_the_same_tool(bare: Any) -> None:
    tools = pytest.importorskip("fastmcp.tools", reason="run by `make integrations`")
    one, other = (tools.Tool.from_function(f) for f in (ans.tool("t.schema")(bare), bare))
    for fact in ("name", "description", "parameters", "output_schema"):
        assert getattr(one, fact) == getattr(other, fact)
