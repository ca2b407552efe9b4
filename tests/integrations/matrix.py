"""Runs each adapter against the real package: the newest version, and the oldest supported one.

    python tests/integrations/matrix.py [--source] [ROW …]

Each row has virtual environments of its own under `.integrations/`, made once. The tests then run
offline: `conftest.py` refuses every connection that leaves the machine. `--source` takes answerable
from this tree, with the extension built in place, instead of from `dist/`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".integrations"
TOOLS = ["pytest>=8", "pytest-asyncio>=1"]


@dataclass
class Row:
    """One framework: what to install beside the extra, what to run, what to tell the version of."""

    extra: str  # Several, with commas between.
    oldest: list[str]
    tests: list[str]
    shown: str
    beside: tuple[str, ...] = ()


ROWS = {
    "langchain": Row(
        "langchain",
        ["langchain==1.1.0", "langgraph==1.0.4", "langgraph-prebuilt==1.0.5"],
        ["test_langchain.py", "test_langchain_tools.py", "test_langgraph_runs.py"],
        r"langchain|langchain-core|langgraph|langgraph-prebuilt",
    ),
    "mcp": Row("mcp", ["mcp==1.23.0"], ["test_mcp.py"], "mcp", ("uvicorn",)),
    "mcp-1": Row("mcp", [], ["test_mcp.py"], "mcp", ("uvicorn", "mcp<2")),
    "fastmcp": Row("fastmcp", ["fastmcp==3.4.11"], ["test_fastmcp.py"], "fastmcp|mcp"),
    "openai-agents": Row(
        "openai-agents",
        ["openai-agents==0.22.0"],
        ["test_openai_agents.py"],
        "openai-agents|openai|mcp",
    ),
    "pydantic-ai": Row(
        "pydantic-ai",
        ["pydantic-ai-slim==2.60.0"],
        ["test_pydantic_ai.py"],
        "pydantic-ai-slim|pydantic",
    ),
    # What stands beside what: importing answerable loads none of them, and each is measured.
    "together": Row(
        "langchain,mcp,fastmcp,openai-agents,pydantic-ai",
        [],
        [],
        r"langchain|mcp|fastmcp|openai-agents|pydantic-ai-slim",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[[], *ROWS])
    parser.add_argument("--source", action="store_true")
    given = parser.parse_args()
    failed = []
    for name in given.rows or ROWS:
        for age in ("newest", "oldest")[: 1 + bool(ROWS[name].oldest)]:
            if not run(name, age, from_source=given.source):
                failed.append(f"{name} {age}")
    print(f"\n==> {'failed: ' + ', '.join(failed) if failed else 'every row passed'}")
    return 1 if failed else 0


def run(name: str, age: str, *, from_source: bool) -> bool:
    row, started = ROWS[name], time.monotonic()
    folder = HOME / f"{name}-{age}"
    python = made(folder, requirements(row, age), from_source=from_source)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    versions = [
        line.replace("==", " ")
        for line in listed.stdout.splitlines()
        if re.fullmatch(row.shown, line.split("==")[0])
    ]
    print(f"\n==> {name}, {age}: {', '.join(versions)}", flush=True)
    environment = {**os.environ, "ANSWERABLE_CASES": "full"}
    if from_source:
        environment["PYTHONPATH"] = str(ROOT / "python")
    tests = [str(ROOT / "tests" / "integrations" / test) for test in row.tests]
    if tests:
        tests.append(str(ROOT / "tests" / "integrations" / "test_examples.py"))
    both = ("test_guard_schemas.py", "test_imports.py")
    tests += [str(ROOT / "tests" / "python" / test) for test in both]
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], cwd=ROOT, env=environment
    )
    bench = [python, str(ROOT / "benches" / "frameworks.py"), "--smoke"]
    measured = subprocess.run(bench, cwd=ROOT, env=environment)
    print(f"    {time.monotonic() - started:.0f} s", flush=True)
    return done.returncode == 0 == measured.returncode


def requirements(row: Row, age: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*(what for extra in row.extra.split(",") for what in extras[extra])]
    wanted += [*row.beside, *TOOLS]
    return [*wanted, *row.oldest] if age == "oldest" else wanted


def made(folder: Path, wanted: list[str], *, from_source: bool) -> str:
    """The environment's interpreter; what is not there yet is installed."""
    python = folder / "bin" / "python"
    stamp = folder / "installed"
    wheels = [] if from_source else [str(wheel) for wheel in (ROOT / "dist").glob("*.whl")]
    if not from_source and not wheels:
        sys.exit("there is no wheel in dist/: `make integrations` builds it")
    now = "\n".join(wanted)
    if not stamp.exists() or stamp.read_text("utf-8") != now:
        venv.create(folder, with_pip=True, clear=True)
        pip(python, *wanted)
        stamp.write_text(now, "utf-8")
    if wheels:
        pip(python, "--force-reinstall", "--no-deps", *wheels)
    return str(python)


def pip(python: Path, *what: str) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)


if __name__ == "__main__":
    sys.exit(main())
