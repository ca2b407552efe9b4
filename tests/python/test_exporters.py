"""Exporters: others' shapes against their rules, a collector, sinks that are slow, dead or cut."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from guarding import World

import answerable as ans
from answerable.net import exporters, shapes
from answerable.net.exporters import Exporter

SCHEMA = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors/ocsf/api_activity-1.8.0.json").read_text()
)
PROFILES = {None, "security_control"}
JSON_TYPES = {
    "integer_t": int,
    "long_t": int,
    "timestamp_t": int,
    "float_t": (int, float),
    "boolean_t": bool,
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    with made.acting(ans.allow("t.**", where={"text": ans.any_(), "number": ans.at_most(9)})):
        for number in (1, 2, 10):
            run(made, number)
    yield made
    made.engine.close()


def run(world: World, number: int) -> None:
    request = {"text": "thing-1", "number": number}
    try:
        with ans.guard.governed("t.work", request, resource="thing/{text}") as call:
            call.result = "done"
            if number == 2:
                raise ValueError("burst")
    except (ans.AccessDenied, ValueError):
        pass


def wrong(attributes: dict[str, Any], constraints: Any, value: Any, at: str) -> list[str]:
    """What breaks the rules of the published schema, by path."""
    if not isinstance(value, dict):
        return [f"{at}: not an object"]
    found = [f"{at}.{key}: unknown" for key in value if key not in attributes]
    for key, rule in attributes.items():
        if rule.get("profile") not in PROFILES:
            continue
        if key not in value:
            if rule.get("requirement") == "required":
                found.append(f"{at}.{key}: missing")
            continue
        items = value[key] if rule.get("is_array") else [value[key]]
        if not isinstance(items, list):
            found.append(f"{at}.{key}: not a list")
            continue
        for item in items:
            found += wrong_value(rule, item, f"{at}.{key}")
    some = (constraints or {}).get("at_least_one")
    if some and not set(some) & set(value):
        found.append(f"{at}: none of {some}")
    return found


def wrong_value(rule: dict[str, Any], value: Any, at: str) -> list[str]:
    if "enum" in rule and str(value) not in rule["enum"]:
        return [f"{at}: {value!r} is none of its values"]
    kind = rule["type"]
    if kind == "object_t":
        name = rule["object_type"]
        if name == "object":
            return [] if isinstance(value, dict) else [f"{at}: not an object"]
        assert name in SCHEMA["objects"], f"{at}: {name} is not in the schema's subset"
        inner = SCHEMA["objects"][name]
        return wrong(inner["attributes"], inner["constraints"], value, at)
    if kind == "json_t":
        return []
    fits = JSON_TYPES.get(kind, str)
    if not isinstance(value, fits) or (isinstance(value, bool) and fits is not bool):
        return [f"{at}: {value!r} is no {kind}"]
    return []


def ocsf_wrong(event: Any) -> list[str]:
    inner = SCHEMA["class"]
    return wrong(inner["attributes"], inner["constraints"], event, "event")


def test_ocsf_events_validate_against_the_published_schema(world: World) -> None:
    made = [shapes.ocsf(entry, tenant="k4.pid.x") for entry in world.engine.trail.page(0, 1000)]
    events = [event for event in made if event is not None]
    assert len(events) == 5  # three decisions, two outcomes
    for event in events:
        assert ocsf_wrong(json.loads(json.dumps(event))) == []
    allowed, ended, _, raised, denied = events
    assert allowed["actor"]["user"]["uid"] == world.alice.id
    assert allowed["actor"]["invoked_by"] == "agent"
    assert allowed["actor"]["authorizations"][0]["policy"]["name"] == "grant 0"
    assert allowed["api"]["operation"] == "t.work"
    assert allowed["resources"][0]["name"] == "thing/thing-1"
    assert (allowed["action_id"], denied["action_id"]) == (1, 2)
    assert denied["status_code"] == "caveat_failed"
    assert (ended["status_id"], raised["status_id"]) == (1, 2)


def test_the_schema_check_finds_what_is_wrong(world: World) -> None:
    entries = world.engine.trail.page(0, 1000)
    sound = next(e for e in (shapes.ocsf(x, tenant="x") for x in entries) if e is not None)

    def broken(**changes: Any) -> list[str]:
        return ocsf_wrong({**sound, **changes})

    assert ocsf_wrong(sound) == []
    assert broken(activity_id=7)
    assert broken(time="now")
    assert broken(actor={"authorizations": []})
    assert broken(more=1)
    assert ocsf_wrong({key: value for key, value in sound.items() if key != "api"})


def test_cloud_events_have_what_version_1_asks_for(world: World) -> None:
    entries = list(world.engine.trail.page(0, 1000))
    ids = set()
    for entry in entries:
        event = json.loads(json.dumps(shapes.cloud_event(entry, tenant="k4.pid.x")))
        assert event["specversion"] == "1.0"
        assert all(isinstance(event[key], str) and event[key] for key in ("id", "source", "type"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", event["time"])
        assert all(re.fullmatch(r"[a-z0-9]{1,20}", key) for key in event)
        assert event["data"]["leaf"]["id"] == entry.id
        ids.add((event["source"], event["id"]))
    assert len(ids) == len(entries)


class Collector(ThreadingHTTPServer):
    """A collector of OTLP over HTTP, written from the protocol: it refuses what it cannot read."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.logs: list[dict[str, Any]] = []
        self.spans: list[dict[str, Any]] = []
        self.ill: list[str] = []
        self.down = False


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.down:
            return self.answer(503, b"{}")
        try:
            assert self.headers["Content-Type"] == "application/json"
            told = json.loads(body)
            if self.path == "/v1/logs":
                for resource in told["resourceLogs"]:
                    attributes(resource["resource"]["attributes"])
                    for scope in resource["scopeLogs"]:
                        self.server.logs += [log(record) for record in scope["logRecords"]]
            elif self.path == "/v1/traces":
                for resource in told["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        self.server.spans += [span(one) for one in scope["spans"]]
            else:
                return self.answer(404, b"{}")
        except (AssertionError, KeyError, ValueError) as error:
            self.server.ill.append(f"{self.path}: {error!r}")
            return self.answer(400, b"{}")
        return self.answer(200, b'{"partialSuccess":{}}')

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


def attributes(given: list[dict[str, Any]]) -> dict[str, Any]:
    read = {}
    for one in given:
        assert set(one) == {"key", "value"}
        ((kind, value),) = one["value"].items()
        assert kind in ("stringValue", "intValue", "boolValue", "doubleValue", "arrayValue"), kind
        assert kind != "intValue" or isinstance(value, str), "64-bit integers are text"
        read[one["key"]] = value
    assert len(read) == len(given), "a key stands twice"
    return read


def log(record: dict[str, Any]) -> dict[str, Any]:
    assert record["timeUnixNano"].isdigit()
    assert 1 <= record["severityNumber"] <= 24
    return {**record, "attributes": attributes(record["attributes"])}


def span(one: dict[str, Any]) -> dict[str, Any]:
    assert re.fullmatch(r"[0-9a-f]{32}", one["traceId"])
    assert re.fullmatch(r"[0-9a-f]{16}", one["spanId"])
    assert int(one["startTimeUnixNano"]) <= int(one["endTimeUnixNano"])
    assert one["kind"] in range(6)
    return {**one, "attributes": attributes(one["attributes"])}


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def until(true: Any, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def test_spans_and_logs_arrive_at_a_collector(
    world: World, tmp_path: Path, collector: Collector
) -> None:
    sink = exporters.otlp(f"http://127.0.0.1:{collector.server_port}")
    exporter = Exporter(world.engine, sink, state=tmp_path / "place", start=False)
    size = len(world.engine.trail)
    assert exporter.run() == size
    assert collector.ill == []
    assert len(collector.logs) == size
    assert [one["status"]["code"] for one in collector.spans] == [1, 2, 2]
    allowed, raised, denied = collector.spans
    assert allowed["name"] == "execute_tool t.work"
    assert allowed["attributes"]["gen_ai.tool.name"] == "t.work"
    assert allowed["attributes"]["gen_ai.agent.name"] == "agent"
    assert allowed["attributes"]["answerable.effect"] == "allow"
    assert raised["attributes"]["error.type"] == "ValueError"
    assert denied["attributes"]["error.type"] == "caveat_failed"
    assert len({one["traceId"] for one in collector.spans}) == 1
    assert exporter.run() == 0


def test_the_span_of_a_call_that_a_restart_fell_into_is_not_lost(
    world: World, tmp_path: Path, collector: Collector
) -> None:
    """As `answerable trail send` does it from a timer: a sink of its own each time."""

    def send() -> None:
        sink = exporters.otlp(f"http://127.0.0.1:{collector.server_port}")
        Exporter(world.engine, sink, state=tmp_path / "place", start=False).run()

    with world.acting(ans.allow("t.**")):
        with ans.guard.governed("t.long", {}) as call:
            # What is read is durable: the decision is, before the body runs.
            send()
            before = len(collector.spans)
            send()
        send()
    assert before == 3
    assert [one["name"] for one in collector.spans[before:]] == ["execute_tool t.long"]
    assert collector.spans[-1]["attributes"]["answerable.entry"] == call.entry
    send()
    assert len(collector.spans) == before + 1


def test_calls_without_an_outcome_are_told_and_take_bounded_room(
    world: World, tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporters, "BATCH", 2)
    sink = exporters.otlp(f"http://127.0.0.1:{collector.server_port}")
    exporter = Exporter(world.engine, sink, state=tmp_path / "place", start=False)
    exporter.run()
    before = len(collector.spans)
    with world.acting(ans.allow("t.**")), ExitStack() as open_calls:
        for _ in range(12):
            open_calls.enter_context(ans.guard.governed("t.long", {}))
        exporter.run()
        assert len(sink.pending()) == 8
        assert len(collector.spans) - before == 4, "the oldest are told without their outcome"
    exporter.run()
    assert sink.pending() == []
    told = [one["attributes"]["answerable.entry"] for one in collector.spans[before:]]
    assert len(told) == len(set(told)) == 12


def test_a_slow_sink_delays_no_call_and_gets_bounded_pieces(world: World, tmp_path: Path) -> None:
    going, taken = threading.Event(), list[int]()
    sizes: list[int] = []

    def slow(entries: Any) -> None:
        assert going.wait(300)
        sizes.append(len(entries))
        taken.extend(entry.index for entry in entries)

    with Exporter(world.engine, slow, state=tmp_path / "place") as exporter:
        with world.acting(ans.allow("t.**")):
            for _ in range(200):
                run(world, 1)
        # All calls have returned, and the sink has not taken the first piece yet.
        assert exporter.position == 0
        size = len(world.engine.trail)
        going.set()
        until(lambda: exporter.position == size)
    assert taken == list(range(size))
    assert max(sizes) == exporters.BATCH < size


def test_a_dead_sink_blocks_nothing_and_loses_nothing(
    world: World, tmp_path: Path, collector: Collector
) -> None:
    collector.down = True
    sink = exporters.otlp(f"http://127.0.0.1:{collector.server_port}")
    with Exporter(world.engine, sink, state=tmp_path / "place") as exporter:
        until(lambda: exporter.failure is not None)
        with world.acting(ans.allow("t.**")):
            for number in range(5):
                run(world, number)
        assert exporter.position == 0
        collector.down = False
        until(lambda: exporter.position == len(world.engine.trail))
        assert exporter.failure is None
    told = [one["attributes"]["answerable.entry"] for one in collector.logs]
    assert told == [entry.id for entry in world.engine.trail.page(0, 1000)]


def test_what_comes_after_a_restore_is_sent_though_more_was_sent_before(
    world: World, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    sent: list[ans.Entry] = []

    def export(engine: ans.Engine) -> None:
        Exporter(engine, sent.extend, state=state, start=False).run()

    export(world.engine)
    world.engine.backup(tmp_path / "copy")
    shared = len(sent)
    for number in range(30):
        world.engine.humans.register(f"{number}@example.com")
        if number % 7 == 0:
            export(world.engine)
    export(world.engine)
    (tmp_path / "copy.key").write_bytes(Path(f"{world.engine.path}.key").read_bytes())
    (tmp_path / "copy.key").chmod(0o600)
    with ans.open(tmp_path / "copy") as copy:
        for number in range(5):
            copy.humans.register(f"other-{number}@example.com")
        before = len(sent)
        export(copy)
        again = sent[before:]
        # Nothing of the new history is left out, and not all is sent again.
        assert [entry.id for entry in again[-5:]] == [e.id for e in list(copy.trail.entries())[-5:]]
        assert len(again) <= 5 + shared
        run_again = len(sent)
        export(copy)
        assert len(sent) == run_again


def test_the_place_is_kept_over_a_restart_and_is_one_trail_s(world: World, tmp_path: Path) -> None:
    got: list[str] = []

    def take(entries: Any) -> None:
        got.extend(entry.id for entry in entries)

    place = tmp_path / "place"
    Exporter(world.engine, take, state=place, start=False).run()
    first = len(got)
    run(world, 1)
    Exporter(world.engine, take, state=place, start=False).run()
    assert got == [entry.id for entry in world.engine.trail.page(0, 1000)]
    assert len(got) > first
    with ans.open(tmp_path / "other") as other, pytest.raises(ans.InvalidInput, match="another"):
        Exporter(other, take, state=place, start=False)
    place.write_text("x", encoding="utf-8")
    with pytest.raises(ans.InvalidInput, match="no place"):
        Exporter(world.engine, take, state=place, start=False)


def test_what_a_sink_does_not_take_stays(world: World, tmp_path: Path) -> None:
    calls = [0]

    def moody(entries: Any) -> None:
        calls[0] += 1
        if calls[0] < 3:
            raise OSError("full")

    exporter = Exporter(world.engine, moody, state=tmp_path / "place", start=False)
    for _ in range(2):
        with pytest.raises(OSError, match="full"):
            exporter.run()
        assert exporter.position == 0
        assert not (tmp_path / "place").exists()
    assert exporter.run() == len(world.engine.trail)


CHILD = """
import sys, time, answerable as ans
from answerable.net import exporters
engine = ans.open(sys.argv[1])
exporters.BATCH = 1
sink = exporters.to_file(sys.argv[2], exporters.as_jsonl())
exporter = exporters.Exporter(engine, sink, state=sys.argv[3], start=False)
print("go", flush=True)
exporter.run()
"""


def test_a_kill_loses_no_line_and_leaves_none_half_written(world: World, tmp_path: Path) -> None:
    with world.acting(ans.allow("t.**")):
        for _ in range(30):
            run(world, 1)
    ids = [entry.id for entry in world.engine.trail.page(0, 1000)]
    world.engine.close()
    out, place = tmp_path / "out.jsonl", tmp_path / "place"
    store = tmp_path / "governance"
    for delay in (0.01, 0.03, 0.06):
        argv = [sys.executable, "-c", CHILD, str(store), str(out), str(place)]
        child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
    with out.open("ab") as file:
        file.write(b'{"index":')  # As a write that was cut off.
    with ans.open(store) as engine:
        sink = exporters.to_file(out, exporters.as_jsonl())
        Exporter(engine, sink, state=place, start=False).run()
    seen = [json.loads(line)["leaf"]["id"] for line in out.read_text("utf-8").splitlines()]
    # At least once: an id may come again, in a row; none is missing and none out of order.
    assert list(dict.fromkeys(seen)) == ids


def test_a_folder_gets_the_same_file_again(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    sink = exporters.to_folder(folder, exporters.as_ocsf())
    Exporter(world.engine, sink, state=tmp_path / "one", start=False).run()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    Exporter(world.engine, sink, state=tmp_path / "two", start=False).run()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(before) == [f"{0:020}.ocsf"]
