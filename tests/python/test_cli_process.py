"""The command line as a process: start, pipes, terminals, completion."""

from __future__ import annotations

import os
import pty
import re
import resource
import shutil
import subprocess
import sys
from typing import Any

import pytest
from shop import Cli, Shop

import answerable as ans
from answerable.cli.run import COMMANDS


def run_outside(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "answerable", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_module_is_the_command_line(shop: Shop) -> None:
    done = run_outside("--version")
    assert (done.returncode, done.stdout) == (0, f"answerable {ans.__version__}\n")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run_outside("--store", str(shop.path), "trail", "story", "8", env=ascii_only)
    assert done.returncode == 0, done.stderr
    assert "\\u2192" in done.stdout


def test_help_is_fast() -> None:
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run_outside("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    # Processor time, and the best of several: the machine may be busy with other things.
    assert min(once() for _ in range(5)) < 0.4


def test_help_imports_no_framework() -> None:
    code = (
        "import sys; from answerable.cli import main\n"
        "main(['--help'])\n"
        "print([m for m in ('pydantic', 'langchain', 'opentelemetry', 'tempfile', 'http') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_reader_that_leaves_early_is_no_error(shop: Shop) -> None:
    command = [sys.executable, "-m", "answerable", "--store", str(shop.path), "trail", "show"]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        done = subprocess.run(
            [*command, "--all", "--json"], stdout=out, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(shop: Shop, no_color: str, coloured: bool) -> None:
    outer, inner = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "answerable",
            "--store",
            str(shop.path),
            "trail",
            "show",
            "--effect",
            "deny",
        ],
        stdout=inner,
        env=environment,
    )
    process.wait(timeout=300)
    os.close(inner)
    seen = os.read(outer, 65_536)
    os.close(outer)
    assert (b"\x1b[31mdeny\x1b[0m" in seen.replace(b" ", b"")) is coloured


def completions(*words: str) -> set[str]:
    text = "; ".join(
        [
            f"source <({sys.executable} -m answerable completion bash)",
            f"COMP_WORDS=(answerable {' '.join(words)})",
            f"COMP_CWORD={len(words)}",
            "_answerable",
            'echo "${COMPREPLY[@]}"',
        ]
    )
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes() -> None:
    assert completions("tr") == {"trail"}
    assert completions("trail", "st") == {"story"}
    assert completions("--json", "trail", "show", "--ef") == {"--effect"}
    assert completions("completion", "") >= {"bash", "zsh", "fish"}
    assert completions("nope", "x") == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_knows_every_command(shell: str, cli: Cli) -> None:
    script = cli("completion", shell).out
    for words in COMMANDS:
        assert re.search(rf"\b{words[-1]}\b", script)
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, text=True, check=False)
        assert done.returncode == 0
