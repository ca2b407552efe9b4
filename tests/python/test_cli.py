"""The command line: every command, its exit codes, and hostile text in each of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from shop import ACTIVE, BIDI, ESCAPE, HOSTILE_SENTENCE, LONG, Cli, Shop

import answerable as ans
from answerable.cli import parser
from answerable.cli.run import COMMANDS
from answerable.net.witness import Witness

LOG = "example.com/log+cc714670+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"


@pytest.fixture(autouse=True)
def witness(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A witness and something to cosign, for the commands that need them."""
    if "witness" in request.node.name:
        made = Witness.make(tmp_path / "witness", "witness.example/1")
        with ans.open(tmp_path / "log") as engine:
            made.trust(engine.trail.checkpoint_key())
            note = engine.trail.checkpoint().text
        (tmp_path / "request").write_text(f"old 0\n\n{note}", encoding="utf-8")


def every_command(shop: Shop, folder: Path) -> dict[str, list[str]]:
    """A command line for each command; a new command has to be listed here."""
    return {
        "init": ["init"],
        "demo": ["demo"],
        "humans list": ["humans", "list"],
        "humans register": ["humans", "register", f"eve{BIDI}@example.com", "--name", f"E{BIDI}"],
        "agents list": ["agents", "list"],
        "agents show": ["agents", "show", f"plan{BIDI}ner"],
        "agents issue": [
            "agents", "issue", f"a{BIDI}", "--owner", "alice@example.com", "--purpose", BIDI,
            "--allow", "pay.* on account/a or account/b", "--ttl", "1h",
        ],
        "agents retire": ["agents", "retire", f"plan{BIDI}ner", "--reason", HOSTILE_SENTENCE],
        "humans show": ["humans", "show", "alice@example.com"],
        "humans offboard": [
            "humans", "offboard", "alice@example.com", "--reason", HOSTILE_SENTENCE,
            "--out", str(folder / f"o{BIDI}"),
        ],
        "humans proof": ["humans", "proof", shop.proof],
        "agents suspend": ["agents", "suspend", f"plan{BIDI}ner", "--reason", HOSTILE_SENTENCE],
        "agents resume": ["agents", "resume", "idle"],
        "agents rotate": ["agents", "rotate", f"plan{BIDI}ner", "--reason", HOSTILE_SENTENCE],
        "agents transfer": ["agents", "transfer", f"plan{BIDI}ner", "--owner", "bob@example.com"],
        "agents renew": ["agents", "renew", f"plan{BIDI}ner", "--ttl", "40d"],
        "grants make": [
            "grants", "make", "alice@example.com", f"plan{BIDI}ner", "--task", BIDI,
            "--allow", "pay.*", "--ttl", "1m", "--calls", "3",
        ],
        "halt": ["halt", "--reason", HOSTILE_SENTENCE],
        "unhalt": ["unhalt", "--tool", "never.**", "--reason", HOSTILE_SENTENCE],
        "halts": ["halts"],
        "review": ["review", "--attest", HOSTILE_SENTENCE],
        "keys show": ["keys", "show"],
        "keys rotate-authority": ["keys", "rotate-authority", "--reason", HOSTILE_SENTENCE],
        "keys rotate-checkpoint": ["keys", "rotate-checkpoint", "--reason", HOSTILE_SENTENCE],
        "grants list": ["grants", "list"],
        "grants show": ["grants", "show", shop.child],
        "tasks list": ["tasks", "list"],
        "tasks end": ["tasks", "end", shop.task, "--reason", HOSTILE_SENTENCE],
        "revoke": ["revoke", shop.grant, "--reason", HOSTILE_SENTENCE],
        "approvals list": ["approvals", "list"],
        "approvals show": ["approvals", "show", shop.approval],
        "approvals approve": ["approvals", "approve", shop.approval, "--note", HOSTILE_SENTENCE],
        "approvals refuse": ["approvals", "refuse", shop.approval, "--note", HOSTILE_SENTENCE],
        "policy load": ["policy", "load", policies(folder)],
        "policy show": ["policy", "show", "--text"],
        "policy check": ["policy", "check", policies(folder), "--fail-on", "high"],
        "policy test": ["policy", "test", policies(folder)],
        "policy replay": ["policy", "replay", policies(folder), "--until", "2020-01-01T00:00:00Z"],
        "policy explain": ["policy", "explain", shop.refused],
        "vault list": ["vault", "list", "--removed"],
        "vault history": ["vault", "history", "bank-api"],
        "vault put": [
            "vault", "put", "mail-api", "--for-tools", "mail.*", "--from-env", "PATH",
        ],
        "vault rotate": ["vault", "rotate", "bank-api", "--from-env", "PATH"],
        "vault remove": ["vault", "remove", "bank-api", "--reason", HOSTILE_SENTENCE],
        "vault rewrap": ["vault", "rewrap", "--reason", HOSTILE_SENTENCE],
        "rules list": ["rules", "list"],
        "rules add": ["rules", "add", "halt", "--reason", HOSTILE_SENTENCE],
        "rules remove": ["rules", "remove", shop.rule, "--reason", HOSTILE_SENTENCE],
        "metrics": ["metrics"],
        "trail show": ["trail", "show", "--all"],
        "trail count": ["trail", "count", "--per", "human"],
        "trail reconstruct": ["trail", "reconstruct", shop.raised],
        "trail who-could": ["trail", "who-could", "read.file"],
        "trail story": ["trail", "story", shop.raised],
        "trail explain": ["trail", "explain", shop.refused],
        "trail verify": ["trail", "verify"],
        "trail checkpoint": ["trail", "checkpoint", "--out", str(folder / f"c{BIDI}")],
        "trail export": ["trail", "export", str(folder / f"t{BIDI}.jsonl")],
        "trail erase": ["trail", "erase", "--entry", shop.raised, "--reason", HOSTILE_SENTENCE],
        "trail expire": ["trail", "expire", "--reason", HOSTILE_SENTENCE],
        "trail receipt": ["trail", "receipt", shop.raised, "--html", str(folder / f"r{BIDI}")],
        "trail report": ["trail", "report", str(folder / f"r{BIDI}.html"), "--entry", shop.raised],
        "trail archive": ["trail", "archive", str(folder / f"a{BIDI}")],
        "backup": ["backup", str(folder / f"b{BIDI}")],
        "trail publish": ["trail", "publish", "--folder", str(folder / f"p{BIDI}")],
        "trail send": [
            "trail", "send", "--file", str(folder / f"s{BIDI}"), "--shape", "ocsf",
            "--state", str(folder / f"at{BIDI}"),
        ],
        "witness init": ["witness", "init", str(folder / f"w{BIDI}"), "--name", "w.example/1"],
        "witness trust": ["witness", "trust", str(folder / "witness"), LOG],
        "witness list": ["witness", "list", str(folder / "witness")],
        "witness cosign": ["witness", "cosign", str(folder / "witness"), str(folder / "request")],
        "doctor": ["doctor"],
        "completion": ["completion", "bash"],
    }  # fmt: skip


def policies(folder: Path) -> str:
    """Policies with hostile words, and a case for them."""
    made = folder / "policies"
    if folder != Path():
        made.mkdir(exist_ok=True)
        text = (
            '@id("a") @advice("ask") @reason("%s") permit (principal, action, resource)'
            " when { context.chain.depth < 9 };"
        )
        (made / f"p{BIDI}.cedar").write_text(text % BIDI, encoding="utf-8")
        case = f'[[case]]\nname = "n{BIDI}"\ntool = "pay"\neffect = "ask"\n'
        (made / "cases.toml").write_text(case, encoding="utf-8")
    return str(made)


NAMES = list(every_command(Shop(Path(), *[""] * 11), Path()))


# What ends when it is interrupted only.
ENDLESS = {"witness serve", "trail follow"}
# What makes a store of its own, and refuses the one that is there.
APART = {"simulate"}


def test_every_command_is_tried() -> None:
    parser.build()
    assert {" ".join(words) for words in COMMANDS} - ENDLESS - APART == set(NAMES)


@pytest.mark.parametrize("options", [[], ["--json"], ["--utc"]], ids=["text", "json", "utc"])
@pytest.mark.parametrize("name", NAMES)
def test_hostile_text_is_harmless_everywhere(
    name: str, options: list[str], cli: Cli, shop: Shop, tmp_path: Path
) -> None:
    done = cli(*every_command(shop, tmp_path)[name], *options)
    assert done.code == 0, done.err
    assert ACTIVE.findall(done.out + done.err) == []
    assert len(done.out) < 60_000 or name in ("trail show", "completion")
    if options == ["--json"]:
        assert done.lines


@pytest.mark.parametrize("entry", ["allowed", "refused", "nameless", "raised"])
@pytest.mark.parametrize("verb", ["story", "explain"])
def test_hostile_calls_are_told_harmlessly(verb: str, entry: str, cli: Cli, shop: Shop) -> None:
    for options in ([], ["--json"]):
        done = cli("trail", verb, getattr(shop, entry), *options)
        assert done.code == 0
        assert ACTIVE.findall(done.out) == []
        assert len(done.out) < 20_000


@pytest.mark.parametrize("name", NAMES)
def test_a_forged_line_stays_inside_its_own(
    name: str, cli: Cli, shop: Shop, tmp_path: Path
) -> None:
    done = cli(*every_command(shop, tmp_path)[name])
    forged = [line for line in (done.out + done.err).splitlines() if "forged line" in line]
    assert not any(line.lstrip().startswith("allow  forged") for line in forged)
    if name in ("agents show", "grants show", "tasks list", "trail story"):
        assert forged, "the sentence that tries it is shown"


def test_hostile_arguments_come_back_harmless(cli: Cli) -> None:
    for argv in (
        ["agents", "show", ESCAPE + LONG],
        ["trail", "story", ESCAPE],
        ["trail", "show", "--tool", ESCAPE + BIDI],
        [ESCAPE],
        ["trail", "export", f"missing{BIDI}/{ESCAPE}"],
        ["trail", "verify", ESCAPE],
        ["--store", f"/nowhere/{ESCAPE}{BIDI}", "agents", "list"],
    ):
        done = cli(*argv)
        assert done.code in (2, 3), argv
        assert ACTIVE.findall(done.out + done.err) == []
        assert done.err.startswith("answerable: ")
        assert len(done.err) < 5_000


def test_the_exit_code_says_what_happened(cli: Cli, shop: Shop, tmp_path: Path) -> None:
    assert cli("agents", "show", "nobody").code == 2
    assert cli("agents", "list", "--status", "nope").code == 2
    assert cli("trail").code == 2
    assert cli("trail", "show", "--newest", "0").code == 2
    assert cli("trail", "story", "999999").code == 2
    assert cli("tasks", "end", shop.task).code == 2  # no reason
    assert cli("--store", str(tmp_path / "none"), "agents", "list").code == 3
    assert not (tmp_path / "none").exists(), "a mistyped path made a store"
    assert cli("revoke", shop.grant, "--reason", "leak").code == 0
    again = cli("revoke", shop.grant, "--reason", "leak")
    assert (again.code, again.err.splitlines()[0]) == (
        1,
        "answerable: the grant was revoked already",
    )
    assert again.err.splitlines()[1].startswith("hint: nothing is left to revoke")
    show = cli("grants", "show", shop.child)
    assert show.code == 1, "what no longer holds is something found wrong"
    assert "revoked: the grant of" in show.out


def test_an_error_never_shows_a_traceback(
    cli: Cli, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.path.with_name("governance.key").unlink()
    done = cli("agents", "list")
    assert done.code == 3
    assert "Traceback" not in done.err
    assert "governance.key" in done.err
    assert cli("agents", "show", "\udcff").code in (2, 3)
    monkeypatch.setenv("ANSWERABLE_DEBUG", "1")
    with pytest.raises(ans.InvalidInput):
        cli("agents", "list")


def test_a_store_in_use_names_its_holder(
    cli: Cli, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("answerable.cli.run.PAUSE", 0)
    monkeypatch.setattr("answerable.cli.run.ATTEMPTS", 2)
    with ans.open(shop.path):
        for argv in (["agents", "list"], ["revoke", shop.grant, "--reason", "x"]):
            done = cli(*argv)
            assert done.code == 3
            assert f"process {os.getpid()}" in done.err
            assert "hint: " in done.err
        doctor = cli("doctor", "--json")
        assert doctor.code == 3
        assert doctor.lines[-1]["check"] == "opens"
    assert cli("agents", "list").code == 0


def test_verbs_do_what_they_say(cli: Cli, shop: Shop) -> None:
    carol = cli("humans", "register", "carol@example.com", "--name", "Carol", "--json").json
    issued = cli(
        "agents", "issue", "clerk", "--owner", carol["id"], "--purpose", "files", "--ttl", "2h",
        "--allow", "file.read on path:/data/** or path:/tmp/*", "--allow", "mail", "--json",
    ).json  # fmt: skip
    assert issued["ceiling"] == ["file.read on path:/data/** or path:/tmp/*", "mail"]
    assert cli("agents", "issue", "clerk", "--owner", carol["id"], "--purpose", "x", "--ttl", "1h",
               "--allow", "mail on ").code == 2  # fmt: skip
    retired = cli("agents", "retire", "clerk", "--reason", "done", "--by", carol["id"], "--json")
    assert retired.json["status"] == "retired"
    names = [one["name"] for one in cli("agents", "list", "--status", "retired", "--json").lines]
    assert names == ["clerk"]
    assert cli("tasks", "end", shop.task, "--reason", "done", "--json").json["task"] == shop.task
    assert cli("tasks", "list", "--json").lines[0]["ended_at"] is not None
    grants = cli("grants", "list", "--agent", "booker", "--json").lines
    assert [one["id"] for one in grants] == [shop.child]
    by_token = cli("grants", "show", shop.token, "--json")
    assert by_token.json["grant"] == shop.child
    assert [one["code"] for one in by_token.json["against"]] == ["task_ended"]
    assert len(by_token.json["hops"]) == 2
    assert cli("grants", "show", shop.token[:-2] + "AA").code == 1


def test_showing_a_grant_records_nothing(cli: Cli, shop: Shop) -> None:
    before = len(cli("trail", "show", "--all", "--json").lines)
    cli("grants", "show", shop.token)
    assert len(cli("trail", "show", "--all", "--json").lines) == before


def test_entries_are_filtered(cli: Cli, shop: Shop) -> None:
    def ids(*argv: str) -> list[str]:
        return [one["leaf"]["id"] for one in cli("trail", "show", *argv, "--json").lines]

    assert ids("--effect", "deny") == [shop.refused, shop.nameless]
    assert ids("--tool", "pay.*") == [shop.allowed, shop.refused]
    assert ids("--tool", "pay.*", "-n", "1") == [shop.refused]
    assert ids("--reason", "caveat_failed") == [shop.refused]
    assert ids("--kind", "decision", "--agent", "booker") == []
    assert ids("--since", "2999-01-01T00:00:00Z") == []
    assert len(ids("--human", "alice@example.com", "--kind", "decision")) == 4
    short = cli("trail", "show", "-n", "2")
    assert len(short.out.splitlines()) == 3
    assert re.search(r"the newest 2 of \d+; --all", short.err)


def test_an_entry_goes_by_its_number_too(cli: Cli, shop: Shop) -> None:
    place = str(cli("trail", "story", shop.refused, "--json").json["index"])
    told = cli("trail", "story", place)
    assert shop.refused in told.out
    assert ": refused" in told.out


def test_a_table_fits_the_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (60, 80, 132):
        monkeypatch.setenv("COLUMNS", str(width))
        for argv in (["trail", "show"], ["agents", "list"], ["tasks", "list"], ["humans", "list"]):
            lines = cli(*argv).out.splitlines()
            assert len(lines) > 1
            assert max(map(len, lines)) <= width, (argv, width)


def test_times_are_in_the_users_zone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        local = cli("trail", "show", "-n", "1").out.splitlines()[1]
        utc = cli("trail", "show", "-n", "1", "--utc").out.splitlines()[1]
        story = cli("trail", "story", "8").out
    finally:
        monkeypatch.undo()
        time.tzset()
    shown_at = re.compile(r"(\d\d):(\d\d):\d\d (\+0545|UTC)")
    here, there = shown_at.search(local), shown_at.search(utc)
    assert here is not None
    assert there is not None
    minutes = int(here[1]) * 60 + int(here[2]) - int(there[1]) * 60 - int(there[2])
    assert minutes % 1440 == 5 * 60 + 45
    assert "+0545" in story


def test_what_is_there_is_replaced_when_that_is_asked_for_only(
    cli: Cli, shop: Shop, tmp_path: Path
) -> None:
    kept = tmp_path / "monday"
    receipt = ["trail", "receipt", shop.raised]
    for command in (
        ["trail", "checkpoint", "--out", str(kept)],
        [*receipt, "--out", str(kept)],
        [*receipt, "--html", str(kept)],
        [*receipt, "--proof", str(kept)],
    ):
        kept.write_text("Monday's")
        kept.chmod(0o644)
        refused = cli(*command)
        assert refused.code == 2, command
        assert "is there already" in refused.err
        assert kept.read_text() == "Monday's", command
        assert cli(*command, "--force").code == 0
        assert kept.read_text("utf-8") != "Monday's", command
        assert kept.stat().st_mode & 0o777 == 0o600, command
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert cli("trail", "checkpoint", "--out", str(tmp_path / "link")).code == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_report_of_a_file_that_is_exchanged_after_its_verification_is_not_made(
    cli: Cli, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from answerable import _core

    file, truly = tmp_path / "trail.jsonl", _core.verify
    key = cli("trail", "export", str(file), "--json").json["authority"]

    def verify(*args: Any, **options: Any) -> Any:
        report = truly(*args, **options)
        file.write_bytes(file.read_bytes().replace(b'"allow"', b'"deny" '))
        return report

    monkeypatch.setattr(_core, "verify", verify)
    page = tmp_path / "case.html"
    made = cli("trail", "report", str(page), "--entry", shop.raised, "--file", str(file),
               "--authority", key)  # fmt: skip
    assert made.code != 0
    assert "changed since it was verified" in made.err
    assert not page.exists()


def test_an_export_is_verified_and_a_changed_byte_found(
    cli: Cli, shop: Shop, tmp_path: Path
) -> None:
    kept, file = tmp_path / "kept", tmp_path / "trail.jsonl"
    assert cli("trail", "checkpoint", "--out", str(kept)).code == 0
    exported = cli("trail", "export", str(file), "--json").json
    assert cli("trail", "export", str(file)).code == 2, "an export was replaced without --force"
    assert cli("trail", "export", str(file), "--force").code == 0
    key = ["--authority", exported["authority"]]
    sound = cli("trail", "verify", str(file), *key, "--since", str(kept), "--json")
    assert sound.code == 0
    assert sound.json["since_agreed"] == 1
    assert "without --since" in cli("trail", "verify", str(file), *key).err
    file.write_bytes(file.read_bytes().replace(b'"amount"', b'"amounf"', 1))
    for options in ([], ["--json"]):
        forged = cli("trail", "verify", str(file), *key, *options)
        assert forged.code == 1
        assert "value_mismatch" in forged.out
    assert cli("trail", "verify", *key).code == 2
    assert cli("trail", "verify", str(tmp_path / "no"), *key).code == 2
    # A cut tail is seen against the checkpoint that left earlier.
    stolen = cli("trail", "verify", "--since", str(kept))
    assert stolen.code == 0


def test_a_live_trail_that_lost_its_tail_is_found(
    cli: Cli, shop: Shop, made: Shop, tmp_path: Path
) -> None:
    cli("humans", "register", "later@example.com")
    kept = tmp_path / "kept"
    cli("trail", "checkpoint", "--out", str(kept))
    shutil.rmtree(shop.path)
    shutil.copytree(made.path, shop.path)
    refused = cli("trail", "verify")
    assert refused.code == 3
    assert "was put back" in refused.err
    assert "--accept-restore" in refused.err
    assert cli("doctor").code == 3
    accepted = cli("doctor", "--accept-restore", "the backup of monday")
    assert accepted.code == 0
    assert cli("trail", "show", "--kind", "restore", "--json").lines
    rolled_back = cli("trail", "verify", "--since", str(kept))
    assert rolled_back.code == 1
    assert "history_rewritten" in rolled_back.out


def test_doctor_finds_what_is_wrong(cli: Cli, shop: Shop, tmp_path: Path) -> None:
    def states() -> dict[str, str]:
        return {one["check"]: one["state"] for one in cli("doctor", "--json").lines}

    assert set(states().values()) == {"ok"}
    assert cli("doctor").code == 0
    key = shop.path.with_name("governance.key")
    key.chmod(0o644)
    assert states()["key"] == "bad"
    assert cli("doctor").code == 3
    key.chmod(0o600)
    (shop.path / "FORMAT").chmod(0o640)
    assert states()["modes"] == "bad"
    assert cli("doctor").code == 1
    (shop.path / "FORMAT").chmod(0o600)
    (shop.path / "holder.json").write_text(
        json.dumps({"pid": 4194999, "host": os.uname().nodename, "started": 1})
    )
    assert states()["holder"] == "warn"
    (shop.path / "holder.json").write_text('{"pid":"\\u001b[2J"}')
    assert states()["holder"] == "ok"
    assert cli("--store", str(tmp_path), "doctor").code == 3


def test_doctor_sees_a_clock_that_was_set_back(
    cli: Cli, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ans.open(shop.path, clock="2998-01-01T00:00:00Z") as engine:
        engine.humans.register("future@example.com")
    found = {one["check"]: one for one in cli("doctor", "--json").lines}
    assert found["clock"]["state"] == "bad"
    assert cli("doctor").code == 1


def test_init_makes_a_store_once(cli: Cli, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "new")]
    first = cli("init", *store, "--json").json
    second = cli(*store, "--json", "init").json
    assert (first["made"], second["made"]) == (True, False)
    assert first["authority"] == second["authority"]
    assert Path(first["key_file"]).stat().st_mode & 0o077 == 0


def test_demo_leaves_nothing_behind(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    done = cli("demo")
    assert done.code == 0
    assert "was not allowed" in done.out
    assert "one edited byte was found" in done.out
    assert sorted(tmp_path.iterdir()) == before


def test_a_review_fails_from_a_chosen_severity_on(cli: Cli, shop: Shop) -> None:
    with ans.open(shop.path) as engine:
        grant = engine.accept(shop.token)
        for _ in range(10):
            with pytest.raises(ans.AccessDenied), engine.acting(grant):  # noqa: SIM117
                with ans.guard.governed("no.such", {}):
                    pytest.fail("the body ran")
    found = cli("review", "--json")
    codes = {one["code"]: one["severity"] for one in found.json["findings"]}
    assert codes["refusals_above_usual"] == "high"
    assert found.code == 1
    with ans.open(shop.path) as engine:
        engine.agents.retire(engine.accept(shop.token).agent, reason="x")
    low = cli("review", "--json")
    assert low.code == 0
    assert all(one["severity"] != "high" for one in low.json["findings"])
    assert cli("review", "--fail-on", "info").code == (1 if low.json["findings"] else 0)
    attested = cli("review", "--attest", "looked through")
    assert "attested as ent_" in attested.out
    with ans.open(shop.path) as engine:
        (entry,) = (e for e in engine.trail.entries(kind="review") if "action" not in e.leaf)
    assert entry.leaf["by"]


def test_a_rule_can_be_set_and_removed(cli: Cli, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    url = "https://example.com/hook"
    made = cli(
        "rules", "add", url, "--on", "dormant", "--secret-file", str(secret), "--reason", "x",
        "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    assert (made.json["url"], made.json["then"], made.json["on"]) == (url, "webhook", "dormant")
    listed = [one["id"] for one in cli("rules", "list", "--json").lines]
    assert made.json["id"] in listed
    assert "s3cret" not in cli("rules", "list").out + made.out
    assert cli("rules", "remove", made.json["id"], "--reason", "x").code == 0
    assert cli("rules", "remove", made.json["id"], "--reason", "x").code == 2
    assert cli("rules", "add", "http://example.com", "--reason", "x").code == 2
