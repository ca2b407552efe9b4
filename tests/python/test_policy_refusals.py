"""Whatever a folder of policies holds, it is loaded or refused with a place and what to do."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import answerable as ans
from answerable import _core
from answerable.analysis.cedar import cedar_all
from answerable.cases import read_cases

HEAD = '@id("p") permit (principal, action == Action::"pay.wire", resource)'
SOUND = HEAD + ";"


def when(condition: str) -> dict[str, Any]:
    return {"a.cedar": f"{HEAD} when {{ {condition} }};"}


def beside(name: str, text: str | bytes) -> dict[str, Any]:
    return {"a.cedar": SOUND, name: text}


def entity(kind: str, attributes: str = "{}", parents: str = "[]") -> str:
    return (
        f'[{{"uid": {{"type": "{kind}", "id": "a"}}, "attrs": {attributes}, "parents": {parents}}}]'
    )


# What the folder holds, and words of the refusal and of its hint.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "two types": (when('context.arguments.n == "x"'), "not compatible", "compatible types"),
    "another type": (when("context.arguments.amount < 5"), "expected Long", "values of one type"),
    "no such argument": (when("context.arguments.amuont == 5"), "not found", "did you mean"),
    "may be absent": (when('context.arguments.note == "x"'), "optional attribute", "has note"),
    "no such function": (when("foo(1)"), "not a valid function", "did you mean"),
    "a wrong decimal": (when('context.arguments.amount == decimal("x")'), "decimal", "digits"),
    "an empty set": (when("[].contains(1)"), "empty set", "give the set an element"),
    "half a condition": (when("context.arguments."), "unexpected token", "ends with `;`"),
    "no end": ({"a.cedar": HEAD}, "unexpected end", "end each policy with `;`"),
    "the same id": ({"a.cedar": SOUND, "b.cedar": SOUND}, "taken by a.cedar:1", "unique"),
    "no id": ({"a.cedar": "permit (principal, action, resource);"}, "without an id", "@id"),
    "no annotation": ({"a.cedar": '@reson("x") ' + SOUND}, "@reson", "@reason"),
    "no such tool": ({"a.cedar": SOUND.replace("wire", "wira")}, "pay.wira", "pay.wire"),
    "no such type": ({"a.cedar": SOUND.replace("l,", "l is User,")}, "User", "did you mean"),
    "only a template": (
        {"a.cedar": SOUND.replace("l,", "l == ?principal,")}, "no policy in it", "write a permit",
    ),
    "deep": (when("(" * 5000 + "true" + ")" * 5000), "nest more than", "divide"),
    "long": (when(" && ".join(["true"] * 3000)), "operators", "divide"),
    "no text": ({"a.cedar": b"\xff\xfe"}, "not UTF-8", "save it as UTF-8"),
    "huge": ({"a.cedar": "//" + "x" * 9_000_000}, "bytes", "leave out"),
    "no JSON": (beside("e.json", "["), "entity", "a list of entities"),
    "deep JSON": (beside("e.json", "[" * 100_000), "recursion limit", "a list of entities"),
    "an unknown entity": (beside("e.json", entity("Grup")), "Grup", "*.cedarschema"),
    "an attribute": (beside("e.json", entity("Group", '{"x": 1}')), "`x`", "*.cedarschema"),
    "in itself": (
        beside("e.json", entity("Group", parents='[{"type": "Group", "id": "a"}]')),
        "lies in itself", "remove one of its parents",
    ),
    "entities that are no text": (beside("e.json", b"[\xff]"), "not UTF-8", "save it as UTF-8"),
    "half a schema": (beside("s.cedarschema", "type X = {"), "end of input", "schema language"),
    "a deep schema": (
        beside("s.cedarschema", "type X = " + "{a:" * 5000 + "Long" + "}" * 5000 + ";"),
        "nest more than", "name the inner types",
    ),
    "types in a circle": (
        beside("s.cedarschema", "type X = Y; type Y = X;"), "cycle", "schema language",
    ),
    "a link to itself": ({"a.cedar": lambda p: p.symlink_to(p)}, "cannot be read", "name a folder"),
    "folders in a circle": (
        beside("sub", lambda p: p.symlink_to(p.parent)), "nest deeper", "name a folder",  # type: ignore[arg-type]
    ),
    "a pipe": ({"a.cedar": os.mkfifo}, "it is not a file", "name a folder"),
    "a device": ({"a.cedar": lambda p: p.symlink_to("/dev/zero")}, "not a file", "name a folder"),
    "nothing": ({"a.txt": "x"}, "no file named `*.cedar`", "name the folder"),
}  # fmt: skip


def put(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir()
    for name, held in files.items():
        if callable(held):
            held(folder / name)
        else:
            (folder / name).write_bytes(held if isinstance(held, bytes) else held.encode())
    return folder


def wire(
    account: str,
    amount: float,
    n: int = 1,
    note: str | None = None,
    currency: Literal["EUR", "USD"] = "EUR",
) -> None: ...


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ans.Engine]:
    with ans.open(tmp_path / "store", durability="relaxed") as opened:
        yield opened


def test_each_refusal_says_what_to_do(tmp_path: Path, engine: ans.Engine) -> None:
    assert ans.tool("pay.wire", engine=engine)(wire)
    for place, (what, (files, words, hint)) in enumerate(WRONG.items()):
        with pytest.raises((ans.InvalidPolicy, ans.InvalidInput)) as refused:
            engine.policies.load(put(tmp_path / f"policies{place}", files))
        error: Any = refused.value
        assert words in str(error), (what, str(error))
        assert hint in error.hint, (what, error.hint)
        assert len(str(error)) < 2_000, what
        for fault in getattr(error, "faults", []):
            assert fault.suggestion, (what, fault)
    with pytest.raises(ans.InvalidInput, match="cannot be read") as refused:
        engine.policies.load(tmp_path / "nowhere")
    assert "name a folder" in refused.value.hint
    assert engine.policies.version == "none"


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ("case = [1]", "it holds"),
        ("other = 1", "it holds `other`"),
        ("[[case]", "not a case file"),
        (b"\xff", "not a case file"),
        ("a = " + "[" * 50_000, "nests too deep"),
        ("# " + "x" * 9_000_000, "more than"),
        ("", "holds no case"),
        ('[[case]]\neffect = "allow"', "names no tool"),
        ('[[case]]\ntool = "a"\neffect = "maybe"', "no such effect"),
        ('[[case]]\ntool = "a"\neffect = "deny"\nreasn = "x"', "`reasn` means nothing"),
        (os.mkfifo, "no file"),
        (lambda path: path.symlink_to(path), "is not there"),
        (None, "is not there"),
    ],
)
def test_each_case_file_is_read_or_refused(
    tmp_path: Path, held: str | bytes | Callable[[Path], None] | None, words: str
) -> None:
    file = tmp_path / "cases.toml"
    if callable(held):
        held(file)
    elif held is not None:
        file.write_bytes(held if isinstance(held, bytes) else held.encode())
    with pytest.raises(ans.InvalidInput, match=words) as refused:
        read_cases(file)
    assert refused.value.hint


SOUND_REQUEST = {"principal": 'U::"a"', "action": 'A::"b"', "resource": 'R::"c"'}


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests": [{}]},
        {"requests": [{**SOUND_REQUEST, "principal": "U"}]},
        {"requests": [{**SOUND_REQUEST, "principal": 'U::"\\q"'}]},
        {"requests": [{**SOUND_REQUEST, "action": 1}]},
        {"requests": [{**SOUND_REQUEST, "resource": {"type": "R"}}]},
        {"requests": [{**SOUND_REQUEST, "context": {"a": object()}}]},
        {"requests": ["x"]},
        {"entities": [object()]},
        {"policies": 1},
        {"policies": "permit("},
        {"schema": "type X ="},
    ],
)
def test_plain_cedar_takes_what_cedar_takes(wrong: dict[str, Any]) -> None:
    given = {"policies": "permit(principal, action, resource);", "entities": []}
    with pytest.raises((ans.InvalidInput, ans.InvalidPolicy)) as refused:
        cedar_all(**{**given, "requests": [SOUND_REQUEST], **wrong})
    assert refused.value.code


def test_plain_cedar_goes_through_what_lies_about_its_length() -> None:
    sound: dict[str, Any] = {"policies": "permit(principal, action, resource);", "entities": "[]"}
    for requests in (range(10**12), itertools.count(), [("a",)], ["x"], 1, None, "x"):
        with pytest.raises(ans.InvalidInput):
            _core.judge_cedar(**sound, requests=requests)
