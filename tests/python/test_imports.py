"""Importing answerable loads no framework, nor what only some of its users need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import answerable as ans

# What is installed beside answerable, whichever of it there is.
FRAMEWORKS = {
    "agents", "fastmcp", "httpx", "langchain", "langchain_core", "langgraph", "mcp", "numpy",
    "openai", "opentelemetry", "pandas", "polars", "pyarrow", "pydantic", "pydantic_ai", "pytest",
}  # fmt: skip
# Of the standard library: what costs most of an import, and opens doors that nobody asked for.
HEAVY = {
    "asyncio", "concurrent.futures", "dataclasses", "email", "html", "http", "http.client",
    "http.server", "logging", "multiprocessing", "pathlib", "pickle", "socket", "sqlite3", "ssl",
    "subprocess", "tempfile", "tomllib", "unittest", "urllib.request", "uuid", "xml", "zoneinfo",
}  # fmt: skip
# The rooms that are entered only by who asks for them.
OURS = {
    "answerable.analysis", "answerable.cli", "answerable.frames", "answerable.integrations",
    "answerable.net", "answerable.simulation", "answerable.testing",
}  # fmt: skip


def loaded(code: str) -> set[str]:
    """The modules of a fresh interpreter after some code, none of them from its own start."""
    script = f"import sys; before = set(sys.modules); {code}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths())},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def paths() -> list[str]:
    """Where our package and what is installed beside it are found, without `site`."""
    return [str(Path(ans.__file__).parents[1]), *(path for path in sys.path if path)]


def test_the_package_loads_none_of_what_only_some_need() -> None:
    got = loaded("import answerable")
    assert "answerable._core" in got
    assert not got & (FRAMEWORKS | HEAVY | OURS)


def test_a_governed_call_loads_none_of_it_either(tmp_path: Path) -> None:
    call = f"import answerable as ans; engine = ans.open({str(tmp_path / 'store')!r})"
    got = loaded(f"{call}; ans.tool('t.x')(lambda: None); engine.close()")
    assert not got & (FRAMEWORKS | (HEAVY - {"logging", "pathlib"}))


@pytest.mark.parametrize("name", ["langchain", "mcp", "fastmcp", "openai_agents", "pydantic_ai"])
def test_the_package_of_adapters_loads_no_adapter(name: str) -> None:
    got = loaded("import answerable.integrations")
    assert f"answerable.integrations.{name}" not in got
    assert not got & FRAMEWORKS
