"""Handles stand for a chain in what a framework writes down; claims let a call return once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from living import PAY, START, World

import answerable as ans


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "governance", clock=START)
    yield world
    world.engine.close()


def test_a_handle_stands_for_its_chain_also_after_a_restart(world: World) -> None:
    child = world.child(world.grant(), task="Book the room")
    handle = child.handle()
    for _ in range(2):
        found = world.engine.by_handle(handle)
        assert (found, found.token) == (child, child.token)
        assert found.statements == ["Pay the deposit", "Book the room"]
        assert world.code(found) == "allow"
        world.engine.close()
        world.engine = ans.open(world.path, clock=START)
    assert world.engine.by_handle(handle).depth == 1


def test_each_handle_is_random_and_stands_nowhere_in_the_store_or_trail(world: World) -> None:
    grant = world.grant()
    handles = {grant.handle() for _ in range(20)}
    assert len(handles) == 20
    assert all(len(handle) == len("hdl_") + 26 for handle in handles)
    export = world.path.with_name("trail.jsonl")
    world.engine.trail.export(export)
    world.engine.close()
    files = [export, *(file for file in world.path.rglob("*") if file.is_file())]
    everything = b"".join(file.read_bytes() for file in files)
    raw = [__import__("base64").b32decode(h[4:].upper() + "======") for h in handles]
    assert not [handle for handle in handles if handle.encode() in everything]
    assert not [secret for secret in raw if secret in everything]
    assert grant.token.split(".")[-1].encode() not in b"".join(
        file.read_bytes() for file in files if file.suffix != ".jsonl"
    ), "and the chain under it is sealed"


def test_a_handle_lapses_with_its_grant(world: World) -> None:
    handle = world.grant(ttl="10m").handle()
    world.engine.set_clock("2026-11-24T08:09:59Z")
    world.engine.by_handle(handle)
    world.engine.set_clock("2026-11-24T08:10:00Z")
    with pytest.raises(ans.NotFound):
        world.engine.by_handle(handle)


def test_what_a_handle_stands_for_is_judged_as_any_grant(world: World) -> None:
    grant = world.grant()
    handle = grant.handle()
    world.engine.revoke(grant, reason="over")
    assert world.code(world.engine.by_handle(handle)) == "revoked"


def test_nothing_else_is_taken_for_a_handle(world: World) -> None:
    grant = world.grant()
    for text in (
        grant.token,
        grant.id,
        grant.digest,
        "",
        "hdl_",
        "hdl_" + "A" * 26,
        "hdl_" + "a" * 25,
    ):
        with pytest.raises(ans.InvalidInput) as caught:
            world.engine.by_handle(text)
        assert not text or text == "hdl_" or text not in str(caught.value), "nor repeated"
    with pytest.raises(ans.NotFound):
        world.engine.by_handle("hdl_" + "a" * 26)
    with pytest.raises(ans.InvalidInput):
        world.engine.by_handle(7)  # type: ignore[arg-type]


def test_another_store_knows_nothing_of_it(world: World, tmp_path: Path) -> None:
    handle = world.grant().handle()
    with ans.open(tmp_path / "other") as other, pytest.raises(ans.NotFound):
        other.by_handle(handle)


def test_a_call_is_claimed_once_and_returns_once(world: World) -> None:
    grant = world.grant()
    assert grant.claim(b"call") == "new"
    assert grant.claim(b"call") == "running"
    assert grant.claim(b"other") == "new"
    grant.settle(b"call", returned=False)
    assert grant.claim(b"call") == "new", "what did not return may run again"
    grant.settle(b"call", returned=True)
    assert grant.claim(b"call") == "ended"
    assert world.grant().claim(b"call") == "new", "under another chain it is another call"
    world.engine.close()
    world.engine = ans.open(world.path, clock=START)
    again = world.engine.accept(grant.token)
    assert again.claim(b"call") == "ended", "also after a restart"
    assert again.claim(b"other") == "unknown", "and what had no end may have had its effect"


def test_of_many_that_claim_at_once_one_has_it(world: World) -> None:
    grant, barrier, claims = world.grant(), threading.Barrier(8), []

    def work() -> None:
        barrier.wait()
        claims.append(grant.claim(b"call"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claims) == ["new"] + ["running"] * 7


def test_a_process_that_dies_in_a_call_leaves_it_begun(tmp_path: Path) -> None:
    world = World(tmp_path / "governance")
    token = world.grant().token
    world.engine.close()
    script = (
        "import os, sys, answerable as ans\n"
        "engine = ans.open(sys.argv[1])\n"
        "assert engine.accept(sys.argv[2]).claim(b'call') == 'new'\n"
        "os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(world.path), token])
    assert done.returncode == 9
    world.reopen()
    assert world.engine.accept(token).claim(b"call") == "unknown"
    world.engine.close()


def test_a_closed_engine_gives_and_takes_none(world: World) -> None:
    grant = world.grant()
    handle = grant.handle()
    world.engine.close()
    for use in (
        grant.handle,
        lambda: world.engine.by_handle(handle),
        lambda: grant.claim(b"x"),
        lambda: grant.settle(b"x", returned=True),
    ):
        with pytest.raises(ans.EngineClosed):
            use()


def test_a_scope_for_some_tools_is_what_the_grant_allows_of_them(world: World) -> None:
    scope = [
        ans.allow(
            "pay.*", resource="account/*", where={"amount": ans.at_most(5)}, limits=ans.calls(2)
        ),
        PAY,
    ]
    grant = world.grant(scope=scope)
    part = grant.scope_for("pay.transfer", "pay.refund", "files.read")
    assert [c.tool for c in part] == ["pay.transfer", "pay.transfer", "pay.refund"]
    assert grant.scope_for("files.read") == []
    assert grant.scope_for() == []
    child = grant.delegate(world.booker, scope=grant.scope_for("pay.refund"))
    check = world.engine.check
    allowed = {"resource": "account/1", "arguments": {"amount": 5}, "grant": child}
    assert check("pay.refund", **allowed).allowed
    assert not check("pay.transfer", **allowed).allowed
    assert not check("pay.refund", **{**allowed, "arguments": {"amount": 6}}).allowed
    with pytest.raises(ans.InvalidInput):
        grant.scope_for("pay.*")
