"""Type checkers see through the decorator, and the stub agrees with the binary."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TYPING = ROOT / "tests" / "typing"

MYPY = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-color-output"]
PYRIGHT = [sys.executable, "-m", "pyright", "--outputjson"]


def run(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MYPYPATH": str(ROOT / "python")}
    return subprocess.run(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def refused_lines() -> set[int]:
    text = (TYPING / "check_refused.py").read_text("utf-8")
    return {n for n, line in enumerate(text.splitlines(), 1) if "# refused:" in line}


def lines_of(found: Iterable[str], pattern: str) -> set[int]:
    return {int(m[1]) for line in found if (m := re.search(pattern, line))}


def test_mypy_keeps_the_types_of_a_decorated_function() -> None:
    done = run(MYPY, "--strict", TYPING / "check_tool.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_refuses_wrong_calls() -> None:
    done = run(MYPY, "--strict", TYPING / "check_refused.py")
    assert lines_of(done.stdout.splitlines(), r"check_refused\.py:(\d+): error") == refused_lines()


@pytest.fixture(scope="module")
def pyright() -> str:
    pytest.importorskip("pyright")
    if shutil.which("node") is None and not run(PYRIGHT, "--version").stdout:
        pytest.skip("pyright has no node to run on")
    return run(PYRIGHT).stdout


def errors(report: str, file: str) -> list[str]:
    import json

    found = json.loads(report)["generalDiagnostics"]
    return [
        f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']}"
        for one in found
        if one["severity"] == "error" and one["file"].endswith(file)
    ]


def test_pyright_keeps_the_types_of_a_decorated_function(pyright: str) -> None:
    assert errors(pyright, "check_tool.py") == []


def test_pyright_refuses_wrong_calls(pyright: str) -> None:
    found = errors(pyright, "check_refused.py")
    assert lines_of(found, r"check_refused\.py:(\d+):") == refused_lines()


@pytest.mark.parametrize("file", ["__init__.py", "_core.pyi", "errors.py", "explain.py"])
def test_pyright_is_content_with_the_public_face(pyright: str, file: str) -> None:
    assert errors(pyright, f"answerable/{file}") == []


def test_the_stub_agrees_with_the_binary() -> None:
    config = ["--mypy-config-file", str(ROOT / "pyproject.toml")]
    done = run([sys.executable, "-m", "mypy.stubtest", *config], "answerable._core")
    assert done.returncode == 0, done.stdout + done.stderr
