"""The engine among processes: who holds a store, forks, kills, exits, keys and full disks.

What ends or forks a process runs in a process of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import answerable as ans

ROOT = Path(__file__).resolve().parents[2]

# What every script below begins with.
BEGIN = """
import gc, multiprocessing, os, signal, sys, threading, time
import answerable as ans

def begin(path, **options):
    engine = ans.open(path, **options)
    try:
        alice, booker = engine.humans.get("alice@example.com"), engine.agents.get("booker")
    except ans.NotFound:
        alice = engine.humans.register("alice@example.com")
        scope = [ans.allow("pay.*")]
        booker = engine.agents.issue(
            "booker", owner=alice, purpose="pays", ceiling=scope, ttl="9h"
        )
    return engine, engine.grant(alice, booker, task="Pay", scope=[ans.allow("pay.*")], ttl="8h")

@ans.tool("pay.note")
def note(text: str, seconds: float = 0.0) -> str:
    time.sleep(seconds)
    return text

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def expect_closed(engine, grant):
    started = time.monotonic()
    for verb in [
        lambda: engine.humans.list(),
        lambda: engine.agents.list(),
        lambda: engine.humans.register("bob@example.com"),
        lambda: engine.humans.get("alice@example.com"),
        lambda: engine.agents.get("booker"),
        lambda: engine.grant("alice@example.com", "booker", task="x", scope=[], ttl="1h"),
        lambda: engine.revoke(grant, reason="x"),
        lambda: engine.tasks.end(grant.task, reason="x"),
        lambda: engine.trail.entries(),
        lambda: engine.trail.checkpoint(),
        lambda: engine.trail.verify(),
        lambda: engine.accept(grant.token),
        lambda: grant.delegate("booker", scope=[ans.allow("pay.note")]),
        lambda: ans.open(engine.path),
    ]:
        try:
            verb()
        except ans.EngineClosed as error:
            assert error.hint, error
        else:
            raise AssertionError("it worked")
    for context in [engine.acting(grant), None]:
        try:
            if context:
                with context:
                    note("child")
            else:
                note("child")
        except ans.AccessDenied as denied:
            assert denied.code == "engine_closed", denied.code
            assert isinstance(denied.__cause__, ans.EngineClosed)
        else:
            raise AssertionError("it ran")
    engine.close()
    assert time.monotonic() - started < 120  # It neither waits nor hangs.
"""


def script(body: str, *arguments: object) -> list[str]:
    text = BEGIN + textwrap.dedent(body)
    return [sys.executable, "-X", "faulthandler", "-c", text, *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "ANSWERABLE_MASTER_KEY"}
    # The package that this process tests, wherever it is installed.
    return {**kept, "PYTHONPATH": str(Path(ans.__file__).parents[1]), **more}


def run(body: str, *arguments: object, quiet: bool = True, **more: str) -> str:
    done = subprocess.run(
        script(body, *arguments),
        capture_output=True,
        text=True,
        timeout=600,
        env=environment(**more),
        check=False,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert not (quiet and done.stderr), done.stderr
    return done.stdout


def start(body: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        script(body, *arguments), stdout=subprocess.PIPE, text=True, env=environment()
    )


@pytest.fixture(autouse=True)
def _no_key_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANSWERABLE_MASTER_KEY", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "governance"


def texts(store: Path) -> list[str]:
    """What the recorded calls of `note` were given, in order; the trail verifies."""
    with ans.open(store) as engine:
        engine.trail.verify()
        calls = engine.trail.entries(tool="pay.note", effect="allow")
        return [call.arguments["text"] for call in calls]


# ---------------------------------------------------------------- who holds it


def test_a_second_process_is_told_who_holds_the_store(store: Path) -> None:
    holder = start('engine, _ = begin(sys.argv[1]); say("open"); time.sleep(600)', store)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(ans.StoreBusy) as busy:
            ans.open(store, attach=False)
        assert f"process {holder.pid} on " in str(busy.value)
        assert "close it there" in busy.value.hint
        assert busy.value.code == "store_busy"
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    ans.open(store).close()


# ---------------------------------------------------------------- forks


@pytest.mark.parametrize("durability", ["before", "relaxed"])
@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)", "del engine, grant; gc.collect()"])
def test_a_forked_child_is_told_so_and_the_parent_goes_on(
    store: Path, durability: str, leave: str
) -> None:
    # While the parent forks, its threads call tools and change the state: locks are held.
    run(
        f"""
        engine, grant = begin(sys.argv[1], durability="{durability}", flush_ms=1)
        stop = threading.Event()

        def work(number):
            while not stop.is_set():
                with engine.acting(grant):
                    note("thread")
                if number == 0:
                    engine.agents.issue(
                        os.urandom(6).hex(), owner="alice@example.com", purpose="more",
                        ceiling=[ans.allow("pay.*")], ttl="1h",
                    )

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(8):
            time.sleep(0.01)
            child = os.fork()
            if child == 0:
                expect_closed(engine, grant)
                {leave}
                sys.exit(0)
            until = time.monotonic() + 300
            while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
                if time.monotonic() > until:
                    os.kill(child, signal.SIGABRT)
                    raise SystemExit("the child hangs")
                time.sleep(0.002)
            assert ended[1] == 0, ended
        stop.set()
        for thread in threads:
            thread.join()
        with engine.acting(grant):
            note("afterwards")
        engine.trail.verify()
        """,
        store,
    )
    found = texts(store)
    assert found[-1] == "afterwards"
    assert "child" not in found


def test_multiprocessing_by_fork(store: Path) -> None:
    run(
        """
        engine, grant = begin(sys.argv[1], durability="relaxed", flush_ms=1)
        context = multiprocessing.get_context("fork")
        with engine.acting(grant):
            children = [context.Process(target=expect_closed, args=(engine, grant)) for _ in "ab"]
            for child in children:
                child.start()
                note("beside")
            for child in children:
                child.join(300)
                assert child.exitcode == 0, child.exitcode
            note("afterwards")
        engine.close()
        """,
        store,
    )
    assert texts(store) == ["beside", "beside", "afterwards"]


def test_a_fork_inside_a_tool(store: Path) -> None:
    run(
        """
        engine, grant = begin(sys.argv[1])

        @ans.tool("pay.fork")
        def fork() -> int:
            return os.fork()

        with engine.acting(grant):
            child = fork()
            if child == 0:
                expect_closed(engine, grant)
                sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        (call,) = engine.trail.entries(tool="pay.fork")
        assert call.outcome == "returned"
        """,
        store,
    )


def test_a_child_that_stays_does_not_keep_the_store(store: Path) -> None:
    child = run(
        """
        engine, grant = begin(sys.argv[1])
        child = os.fork()
        if child == 0:
            os.close(1), os.close(2)
            time.sleep(600)
            os._exit(0)
        time.sleep(0.2)
        engine.close()
        engine, grant = begin(sys.argv[1])
        with engine.acting(grant):
            note("again")
        say(child)
        os.kill(os.getpid(), signal.SIGKILL) if len(sys.argv) > 2 else engine.close()
        """,
        store,
    )
    try:
        assert texts(store) == ["again"]
    finally:
        os.kill(int(child), signal.SIGKILL)


# ---------------------------------------------------------------- kills and exits


def test_a_killed_application_leaves_its_entries_and_its_gaps(store: Path) -> None:
    app = start(
        """
        engine, grant = begin(sys.argv[1])
        with engine.acting(grant):
            for number in range(3):
                note(str(number))
            engine.trail.checkpoint()  # Their outcomes are on the disk too.
            ans.tool("pay.slow")(lambda: (say("running"), time.sleep(600)))()
        """,
        store,
    )
    assert app.stdout is not None
    assert app.stdout.readline() == "running\n"
    app.send_signal(signal.SIGKILL)
    app.wait()
    app.stdout.close()
    assert texts(store) == ["0", "1", "2"]
    with ans.open(store) as engine:
        (slow,) = engine.trail.entries(tool="pay.slow")
        assert (slow.effect, slow.outcome) == ("allow", None)
        report = engine.trail.verify()
        assert report.decisions_without_outcome == 1
        assert "1 allowed calls without an outcome" in str(report)


@pytest.mark.parametrize("durability", ["before", "strict", "after", "relaxed"])
def test_closing_while_threads_call(store: Path, durability: str) -> None:
    said = run(
        f"""
        engine, grant = begin(sys.argv[1], durability="{durability}")
        ran, codes, other = [], set(), []

        @ans.tool("pay.count")
        def count(number: int) -> int:
            ran.append(number)
            return number

        def work(thread):
            with engine.acting(grant):
                for number in range(10**9):
                    try:
                        count(thread * 10**6 + number)
                    except ans.AccessDenied as denied:
                        codes.add(denied.code)
                        return
                    except ans.EngineClosed:
                        pass  # Between body and outcome: the result is not released.
                    except BaseException as error:
                        other.append(error)
                        return

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        while len(ran) < 50 and not other:
            time.sleep(0.01)
        closers = [threading.Thread(target=engine.close) for _ in range(3)]
        for closer in closers:
            closer.start()
        for thread in threads + closers:
            thread.join(300)
            assert not thread.is_alive()
        assert codes == {{"engine_closed"}}, codes
        assert not other, other
        say(len(ran), len(set(ran)))
        """,
        store,
    )
    ran, distinct = map(int, said.split())
    assert ran == distinct > 8
    with ans.open(store) as engine:
        engine.trail.verify()
        # No body ran without its entry: closing waits for what was appended.
        assert len(engine.trail.entries(tool="pay.count", effect="allow")) >= ran


def test_an_engine_that_is_collected_closes_itself(store: Path) -> None:
    run(
        """
        for number in range(3):
            engine, grant = begin(sys.argv[1], durability="relaxed", flush_ms=10_000)
            with engine.acting(grant):
                note(str(number))
            del engine, grant
            gc.collect()
        """,
        store,
    )
    assert texts(store) == ["0", "1", "2"]


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "sys.exit(0)",
        "del engine",
        "cycle = [engine]; cycle.append(cycle); del engine",
        "atexit.register(engine.close)",
        "atexit.register(later, engine.acting(grant))",
        "threading.Thread(target=slowly, args=(engine.acting(grant),)).start()",
        "threading.Thread(target=hold, args=(engine,), daemon=True).start()",
        "for _ in 'abc': threading.Thread(target=forever, args=(grant,), daemon=True).start()",
    ],
)
@pytest.mark.parametrize("durability", ["before", "relaxed"])
def test_an_exit_without_close_writes_everything(store: Path, durability: str, end: str) -> None:
    run(
        f"""
        import atexit

        def later(acting):
            with acting:
                note("1")

        def slowly(acting):
            time.sleep(0.3)
            later(acting)

        def hold(engine):
            time.sleep(600)

        def forever(grant):
            while True:
                try:
                    with engine.acting(grant):
                        note("more")
                except ans.AccessDenied:
                    time.sleep(0.001)

        engine, grant = begin(sys.argv[1], durability="{durability}", flush_ms=10_000)
        with engine.acting(grant):
            note("0")
        {end}
        time.sleep(0.1)
        """,
        store,
    )
    found = texts(store)
    assert found[0] == "0"
    if "later" in end or "slowly" in end:
        assert found[-1] == "1"
    with ans.open(store) as engine:
        assert engine.trail.verify().unanchored <= 1


def test_an_exit_while_a_coroutine_waits(store: Path) -> None:
    run(
        """
        import asyncio

        engine, grant = begin(sys.argv[1])

        @ans.tool("pay.note")
        async def anote(text: str) -> str:
            return text

        anote.__wrapped__.__module__ = note.__module__

        async def main():
            with engine.acting(grant):
                tasks = [asyncio.ensure_future(anote(str(n))) for n in range(50)]
                await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                await asyncio.gather(*tasks[1::2])
                rest = [asyncio.ensure_future(anote("x")) for n in range(50)]
                await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            loop.stop()

        try:
            asyncio.run(main())
        except RuntimeError:
            pass
        """.replace('"pay.note"', '"pay.anote"'),
        store,
    )
    ans.open(store).close()


# ---------------------------------------------------------------- keys and folders


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def made(store: Path) -> str:
    with ans.open(store) as engine:
        engine.humans.register("alice@example.com")
        authority: str = engine.authority
    return authority


def test_a_store_without_its_key(store: Path, made: str, tmp_path: Path) -> None:
    key = tmp_path / "governance.key"
    kept = key.read_text()
    key.unlink()
    before = names(tmp_path)
    with pytest.raises(ans.InvalidInput, match=r"governance\.key.*not there") as missing:
        ans.open(store)
    assert missing.value.code == "key"
    assert names(tmp_path) == before
    # The same key from the environment opens it, and no file is made.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSWERABLE_MASTER_KEY", kept)
        with ans.open(store) as engine:
            assert engine.authority == made
    assert not key.exists()


def test_a_wrong_master_key_touches_nothing(store: Path, made: str) -> None:
    before = content(store)
    for given in [bytes(range(32)), "k4.local." + "A" * 42 + "E"]:
        with pytest.raises(ans.StoreError, match="not the one this store was made with"):
            ans.open(store, master_key=given)
    for given in [b"short", b"\0" * 32, "k4.local.x", ""]:
        with pytest.raises(ans.InvalidInput):
            ans.open(store, master_key=given)
    assert content(store) == before
    with ans.open(store) as engine:
        assert engine.authority == made


@pytest.mark.parametrize("name", ["governance.key", "governance/wrap.key", "governance/inner.key"])
def test_a_key_file_that_others_can_read_is_refused(
    store: Path, made: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).chmod(0o644)
    with pytest.raises(ans.InvalidInput, match="chmod 600") as refused:
        ans.open(store)
    assert refused.value.code == "key"
    (tmp_path / name).chmod(0o600)
    with ans.open(store) as engine:
        assert engine.authority == made


def test_a_master_key_from_the_environment(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSWERABLE_MASTER_KEY", "k4.local." + "B" * 42 + "E")
    with ans.open(store) as engine:
        authority = engine.authority
    assert not (tmp_path / "governance.key").exists()
    with ans.open(store) as engine:
        assert engine.authority == authority
    monkeypatch.setenv("ANSWERABLE_MASTER_KEY", "hunter2")
    with pytest.raises(ans.InvalidInput) as malformed:
        ans.open(store)
    assert "hunter2" not in str(malformed.value)


def test_a_folder_that_others_may_write_to_is_refused(store: Path, made: str) -> None:
    store.chmod(0o770)
    with pytest.raises(ans.StoreError, match="others may write to") as refused:
        ans.open(store)
    assert refused.value.code == "store_refused"
    store.chmod(0o700)
    ans.open(store).close()


# ---------------------------------------------------------------- what a disk can do


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the failing disk")
    library = tmp_path_factory.mktemp("shim") / "powercut.so"
    source = ROOT / "tests" / "faults" / "powercut.c"
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl", "-lpthread"],
        check=True,
    )
    return library


@pytest.mark.parametrize(
    ("durability", "failure"),
    [
        ("before", "enospc"),
        ("strict", "enospc"),
        ("after", "enospc"),
        ("relaxed", "enospc"),
        ("before", "erofs"),  # As a file system that the kernel turned read-only.
    ],
)
def test_a_disk_that_takes_no_more_stops_every_call(
    store: Path, tmp_path: Path, shim: Path, durability: str, failure: str
) -> None:
    said = run(
        f"""
        engine, grant = begin(sys.argv[1], durability="{durability}", flush_ms=1)
        ran, denied, after = 0, None, None
        with engine.acting(grant):
            for number in range(10_000):
                try:
                    note("x" * 2_000)
                    ran += 1
                except ans.AccessDenied as error:
                    denied = error
                    break
                except ans.StoreError as error:
                    assert "{durability}" in ("strict", "after"), error
                    ran, after = ran + 1, error
        assert denied.code == "store_unavailable", denied.code
        assert isinstance(denied.__cause__, ans.StoreError), denied.__cause__
        assert denied.decision.entry is None
        for verb in [
            lambda: engine.humans.register("bob@example.com"), engine.trail.checkpoint,
            lambda: engine.revoke(grant, reason="x"),
        ]:
            try:
                verb()
            except ans.StoreError as error:
                assert error.code == "store_unavailable"
            else:
                raise AssertionError("it worked")
        try:
            engine.close()
        except ans.StoreError:
            pass
        say(ran)
        """,
        store,
        quiet=False,  # The embedded store says on stderr what it gave up on; it is caught.
        LD_PRELOAD=str(shim),
        POWERCUT_DIR=str(tmp_path),
        POWERCUT_FAIL=failure,
        POWERCUT_FAIL_AT="150",
        POWERCUT_STICKY="1",
    )
    found = texts(store)
    ran = int(said)
    assert ran > 0
    if durability in ("before", "strict"):
        assert len(found) >= ran


def test_a_store_on_a_read_only_disk_says_so_and_is_as_it_was(
    store: Path, made: str, tmp_path: Path, shim: Path
) -> None:
    def files() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}

    before = files()
    said = run(
        """
        try:
            ans.open(sys.argv[1])
        except ans.StoreError as error:
            say(error.code, "read-only" in str(error).lower())
        """,
        store,
        LD_PRELOAD=str(shim),
        POWERCUT_DIR=str(tmp_path),
        POWERCUT_FAIL="erofs",
        POWERCUT_FAIL_AT="1",
        POWERCUT_STICKY="1",
    )
    assert said.split() == ["store_unavailable", "True"]
    assert files() == before
    with ans.open(store) as engine:
        assert engine.authority == made


# ---------------------------------------------------------------- rolled back


def test_a_store_that_was_put_back_is_found(store: Path, tmp_path: Path) -> None:
    def go_on() -> tuple[ans.Checkpoint, Path]:
        with ans.open(store) as engine:
            engine.humans.register(f"{time.monotonic_ns()}@example.com")
            exported = tmp_path / f"{time.monotonic_ns()}.jsonl"
            checkpoint = engine.trail.checkpoint()
            engine.trail.export(exported)
            return checkpoint, exported

    early, _ = go_on()
    aside = tmp_path / "aside"
    shutil.copytree(store, aside)
    kept, newer = go_on()
    shutil.rmtree(store)
    shutil.copytree(aside, store)

    with pytest.raises(ans.StoreError, match="was put back"):
        ans.open(store)
    # Whoever put it back can put back, or remove, what is kept beside it too.
    store.with_name("governance.checkpoint").unlink()
    with ans.open(store) as engine:
        engine.trail.verify(since=early)
        with pytest.raises(ans.TrailCorrupted) as live:
            engine.trail.verify(since=kept)
        exported = tmp_path / "rolled back.jsonl"
        engine.trail.export(exported)
        authority = engine.authority
    ans.verify(newer, authority=authority, since=kept)
    ans.verify(exported, authority=authority, since=early)
    with pytest.raises(ans.TrailCorrupted) as filed:
        ans.verify(exported, authority=authority, since=kept)
    for found in (live, filed):
        fault = found.value.faults[0]
        assert fault.code == "cut_tail_or_rolled_back"
        assert str(early.size) in str(fault)
    # Going on from the copy does not hide it.
    go_on()
    go_on()
    with ans.open(store) as engine, pytest.raises(ans.TrailCorrupted) as hidden:
        engine.trail.verify(since=kept)
    assert hidden.value.faults[0].code == "history_rewritten"


def test_a_folder_that_lost_its_records_is_no_new_store(store: Path, made: str) -> None:
    for path in [store / "db", *store.glob("snap.*")]:
        path.unlink()
    with pytest.raises(ans.StoreError, match="gone") as lost:
        ans.open(store)
    assert lost.value.code == "store_corrupt"
