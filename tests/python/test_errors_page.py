"""docs/errors.md names every exception, error code and reason code there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import answerable.errors

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \|(.*)\|$", re.M)
# `Self::Name => "code"`, with or without what the variant holds.
ARM = re.compile(r'Self::\w+(?:\s*\{ \.\. \}|\(_\))? => "(\w+)"')


def tables() -> list[dict[str, list[str]]]:
    """The page's tables: the other cells by the code in the first."""
    found: list[dict[str, list[str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", PAGE + "\n", re.M):
        rows = {m[1]: [cell.strip() for cell in m[2].split(" | ")] for m in ROW.finditer(block)}
        if rows:
            found.append(rows)
    return found


(
    EXCEPTIONS, REASONS, REFUSALS, GRANTS, WITHIN, SCOPE, REQUEST, STORE, OTHER, FAULTS,
) = tables()  # fmt: skip


SOURCES = [file.read_text("utf-8") for file in sorted((ROOT / "src").rglob("*.rs"))]


def after(mark: str) -> str:
    """What follows a mark that stands once in the Rust sources, wherever that is."""
    (rest,) = (text.split(mark, 1)[1] for text in SOURCES if mark in text)
    return rest


def arms(kind: str, function: str) -> set[str]:
    """The codes that a function of a type answers."""
    begun = after(f"\nimpl {kind} {{").split(f"pub fn {function}(", 1)[1]
    return set(ARM.findall(begun.split("\n    }\n", 1)[0]))


def calls(text: str, name: str) -> list[list[str]]:
    """The arguments of each call of a function in Rust text."""
    found = []
    for match in re.finditer(rf"\b{name}\(", text):
        depth, part, parts, quoted = 1, "", [], False
        for c in text[match.end() :]:
            if c == '"' and not part.endswith("\\"):
                quoted = not quoted
            if not quoted:
                depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(c, 0)
                if depth == 0 or (c == "," and depth == 1):
                    parts.append(part.strip())
                    part = ""
                    if depth == 0:
                        break
                    continue
            part += c
        found.append(parts)
    return found


def test_every_exception_is_told() -> None:
    classes = {name: getattr(answerable.errors, name) for name in answerable.errors.__all__}
    assert {name: cells[0] for name, cells in EXCEPTIONS.items()} == {
        name: f"`{cls.code}`" for name, cls in classes.items()
    }


@pytest.mark.parametrize(
    ("told", "there"),
    [
        (
            REASONS,
            set(
                re.findall(
                    r'pub const \w+: &str = "(\w+)";', after("\npub mod code {").split("\n}\n")[0]
                )
            ),
        ),
        (REFUSALS, arms("RefusalCode", "as_str")),
        (WITHIN, arms("NotWithinCode", "as_str")),
        (SCOPE, arms("ScopeError", "code")),
        (REQUEST, arms("RequestError", "code")),
        (GRANTS, arms("GrantError", "code")),
        (STORE, arms("StoreError", "code")),
        (
            FAULTS,
            set(re.findall(r'^    \w+ = "(\w+)",', after("\ncodes! {").split("\n}\n")[0], re.M)),
        ),
    ],
    ids=["reasons", "refusals", "within", "scope", "request", "grants", "store", "faults"],
)
def test_every_code_of_the_core_is_told(told: dict[str, list[str]], there: set[str]) -> None:
    assert len(there) > 5
    assert set(told) == there


def test_every_code_of_the_binding_and_of_python_is_told() -> None:
    defaults = {cells[0].strip("`") for cells in EXCEPTIONS.values()}
    known = defaults | set(REASONS) | set(REFUSALS) | set(STORE)
    literal: set[str] = set()
    for file in (ROOT / "src" / "python").rglob("*.rs"):
        for arguments in calls(file.read_text("utf-8"), "make"):
            code = arguments[3] if len(arguments) > 3 else ""
            literal |= set(re.findall(r'^"(\w+)"$', code))
    assert {"not_found", "clock_behind", "key"} <= literal, "the reader sees nothing"
    for text in SOURCES:
        literal |= set(re.findall(r'\bWithheld \{\s*code: "(\w+)"', text))
    assert "lease_ended" in literal, "the reader sees nothing"
    for file in (ROOT / "python").rglob("*.py"):
        literal |= set(re.findall(r'\bcode="(\w+)"', file.read_text("utf-8")))
    # One that is a reason too is told again where an error has it.
    again = {"clock_behind"}
    assert literal - known | again == set(OTHER)


def test_every_row_has_a_remedy() -> None:
    for table in tables():
        for code, cells in table.items():
            assert len(cells) >= 2, code
            assert all(len(cell) > 3 for cell in cells), code


def test_nothing_stands_twice_in_a_table() -> None:
    codes = re.findall(r"^\| `(\w+)` \|", PAGE, re.M)
    assert len(codes) == sum(map(len, tables()))
