"""The notebooks run from top to bottom, and what is committed of them is whole and small."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harmless import Reader

pytest.importorskip("IPython", reason="the test extra brings it")

NOTEBOOKS = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
NAMES = sorted(file.stem for file in NOTEBOOKS.glob("*.ipynb"))
# Nothing that a page loads or runs; entries hold what attackers wrote.
FORBIDDEN = {"script", "img", "iframe", "link", "object", "embed", "form", "base"}

# IPython itself, in a process of its own: what a kernel runs, without sockets and their timeouts.
RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

shell, shown = InteractiveShell.instance(), []
for number, cell in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))["cells"]):
    if cell["cell_type"] == "code":
        done = shell.run_cell("".join(cell["source"]), store_history=True)
        done.raise_error()
        data = {} if done.result is None else shell.display_formatter.format(done.result)[0]
        shown.append([number, hasattr(done.result, "_repr_html_"), data])
json.dump(shown, open(sys.argv[2], "w", encoding="utf-8"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks in a folder of their own, and a small company for all of them."""
    made = tmp_path_factory.mktemp("notebooks")
    shutil.copytree(NOTEBOOKS, made / "own", ignore=lambda _, names: {"company"} & set(names))
    return made / "own"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_top_to_bottom(name: str, folder: Path) -> None:
    given = {
        "ANSWERABLE_NOTEBOOK_ENTRIES": "4000",
        "ANSWERABLE_NOTEBOOK_STORE": str(folder.parent / "company"),
        "IPYTHONDIR": str(folder.parent / "ipython"),
    }
    out = folder / f"{name}.json"
    ran = subprocess.run(
        [sys.executable, "-c", RUN, f"{name}.ipynb", str(out)],
        cwd=folder,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    shown = json.loads(out.read_text("utf-8"))
    assert len(shown) == len(code_of(name))
    for _, has_html, data in shown:
        if has_html:  # What fails to show itself is told as plain text only.
            assert_safe(data["text/html"])


def code_of(name: str) -> list[dict[str, Any]]:
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text("utf-8"))
    assert notebook["nbformat"] == 4
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def assert_safe(shown: str) -> None:
    reader = Reader()
    reader.feed(shown)
    assert not reader.tags & FORBIDDEN
    assert not [name for name, _ in reader.attributes if name.startswith("on")]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_was_run_and_is_small(name: str) -> None:
    text = (NOTEBOOKS / f"{name}.ipynb").read_text("utf-8")
    assert len(text) < 400_000
    code = code_of(name)
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr"
            assert_safe("".join(output.get("data", {}).get("text/html", [])))
    # Where it was run is nobody's business.
    assert re.findall(r"(?:/work|/tmp|/home|/root)/[^\"\\]*", text) == []


def test_there_are_four() -> None:
    assert NAMES == ["access_review", "incident_response", "right_sizing", "verifying_a_trail"]
