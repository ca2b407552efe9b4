"""Each example runs where its framework is installed, and is short."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NEEDED = {
    "fastmcp_server": "fastmcp",
    "langchain_agent": "langchain",
    "mcp_server": "mcp.server.mcpserver",
    "openai_agent": "agents",
    "pydantic_ai_agent": "pydantic_ai",
}


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # What holds it is not there.
        return False


@pytest.mark.parametrize("name", NEEDED)
def test_an_example_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if not installed(NEEDED[name]):
        pytest.skip(f"{NEEDED[name]} is not installed here")
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "at most 300" in printed, "the refusal, as the model reads it"
    assert "Alice → planner" in printed, "and the story of a call"
    assert ": allowed" in printed


@pytest.mark.parametrize("name", NEEDED)
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text("utf-8").splitlines()) < 60
