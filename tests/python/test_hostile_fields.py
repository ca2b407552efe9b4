"""Every field that somebody may write freely, written by an attacker: shown, it harms nobody.

The list of fields is compared with the types of the binary, so that a new one is tried as well.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harmless import ESCAPES, LONG, MARKS, SCRIPT, assert_harmless, assert_plain

import answerable as ans
from answerable import analysis
from answerable.cli import main
from answerable.guard import governed

ROOT = Path(__file__).resolve().parents[2]
FREE = {"reason", "note", "purpose", "task", "account", "name", "model", "version"}
# What looks something up, or must be plain, and writes no words of its own.
LOOKED_UP = {
    *("Humans.get:human", "Tasks.get:task", "Tasks.end:task", "Tasks.sentence:task"),
    *("Trail.entries:task", "Trail.entries:reason", "Trail.follow:task", "Trail.follow:reason"),
    *("Trail.receipt:task", "Policies.read:version", "PolicySet.judge:task", "Vault.get:name"),
    *("Vault.rotate:name", "Vault.remove:name", "Call.lease:name"),
    # The note of a checkpoint, whose form is checked, and the name in a key.
    *("Witness.cosign:note", "Witness.generate:name"),
}
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def fields_of_the_binary() -> set[str]:
    """The parameters that are called what free text is called, verb by verb."""
    stub = ast.parse((ROOT / "python/answerable/_core.pyi").read_text("utf-8"))
    found = set()
    for one in stub.body:
        for verb in one.body if isinstance(one, ast.ClassDef) else []:
            if not isinstance(verb, ast.FunctionDef):
                continue
            for given in [*verb.args.args, *verb.args.kwonlyargs]:
                if (
                    given.arg in FREE
                    and given.annotation
                    and "str" in ast.unparse(given.annotation)
                ):
                    found.add(f"{one.name}.{verb.name}:{given.arg}")
    return found


class Attacker:
    """Writes into every field, as badly as it takes; remembers which."""

    def __init__(self, folder: Path) -> None:
        self.engine = ans.open(folder / "store")
        self.wrote: set[str] = set()
        self.values: dict[str, Any] = {}
        self.number = 0

    def words(self) -> Iterator[str]:
        # Distinct, where a name must be: and each begins as a formula of a sheet does.
        self.number += 1
        start = f"{'=+-@'[self.number % 4]}{self.number} "
        for text in (LONG, SCRIPT + ESCAPES + MARKS, SCRIPT + MARKS, SCRIPT):
            yield start + text
            yield text + start  # Where a name may not begin so.

    def write(self, field: str, make: Callable[[str], Any]) -> Any:
        """Writes the worst that the field takes; something of the worst must be taken."""
        for words in self.words():
            try:
                made = make(words)
            except (ans.InvalidInput, ans.InvalidGrant):
                continue
            self.wrote.add(field)
            return made
        raise AssertionError(f"{field} takes nothing hostile: is it free?")

    def work(self) -> None:
        engine, write = self.engine, self.write
        humans, agents = engine.humans, engine.agents
        write("Humans.register:account", humans.register)
        mallory, bob = (
            write(
                "Humans.register:name",
                lambda text, who=who: humans.register(f"{who}@example.com", name=text),
            )
            for who in ("mallory", "bob")
        )

        def issue(**given: Any) -> Any:
            self.number += 1
            options = {"owner": mallory, "purpose": "x", "ceiling": ans.allow("**"), "ttl": "8h"}
            name = given.pop("name", f"bot-{self.number}")
            return agents.issue(name, **{**options, **given})

        agent = write("Agents.issue:name", lambda text: issue(name=text))
        for field in ("purpose", "model", "version"):
            write(f"Agents.issue:{field}", lambda text, field=field: issue(**{field: text}))
        for verb in ("suspend", "resume", "rotate", "retire"):
            one = issue()
            if verb == "resume":
                agents.suspend(one, reason="x")
            call = getattr(agents, verb)
            write(f"Agents.{verb}:reason", lambda text, c=call, one=one: c(one, reason=text))
        one = issue()
        write("Agents.transfer:reason", lambda text: agents.transfer(one, owner=bob, reason=text))
        write("Agents.renew:reason", lambda text: agents.renew(one, ttl="9h", reason=text))

        where = {"account": ans.any_(), "memo": ans.any_(), SCRIPT: ans.any_()}
        scope = [
            ans.allow("pay.*", resource=["account/**", "id:**"], where=where),
            ans.allow("pay.fail"),
        ]

        def grant(text: str = "x", of: Any = None) -> Any:
            return engine.grant(of or mallory, agent, task=text, ttl="1h", scope=scope, max_depth=2)

        held = write("Engine.grant:task", grant)
        self.calls(held, agent)
        # A statement is taken offline, whatever it says, and told in the stories of its calls.
        helper = issue()
        below = write(
            "Grant.delegate:task", lambda text: held.delegate(helper, scope=scope, task=text)
        )
        self.call(below, "pay.out", {"memo": SCRIPT})
        write(
            "Engine.request_access:reason",
            lambda text: engine.request_access(
                held, scope=ans.allow("mail.send"), reason=text, ttl="1h"
            ),
        )
        for verb in ("approve", "refuse"):
            self.number += 1
            asked = engine.request_access(
                held, scope=ans.allow(f"mail.n{self.number}"), reason="x", ttl="1h"
            )
            call = getattr(engine.approvals, verb)
            write(
                f"Approvals.{verb}:note",
                lambda text, c=call, asked=asked: c(asked.id, by=bob, note=text),
            )
            self.values[f"approval {verb}"] = engine.approvals.get(asked.id)
        write("Engine.revoke:reason", lambda text: engine.revoke(grant(), reason=text))
        write("Tasks.end:reason", lambda text: engine.tasks.end(grant().task, reason=text))
        write("Engine.halt:reason", lambda text: engine.halt(reason=text, tool="never.*"))
        self.values["halts"] = engine.halts()
        write("Engine.unhalt:reason", lambda text: engine.unhalt(reason=text, tool="never.*"))
        gone = humans.register("gone@example.com")
        write(
            "Humans.offboard:reason",
            lambda text: self.values.setdefault("left", humans.offboard(gone, reason=text)),
        )
        add = {"then": "suspend", "on": "ownerless"}
        rule = write("Rules.add:reason", lambda text: engine.rules.add(**add, reason=text))
        self.values["rules"] = engine.rules.list()
        write("Rules.remove:reason", lambda text: engine.rules.remove(rule, reason=text))
        vault = engine.vault
        for name in ("one", "two"):
            vault.put(name, "a secret that nobody sees", for_tools="pay.*")
        write("Vault.remove:reason", lambda text: vault.remove("one", reason=text))
        write("Vault.rewrap:reason", lambda text: vault.rewrap(reason=text))
        write("Review.attest:note", lambda text: engine.review().attest(note=text))
        write(
            "Engine.rotate_authority:reason",
            lambda text: engine.rotate_authority(reason=text, overlap="1h"),
        )
        write(
            "Engine.rotate_checkpoint_key:reason",
            lambda text: engine.rotate_checkpoint_key(reason=text),
        )
        write("Trail.erase:reason", lambda text: engine.trail.erase(human=gone, reason=text))
        write("Trail.expire:reason", lambda text: engine.trail.expire(reason=text))
        self.values |= {"human": mallory, "agent": agents.get(agent), "grant": held}
        self.task = held.task

    def call(self, grant: Any, tool: str, arguments: dict[str, Any], resource: Any = None) -> None:
        try:
            with (
                self.engine.acting(grant),
                governed(tool, arguments, resource=resource, engine=self.engine) as call,
            ):
                if tool == "pay.fail":
                    raise RuntimeError(SCRIPT + ESCAPES + MARKS + LONG)
                call.result = SCRIPT + ESCAPES + MARKS
        except (ans.AccessDenied, RuntimeError):
            pass

    def calls(self, grant: Any, agent: Any) -> None:
        """Tools, resources, arguments, their names, results and errors."""
        for resource in ("id:" + SCRIPT, "account/=1+1", "account/" + SCRIPT.replace("/", "")):
            self.call(grant, "pay.out", {"account": "=1", "memo": SCRIPT + MARKS}, resource)
        self.call(grant, "pay.out", {SCRIPT: "+1", "memo": LONG}, "account/a")
        self.call(grant, "pay.out", {SCRIPT + MARKS: ESCAPES}, "account/a")
        self.call(grant, "pay.fail", {})
        self.call(grant, SCRIPT + ESCAPES, {"memo": "\r=1"})
        self.call(grant, LONG, {LONG: LONG}, "id:" + "a" * 4_000)
        with pytest.raises(ans.AccessDenied), governed(SCRIPT, {}, engine=self.engine):
            pytest.fail("the body ran")


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    made = Attacker(tmp_path_factory.mktemp("attacker"))
    made.work()
    yield made
    made.engine.close()


def test_no_free_field_is_left_out(attacker: Attacker) -> None:
    assert attacker.wrote - fields_of_the_binary() == set()
    owed = fields_of_the_binary() - attacker.wrote - LOOKED_UP
    # What names a thing in code, and takes no hostile text.
    assert owed == {"Tool.__new__:name", "Vault.put:name"}


def test_what_names_things_in_code_takes_nothing_hostile(attacker: Attacker) -> None:
    for text in attacker.words():
        with pytest.raises(ans.InvalidInput):
            attacker.engine.vault.put(text, "a secret that nobody sees", for_tools="pay.*")
        with pytest.raises(ans.InvalidInput):
            ans.tool(text, engine=attacker.engine)(lambda: None)


def shown(attacker: Attacker) -> Iterator[tuple[str, Any]]:
    trail = attacker.engine.trail
    yield from attacker.values.items()
    entries = trail.entries()
    yield "entries", entries
    yield "newest", trail.entries(order="newest")
    for entry in entries:
        yield f"{entry.kind} {entry.index}", entry
    for call in trail.entries(kind="decision"):
        yield f"story {call.index}", trail.story(call)
        yield f"explanation {call.index}", attacker.engine.explain(call)
        yield f"receipt {call.index}", trail.receipt(call)
    yield "tree", trail.reconstruct(attacker.task)
    yield "chain", trail.chain(attacker.values["grant"])
    yield "review", attacker.engine.review()
    yield "report", trail.verify()


def test_nothing_that_is_shown_does_harm(attacker: Attacker) -> None:
    kinds = set()
    for name, value in shown(attacker):
        kinds.add(type(value).__name__)
        try:
            assert_plain(repr(value))
            assert_plain(str(value))
            assert len(repr(value)) < 40_000
            if hasattr(value, "_repr_html_"):
                assert_harmless(value._repr_html_())
                assert value._repr_mimebundle_(None, None) == {
                    "text/plain": repr(value),
                    "text/html": value._repr_html_(),
                }
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    assert {"Entries", "Story", "Grant", "Agent", "Receipt", "Review", "Approval"} <= kinds


def test_a_receipt_as_it_is_printed_is_the_same_receipt(attacker: Attacker) -> None:
    for call in attacker.engine.trail.entries(kind="decision"):
        receipt = attacker.engine.trail.receipt(call)
        assert str(receipt).isascii()
        assert json.loads(str(receipt)) == json.loads(receipt.text)
        ans.verify_receipt(str(receipt), authority=attacker.engine.authority)


def test_every_written_word_can_be_read(attacker: Attacker) -> None:
    """Harmless is not enough: each entry that holds what was written tells it, escaped."""
    told = 0
    for entry in attacker.engine.trail.entries():
        words = [v for v in entry.values.values() if isinstance(v, str) and "<script>" in v]
        if words and entry.kind != "decision":
            assert "&lt;script&gt;" in entry._repr_html_(), entry
            told += 1
    assert told >= 25


def test_no_answer_and_no_sheet_does_harm(attacker: Attacker, tmp_path: Path) -> None:
    engine = attacker.engine
    engine.trail.export(tmp_path / "trail.jsonl")
    for source in (engine, tmp_path / "trail.jsonl"):
        record = analysis.read(source)
        answers = [
            analysis.who_did(record, effect=None),
            analysis.in_name_of(record, attacker.values["human"].id),
            analysis.below(record, attacker.values["grant"].id),
            analysis.blast_radius(record, attacker.values["agent"].id),
            analysis.refusals(record),
            analysis.unused(record),
            analysis.first_times(record, since="1d", least=1),
            analysis.rate_anomalies(record, least=1, score=0),
            analysis.access_review(record),
            analysis.approvals(record),
            analysis.gaps(record),
        ]
        for answer in answers:
            assert_harmless(answer._repr_html_())
            assert_plain(repr(answer))
            assert_sheet(answer.to_csv())
        for picture in (
            analysis.delegation_graph(record),
            analysis.timeline(record, attacker.task),
            analysis.heat_map(record),
            analysis.refusals_over_time(record),
            analysis.scope_use(record),
        ):
            assert_harmless(picture._repr_html_(), most=400_000)
            assert_plain(repr(picture))


def assert_sheet(made: str) -> None:
    assert_plain(made.replace("\r\n", "\n"))
    for row in csv.reader(io.StringIO(made, newline="")):
        for cell in row:
            if cell.startswith(FORMULAS):
                assert re.fullmatch(r"-?[\d.e+-]+", cell), cell


def test_a_case_of_it_does_none_either(attacker: Attacker, tmp_path: Path) -> None:
    case = analysis.case(attacker.engine, task=attacker.task, title=SCRIPT + ESCAPES)
    folder = case.save(tmp_path / "case")
    assert_harmless((folder / "index.html").read_text("utf-8"), most=2_000_000)
    with (folder / "entries.csv").open(encoding="utf-8", newline="") as file:
        assert_sheet(file.read())
    assert_plain((folder / "entries.json").read_text("utf-8"))
    assert_plain(repr(case))


def test_no_command_does(attacker: Attacker, capsys: pytest.CaptureFixture[str]) -> None:
    """As an operator looks at it, once the application has ended: the last of these tests."""
    store = ["--store", str(attacker.engine.path)]
    calls = list(attacker.engine.trail.entries(kind="decision"))
    attacker.engine.close()
    for command in (
        ["humans", "list"],
        ["agents", "list"],
        ["grants", "show", attacker.values["grant"].id],
        ["tasks", "list"],
        ["approvals", "list"],
        ["review"],
        ["trail", "show"],
        ["trail", "story", calls[0].id],
        ["trail", "explain", calls[-1].id],
        ["trail", "reconstruct", attacker.task],
        ["rules", "list"],
        ["vault", "list"],
    ):
        for more in ([], ["--json"]):
            assert main([*command, *more, *store]) == 0, command
            done = capsys.readouterr()
            assert_plain(done.out + done.err)
