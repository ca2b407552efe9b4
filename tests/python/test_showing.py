"""What notebooks, terminals and spreadsheets show of a trail full of hostile text: harmless."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from harmless import HOSTILE, LONG, SCRIPT, assert_harmless, assert_plain, worst

import answerable as ans
from answerable import showing


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[tuple[ans.Engine, dict[str, Any]]]:
    """An engine whose every free field was written by an attacker."""
    with ans.open(tmp_path / "store") as engine:
        made: dict[str, Any] = {}
        human = worst(
            lambda text: engine.humans.register("mallory@example.com" + text, name=SCRIPT + text)
        )
        agent = worst(
            lambda text: engine.agents.issue(
                "bot" + text,
                owner=human,
                purpose=SCRIPT + text,
                ceiling=[ans.allow("pay.*")],
                ttl="8h",
            )
        )
        where = {"account": ans.any_(), "memo": ans.one_of(HOSTILE, "x")}
        scope = [ans.allow("pay.*", where=where)]
        grant = worst(
            lambda text: engine.grant(human, agent, task=SCRIPT + text, ttl="1h", scope=scope)
        )

        @ans.tool("pay.transfer", resource="account/{account}", engine=engine)
        def transfer(account: str, memo: str) -> str:
            if memo == "x":
                raise RuntimeError(HOSTILE)
            return HOSTILE

        with engine.acting(grant):
            transfer("a<b>", HOSTILE)
            with pytest.raises(RuntimeError):
                transfer("a", "x")
            with pytest.raises(ans.AccessDenied) as denied:
                transfer("a", LONG)
            made["decision"] = denied.value.decision
        worst(lambda text: engine.agents.suspend(agent, reason=SCRIPT + text, by=human))
        made |= {"human": human, "agent": engine.agents.get(agent), "grant": grant}
        made["task"] = engine.tasks.get(grant.task)
        made["entries"] = engine.trail.entries()
        calls = engine.trail.entries(kind="decision")
        made["story"] = engine.trail.story(calls[0])
        made["refused"] = engine.trail.story(calls[-1])
        made["raised"] = engine.trail.story(calls[1])
        made["receipt"] = engine.trail.receipt(calls[0])
        made["verified"] = ans.verify_receipt(made["receipt"], authority=engine.authority)
        made["explanation"] = engine.explain(calls[-1])
        made["review"] = engine.review()
        made["report"] = engine.trail.verify()
        made["tree"] = engine.trail.reconstruct(grant.task)
        made["chain"] = engine.trail.chain(grant)
        for place, entry in enumerate(made["entries"]):
            made[f"entry {place}"] = entry
        yield engine, made


def test_every_value_is_harmless_in_a_notebook(
    hostile: tuple[ans.Engine, dict[str, Any]],
) -> None:
    _, made = hostile
    for name, value in made.items():
        shown = value._repr_html_()
        try:
            assert_harmless(shown)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def test_every_value_is_harmless_in_a_terminal(
    hostile: tuple[ans.Engine, dict[str, Any]],
) -> None:
    _, made = hostile
    for value in made.values():
        assert_plain(repr(value))
        assert len(repr(value)) < 20_000


def test_a_bundle_has_both_forms(hostile: tuple[ans.Engine, dict[str, Any]]) -> None:
    _, made = hostile
    story = made["story"]
    assert story._repr_mimebundle_(include=None, exclude=None) == {
        "text/plain": repr(story),
        "text/html": story._repr_html_(),
    }


def test_the_words_are_there(hostile: tuple[ans.Engine, dict[str, Any]]) -> None:
    """Harmless is not enough: what was written can be read."""
    _, made = hostile
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made["story"]._repr_html_()
    assert "\\u{202e}" in made["story"]._repr_html_()
    assert "pay.transfer" in made["entries"]._repr_html_()
    assert "account/a&lt;b&gt;" in made["entries"]._repr_html_()
    assert "one_of" in made["grant"]._repr_html_() or "one of" in made["grant"]._repr_html_()
    assert '<span class="deny">deny</span>' in made["refused"]._repr_html_()
    assert "suspended" in made["agent"]._repr_html_()


def test_many_findings_of_one_kind_do_not_hide_another(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        human = engine.humans.register("a@example.com")
        for number in range(30):
            engine.agents.issue(
                f"bot-{number}", owner=human, purpose="x", ceiling=[ans.allow("a.b")], ttl="8h"
            )
        engine.humans.offboard(human, reason="left")
        other = engine.humans.register("b@example.com")
        agent = engine.agents.issue(
            "lone", owner=other, purpose="x", ceiling=[ans.allow("a.b")], ttl="8h"
        )
        below = engine.agents.issue(
            "below", owner=other, purpose="x", ceiling=[ans.allow("a.b")], ttl="8h"
        )
        grant = engine.grant(
            other, agent, task="x", ttl="1h", scope=[ans.allow("a.b")], max_depth=1
        )
        with engine.acting(grant), engine.delegating(below, scope=[ans.allow("a.b")]):
            pass
        review = engine.review()
        codes = {finding.code for finding in review.findings}
        assert len(codes) > 1
        shown = review._repr_html_()
        for code in codes:
            assert shown.count(f"<td>{code}</td>") == 1
        assert f"<b>{len(review)} findings</b>" in shown
        assert "; and 29 more" in shown


def test_a_long_trail_is_cut(tmp_path: Path) -> None:
    with ans.open(tmp_path / "store") as engine:
        for number in range(30):
            engine.humans.register(f"h{number}@example.com")
        shown = engine.trail.entries()._repr_html_()
        assert shown.count("<tr>") == 1 + showing.ROWS
        assert "32 entries" in shown
        assert "the first 20" in shown
        assert "the first" not in engine.trail.entries()[:20]._repr_html_()


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://evil.example","x")',
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\ufeff=1",
        "\u200b=1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20SUM(1)",
        "\u3000\uff1d1",
        "\ufe661",
    ],
)
def test_no_cell_of_a_sheet_is_a_formula(text: str) -> None:
    made = showing.csv([{"a": text, "b": -5, "c": "plain - text"}], ["a", "b", "c"])
    head, row = list(csv.reader(io.StringIO(made, newline="")))
    assert head == ["a", "b", "c"]
    assert row[0].startswith("'")
    assert row[1:] == ["-5", "plain - text"]
    assert_plain(made.replace("\r\n", "\n"))


def test_a_cell_of_a_sheet_fits_a_sheet() -> None:
    made = showing.csv([{LONG: LONG}], [LONG])
    assert_plain(made.replace("\r\n", "\n"))
    assert len(made) < 4 * showing.SHEET_CELL


def test_a_page_loads_nothing() -> None:
    made = showing.page(HOSTILE, [showing.table([{HOSTILE: LONG}], [HOSTILE])])
    assert "default-src 'none'" in made
    assert_harmless(made)


def test_light_and_dark_have_the_same_colours() -> None:
    light, dark = showing._LIGHT, showing._DARK
    names = [part.partition(":")[0] for part in light.split(";")]
    assert names == [part.partition(":")[0] for part in dark.split(";")]
    used = {part.partition(")")[0] for part in showing.STYLE.split("var(")[1:]}
    assert used <= set(names)


def test_a_time_gives_way_where_columns_are_many() -> None:
    at = datetime(2026, 1, 5, 7, 31, 4, tzinfo=UTC)
    few, many = (
        showing.table([dict.fromkeys(names, at)], names) for names in ("abcdefgh", "abcdefghi")
    )
    assert few.count('class="short"') == 8
    assert (many.count('class="time"'), many.count("short")) == (9, 0)
