"""Pictures and cases: what is drawn is what was counted, and it is safe to open."""

from __future__ import annotations

import html
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harmless import HOSTILE, SCRIPT, assert_harmless, assert_plain

import answerable as ans
from answerable import analysis, showing
from answerable.cli import main
from answerable.simulation import simulate

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("company")
    facts = simulate(folder / "store", entries=2_500, humans=6, agents=24, days=5, seed=3)
    with ans.open(folder / "store", clock=facts.end) as engine:
        yield engine, analysis.read(engine), facts


def drawn(picture: analysis.Picture) -> ET.Element:
    """The picture as any reader of XML takes it."""
    assert_harmless(picture._repr_html_(), most=600_000)
    assert_plain(repr(picture))
    root = ET.fromstring(picture.svg)
    assert root.find(f"{SVG}title").text
    assert root.find(f"{SVG}desc").text
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for shape in root.iter():
        for name, most in (("x", width), ("y", height)):
            if shape.get(name) is not None:
                assert -1 <= float(shape.get(name, "")) <= most, ET.tostring(shape)
    return root


def picks(root: ET.Element) -> Iterator[tuple[str, str]]:
    """What each shape says when it is hovered, and at the foot once it is clicked."""
    for group in root.iter(f"{SVG}g"):
        if group.get("class") == "pick":
            assert group.get("tabindex") == "-1"  # A click gives it the focus; Tab goes by.
            (told,) = (shape for shape in group.iter(f"{SVG}text") if shape.get("class") == "told")
            assert told.get("display") == "none"
            shape = next(s for s in group.iter() if s.get("class") == "on")
            yield shape.findtext(f"{SVG}title", ""), " ".join(told.itertext())


def hovers(root: ET.Element, kind: str) -> list[str]:
    return [shape.findtext(f"{SVG}title", "") for shape in root.iter(SVG + kind)]


def test_the_graph_counts_every_step(company: Any) -> None:
    engine, record, _ = company
    human = engine.humans.list()[1]
    picture = analysis.delegation_graph(record, human=human)
    expected: dict[tuple[str, str], list[int]] = {}
    for entry in engine.trail.entries(kind="decision", human=human):
        steps = [human.name, *entry.via, entry.tool]
        for left, right in itertools.pairwise(steps):
            of = expected.setdefault((left, right), [0, 0])
            of[0] += 1
            of[1] += entry.effect != "allow"
    # An agent may stand at two depths: what is drawn is then added up.
    found: dict[tuple[str, str], list[int]] = {}
    for hover in hovers(drawn(picture), "path"):
        match = re.fullmatch(r"(.*) → (.*): ([\d,]+) calls, ([\d,]+) refused \(.*\)", hover)
        assert match, hover
        of = found.setdefault((match[1], match[2]), [0, 0])
        of[0] += int(match[3].replace(",", ""))
        of[1] += int(match[4].replace(",", ""))
    assert found == expected
    told = picture.mermaid()
    assert told.startswith("flowchart LR\n")
    assert told.count("-->") == len(hovers(drawn(picture), "path"))


def test_a_large_graph_says_what_it_leaves_out(company: Any) -> None:
    _, record, _ = company
    picture = analysis.delegation_graph(record, most=3)
    words = " ".join(drawn(picture).itertext())
    assert "more)" in words
    counts = [
        int(hover.partition(": ")[2].partition(" ")[0].replace(",", ""))
        for hover in hovers(drawn(picture), "path")
        if any(hover.endswith("refused (0.0%)") or hover for _ in [0])
    ]
    whole = analysis.delegation_graph(record, most=1_000)
    assert sum(counts) == sum(
        int(hover.partition(": ")[2].partition(" ")[0].replace(",", ""))
        for hover in hovers(drawn(whole), "path")
    )


def test_the_timeline_has_every_call_of_a_task(company: Any) -> None:
    engine, record, facts = company
    task = facts.incidents[0].task
    calls = list(engine.trail.entries(kind="decision", task=task))
    root = drawn(analysis.timeline(record, task))
    places = [int(hover.rpartition("#")[2]) for hover in hovers(root, "rect") if "#" in hover]
    assert places == [entry.index for entry in calls]
    assert "Settle the invoices of customer 7" in root.findtext(f"{SVG}title", "")
    with pytest.raises(ans.InvalidInput, match="a timeline is of a task"):
        analysis.timeline(record)


def test_a_call_within_a_call_is_drawn_lower(company: Any) -> None:
    engine, record, _ = company
    inner = next(e for e in engine.trail.entries(kind="decision", tool="crm.read") if e.parent)
    outer = engine.trail.get(inner.parent)
    root = drawn(analysis.timeline(record, inner.task))
    height = {
        int(hover.rpartition("#")[2]): float(shape.get("y", "0"))
        for shape in root.iter(f"{SVG}rect")
        if "#" in (hover := shape.findtext(f"{SVG}title", ""))
    }
    assert height[inner.index] > height[outer.index]


def test_the_heat_map_counts_each_pair(company: Any) -> None:
    engine, record, _ = company
    expected: dict[tuple[str, str], int] = {}
    for entry in engine.trail.entries(kind="decision"):
        if entry.agent:
            pair = (entry.agent_name, entry.tool)
            expected[pair] = expected.get(pair, 0) + 1
    found = {}
    for hover in hovers(drawn(analysis.heat_map(record)), "rect"):
        match = re.fullmatch(r"(.*) · (.*): ([\d,]+) calls, .*", hover)
        assert match, hover
        found[match[1], match[2]] = int(match[3].replace(",", ""))
    assert found == expected


@pytest.mark.parametrize("per", ["hour", "day"])
def test_refusals_over_time_add_up(company: Any, per: str) -> None:
    engine, record, _ = company
    expected: dict[tuple[str, str], int] = {}
    for entry in engine.trail.entries(kind="decision", effect="deny"):
        at = entry.at.replace(minute=0, second=0, microsecond=0)
        at = at if per == "hour" else at.replace(hour=0)
        key = (f"{at:%Y-%m-%d %H:%M} UTC", entry.reasons[0])
        expected[key] = expected.get(key, 0) + 1
    root = drawn(analysis.refusals_over_time(record, per=per))
    found = {}
    for hover in hovers(root, "rect"):
        if match := re.fullmatch(r"(.* UTC) · (\w+): ([\d,]+)", hover):
            found[match[1], match[2]] = int(match[3].replace(",", ""))
    assert found == expected


def test_granted_and_used(company: Any) -> None:
    _, record, _ = company
    rows = analysis.unused(record).rows()
    told = hovers(drawn(analysis.scope_use(record, most=1_000)), "rect")
    for row in rows:
        assert any(row["may"][:50] in hover and row["verdict"] in hover for hover in told)


def test_where_there_is_nothing_nothing_is_drawn(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        for picture in (
            analysis.delegation_graph(engine),
            analysis.heat_map(engine),
            analysis.refusals_over_time(engine),
            analysis.scope_use(engine),
            analysis.timeline(engine, "tsk_" + "a" * 26),
        ):
            drawn(picture)


def test_a_picture_that_is_taken_out_leaves_its_description(company: Any) -> None:
    """A front end that shows no drawing and no style sheet shows words, not a heap of labels."""
    picture = analysis.heat_map(company[1])
    before, _, after = picture._repr_html_().partition(f">{picture.svg}</div>")
    assert before.endswith('<div class="drawn" style="display:none"')
    assert f'<p class="untrusted">{showing.safe(picture.description)} (' in after
    assert ".drawn{display:block!important}" in showing.STYLE
    assert ".untrusted{display:none}" in showing.STYLE


PICTURES = {
    "graph": (analysis.delegation_graph, {}),
    "timeline": (analysis.timeline, {"tool": "bank.transfer"}),
    "heat map": (analysis.heat_map, {}),
    "refusals": (analysis.refusals_over_time, {"per": "hour"}),
    "scope": (analysis.scope_use, {}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_click_tells_what_hovering_does(company: Any, name: str) -> None:
    """For fingers and for who cannot hover: nothing runs, the style sheet shows what has focus."""
    make, asked = PICTURES[name]
    picture = make(company[1], **asked)
    root = drawn(picture)
    told = list(picks(root))
    assert len(told) >= len(picture.rows) > 3
    foot = float(root.get("height", ""))
    for hover, said in told:
        assert said == hover or (said.endswith(" …") and hover.startswith(said[:-2].rstrip()))
    style = root.findtext(f"{SVG}style", "")
    assert ".pick:focus .told{display:inline}" in style
    for text in root.iter(f"{SVG}text"):
        if text.get("class") == "told":
            assert float(text.get("y", "")) + 15 * (len(text) - 1) < foot
            # Nothing is drawn where it is told.
            assert float(text.get("y", "")) > foot - 52
    bottom = max(
        float(s.get("y", "0")) + float(s.get("height", "0")) for s in root.iter(f"{SVG}rect")
    )
    assert bottom <= foot - 52


def cells(page: str) -> list[list[str]]:
    body = re.search(r"<details><summary>the numbers</summary>(.*?)</details>", page, re.S)
    assert body
    rows = re.findall(r"<tr>(.*?)</tr>", body[1], re.S)
    return [
        [html.unescape(one) for one in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", r)] for r in rows
    ]


@pytest.mark.parametrize("name", PICTURES)
def test_the_numbers_stand_in_a_table_below(company: Any, name: str) -> None:
    """It opens by a key, is read aloud, and is there where a front end shows no drawing."""
    make, asked = PICTURES[name]
    picture = make(company[1], **asked)
    head, *rows = cells(picture._repr_html_())
    assert head == [column.replace("_", " ") for column in picture.rows[0]]
    assert len(rows) == min(len(picture.rows), 100)
    told = [" ".join(said for _, said in picks(drawn(picture)))]
    for row, made in zip(rows, picture.rows, strict=False):
        numbers = [one for one in made.values() if isinstance(one, int)]
        assert all(f"{one:,}" in row for one in numbers)
    if name == "graph":
        for made in picture.rows:
            line = f"{made['from']} → {made['to']}: {made['calls']:,} calls, {made['refused']:,} "
            assert line in told[0]
    assert ("the first 100 of" in picture._repr_html_()) == (len(picture.rows) > 100)


def test_the_numbers_of_a_picture_add_up(company: Any) -> None:
    engine, record, _ = company
    calls = len(engine.trail.entries(kind="decision"))
    refused = len(engine.trail.entries(kind="decision", effect="deny"))
    asked = len(engine.trail.entries(kind="decision", effect="ask"))
    tools = set(engine.trail.entries(kind="decision").count_by("tool"))
    last = [row for row in analysis.delegation_graph(record).rows if row["to"] in tools]
    assert sum(row["calls"] for row in last) == calls
    assert sum(row["refused"] for row in last) == refused + asked
    over = analysis.refusals_over_time(record).rows
    assert sum(row["refused"] for row in over) == refused


def test_a_picture_is_saved_for_light_and_dark(company: Any, tmp_path: Path) -> None:
    _, record, _ = company
    picture = analysis.heat_map(record)
    picture.save(tmp_path / "heat.svg")
    saved = (tmp_path / "heat.svg").read_text("utf-8")
    ET.fromstring(saved)
    assert "prefers-color-scheme" in saved
    assert ".pick:focus .told{display:inline}" in saved
    with pytest.raises(ans.InvalidInput, match="Mermaid"):
        picture.mermaid()


# --------------------------------------------------------------------------------------- cases


def receipts_in(page: str) -> list[str]:
    found = re.findall(r"<details><summary>[^<]*\.json</summary><pre>(.*?)</pre>", page, re.S)
    return [html.unescape(text) for text in found]


def test_a_case_of_a_task_holds_what_proves_it(company: Any, tmp_path: Path) -> None:
    engine, _, facts = company
    incident = facts.incidents[0]
    made = analysis.case(engine, task=incident.task)
    file = made.save(tmp_path / "case.html")
    page = file.read_text("utf-8")
    assert_harmless(page, most=3_000_000)
    assert "default-src 'none'" in page
    calls = list(engine.trail.entries(kind="decision", task=incident.task))
    assert len(made.calls) == len(calls)
    assert page.count("account/offshore-1") >= 5
    assert "Settle the invoices of customer 7" in page
    assert "1 verified under that authority" in page
    (receipt,) = receipts_in(page)
    told = ans.verify_receipt(receipt, authority=engine.authority)
    assert [call["entry"] for call in told.calls] == [entry.id for entry in calls]
    with pytest.raises(ans.TrailCorrupted):
        ans.verify_receipt(
            receipt.replace("offshore-1", "offshore-2", 1), authority=engine.authority
        )


def test_a_case_of_entries_is_a_folder(company: Any, tmp_path: Path) -> None:
    engine, _, _ = company
    some = list(engine.trail.entries(kind="decision", effect="deny")[:3])
    made = analysis.case(engine, entries=[some[0], some[1].id, some[2]], title="Three refusals")
    folder = made.save(tmp_path / "case")
    names = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    receipts = {f"receipts/{entry.id}.json" for entry in some}
    assert names == receipts | {
        "index.html",
        "entries.csv",
        "entries.json",
        "verification.json",
        "graph.svg",
        "timeline.svg",
    }
    for receipt in receipts:
        ans.verify_receipt(folder / receipt, authority=engine.authority)
    lines = (folder / "entries.json").read_text("utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [entry.id for entry in some]
    assert "Three refusals" in (folder / "index.html").read_text("utf-8")
    with pytest.raises(ans.InvalidInput, match="not empty"):
        made.save(folder)


def test_a_case_of_an_export_says_that_it_was_verified_or_not(company: Any, tmp_path: Path) -> None:
    engine, _, facts = company
    engine.trail.export(tmp_path / "trail.jsonl")
    task = facts.incidents[1].task
    for authority, said in ((engine.authority, "verified: "), (None, "not verified")):
        record = analysis.read(tmp_path / "trail.jsonl", authority=authority)
        made = analysis.case(record, task=task)
        assert made.receipts == {}
        assert dict(made.checked)["export"].startswith(said)
        assert len(made.calls) == len(engine.trail.entries(kind="decision", task=task))
        assert_harmless(made.html(), most=3_000_000)


def test_what_is_no_case_is_said(company: Any) -> None:
    engine, _, facts = company
    task = facts.incidents[0].task
    for given, said in (
        ({}, "of a task, or of entries"),
        ({"task": task, "entries": []}, "of a task, or of entries"),
        ({"task": "tsk_" + "a" * 26}, "no such call"),
        ({"entries": ["ent_" + "a" * 26]}, "no calls of this trail"),
        ({"entries": [engine.trail.get(0)]}, "no calls of this trail"),
    ):
        with pytest.raises(ans.InvalidInput, match=said):
            analysis.case(engine, **given)


def test_a_case_full_of_hostile_text_is_harmless_and_still_proves(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        human = engine.humans.register("m@example.com", name=SCRIPT)
        agent = engine.agents.issue(
            "bot" + SCRIPT, owner=human, purpose=SCRIPT, ceiling=[ans.allow("pay.*")], ttl="8h"
        )

        @ans.tool("pay.transfer", resource="account/{account}", engine=engine)
        def transfer(account: str, memo: str) -> str:
            return memo

        grant = engine.grant(human, agent, task=SCRIPT, ttl="1h", scope=[ans.allow("pay.*")])
        with engine.acting(grant):
            transfer("<script>alert(1)</script>".replace("/", ""), HOSTILE + "\U0001f600é")
        made = analysis.case(engine, task=grant.task)
        page = made.html()
        assert_harmless(page, most=400_000)
        (receipt,) = receipts_in(page)
        ans.verify_receipt(receipt, authority=engine.authority)
        picture = analysis.delegation_graph(engine)
        assert_plain(picture.mermaid())
        assert "<" not in picture.mermaid()
        made.save(tmp_path / "case")
        for name in ("graph.svg", "timeline.svg"):
            ET.parse(tmp_path / "case" / name)
        assert_plain((tmp_path / "case" / "entries.json").read_text("utf-8"))


def test_the_command_makes_the_same(
    company: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, _, facts = company
    export = tmp_path / "trail.jsonl"
    engine.trail.export(export)
    task, out = facts.incidents[0].task, tmp_path / "report.html"
    store = ["--store", str(engine.path)]
    given = ["trail", "report", str(out), "--file", str(export), "--authority", engine.authority]
    assert main([*given, "--task", task, *store]) == 0
    assert "offshore-1" in out.read_text("utf-8")
    assert main([*given, "--task", task, *store]) == 2
    assert main([*given, "--force", "--json", "--task", task, *store]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["calls"] == len(engine.trail.entries(kind="decision", task=task))
    assert main([*given, "--force", *store]) == 2
    assert main([*given, "--force", "--entry", "7", *store]) == 2
    assert main(["trail", "report", str(out), "--authority", "x", "--task", task, *store]) == 2


def test_the_command_reports_from_the_store_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once the application has ended: with receipts, as `analysis.case` has them."""
    with ans.open(tmp_path / "store") as engine:
        human = engine.humans.register("a@example.com")
        agent = engine.agents.issue(
            "bot", owner=human, purpose="x", ceiling=[ans.allow("pay.*")], ttl="8h"
        )

        @ans.tool("pay.transfer", resource="account/{account}", engine=engine)
        def transfer(account: str) -> str:
            return "paid"

        grant = engine.grant(human, agent, task="Pay", ttl="1h", scope=[ans.allow("pay.*")])
        with engine.acting(grant):
            transfer("a")
        authority, task = engine.authority, grant.task
        entry = engine.trail.entries(kind="decision")[0].id
    store, page = ["--store", str(tmp_path / "store")], tmp_path / "report.html"
    assert main(["trail", "report", str(page), "--task", task, *store]) == 0
    (receipt,) = receipts_in(page.read_text("utf-8"))
    assert ans.verify_receipt(receipt, authority=authority).calls[0]["entry"] == entry
    folder = tmp_path / "report"
    assert main(["trail", "report", str(folder), "--entry", entry, "--json", *store]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["calls"], told["receipts"]) == (1, 1)
    ans.verify_receipt(folder / "receipts" / f"{entry}.json", authority=authority)
