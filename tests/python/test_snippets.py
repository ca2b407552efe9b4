"""Every Python block of README.md and docs/ runs, and prints what the page says it prints."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)

# What differs from run to run, and what stands for it on both sides.
PASSING = [
    (re.compile(r"\b([a-z]{2,4}_)[a-z2-7]{26}\b"), r"\1<id>"),
    (re.compile(r"\bk4\.(public|pid|sid|lid)\.[\w-]{40,}"), r"k4.\1.<key>"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "<digest>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?"), "<time>"),
    (re.compile(r"\b\d+(\.\d+)? ?(µs|ms|s)\b"), "<duration>"),
]


def settled(text: str) -> str:
    """The text with ids, digests, times and durations replaced, and no space at line ends."""
    for pattern, stand_in in PASSING:
        text = pattern.sub(stand_in, text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def blocks(page: str) -> list[tuple[str, str | None, int]]:
    """Each Python block with the output block that directly follows it, and its line."""
    fences = list(FENCE.finditer(page))
    found = []
    for fence, following in itertools.zip_longest(fences, fences[1:]):
        if fence[1] != "python":
            continue
        output = following[2] if following is not None and following[1] == "text" else None
        found.append((fence[2], output, page.count("\n", 0, fence.start()) + 2))
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_snippets_of_a_page_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for code, output, line in blocks(path.read_text("utf-8")):
        # Padded, so that a traceback shows the line of the page.
        compiled = compile("\n" * (line - 1) + code, str(path), "exec")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compiled, names)
        if output is not None:
            assert settled(printed.getvalue()) == settled(output), f"{path.name}:{line}"


def test_an_output_that_differs_is_seen() -> None:
    id_, other = "agt_" + "a" * 26, "agt_" + "b" * 26
    assert settled(f"{id_} at 2026-11-24T02:00:00Z in 12 ms ") == settled(
        f"{other} at 2027-01-01T00:00:00Z in 3.5 ms"
    )
    assert settled("denied") != settled("allowed")
    assert blocks("```python\nx\n```\n\n```text\ny\n```\n") == [("x\n", "y\n", 2)]
    assert blocks("```python\nx\n```\n```python\nz\n```\n")[0][1] is None
