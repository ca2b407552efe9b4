"""The command line for policies, and the cases beside them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import answerable as ans
from answerable import _core, cli
from answerable.cases import read_cases, run_cases

POLICIES = """
@id("small")
permit (principal, action == Action::"pay.transfer", resource)
when { context.arguments.amount.lessThanOrEqual(decimal("100.0")) };

@id("large")
@reason("above 100 is for people")
forbid (principal, action == Action::"pay.transfer", resource)
when { context.arguments.amount.greaterThan(decimal("100.0")) };
"""
CASES = """
[defaults]
tool = "pay.transfer"
resource = "account/a"
human = "alice@example.com"
agent = "booker"

[[case]]
name = "a small transfer"
arguments = { account = "a", amount = 80.0 }
effect = "allow"
policies = ["small"]

[[case]]
name = "a large transfer"
arguments = { account = "a", amount = 101 }
effect = "deny"
reason = "forbidden"
says = "for people"
policies = ["large"]
"""
TOOLS = """
import answerable as ans

@ans.tool("pay.transfer", resource="account/{account}", dangerous=True)
def transfer(account: str, amount: float) -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = tmp_path / "policies"
    made.mkdir()
    (made / "pay.cedar").write_text(POLICIES, encoding="utf-8")
    (made / "cases.toml").write_text(CASES, encoding="utf-8")
    (tmp_path / "declared_tools.py").write_text(TOOLS, encoding="utf-8")
    yield made
    # What nobody can call any more does not hold its name.
    sys.modules.pop("declared_tools", None)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


TOOL = ("--tools", "declared_tools")


def test_cases_are_run_without_a_store(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "policy", "test", str(folder), *TOOL)
    assert (code, err.strip()) == (0, "2 of 2 cases came as expected")
    (folder / "cases.toml").write_text(CASES.replace('effect = "allow"', 'effect = "deny"'))
    code, out, err = run(capsys, "policy", "test", str(folder), *TOOL)
    assert code == 1
    assert "expected deny, got allow" in out
    assert err.strip() == "1 of 2 cases came as expected"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("effect =", "efect =", "means nothing in a case"),
        ('"allow"', '"yes"', "allow, deny or ask"),
        ("[defaults]", "[default]", "not a case file"),
        ("[[case]]", "[[cases]]", "not a case file"),
        ('tool = "pay.transfer"', "", "names no tool"),
        ('policies = ["small"]', 'policies = "small"', "list of texts"),
        ('policies = ["small"]', 'reason = "forbidden"', "no reason to expect"),
        ('agent = "booker"', "agent = { nam = 1 }", "means nothing in agent"),
        ("[defaults]", "[defaults", "not a case file"),
    ],
)
def test_a_case_that_is_mistyped_does_not_pass(
    folder: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: str
) -> None:
    assert old in CASES
    (folder / "cases.toml").write_text(CASES.replace(old, new))
    code, _, err = run(capsys, "policy", "test", str(folder), *TOOL)
    assert code == 2
    assert words in err


def test_no_case_is_no_success(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "cases.toml").write_text("[defaults]\n")
    assert run(capsys, "policy", "test", str(folder), *TOOL)[0] == 2
    (folder / "cases.toml").unlink()
    code, _, err = run(capsys, "policy", "test", str(folder), *TOOL)
    assert code == 2
    assert "no case file" in err


def test_load_show_and_replay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ans.open("governance").close()
    assert run(capsys, "policy", "show")[1].startswith("no policies were ever loaded")
    code, out, _ = run(capsys, "policy", "load", str(folder), *TOOL)
    assert code == 0
    assert out.startswith("2 policies are in force as ")
    code, out, _ = run(capsys, "--json", "policy", "show")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["id"], row["effect"], row["at"]) for row in rows] == [
        ("small", "permit", "pay.cedar:2"),
        ("large", "forbid", "pay.cedar:6"),
    ]
    code, out, _ = run(capsys, "policy", "show", "--text")
    assert 'forbid (principal, action == Action::"pay.transfer", resource)' in out
    code, _, err = run(capsys, "policy", "replay", str(folder), *TOOL)
    assert (code, err.strip().splitlines()[-1]) == (
        0,
        "0 decisions: 0 stay, 0 change, 0 cannot be told",
    )


def test_a_refusal_names_the_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ans.open("governance").close()
    (folder / "pay.cedar").write_text(POLICIES.replace("amount.less", "amuont.less"))
    code, _, err = run(capsys, "policy", "load", str(folder), *TOOL)
    assert code == 1
    assert "pay.cedar:4:" in err
    assert "hint: " in err


CHECKED = {
    "wildcard_permit": '@id("x") permit (principal, action, resource);',
    "dangerous_unconstrained": '@id("x") permit (principal, action == Action::"pay.transfer",'
    ' resource) when { context.human.assurance == "oidc" };',
    "unreachable": '@id("x") @reason("r") forbid (principal, action, resource) when { false };',
    "shadowed_by_forbid": '@id("y") @reason("r") forbid (principal, action, resource);'
    '@id("x") permit (principal == Agent::"a", action in Action::"pay.**", resource);',
    "redundant": '@id("y") permit (principal, action in Action::"pay.**", resource)'
    ";" + '@id("x") permit (principal, action == Action::"pay.transfer", resource)'
    ' when { context.arguments.account == "a" };',
    "pattern_of_anything": '@id("x") permit (principal, action == Action::"pay.transfer", resource)'
    ' when { context.arguments.account like "*" };',
    "pattern_open_at_start": '@id("x") permit (principal, action == Action::"pay.transfer",'
    ' resource) when { context.arguments.account like "*example.com" };',
    "like_for_a_caveat": '@id("x") permit (principal, action == Action::"pay.transfer", resource)'
    ' when { context.arguments.account like "https://example.com/*" };',
    "can_err": '@id("x") @reason("r") forbid (principal, action, resource)'
    " when { context.chain.depth + context.weekday > 5 };",
    "human_by_account": '@id("x") permit (principal, action == Action::"pay.transfer", resource)'
    ' when { context.human == Human::"alice@example.com" };',
    "unknown_group": '@id("x") permit (principal in Group::"nobody", action, resource);',
    "no_reason": '@id("x") forbid (principal, action, resource) when { context.chain.depth > 2 };',
    "never_permitted": '@id("x") @reason("r") forbid (principal, action, resource);',
}


@pytest.mark.parametrize("code", CHECKED)
def test_each_finding_is_found(folder: Path, code: str) -> None:
    __import__("declared_tools")
    (folder / "pay.cedar").write_text(CHECKED[code])
    found = {one.code: one for one in _core.PolicySet.read(folder).check()}
    assert code in found
    assert found[code].fix
    if code != "never_permitted":
        assert (found[code].policy, found[code].source) == ("x", "pay.cedar")
        assert found[code].line == 1


def test_sound_policies_have_no_finding_that_matters(folder: Path) -> None:
    __import__("declared_tools")
    found = _core.PolicySet.read(folder).check()
    assert {one.severity for one in found} <= {"info", "low"}, found


def test_the_exit_code_of_check_goes_by_severity(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "policy", "check", str(folder), *TOOL)[0] == 0
    (folder / "pay.cedar").write_text(CHECKED["pattern_open_at_start"])
    code, out, _ = run(capsys, "policy", "check", str(folder), *TOOL)
    assert code == 1
    assert "pay.cedar:1: medium:" in out
    assert "fix: " in out
    assert run(capsys, "policy", "check", str(folder), *TOOL, "--fail-on", "high")[0] == 0


def test_dangerous_tools_in_scopes_are_found(folder: Path) -> None:
    tools: Any = __import__("declared_tools")
    assert tools.transfer
    with ans.open("governance") as engine:
        human = engine.humans.register("alice@example.com")
        scope = [ans.allow("pay.*")]
        agent = engine.agents.issue("a", owner=human, purpose="pays", ceiling=scope, ttl="1h")
        engine.grant(human, agent, task="t", ttl="30m", scope=scope)
        engine.policies.load(folder)
        codes = [finding.code for finding in engine.policies.check()]
    assert "dangerous_in_ceiling" in codes
    assert "dangerous_in_grant" in codes


def test_cases_are_named(folder: Path) -> None:
    __import__("declared_tools")
    first, second = read_cases(folder / "cases.toml")
    assert (first.name, first.source) == ("a small transfer", "cases.toml[1]")
    results = list(run_cases(_core.PolicySet.read(folder), folder))
    assert [result.case for result in results] == [first, second]
    assert all(result.ok for result in results)
