"""One process holds a store; the others of the same user read and act through it."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from shop import Shop
from shop import make as make_shop
from test_cli import every_command

import answerable as ans
from answerable import _core, cli, opening, serving
from answerable.cli import run

HOLDER = """
import os, signal, sys, threading, time
import answerable as ans

engine = ans.open(sys.argv[1], **eval(sys.argv[2]))
try:
    alice = engine.humans.get("alice@example.com")
except ans.NotFound:
    alice = engine.humans.register("alice@example.com", name="Alice")
    engine.agents.issue(
        "booker", owner=alice, purpose="books", ceiling=ans.allow("pay.*"), ttl="8h"
    )
grant = engine.grant(alice, "booker", task="Pay the hotel", scope=ans.allow("pay.*"), ttl="1h")

@ans.tool("pay.note")
def note(text: str) -> str:
    return text

def call(text):
    try:
        with engine.acting(grant):
            return note(text)
    except ans.AccessDenied as denied:
        return denied.code

print(grant.id, flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Holder:
    """A process that holds a store and answers expressions."""

    def __init__(self, store: Path, **options: Any) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(ans.__file__).parents[1])}
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(store), repr(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.pid = self.process.pid
        self.grant = self._line()

    def __call__(self, expression: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def holding(store: Path, **options: Any) -> Iterator[Holder]:
    holder = Holder(store, **options)
    try:
        yield holder
    finally:
        holder.kill()
        for pipe in (holder.process.stdin, holder.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "governance"


@pytest.fixture
def holder(store: Path) -> Iterator[Holder]:
    with holding(store) as holder:
        yield holder


# ---------------------------------------------------------------- what an attached engine does


def test_everything_that_reads_works_beside_the_holder(
    store: Path, holder: Holder, tmp_path: Path
) -> None:
    assert holder("call('first')") == "first"
    with ans.open(store) as engine:
        assert engine.attached
        (call,) = engine.trail.entries(tool="pay.note")
        assert (call.human_name, call.agent_name) == ("Alice", "booker")
        assert call.arguments == {"text": "first"}
        assert "Pay the hotel" in str(engine.trail.story(call))
        assert "allow" in engine.explain(call).for_operator or engine.explain(call)
        assert [agent.name for agent in engine.agents.list()] == ["booker"]
        assert engine.tasks.list()[0].sentence == "Pay the hotel"
        assert engine.halts() == []
        assert len(engine.review().agents) == 1
        checkpoint = engine.trail.checkpoint()
        assert checkpoint.size == len(engine.trail)
        # What the holder does next is seen at once, though nothing waits for its disk.
        assert holder("call('second')") == "second"
        assert len(engine.trail.entries(tool="pay.note")) == 2
        engine.trail.verify(since=checkpoint)
        written = engine.trail.export(tmp_path / "trail.jsonl")
        report = ans.verify(tmp_path / "trail.jsonl", engine.authority, since=checkpoint)
        assert report.size == written
        assert engine.trail.chain(holder.grant).against == []
    assert holder("call('third')") == "third"


def test_every_change_is_made_by_the_holder_before_the_verb_returns(
    store: Path, holder: Holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ans.open(store) as engine:
        engine.agents.suspend("booker", reason="look")
        assert holder("call('x')") == "agent_suspended"
        assert engine.agents.resume("booker").status == "active"
        assert holder("call('x')") == "x"
        halted = engine.halt(reason="stop")
        assert halted.startswith("ent_")
        assert holder("call('x')") == "halted"
        assert [halt.target for halt in engine.halts()] == ["everything"]
        engine.unhalt()
        bob = engine.humans.register("bob@example.com", name="Bob")
        planner = engine.agents.issue(
            "planner", owner=bob, purpose="plans", ceiling=[ans.allow("pay.*")], ttl="2h"
        )
        assert planner.owner == bob.id
        assert engine.agents.transfer(planner, owner="alice@example.com").owner != bob.id
        assert engine.agents.renew(planner, ttl=timedelta(hours=9)) == planner
        assert engine.agents.rotate(planner, overlap="5m").key != planner.key
        scope = [ans.allow("pay.note", where={"text": ans.one_of("a", 3.5)})]
        made = engine.grant(
            bob, planner, task="Plan", scope=scope, ttl="5m", limits=[ans.calls(2)], max_depth=1
        )
        assert (made.scope, made.agent) == (scope, planner.id)
        revoked = engine.revoke(made, reason="no more")
        assert (revoked.target, revoked.id, revoked.seen) == ("grant", made.id, True)
        assert isinstance(revoked, type(revoked))
        engine.tasks.end(made.task, reason="done")
        assert engine.agents.retire(planner, reason="old").status == "retired"
        engine.trail.expire(older_than="200d", reason="old")
        engine.rotate_checkpoint_key(reason="due")
        engine.rotate_authority(reason="due", overlap="1h")
        review = engine.review()
        assert review.attest(note="looked").startswith("ent_")
        gone = engine.humans.offboard(bob, reason="left")
        assert ans.verify_offboarding(gone.text, engine.authority).human == bob.id
        monkeypatch.chdir(tmp_path)
        assert engine.backup("copy") > 10
        assert (tmp_path / "copy" / "FORMAT").exists()
        engine.trail.erase(human=bob, reason="asked for")
        assert engine.humans.get(bob.id).account != "bob@example.com"
        engine.revoke(holder.grant, reason="over")
        assert holder("call('x')") == "revoked"
        engine.trail.verify()
        # Each names the account that both run under.
        by = {entry.leaf.get("by") for entry in engine.trail.entries(since="1h")[7:]}
        (account,) = [h.id for h in engine.humans.list() if h.issuer == "os"]
        assert by - {None} == {account}


def test_every_verb_is_a_public_method_that_changes_something(store: Path) -> None:
    with ans.open(store) as engine:
        for name in serving.VERBS - {"review.attest"}:
            target: Any = engine
            for part in name.split("."):
                target = getattr(target, part)
            assert callable(target), name
        assert callable(engine.review().attest)


def test_errors_arrive_as_they_were_raised(store: Path, holder: Holder) -> None:
    with ans.open(store) as engine:
        with pytest.raises(ans.NotFound) as unknown:
            engine.agents.suspend("nobody", reason="x")
        assert (unknown.value.code, bool(unknown.value.hint)) == ("not_found", True)
        with pytest.raises(ans.IllegalTransition):
            engine.agents.resume("booker")
        with pytest.raises(ans.InvalidInput):
            engine.agents.suspend("booker", reason="")
        with pytest.raises(ans.InvalidInput, match="cannot be sent"):
            engine.agents.suspend("booker", reason=object())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="positional"):
            engine.agents.suspend("booker", "x")  # type: ignore[misc]
        with pytest.raises(ans.InvalidInput, match="does not know these arguments"):
            engine.halt(reason="x", everything=True)  # type: ignore[call-arg]


def test_calls_are_judged_in_the_holder_alone(store: Path, holder: Holder) -> None:
    ran = []
    with ans.open(store) as engine:

        @ans.tool("pay.here", engine=engine)
        def here() -> None:
            ran.append(1)

        for judge in (
            lambda: engine.acting(None),  # type: ignore[arg-type]
            lambda: engine.check("pay.here"),
            lambda: engine.delegating("booker", scope=[]),
            lambda: engine.set_clock("1h"),
        ):
            with pytest.raises(ans.StoreBusy) as busy:
                judge()
            assert busy.value.code == "store_attached"
            assert "run the tool in that process" in busy.value.hint
        before = len(engine.trail)
        with pytest.raises(ans.AccessDenied) as denied:
            here()
        assert denied.value.code == "store_attached"
        assert isinstance(denied.value.__cause__, ans.StoreBusy)
        grant = engine.grant(
            "alice@example.com", "booker", task="x", scope=ans.allow("pay.*"), ttl="1m"
        )
        from answerable.context import acting

        with acting(grant), pytest.raises(ans.AccessDenied) as denied:
            here()
        assert denied.value.code == "store_attached"
        assert not ran
        assert len(engine.trail) == before + 2  # The task and the grant; no decision.


def test_nobody_is_named_as_by(store: Path, holder: Holder) -> None:
    with ans.open(store) as engine, pytest.raises(ans.InvalidInput) as fixed:
        engine.halt(reason="x", by="alice@example.com")
    assert fixed.value.code == "by_is_fixed"
    assert holder("call('x')") == "x"


def test_what_was_reviewed_is_what_is_attested(store: Path, holder: Holder) -> None:
    with ans.open(store) as engine:
        review = engine.review()
        engine.agents.suspend("booker", reason="x")
        with pytest.raises(ans.IllegalTransition, match="changed since"):
            review.attest(note="looked")
        assert engine.review().attest(note="looked")


def test_an_attached_engine_is_told_from_one_that_holds(store: Path) -> None:
    with ans.open(store) as engine:
        assert not engine.attached
        assert _core.holder(engine) is None
        with pytest.raises(ans.InvalidInput):
            _core.ask(engine, "{}")


# ---------------------------------------------------------------- who serves, and who does not


def test_serving_can_be_left_out(store: Path) -> None:
    with holding(store, serve=False) as holder:
        assert not (store / "holder.sock").exists()
        with pytest.raises(ans.StoreBusy) as busy:
            ans.open(store)
        assert f"process {holder.pid} on " in str(busy.value)
        assert busy.value.code == "store_busy"


def test_a_process_that_holds_the_store_itself_is_told_at_once(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[object] = []

    class Counted(opening.Engine):
        def __new__(cls, *given: object, **more: object) -> Any:
            tried.append(given)
            return super().__new__(cls, *given, **more)  # type: ignore[arg-type]

    with ans.open(store) as engine:
        with monkeypatch.context() as patched:
            patched.setattr(opening, "Engine", Counted)
            patched.setattr(run.time, "sleep", tried.append)
            for attach in (True, False):
                with pytest.raises(ans.StoreBusy, match="in this process already") as busy:
                    ans.open(store, attach=attach)
                assert busy.value.code == "store_busy"
            assert cli.main(["--store", str(store), "agents", "list"]) != 0
        assert tried == []
        assert "in this process already" in capsys.readouterr().err
        assert engine.agents.list() is not None
        assert opening.open_here(store)
        # What would lie there now would be another store.
        moved = store.rename(store.with_name("elsewhere"))
        assert not opening.open_here(store)
        moved.rename(store)
    # Once it is closed, or nobody has it any more, it is opened again.
    ans.open(store).close()
    left = ans.open(store)
    del left
    gc.collect()
    ans.open(store).close()


def test_attaching_can_be_left_out(store: Path, holder: Holder) -> None:
    with pytest.raises(ans.StoreBusy) as busy:
        ans.open(store, attach=False)
    assert busy.value.code == "store_busy"


def test_the_socket_is_for_its_user_alone(store: Path, holder: Holder) -> None:
    found = (store / "holder.sock").lstat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.geteuid()


def test_a_folder_with_a_long_path(tmp_path: Path) -> None:
    store = tmp_path / ("d" * 100) / ("e" * 100) / "governance"
    with holding(store) as holder, ans.open(store) as engine:
        assert engine.attached
        engine.halt(reason="x")
        assert holder("call('x')") == "halted"


def test_the_master_key_is_needed_to_attach(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holding(store):
        monkeypatch.setenv("ANSWERABLE_MASTER_KEY", "k4.local." + "B" * 42 + "E")
        with pytest.raises(ans.StoreError, match="not the one this store was made with"):
            ans.open(store)


# ---------------------------------------------------------------- ends


def test_the_death_of_the_holder_is_a_clear_error(store: Path, holder: Holder) -> None:
    engine = ans.open(store)
    engine.agents.list()
    holder.kill()
    for ask in (engine.agents.list, engine.trail.entries, lambda: engine.halt(reason="x")):
        with pytest.raises(ans.StoreUnavailable, match="is gone"):
            ask()
    engine.close()
    with ans.open(store) as next_one:
        assert not next_one.attached
        next_one.trail.verify()


def test_the_death_of_the_holder_in_the_middle_of_a_verb(store: Path, holder: Holder) -> None:
    engine = ans.open(store)
    engine.agents.list()
    # It stands still, takes nothing, and dies.
    os.kill(holder.pid, signal.SIGSTOP)
    subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {holder.pid}"])
    started = time.monotonic()
    with pytest.raises(ans.StoreUnavailable):
        engine.halt(reason="x")
    assert time.monotonic() - started < 300
    engine.close()


def test_an_attached_engine_follows_a_holder_that_started_again(store: Path) -> None:
    with holding(store) as first:
        engine = ans.open(store)
        assert first("call('one')") == "one"
        engine.humans.register("bob@example.com")
    with holding(store) as second:
        assert engine.humans.get("bob@example.com")
        engine.humans.register("carol@example.com")
        assert second("call('two')") == "two"
        assert len(engine.trail.entries(tool="pay.note")) == 2
    engine.close()


def test_closing_ends_the_serving(store: Path) -> None:
    with holding(store) as holder:
        other = ans.open(store)
        other.agents.list()
        assert holder("engine.close()") == "None"
        with pytest.raises(ans.StoreUnavailable):
            other.agents.list()
        other.close()
        assert not (store / "holder.sock").exists()
        with ans.open(store) as engine:
            assert not engine.attached


def test_a_forked_child_does_not_serve(store: Path, holder: Holder) -> None:
    child = int(holder("(lambda pid: pid or (time.sleep(900), os._exit(0)))(os.fork())"))
    try:
        engine = ans.open(store)
        assert engine.attached
        engine.agents.list()
        holder.kill()
        started = time.monotonic()
        with pytest.raises(ans.StoreUnavailable):
            engine.agents.list()
        # Neither the listener nor the connection lives on in the child.
        assert time.monotonic() - started < 300
        engine.close()
        with ans.open(store) as next_one:
            assert not next_one.attached
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_an_attached_engine_does_not_outlive_a_fork(store: Path, holder: Holder) -> None:
    script = textwrap.dedent(
        """
        import os, sys
        import answerable as ans
        engine = ans.open(sys.argv[1])
        assert engine.attached
        child = os.fork()
        if child == 0:
            try:
                engine.agents.list()
            except ans.EngineClosed as error:
                os._exit(7)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 7 << 8
        engine.agents.list()
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(ans.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", script, store], check=True, timeout=600, env=environment)


def test_many_clients_at_once_and_no_more_than_there_is_room_for(
    store: Path, holder: Holder
) -> None:
    engines = [ans.open(store) for _ in range(16)]
    try:
        with pytest.raises(ans.StoreError, match="others speak with the holder"):
            ans.open(store)
        for number, engine in enumerate(engines):
            engine.humans.register(f"{number}@example.com")
        # Theirs, the account's and Alice.
        assert [len(engine.humans.list()) for engine in engines] == [18] * 16
        assert holder("call('x')") == "x"
    finally:
        for engine in engines:
            engine.close()
    deadline = time.monotonic() + 300
    while True:
        with contextlib.suppress(ans.StoreError):
            ans.open(store).close()
            break
        assert time.monotonic() < deadline


# ---------------------------------------------------------------- the command line


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[tuple[Shop, Holder]]:
    shop = make_shop(tmp_path / "governance")
    with holding(shop.path) as holder:
        yield shop, holder


def test_every_command_works_beside_a_running_application(
    beside: tuple[Shop, Holder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, holder = beside
    commands = every_command(shop, tmp_path)
    # What ends the most comes last, or the others would find nothing to do.
    last = ["agents suspend", "agents retire", "tasks end", "revoke", "humans offboard"]
    first = ["approvals list", "approvals show", "approvals approve", "grants show", "grants make"]
    # A witness is a file of its own, made by one command for the next; not the store's matter.
    apart = ["demo", *(name for name in commands if name.startswith("witness"))]
    # A master key is replaced where the store is held, or where nobody holds it.
    held_only = "vault rewrap"
    assert cli.main([*commands[held_only], "--store", str(shop.path)]) == 3
    assert "is held by process" in capsys.readouterr().err
    apart.append(held_only)
    rest = [name for name in commands if name not in [*apart, *first, *last]]
    order = [*first, *rest, *last]
    codes, said_of = {}, {}
    for name in order:
        codes[name] = cli.main([*commands[name], "--store", str(shop.path)])
        said = said_of[name] = capsys.readouterr().err
        assert "process" not in said, f"{name}: {said}"
    # Once answered, an approval is not answered again.
    assert codes.pop("approvals refuse") in (1, 2), said_of["approvals refuse"]
    failed = {name: said_of[name] for name, code in codes.items() if code}
    assert not failed
    assert holder("call('x')") == "halted"
    assert cli.main(["trail", "verify", "--store", str(shop.path)]) == 0


def test_an_approval_is_the_accounts(beside: tuple[Shop, Holder]) -> None:
    shop, _ = beside
    with ans.open(shop.path) as engine:
        (asked,) = engine.approvals.pending()
        engine.approvals.approve(asked, by=engine.humans.operator(), note="ok")
        answered = engine.approvals.get(asked)
        assert (answered.status, answered.note) == ("used", "ok")
        (account,) = [h.id for h in engine.humans.list() if h.issuer == "os"]
        assert answered.by == account
        with pytest.raises(ans.InvalidInput):
            engine.approvals.refuse(asked, by="alice@example.com")


# ---------------------------------------------------------------- who only knows the bytes


def raw(store: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(300)
    connection.connect(str(store / "holder.sock"))
    return connection


def send(connection: socket.socket, ask: int, body: bytes) -> tuple[int, bytes]:
    connection.sendall(struct.pack(">IB", len(body) + 1, ask) + body)
    head = connection.recv(5, socket.MSG_WAITALL)
    length, status = struct.unpack(">IB", head)
    return status, connection.recv(length - 1, socket.MSG_WAITALL) if length > 1 else b""


def verb(store: Path, name: object, **arguments: Any) -> dict[str, Any]:
    with raw(store) as connection:
        body = json.dumps({"verb": name, "arguments": arguments}).encode()
        status, answered = send(connection, 8, body)
        assert status == 0, answered
        told: dict[str, Any] = json.loads(answered)
        return told


def test_a_request_by_hand_is_answered(store: Path, holder: Holder) -> None:
    told = verb(store, "halt", reason="by hand")
    assert told["done"].startswith("ent_")
    assert holder("call('x')") == "halted"
