"""Decisions follow from what they cite: forgeries by one who holds the keys and edits the record.

Each export is edited, its hashes made anew; the tree then differs from its checkpoints, as it must,
and beside that the verifier has to say what no longer follows.

`tests/vectors/following` has the same forgeries of two trails that were made once, for verifiers of
others: `python tests/python/test_following.py` makes them anew.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import independent
import pytest

import answerable as ans

Lines = list[dict[str, Any]]
VECTORS = Path(__file__).parents[1] / "vectors" / "following"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Lines]:
    """An export with a delegated call that was made, then what ends things."""
    return delegated(tmp_path_factory.mktemp("following"))


def delegated(folder: Path) -> tuple[str, Lines]:
    with ans.open(folder / "governance") as engine:
        alice = engine.humans.register("alice@example.com")
        bob = engine.humans.register("bob@example.com")
        pay = [ans.allow("pay.*")]
        issue = engine.agents.issue
        planner = issue("planner", owner=alice, purpose="plans", ceiling=pay, ttl="8h")
        booker = issue("booker", owner=bob, purpose="books", ceiling=pay, ttl="8h")
        scope = [ans.allow("pay.transfer", where={"amount": ans.at_most(500)})]
        grant = engine.grant(alice, planner, task="Pay", scope=scope, ttl="1h", max_depth=1)
        child = grant.delegate(booker, scope=scope)
        with engine.acting(child), ans.guard.governed("pay.transfer", {"amount": 80}):
            pass
        engine.halt(tool="pay.*", reason="r")
        engine.unhalt(tool="pay.*", reason="r")
        engine.agents.suspend(booker, reason="r")
        engine.tasks.end(grant.task, reason="r")
        engine.revoke(child, reason="r")
        engine.humans.offboard(bob, reason="r")
        engine.trail.export(folder / "trail.jsonl")
        authority = engine.authority
    text = (folder / "trail.jsonl").read_text("utf-8")
    return authority, [json.loads(line) for line in text.splitlines()]


def settled(lines: Lines) -> str:
    """An edited export, its places and hashes made anew."""
    entries = [line for line in lines if "leaf" in line]
    for index, entry in enumerate(entries):
        entry["index"] = index
        leaf = independent.parse_json(json.dumps(entry["leaf"]))
        entry["hash"] = independent.b64url_text(independent.leaf_hash(independent.encode(leaf)))
    lines[0]["size"] = len(entries)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def codes(authority: str, lines: Lines, folder: Path) -> list[str]:
    """The faults of an edited export."""
    path = folder / "edited.jsonl"
    path.write_text(settled(lines), encoding="utf-8")
    return judged(authority, path)


def judged(authority: str, path: Path) -> list[str]:
    try:
        ans.verify(path, authority=authority)
    except ans.TrailCorrupted as corrupted:
        return [fault.code for fault in corrupted.faults]
    return []


def find(lines: Lines, kind: str, **want: str) -> dict[str, Any]:
    for line in lines:
        leaf = line.get("leaf", {})
        if leaf.get("kind") == kind and all(leaf.get(k) == v for k, v in want.items()):
            return line
    raise AssertionError((kind, want))


def before_the_call(lines: Lines, line: dict[str, Any]) -> None:
    """Moves an entry before the decision, as if it had been recorded then."""
    lines.remove(line)
    decision = find(lines, "decision")
    line["leaf"]["at"] = decision["leaf"]["at"]
    lines.insert(lines.index(decision), line)


def recommit(line: dict[str, Any], field: str, value: Any) -> None:
    shown = line["values"][field]
    shown["value"] = value
    salt = independent.b64url(independent.parse_json(json.dumps(shown["salt"])))
    encoded = independent.encode(independent.parse_json(json.dumps(value)))
    digest = independent.b64url_text(independent.commitment(salt, field, encoded))
    line["leaf"]["commitments"][field] = {"$bytes": digest}


def test_what_happened_follows(made: tuple[str, Lines], tmp_path: Path) -> None:
    authority, lines = made
    path = tmp_path / "trail.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert ans.verify(path, authority=authority).decisions_followed == 1


def leaf(kind: str, **changes: Any) -> Callable[[Lines], None]:
    return lambda lines: find(lines, kind)["leaf"].update(changes)


def moved(kind: str, **want: str) -> Callable[[Lines], None]:
    return lambda lines: before_the_call(lines, find(lines, kind, **want))


def dropped(kind: str, **want: str) -> Callable[[Lines], None]:
    return lambda lines: lines.remove(find(lines, kind, **want))


def expired(lines: Lines) -> None:
    find(lines, "decision")["leaf"]["at"] = {"$datetime": "2999-01-01T00:00:00.000000Z"}


def chain_cut(lines: Lines) -> None:
    find(lines, "decision")["leaf"]["chain"].pop(0)


def chain_turned(lines: Lines) -> None:
    find(lines, "decision")["leaf"]["chain"].reverse()


def chain_gone(lines: Lines) -> None:
    del find(lines, "decision")["leaf"]["chain"]


def beyond(lines: Lines) -> None:
    recommit(find(lines, "decision"), "arguments", {"amount": ["keep", 900]})


def other_agent(lines: Lines) -> None:
    decision = find(lines, "decision")["leaf"]
    decision["agent"] = find(lines, "grant")["leaf"]["agent"]


def another_revocation(lines: Lines) -> None:
    find(lines, "revocation", target="grant")["leaf"]["by"] = "hum_" + "a" * 26


def unsigned_revocation(lines: Lines) -> None:
    del find(lines, "revocation", target="grant")["leaf"]["statement"]


def token_of_another(lines: Lines) -> None:
    one, other = [line for line in lines if line.get("leaf", {}).get("kind") == "grant"][:2]
    recommit(one, "token", other["values"]["token"]["value"])


def token_edited(lines: Lines) -> None:
    grant = find(lines, "grant")
    token = grant["values"]["token"]["value"]
    middle = len(token) // 2
    changed = "B" if token[middle] == "A" else "A"
    recommit(grant, "token", token[:middle] + changed + token[middle + 1 :])


def again(lines: Lines, line: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A second entry of its kind, directly before the call."""
    second: dict[str, Any] = json.loads(json.dumps(line))
    second["leaf"].update(changes, id="ent_" + "a" * 26)
    lines.insert(0, second)
    before_the_call(lines, second)
    return second


def told_twice(lines: Lines) -> None:
    """Before the true one, one that says it came from nothing, its token withheld."""
    child = [line for line in lines if line.get("leaf", {}).get("kind") == "grant"][1]
    second = again(lines, child)
    del second["leaf"]["parent"], second["values"]
    second["leaf"]["at"] = child["leaf"]["at"]
    lines.remove(second)
    lines.insert(lines.index(child), second)
    find(lines, "decision")["leaf"]["chain"].pop(0)


def before_its_parent(lines: Lines) -> None:
    parent, child = [line for line in lines if line.get("leaf", {}).get("kind") == "grant"]
    lines.remove(child)
    child["leaf"]["at"] = parent["leaf"]["at"]
    lines.insert(lines.index(parent), child)


def id_of_another(lines: Lines) -> None:
    parent, child = [line for line in lines if line.get("leaf", {}).get("kind") == "grant"]
    child["leaf"]["grant"] = parent["leaf"]["grant"]
    del child["values"]  # With its token the leaf would contradict that, too.


def issued_twice(lines: Lines) -> None:
    before_the_call(lines, find(lines, "identity", action="suspended"))
    agent = find(lines, "decision")["leaf"]["agent"]
    again(lines, find(lines, "identity", action="issued", agent=agent))


def resumed_after_all(lines: Lines) -> None:
    ended = find(lines, "identity", action="suspended")
    ended["leaf"]["action"] = "retired"
    before_the_call(lines, ended)
    again(lines, ended, action="resumed")


def no_task(lines: Lines) -> None:
    del find(lines, "decision")["leaf"]["task"]


def another_tool(lines: Lines) -> None:
    call = find(lines, "decision")
    call["leaf"]["tool"] = "mail.send"
    del call["values"]["arguments"]


def without_target(lines: Lines) -> None:
    """Its signed statement stands there untouched."""
    del find(lines, "revocation", target="grant")["leaf"]["target"]


def after_it_without_target(lines: Lines) -> None:
    ended = find(lines, "revocation", target="grant")
    before_the_call(lines, ended)
    del ended["leaf"]["target"]


def halt_of_all(lines: Lines) -> None:
    """No word of a halt's: it is not known what was meant to stop."""
    halt = find(lines, "halt", action="halted")
    halt["leaf"]["target"] = "all"
    before_the_call(lines, halt)


def human_unknown(lines: Lines) -> None:
    human = find(lines, "decision")["leaf"]["human"]
    lines.remove(find(lines, "identity", action="registered", human=human))


def human_later(lines: Lines) -> None:
    human = find(lines, "decision")["leaf"]["human"]
    known = find(lines, "identity", action="registered", human=human)
    lines.remove(known)
    call = find(lines, "decision")
    known["leaf"]["at"] = call["leaf"]["at"]
    lines.insert(lines.index(call) + 1, known)


def for_nobody(lines: Lines) -> None:
    for key in ("human", "agent", "task", "chain"):
        del find(lines, "decision")["leaf"][key]


def no_policy(lines: Lines) -> None:
    del find(lines, "decision")["leaf"]["policy"]


CASES: dict[str, tuple[Callable[[Lines], None], str]] = {
    "a revocation without its target": (without_target, "revocation_invalid"),
    "after a revocation without its target": (
        after_it_without_target,
        "decision_without_authority",
    ),
    "after a halt of no known word": (halt_of_all, "decision_without_authority"),
    "a human never registered": (human_unknown, "cited_missing"),
    "a human registered later": (human_later, "cited_missing"),
    "a task never opened": (dropped("task", action="opened"), "cited_missing"),
    "policies never loaded": (leaf("decision", policy="0" * 64), "cited_missing"),
    "no policies named": (no_policy, "cited_missing"),
    "a call for nobody": (for_nobody, "decision_chain"),
    "a grant by another": (leaf("grant", issuer="agt_" + "a" * 26), "grant_mismatch"),
    "a grant that is told twice": (told_twice, "grant_mismatch"),
    "a grant before the one above": (before_its_parent, "grant_invalid"),
    "the id of another grant": (id_of_another, "grant_mismatch"),
    "an agent issued twice": (issued_twice, "decision_without_authority"),
    "resumed after it was retired": (resumed_after_all, "decision_without_authority"),
    "no task": (no_task, "decision_chain"),
    "another tool": (another_tool, "decision_beyond_scope"),
    "no tool": (leaf("decision", tool="pay.transfer "), "decision_beyond_scope"),
    "another human": (leaf("decision", human="hum_" + "a" * 26), "decision_chain"),
    "another task": (leaf("decision", task="tsk_" + "a" * 26), "decision_chain"),
    "another agent": (other_agent, "decision_chain"),
    "a chain without its root": (chain_cut, "decision_chain"),
    "a chain turned round": (chain_turned, "decision_chain"),
    "no chain": (chain_gone, "decision_chain"),
    "a grant that is not there": (dropped("grant"), "decision_chain"),
    "an agent never issued": (dropped("identity", action="issued"), "decision_without_authority"),
    "after the grant's end": (expired, "decision_without_authority"),
    "after a suspension": (moved("identity", action="suspended"), "decision_without_authority"),
    "after a halt": (moved("halt", action="halted"), "decision_without_authority"),
    "after the task's end": (moved("task", action="ended"), "decision_without_authority"),
    "after the revocation": (moved("revocation", target="grant"), "decision_without_authority"),
    "after the owner left": (moved("identity", action="offboarded"), "decision_without_authority"),
    "beyond the scope": (beyond, "decision_beyond_scope"),
    "a revocation by another": (another_revocation, "revocation_invalid"),
    "a revocation nobody signed": (unsigned_revocation, "revocation_invalid"),
    "a token of another grant": (token_of_another, "grant_invalid"),
    "a token that was edited": (token_edited, "grant_invalid"),
    "a grant of another agent": (leaf("grant", agent="agt_" + "a" * 26), "grant_mismatch"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_follow_is_found(name: str, made: tuple[str, Lines], tmp_path: Path) -> None:
    authority, lines = made
    edited = json.loads(json.dumps(lines))
    change, code = CASES[name]
    change(edited)
    assert code in codes(authority, edited, tmp_path)


def test_an_edit_that_changes_nothing_of_it_is_another_fault(
    made: tuple[str, Lines], tmp_path: Path
) -> None:
    authority, lines = made
    edited = json.loads(json.dumps(lines))
    find(edited, "outcome")["leaf"]["duration_us"] = 1
    assert codes(authority, edited, tmp_path) == ["checkpoint_root_mismatch"] * sum(
        "checkpoint" in line for line in edited
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Lines, Path]:
    """An export with two calls, each made by a human's yes."""
    folder = tmp_path_factory.mktemp("asked")
    return *approved(folder), folder


def approved(folder: Path) -> tuple[str, Lines]:
    policies = folder / "policies"
    policies.mkdir()
    asks = '@id("asks") @advice("ask") permit (principal, action, resource);'
    (policies / "all.cedar").write_text(asks)
    with ans.open(folder / "governance") as engine:
        alice = engine.humans.register("alice@example.com")
        pay = [ans.allow("pay.*")]
        payer = engine.agents.issue("payer", owner=alice, purpose="pays", ceiling=pay, ttl="8h")
        grant = engine.grant(alice, payer, task="Pay", scope=pay, ttl="1h")
        engine.policies.load(policies)
        for _ in range(2):
            call = partial(ans.guard.governed, "pay.send", {"amount": 80}, resource="account/good")
            with engine.acting(grant), pytest.raises(ans.ApprovalRequired) as told:  # noqa: SIM117
                with call():
                    pytest.fail("the body ran")
            engine.approvals.approve(told.value.approval.id, by=alice)
            with engine.acting(grant), call() as made:
                pass
        engine.trail.export(folder / "trail.jsonl")
        authority = engine.authority
        engine.trail.receipt(made.entry).save(folder / "receipt.json")
    text = (folder / "trail.jsonl").read_text("utf-8")
    return authority, [json.loads(line) for line in text.splitlines()]


def test_a_call_by_a_humans_yes_follows_from_it(asked: tuple[str, Lines, Path]) -> None:
    authority, _, folder = asked
    assert ans.verify(folder / "trail.jsonl", authority=authority).decisions_followed == 2
    assert ans.verify_receipt(folder / "receipt.json", authority=authority)
    exported = (folder / "trail.jsonl").read_bytes()
    assert independent.verify(exported, authority, [])["faults"] == []


def answer(was: str, **changes: Any) -> Callable[[Lines], None]:
    return lambda lines: find(lines, "approval", action=was)["leaf"].update(changes)


def same_yes_twice(lines: Lines) -> None:
    calls = [line for line in lines if line.get("leaf", {}).get("kind") == "decision"]
    first, second = [line for line in calls if line["leaf"]["effect"] == "allow"]
    second["leaf"]["approval"] = first["leaf"]["approval"]


def call_with(field: str, value: Any) -> Callable[[Lines], None]:
    return lambda lines: recommit(find(lines, "decision", effect="allow"), field, value)


def by_an_agent(lines: Lines) -> None:
    yes = find(lines, "approval", action="approved")["leaf"]
    yes["by"] = yes["agent"]


def by_nobody(lines: Lines) -> None:
    del find(lines, "approval", action="approved")["leaf"]["by"]


def yes_twice(lines: Lines) -> None:
    yes = find(lines, "approval", action="approved")
    second = json.loads(json.dumps(yes))
    second["leaf"]["id"] = "ent_" + "a" * 26
    lines.insert(lines.index(yes), second)


WITHOUT: dict[str, Callable[[Lines], None]] = {
    "the call has other arguments": call_with("arguments", {"amount": ["keep", 999_999]}),
    "the call is on another resource": call_with("resource", "account/evil"),
    "the call is another request": call_with("request", {"$bytes": "A" * 43}),
    "an agent approved it": by_an_agent,
    "nobody is named who approved it": by_nobody,
    "a stranger approved it": answer("approved", by="hum_" + "a" * 26),
    "it was approved twice": yes_twice,
    "it was never approved": dropped("approval", action="approved"),
    "it was never asked for": dropped("approval", action="asked"),
    "it was refused": answer("approved", action="refused"),
    "it was asked for another tool": answer("asked", tool="pay.other"),
    "it was asked for another human": answer("asked", human="hum_" + "a" * 26),
    "it was asked under other policies": answer("asked", policy="0" * 64),
    "it was asked for access": answer("asked", purpose="access"),
    "it had expired": answer("asked", until={"$datetime": "2020-01-01T00:00:00.000000Z"}),
    "it was used before": same_yes_twice,
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_call_without_its_yes_is_found_by_both_verifiers(
    asked: tuple[str, Lines, Path], name: str, tmp_path: Path
) -> None:
    authority, lines, _ = asked
    edited = json.loads(json.dumps(lines))
    WITHOUT[name](edited)
    told = codes(authority, edited, tmp_path)
    again = independent.verify((tmp_path / "edited.jsonl").read_bytes(), authority, [])
    assert told.count("decision_without_approval") == 1, told
    found = [fault["code"] for fault in again["faults"]]
    assert found.count("decision_without_approval") == 1, found


# ---------------------------------------------------------------- vectors


def load() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((VECTORS / "cases.json").read_text("utf-8"))
    return cases


def test_there_is_a_vector_for_each_forgery() -> None:
    assert {case["name"] for case in load()} == {"delegated", "approved", *CASES, *WITHOUT}
    files = {case["file"] for case in load()}
    assert {path.name for path in VECTORS.iterdir()} == {"cases.json", *files}


@pytest.mark.parametrize("name", ["delegated", "approved", *CASES, *WITHOUT])
def test_the_vectors_are_judged_as_they_say(name: str) -> None:
    (case,) = (case for case in load() if case["name"] == name)
    path = VECTORS / case["file"]
    found: list[tuple[str, int | None]] = []
    try:
        report = ans.verify(path, case["authority"])
    except ans.TrailCorrupted as corrupted:
        found = [(fault.code, fault.index) for fault in corrupted.faults]
        assert (case["code"], case["index"]) in found, found
    else:
        assert case["code"] is None
        assert report.decisions_followed == case["followed"] > 0
    # The second verifier knows what is cited, and nothing of tokens.
    faults = independent.verify(path.read_bytes(), case["authority"], [])["faults"]
    second = [(fault["code"], fault.get("index")) for fault in faults]
    equal = ("decision_without_approval", "cited_missing")
    assert [one for one in second if one[0] in equal] == [one for one in found if one[0] in equal]
    told = name in ("no chain", "a call for nobody", "a grant by another")
    if told or case["code"] == "revocation_invalid":
        assert (case["code"], case["index"]) in second, second
    assert set(second) <= set(found), second


def write() -> None:
    """Writes the vectors."""
    VECTORS.mkdir(exist_ok=True)
    for old in VECTORS.iterdir():
        old.unlink()
    cases: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        trails = {"delegated": delegated(Path(one)), "approved": approved(Path(two))}
    forgeries = {name: ("delegated", change, code) for name, (change, code) in CASES.items()}
    for name, change in WITHOUT.items():
        forgeries[name] = ("approved", change, "decision_without_approval")

    def put(name: str, authority: str, lines: Lines) -> tuple[dict[str, Any], Path]:
        file = VECTORS / f"{name.replace(' ', '_').replace(chr(39), '')}.jsonl"
        file.write_text(settled(lines), encoding="utf-8")
        case = {"name": name, "file": file.name, "authority": authority, "code": None}
        cases.append(case)
        return case, file

    for name, (authority, lines) in trails.items():
        case, file = put(name, authority, lines)
        case["followed"] = ans.verify(file, authority).decisions_followed
    for name, (trail, change, code) in forgeries.items():
        authority, lines = trails[trail]
        edited = json.loads(json.dumps(lines))
        change(edited)
        case, file = put(name, authority, edited)
        try:
            ans.verify(file, authority)
        except ans.TrailCorrupted as corrupted:
            found = [fault.index for fault in corrupted.faults if fault.code == code]
            case.update(code=code, index=found[0])
    text = json.dumps(cases, indent=1, ensure_ascii=False) + "\n"
    (VECTORS / "cases.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
