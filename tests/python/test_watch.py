"""Watches, rules, webhooks and metrics: what happens is told and met, off every caller's way."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from living import World

import answerable as ans
from answerable.net import webhooks
from answerable.watching import Event, Watch


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "governance", durability="relaxed", flush_ms=5)
    yield world
    world.engine.close()


def until(done: Callable[[], object], seconds: float = 300.0) -> None:
    """Waits for what another thread does; what never comes fails the test."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def refuse(world: World, grant: ans.Grant, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ans.AccessDenied):
            world.use(grant, "pay.other")


def test_every_decision_is_told_once_and_in_order(world: World) -> None:
    grant = world.grant()
    world.use(grant)
    seen: list[Event] = []
    others: list[Event] = []
    watch = world.engine.watch(seen.append, findings=False)
    second = world.engine.watch(others.append, findings=False, kinds=["halt"])
    for _ in range(300):
        world.use(grant)
    refuse(world, grant, 2)
    world.engine.halt(reason="x")
    until(lambda: len(seen) == 302 and others)
    made = [one.id for one in world.engine.trail.entries(kind="decision")]
    assert [event.entry.id for event in seen if event.entry] == made[1:]
    assert [event.entry.leaf["effect"] for event in seen if event.entry][-2:] == ["deny"] * 2
    assert [event.kind for event in others] == ["halt"]
    assert watch.failures == second.failures == 0


def test_a_slow_or_raising_callable_is_felt_by_nobody(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    grant, gate = world.grant(), threading.Event()
    seen: list[int] = []

    def callback(event: Event) -> None:
        gate.wait(900)
        seen.append(event.position)
        raise RuntimeError("a secret text")

    with caplog.at_level(logging.WARNING, "answerable"):
        watch = world.engine.watch(callback, findings=False)
        for _ in range(50):
            world.use(grant)  # None of them waits for the callable, which waits for us.
        assert seen == []
        gate.set()
        until(lambda: len(seen) == 50)
        until(lambda: watch.failures == 50)
    assert watch.running
    assert "RuntimeError" in caplog.text
    assert "a secret text" not in caplog.text


def test_a_watch_goes_on_where_another_stopped(world: World) -> None:
    grant = world.grant()
    first: list[Event] = []
    with world.engine.watch(first.append, findings=False) as watch:
        world.use(grant)
        world.use(grant)
    # Closing told what was on the disk; the rest is read by whoever goes on.
    world.use(grant)
    rest: list[Event] = []
    world.engine.watch(rest.append, findings=False, since=watch.position)
    until(lambda: len(first) + len(rest) == 3)
    ids = [event.entry.id for event in first + rest if event.entry]
    assert ids == [one.id for one in world.engine.trail.entries(kind="decision")]
    assert not watch.running


def test_closing_the_engine_ends_its_watches(world: World) -> None:
    watch = world.engine.watch(lambda event: None)
    stuck = threading.Event()
    slow = world.engine.watch(lambda event: stuck.wait(900), findings=False)
    world.use(world.grant())
    began = time.monotonic()
    world.engine.close()
    assert time.monotonic() - began < 300, "who is stuck does not keep an engine open"
    stuck.set()
    until(lambda: not watch.running and not slow.running)
    assert watch.error is None


def test_a_finding_is_told_when_it_is_new(world: World) -> None:
    grant = world.grant()
    grant.delegate(world.booker, scope=ans.allow("pay.transfer"))
    seen: list[Event] = []
    Watch(world.engine, seen.append, kinds=["none"], every=0.05)
    refuse(world, grant, 10)
    until(lambda: seen)
    (event,) = seen
    assert event.finding is not None
    assert (event.kind, event.finding.code) == ("finding", "refusals_above_usual")
    assert event.finding.subjects == [world.planner.id]


def test_wrong_arguments_are_refused(world: World) -> None:
    for wrong in (
        lambda: world.engine.watch("x"),  # type: ignore[arg-type]
        lambda: world.engine.watch(print, kinds="decision"),
        lambda: world.engine.watch(print, kinds=454),  # type: ignore[arg-type]
        lambda: world.engine.watch(print, kinds=[454]),  # type: ignore[list-item]
        lambda: world.engine.watch(print, since="now"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ans.InvalidInput):
            wrong()


@pytest.mark.parametrize("then", ["suspend", "halt"])
def test_a_rule_acts_once_in_the_name_of_who_set_it(world: World, then: str) -> None:
    rules = world.engine.rules
    rule = rules.add(on="refusals_above_usual", then=then, reason="too many", by=world.bob)
    assert [one.id for one in rules.list()] == [rule.id]
    grant = world.grant()
    refuse(world, grant, 10)
    until(lambda: acted(world))
    until(lambda: world.code(grant) in ("agent_suspended", "halted"))
    (entry,) = acted(world)
    leaf = entry.leaf
    assert (leaf["rule"], leaf["by"], leaf["then"]) == (rule.id, world.bob.id, then)
    assert (leaf["result"], leaf["finding"]) == ("done", "refusals_above_usual")
    kind = "identity" if then == "suspend" else "halt"
    (done,) = [
        one
        for one in world.engine.trail.entries(kind=kind)
        if one.leaf["action"] in ("suspended", "halted")
    ]
    assert done.leaf["by"] == world.bob.id


def acted(world: World) -> list[Any]:
    entries = world.engine.trail.entries(kind="review")
    return [one for one in entries if one.leaf.get("action") == "rule_acted"]


def test_rules_last_over_a_restart_and_act_once(world: World) -> None:
    world.engine.rules.add(on="refusals_above_usual", then="halt", reason="too many")
    refuse(world, world.grant(), 10)
    until(lambda: acted(world))
    world.reopen()
    world.engine.unhalt(agent=world.planner)
    refuse(world, world.grant(), 1)
    time.sleep(0.5)
    assert len(acted(world)) == 1, "what was acted on and is still found is not acted on again"
    (rule,) = world.engine.rules.list()
    assert (rule.on, rule.then, rule.reason) == ("refusals_above_usual", "halt", "too many")
    world.engine.rules.remove(rule, reason="enough")
    assert world.engine.rules.list() == []
    with pytest.raises(ans.NotFound):
        world.engine.rules.remove(rule, reason="enough")


class Hook(BaseHTTPRequestHandler):
    """Keeps what it is sent; answers what the server says next."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.got.append((body, self.headers.get(webhooks.SIGNATURE)))
        status = server.statuses.pop(0) if server.statuses else 204
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.statuses = [], []
    server.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_webhook_is_told_signed_and_once(world: World, hook: Any) -> None:
    hook.statuses = [500]
    rule = world.engine.rules.add(
        on="refusals_above_usual", then=hook.url, secret="s3cret", reason="tell us", by=world.bob
    )
    assert (rule.then, rule.url) == ("webhook", hook.url)
    assert "s3cret" not in repr(rule)
    refuse(world, world.grant(), 10)
    until(lambda: acted(world))
    assert [one.leaf["result"] for one in acted(world)] == ["done"]
    assert len(hook.got) == 2, "one that failed is tried again"
    body, signature = hook.got[-1]
    told = json.loads(body)
    assert (told["rule"], told["code"]) == (rule.id, "refusals_above_usual")
    assert told["subjects"] == [world.planner.id]
    assert webhooks.verify(body, signature, "s3cret")
    assert not webhooks.verify(body + b" ", signature, "s3cret")
    assert not webhooks.verify(body, signature, "other")
    assert not webhooks.verify(body, signature, "s3cret", now=time.time() + 400)
    assert not webhooks.verify(body, "nonsense", "s3cret")
    world.engine.close()
    held = b"".join(file.read_bytes() for file in world.path.rglob("*") if file.is_file())
    assert b"s3cret" not in held
    assert b"/hook" not in held


@pytest.mark.parametrize(
    ("statuses", "told", "tries"),
    [
        ([204], True, 1),
        ([400], False, 1),
        ([302], False, 1),
        ([503, 429, 200], True, 3),
        ([503] * 5, False, 3),
    ],
)
def test_a_webhook_is_tried_a_bounded_number_of_times(
    hook: Any, statuses: list[int], told: bool, tries: int
) -> None:
    hook.statuses = list(statuses)
    slept: list[float] = []
    assert webhooks.send(hook.url, {"a": 1}, None, sleep=slept.append) is told
    assert (len(hook.got), len(slept)) == (tries, tries - 1)
    assert all(signature is None for _, signature in hook.got)


def test_an_address_that_nobody_answers_is_told_as_failed(world: World) -> None:
    assert not webhooks.send("http://127.0.0.1:9/x", {}, None, sleep=lambda _: None)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "https://", "https://a@b/", "ftp://127.0.0.1/", "https://a b/",
     "http://127.0.0.1.example.com/", "https:///x"],
)  # fmt: skip
def test_only_sound_addresses_are_taken(world: World, url: str) -> None:
    with pytest.raises(ans.InvalidInput):
        world.engine.rules.add(then=url, reason="x")
    for wrong in ({"then": "suspend", "secret": "x"}, {"then": "x"}, {"severity": "x"}):
        with pytest.raises(ans.InvalidInput):
            world.engine.rules.add(**{"then": "halt", "reason": "x", **wrong})  # type: ignore[arg-type]
    assert world.engine.rules.list() == []


def parsed(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_metrics_count_what_happened(world: World) -> None:
    grant = world.grant()
    for _ in range(3):
        world.use(grant)
    refuse(world, grant, 2)
    with pytest.raises(ValueError, match="x"), world.engine.acting(grant):  # noqa: SIM117
        with ans.guard.governed("pay.transfer", {}):
            raise ValueError("x")
    world.engine.request_access(grant, scope=ans.allow("pay.x"), reason="x", ttl="1m")
    world.engine.halt(reason="x", tool="a.*")
    values = parsed(world.engine.metrics())
    expected = {
        'answerable_decisions_total{effect="allow"}': 4,
        'answerable_decisions_total{effect="deny"}': 2,
        'answerable_refusals_total{code="tool_not_covered"}': 2,
        'answerable_tool_decisions_total{tool="pay.transfer",effect="allow"}': 4,
        'answerable_tool_decisions_total{tool="pay.other",effect="deny"}': 2,
        'answerable_outcomes_total{status="returned"}': 3,
        'answerable_outcomes_total{status="raised"}': 1,
        'answerable_approvals{status="pending"}': 1,
        'answerable_agents{status="active"}': 2,
        "answerable_halts": 1,
        "answerable_store_healthy": 1,
        "answerable_call_seconds_count": 4,
        'answerable_call_seconds_bucket{le="+Inf"}': 4,
        "answerable_unrecorded_total": 0,
    }
    assert {name: values.get(name) for name in expected} == expected
    assert values["answerable_decision_seconds_count"] >= 1
    assert values["answerable_trail_entries"] + values["answerable_trail_queued"] > 10
    for line in world.engine.metrics().splitlines():
        assert line.startswith("# ") or line.count(" ") == 1, line


def test_hostile_tool_names_stay_bounded_and_harmless(world: World) -> None:
    grant = world.grant()
    for n in range(400):
        with pytest.raises(ans.AccessDenied):
            world.use(grant, f"pay.t{n}")
    for name in ('a"b\n# HELP x', "\x1b[2J"):
        with pytest.raises(ans.AccessDenied):
            world.use(grant, name)
    values = parsed(world.engine.metrics())
    tools = {name: v for name, v in values.items() if name.startswith("answerable_tool_")}
    assert len(tools) <= 257
    assert sum(tools.values()) == 402
    assert tools['answerable_tool_decisions_total{tool="(invalid)",effect="deny"}'] == 2


def test_opentelemetry_reads_the_same(world: World) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from answerable.net.otel import instrument

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    instrument(world.engine, meter=provider.get_meter("test"))
    grant = world.grant()
    world.use(grant)
    refuse(world, grant, 2)
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        (metric.name, tuple(sorted((point.attributes or {}).items()))): point.value  # type: ignore[union-attr]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    assert found["answerable_decisions_total", (("effect", "deny"),)] == 2
    assert found["answerable_refusals_total", (("code", "tool_not_covered"),)] == 2
    assert found["answerable_call_seconds_count", ()] == 1
    assert found["answerable_store_healthy", ()] == 1
    world.engine.close()
    assert reader.get_metrics_data() is not None
