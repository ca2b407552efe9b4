"""The architecture, read from the imports: a file imports only from rows above its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src"
PACKAGE = ROOT / "python" / "answerable"

# Rows from the bottom up; within a row a place may use those named before it; a folder is one.
RUST_ROWS = [
    ["clock", "canonical", "keys"],
    ["principal", "request", "scope"],
    ["grant", "chain", "proof", "policy"],
    ["decision", "authorizer", "trail", "vault"],
    ["store"],
    ["registry", "recorder", "engine"],
    ["python"],
]
PYTHON_ROWS = [
    ["_core", "errors"],
    [
        "keeping",
        "showing",
        "frames",
        "marks",
        "following",
        "explain",
        "receipts",
        "approvals",
        "logs",
        "watching",
        "serving",
        "redacting",
        "vault",
        "context",
        "engine",
        "opening",
        "leasing",
        "signature",
        "wrappers",
        "guard",
        "cases",
    ],
    ["integrations", "analysis", "net", "console", "simulation", "cli", "testing"],
]

# What only one place may name, and where.
ONE_PLACE = {
    r"\bsled::|\bextern crate sled\b": ["store"],
    r"\b(?:tokio_)?postgres::": ["store"],
    r"\bpasetors::": ["keys"],
    r"\bcedar_policy\w*::": ["policy"],
    r"\bpyo3::": ["python"],
    r"\b(?:Utc|Local|SystemTime)::now\b": ["clock"],
    # The recorder measures how long a group commit may wait; no decision reads it.
    r"\bInstant::now\b": ["clock", "recorder"],
}


def order(rows: list[list[str]]) -> dict[str, tuple[int, int]]:
    return {name: (i, j) for i, row in enumerate(rows) for j, name in enumerate(row)}


def place(file: Path, root: Path) -> str:
    return file.relative_to(root).parts[0].removesuffix(".rs").removesuffix(".py")


def rust_files() -> list[Path]:
    files = sorted(SOURCES.rglob("*.rs"))
    return [f for f in files if not f.name.endswith("tests.rs") and f.parent.name != "tests"]


def rust_code(text: str) -> str:
    """The text without comments, string contents and inline test modules; lines are kept."""
    # A string ends where it began; a lifetime or a quote in a comment must not open one.
    token = re.compile(
        r"""//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])'""", re.S
    )
    text = token.sub(lambda m: "\n" * m[0].count("\n"), text)
    while match := re.search(r"#\[cfg\(test\)\]\s*mod \w+ \{", text):
        depth, end = 1, match.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[: match.start()] + "\n" * text[match.start() : end].count("\n") + text[end:]
    return text


def rust_imports(code: str) -> Iterator[tuple[int, str]]:
    """Line and first segment of each `crate::…`, in `use` lines and in expressions."""
    for match in re.finditer(r"\bcrate::(\w+|\{)", code):
        line = code.count("\n", 0, match.start()) + 1
        if match[1] != "{":
            yield line, match[1]
            continue
        depth, at, item = 1, match.end(), ""
        while depth:
            c = code[at]
            depth += {"{": 1, "}": -1}.get(c, 0)
            if (c == "," and depth == 1) or depth == 0:
                if item.strip():
                    yield line, item.strip().split("::")[0]
                item = ""
            else:
                item += c
            at += 1


def upward_in_rust(files: list[tuple[Path, str]]) -> list[str]:
    at = order(RUST_ROWS)
    found = []
    for file, code in files:
        here = place(file, SOURCES)
        if here == "lib":
            continue
        assert here in at, f"{file.relative_to(ROOT)} has no row: give it one, in the design too"
        for line, target in rust_imports(code):
            if target in at and target != here and at[target] >= at[here]:
                found.append(f"{file.relative_to(ROOT)}:{line}: {here} uses {target}")
    return found


def test_no_rust_file_imports_upward() -> None:
    assert upward_in_rust([(f, rust_code(f.read_text("utf-8"))) for f in rust_files()]) == []


@pytest.mark.parametrize("pattern", ONE_PLACE)
def test_each_foreign_thing_has_one_place(pattern: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in rust_files()
        if place(file, SOURCES) not in ONE_PLACE[pattern]
        for number, line in enumerate(rust_code(file.read_text("utf-8")).splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []


def python_imports(file: Path, text: str) -> Iterator[tuple[int, str]]:
    """Line and place of each import of our own; the package itself is `answerable`."""
    package = ["answerable", *file.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [module]
            if module == "answerable":
                names = [f"answerable.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "answerable":
                yield node.lineno, parts[1] if len(parts) > 1 else "answerable"


def test_no_python_file_imports_upward() -> None:
    at = order(PYTHON_ROWS)
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        here = place(file, PACKAGE)
        if here in ("__init__", "__main__"):
            continue
        assert here in at, f"{file.relative_to(ROOT)} has no row: give it one, in the design too"
        for line, target in python_imports(file, file.read_text("utf-8")):
            # The package itself is the public face: only what stands above the guard may use it.
            inside = target == "answerable" and at[here][0] < len(PYTHON_ROWS) - 1
            if inside or (target in at and target != here and at[target] >= at[here]):
                found.append(f"{file.relative_to(ROOT)}:{line}: {here} uses {target}")
    assert found == []


def test_the_reader_sees_what_it_must() -> None:
    """The checks above can fail: an upward import in each form is found, a comment is not."""
    clock = SOURCES / "clock.rs"
    forms = {
        "use crate::engine::Engine;": 1,
        "use crate::{canonical::Value, store::{Key, sled}};": 2,
        "fn f() { crate::store::open() }": 1,
        "// use crate::engine::Engine;": 0,
        'const S: &str = "crate::engine";': 0,
        "#[cfg(test)]\nmod tests {\n    use crate::engine::Engine;\n}": 0,
        "fn f<'a>(x: &'a str) -> char { crate::engine::f(); '\"' }": 1,
    }
    for text, expected in forms.items():
        assert len(upward_in_rust([(clock, rust_code(text))])) == expected, text
    guard = PACKAGE / "guard.py"
    assert [t for _, t in python_imports(guard, "from .integrations import x")] == ["integrations"]
    assert [t for _, t in python_imports(guard, "from answerable import cli")] == ["cli"]
    assert [t for _, t in python_imports(guard, "import answerable as ans")] == ["answerable"]
