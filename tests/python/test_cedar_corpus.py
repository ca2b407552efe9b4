"""Cedar's integration corpus, and cases of ours in its format, through the compiled path.

The corpus (JSON files that name `.cedar`, `.cedarschema` and `.entities.json` files and list
requests with decision, reason and errors) is not in the repository: `ANSWERABLE_CEDAR_CORPUS`
names a folder of it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import answerable as ans
from answerable.analysis import cedar
from answerable.analysis.cedar import cedar_all

OURS = Path(__file__).parents[1] / "vectors" / "cedar"
CORPUS = os.environ.get("ANSWERABLE_CEDAR_CORPUS")


def cases(folder: Path) -> list[Path]:
    """The files that are cases: those that list requests, or `queries`, as older ones do."""
    return [
        file
        for file in sorted(folder.rglob("*.json"))
        if not file.name.endswith((".entities.json", ".cedarschema.json"))
        and any(word in file.read_text(encoding="utf-8") for word in ('"requests"', '"queries"'))
    ]


def beside(case: Path, name: str) -> str:
    """A file that a case names, relative to the case or to a folder above it."""
    for folder in case.parents:
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8")
    raise FileNotFoundError(f"{case} names {name}, which is not there")


def run(case: Path) -> tuple[int, list[str]]:
    """How many requests a case has, and what differed."""
    content: dict[str, Any] = json.loads(case.read_text(encoding="utf-8"))
    schema = beside(case, content["schema"]) if content.get("schema") else None
    asked = content.get("requests") or content["queries"]
    answers = cedar_all(
        beside(case, content["policies"]),
        beside(case, content["entities"]),
        asked,
        schema,
        by_place=True,
    )
    wrong = []
    for request, answer in zip(asked, answers, strict=True):
        reason = request.get("reason", request.get("reasons"))
        expected = (request["decision"].lower(), set(reason), set(request["errors"]))
        found = (answer.effect, set(answer.determining), set(answer.errors))
        if found != expected:
            wrong.append(f"{case.name}, {request.get('description')}: {found}, not {expected}")
    return len(answers), wrong


def test_cases_of_ours() -> None:
    found = [run(case) for case in cases(OURS)]
    assert [wrong for _, all_wrong in found for wrong in all_wrong] == []
    assert sum(count for count, _ in found) >= 9


def test_a_wrong_answer_is_seen(tmp_path: Path) -> None:
    for file in OURS.iterdir():
        text = file.read_text(encoding="utf-8").replace('"reason": ["policy0"]', '"reason": []')
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    assert any(wrong for _, wrong in map(run, cases(tmp_path)))


@pytest.mark.skipif(
    CORPUS is None, reason="ANSWERABLE_CEDAR_CORPUS names no folder of Cedar's integration corpus"
)
def test_cedars_own_corpus() -> None:
    files = cases(Path(CORPUS or ""))
    assert files, f"{CORPUS} holds no cases"
    requests, wrong = 0, []
    for case in files:
        count, different = run(case)
        requests += count
        wrong += different
    assert wrong == [], f"{len(wrong)} of {requests} requests in {len(files)} cases"
    assert requests > 0


def test_ids_are_the_policies_own_where_they_have_one() -> None:
    answer = cedar(
        '@id("mine") permit(principal, action, resource);permit(principal, action, resource);',
        [],
        {"principal": 'A::"x\\"y"', "action": 'Action::"b"', "resource": {"type": "C", "id": "d"}},
    )
    assert answer == ("allow", ("mine", "policy1"), (), 1.0)


def test_what_cedar_does_not_take_is_refused_with_its_place() -> None:
    request = {"principal": 'A::"x"', "action": 'Action::"b"', "resource": 'C::"d"'}
    with pytest.raises(ans.InvalidPolicy) as refused:
        cedar("permit(principal, action, resource)\n  when { 1 + };", [], request)
    assert (refused.value.line, refused.value.column) == (2, 14)
    with pytest.raises(ans.InvalidPolicy, match="entities"):
        cedar("", '[{"uid": 1}]', request)
    with pytest.raises(ans.InvalidInput, match="not an entity"):
        cedar("", [], request | {"principal": "alice"})
    schema = "entity A; entity C; action b appliesTo {principal: A, resource: A};"
    with pytest.raises(ans.InvalidPolicy, match="not valid"):
        cedar("", [], request | {"validateRequest": True}, schema)
