"""Every attempt says what it is, what it must meet, and which check stands in its way."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from remove_checks import attempts, patches, place

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ATTEMPTS = attempts()
CLASSES = {
    "algorithm confusion",
    "budget splitting by fan-out",
    "confused deputy",
    "depth and size bombs",
    "fail-open",
    "grant substitution",
    "key confusion",
    "lifecycle bypass",
    "re-parenting",
    "replay",
    "splicing",
    "the holder's socket",
    "time rollback",
    "token theft",
    "trail tampering",
    "Unicode and canonicalization",
    "wildcard widening",
}


def facts(attempt: Path) -> dict[str, str]:
    doc = ast.get_docstring(ast.parse(attempt.read_text("utf-8"))) or ""
    return dict(re.findall(r"^(Class|Refusal|Check): (.+)$", doc, re.M))


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda path: path.stem)
def test_an_attempt_names_its_class_refusal_and_check(attempt: Path) -> None:
    told = facts(attempt)
    assert told["Class"] in CLASSES
    assert told["Refusal"]
    file, function, what = told["Check"].split(":", 2)
    text = (ROOT / file).read_text("utf-8")
    last = function.split(".")[-1]
    assert re.search(rf"\b(?:fn|def) {last}\b", text), f"{file} has no {last}"
    assert what.strip()


def test_all_classes_are_attempted() -> None:
    assert {facts(attempt)["Class"] for attempt in ATTEMPTS} == CLASSES
    assert len(ATTEMPTS) >= 40


@pytest.mark.parametrize("attempt", [a for a in ATTEMPTS if patches(a)], ids=lambda path: path.stem)
def test_what_an_attempt_would_remove_stands_where_it_says(attempt: Path) -> None:
    """The removal itself is `tests/attacks/remove_checks.py`."""
    for file, source, other in patches(attempt):
        text = (ROOT / file).read_text("utf-8")
        start, end = place(text, source)
        assert text[start:end].strip()
        assert text[start:end] != other


def test_most_attempts_name_what_to_remove() -> None:
    assert sum(map(bool, map(patches, ATTEMPTS))) > 80
