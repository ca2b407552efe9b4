"""The vectors in tests/vectors through the independent verifier: the same verdicts as the engine's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import independent as ind

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def accepted(call: Callable[[], object]) -> bool:
    try:
        call()
    except ind.Refused:
        return False
    return True


def test_canonical_values() -> None:
    vectors = load("canonical.json")
    assert len(vectors["values"]) >= 40
    for one in vectors["values"]:
        data = bytes.fromhex(one["hex"])
        assert ind.encode(ind.parse_json(one["json"])) == data, one["json"]
        ind.decode(data)
    for one in vectors["refused_json"]:
        assert not accepted(lambda: ind.encode(ind.parse_json(one["json"]))), one
    for one in vectors["refused_bytes"]:
        assert not accepted(lambda: ind.decode(bytes.fromhex(one["hex"]))), one


def test_the_examples_on_the_page() -> None:
    page = (VECTORS.parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
    for text in ["1", "128", '"text"', '{"a":1,"b":{"c":[]}}']:
        assert f"`{text}` is `{ind.encode(ind.parse_json(text)).hex()}`" in page


def test_commitments() -> None:
    vectors = load("commitment.json")
    for one in vectors["pae"]:
        assert ind.pae(*map(bytes.fromhex, one["pieces"])).hex() == one["hex"]
    for one in vectors["digest"]:
        assert ind.digest(one["domain"], *map(bytes.fromhex, one["parts"])).hex() == one["digest"]
    for one in vectors["field_salts"]:
        assert ind.field_salt(bytes.fromhex(one["entry_salt"]), one["field"]).hex() == one["salt"]
    for one in vectors["commitments"]:
        value = ind.encode(ind.parse_json(one["json"]))
        assert (
            ind.commitment(bytes.fromhex(one["salt"]), one["field"], value).hex()
            == one["commitment"]
        )


def test_trees_and_proofs() -> None:
    vectors = load("merkle.json")
    leaves = [ind.leaf_hash(bytes.fromhex(leaf)) for leaf in vectors["leaves"]]
    for size, root in enumerate(vectors["roots"]):
        assert ind.root(leaves[:size]).hex() == root
    for one in vectors["inclusion"]:
        leaf, root = bytes.fromhex(one["leaf"]), bytes.fromhex(one["root"])
        path = list(map(bytes.fromhex, one["path"]))
        assert ind.included(one["index"], one["size"], leaf, path, root) == one["valid"], one
    for one in vectors["consistency"]:
        old, new = bytes.fromhex(one["old_root"]), bytes.fromhex(one["new_root"])
        path = list(map(bytes.fromhex, one["path"]))
        assert ind.consistent(one["old"], one["new"], old, new, path) == one["valid"], one


def test_checkpoints() -> None:
    vectors = load("note.json")
    key = ind.NoteKey(vectors["vkey"])
    for one in vectors["notes"]:
        valid = accepted(lambda: ind.Note(one["text"])) and ind.Note(one["text"]).by(key)
        assert valid == one["valid"], one["name"]
    for one in vectors["vkeys"]:
        assert accepted(lambda: ind.NoteKey(one["text"])) == one["valid"], one


def in_order(faults: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(fault, sort_keys=True) for fault in faults)


@pytest.mark.parametrize("case", load("export/cases.json"), ids=lambda case: str(case["name"]))
def test_exports(case: dict[str, Any]) -> None:
    data = (VECTORS / case["file"]).read_bytes()
    report = ind.verify(data, case["authority"], case["since"])
    expected = case["verdict"]
    assert in_order(report.pop("faults")) == in_order(expected.pop("faults"))
    assert report == expected


@pytest.mark.parametrize("index", [(1 << 64) - 1, (1 << 64) - 2, 1 << 40])
def test_an_index_far_ahead_is_one_gap(index: int) -> None:
    authority = load("export/cases.json")[0]["authority"]
    sound = (VECTORS / "export" / "sound.jsonl").read_bytes().split(b"\n")
    sound[3] = sound[3].replace(b'"index":2,', b'"index":%d,' % index)
    assert b"%d" % index in sound[3]
    # The line behind it is at its place, so that this one is misplaced; without that one it is a gap.
    for lines, code, first in [
        (sound, "out_of_order", index),
        ([*sound[:4], b""], "missing_entries", 2),
    ]:
        report = ind.verify(b"\n".join(lines), authority, [])
        [found] = [fault for fault in report["faults"] if fault["code"] == code]
        assert found["index"] == first, report["faults"]
        assert found.get("through", index) == index - (code == "missing_entries")
