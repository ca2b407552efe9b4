"""Exporters: the trail read out to sinks, each at its own pace.

The trail is the queue. An exporter keeps the place up to which its sink has taken entries, durably,
beside nothing else: a slow or dead sink delays no call and loses nothing, and a restart goes on
where it was. Delivery is at least once; each event has the entry's id, by which a sink can tell.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from answerable import _core
from answerable.errors import Error, InvalidInput, NotFound
from answerable.keeping import own
from answerable.net import shapes
from answerable.net.witness import _replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

__all__ = ["Exporter", "as_cloud_events", "as_jsonl", "as_ocsf", "otlp", "to_file", "to_folder"]

log = logging.getLogger("answerable.exporters")
BATCH = 256
TIMEOUT = 20.0
# A page waits for nothing longer than this between two looks at the trail.
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class _Shape:
    """One JSON line for an entry; nothing for kinds that the shape has no room for."""

    def __init__(self, name: str, make: Callable[[_core.Entry, str], Any]) -> None:
        self.name = name
        self._make = make

    def lines(self, entries: Iterable[_core.Entry], tenant: str) -> list[str]:
        made = (self._make(entry, tenant) for entry in entries)
        return [json.dumps(one, ensure_ascii=False) for one in made if one is not None]


def as_jsonl() -> _Shape:
    """Each entry with its leaf and values, as `entry.json()` says it."""
    return _Shape("jsonl", lambda entry, _: json.loads(entry.json()))


def as_ocsf() -> _Shape:
    """OCSF API Activity, for decisions and outcomes."""
    return _Shape("ocsf", lambda entry, tenant: shapes.ocsf(entry, tenant=tenant))


def as_cloud_events() -> _Shape:
    """CloudEvents 1.0, for every kind."""
    return _Shape("cloudevents", lambda entry, tenant: shapes.cloud_event(entry, tenant=tenant))


class to_file:  # noqa: N801 - used as a verb.
    """Lines appended to a file, durable before the place moves on.

    A file that is not there is made for its owner alone; one that is there keeps its mode.
    """

    def __init__(self, path: str | Path, shape: _Shape) -> None:
        self._path, self._shape = Path(path), shape

    def send(self, entries: Sequence[_core.Entry], tenant: str) -> None:
        """Appends and syncs; what an earlier attempt left half-written is cut off first."""
        lines = self._shape.lines(entries, tenant)
        with open(self._path, "ab+", opener=own) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            if end and file.read(1) != b"\n":
                file.seek(0)
                whole = file.read().rfind(b"\n") + 1
                file.truncate(whole)
            file.seek(0, os.SEEK_END)
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())


class to_folder:  # noqa: N801 - used as a verb.
    """A file for each batch, under the place of its first entry: sent again, it is the same."""

    def __init__(self, path: str | Path, shape: _Shape) -> None:
        self._path, self._shape = Path(path), shape

    def send(self, entries: Sequence[_core.Entry], tenant: str) -> None:
        """Writes the file as a whole."""
        self._path.mkdir(parents=True, exist_ok=True)
        lines = self._shape.lines(entries, tenant)
        if lines:
            name = f"{entries[0].index:020}.{self._shape.name}"
            _replace(self._path / name, "".join(f"{line}\n" for line in lines))


class otlp:  # noqa: N801 - used as a noun.
    """OTLP over HTTP in its JSON encoding: log records of every entry, and a span for each call.

    Args:
        endpoint: The collector's address, such as `http://localhost:4318`.
        headers: Sent along, such as a token.
        service: The service's name.
    """

    def __init__(
        self, endpoint: str, *, headers: dict[str, str] | None = None, service: str = "answerable"
    ) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise InvalidInput("an OTLP endpoint begins with http:// or https://")
        self._endpoint = endpoint.rstrip("/")
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._service = service
        # The allowed calls whose outcome has not come: bounded, the oldest are told without it.
        self._open: dict[str, _core.Entry] = {}

    def pending(self) -> list[int]:
        """The indices of the calls whose span waits for their outcome: kept with the place."""
        return [entry.index for entry in self._open.values()]

    def resume(self, entries: Iterable[_core.Entry]) -> None:
        """Takes up the calls that waited when the place was kept."""
        self._open = {entry.id: entry for entry in entries}

    def send(self, entries: Sequence[_core.Entry], tenant: str) -> None:
        """Posts logs, then spans; anything but a 2xx answer raises, and all is sent again."""
        open_ = dict(self._open)
        spans = []
        for entry in entries:
            if entry.kind == "decision" and entry.effect == "allow":
                open_[entry.id] = entry
                if len(open_) > 4 * BATCH:
                    spans.append(shapes.span(open_.pop(next(iter(open_))), None))
            elif entry.kind == "decision":
                spans.append(shapes.span(entry, None))
            elif entry.kind == "outcome":
                decision = open_.pop(str(entry.leaf["decision"]), None)
                if decision is not None:
                    spans.append(shapes.span(decision, entry))
        resource = {
            "attributes": [
                {"key": "service.name", "value": {"stringValue": self._service}},
                {"key": "answerable.authority", "value": {"stringValue": tenant}},
            ]
        }
        scope = {"name": "answerable", "version": _core.__version__}
        records = [shapes.log_record(entry) for entry in entries]
        logs = {"scope": scope, "logRecords": records}
        self._post("logs", {"resourceLogs": [{"resource": resource, "scopeLogs": [logs]}]})
        if spans:
            traces = {"scope": scope, "spans": spans}
            self._post(
                "traces", {"resourceSpans": [{"resource": resource, "scopeSpans": [traces]}]}
            )
        self._open = open_

    def _post(self, kind: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self._endpoint}/v1/{kind}", json.dumps(body).encode(), self._headers, method="POST"
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            told = answer.read(64 * 1024)
        refused = json.loads(told or b"{}").get("partialSuccess") or {}
        if any(int(refused.get(key) or 0) for key in ("rejectedLogRecords", "rejectedSpans")):
            # The collector will not take them at another time either.
            log.warning("the collector rejected some %s: %s", kind, refused.get("errorMessage"))


class _Called:
    def __init__(self, call: Callable[[Sequence[_core.Entry]], object]) -> None:
        self._call = call

    def send(self, entries: Sequence[_core.Entry], tenant: str) -> None:
        self._call(entries)


def _thinned(marks: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The newest, and of the others some at twice the distance of the one after each."""
    end, kept, least = marks[-1][0], marks[-1:], 1
    for mark in reversed(marks[:-1]):
        if end - mark[0] >= least:
            kept.insert(0, mark)
            least = 2 * (end - mark[0])
    return kept


class Exporter:
    """Reads the trail out to one sink, in a thread of its own.

    Args:
        engine: The engine.
        sink: `to_file`, `to_folder`, `otlp`, or a callable that takes a list of entries; what
            raises is tried again, from the same place.
        state: A file that keeps the place, of this sink alone.
        start: Whether to go on by itself; otherwise `run` does a round.

    Attributes:
        position: How many entries the sink has taken.
        failure: What the last attempt met; None if it went well.

    Example:
        with Exporter(engine, otlp("http://localhost:4318"), state="otlp.position"):
            ...
    """

    def __init__(self, engine: Any, sink: Any, *, state: str | Path, start: bool = True) -> None:
        self._engine, self._state = engine, Path(state)
        self._sink = sink if hasattr(sink, "send") else _Called(sink)
        self._origin = engine.authority
        self._marks: list[tuple[int, str]] = []
        self.position, pending = self._kept()
        if pending and hasattr(self._sink, "resume"):
            self._sink.resume([engine.trail.get(index) for index in pending])
        self.failure: Exception | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        if start:
            self._thread = threading.Thread(
                target=self._run, name="answerable-exporter", daemon=True
            )
            self._thread.start()

    def run(self) -> int:
        """Sends what there is; answers how many entries the sink took.

        Raises:
            Exception: What the sink raised. The place has not moved past what it did not take.
        """
        sent = 0
        while not self._stop.is_set():
            entries = list(self._engine.trail.page(self.position, BATCH))
            if not entries:
                break
            self._sink.send(entries, self._origin)
            place = entries[-1].index + 1
            self._marks = _thinned([*self._marks, (place - 1, entries[-1].id)])
            self._keep(place)
            sent, self.position = sent + len(entries), place
        return sent

    def _kept(self) -> tuple[int, list[int]]:
        try:
            kept = json.loads(self._state.read_text("utf-8"))
        except FileNotFoundError:
            return 0, []
        except ValueError as error:
            raise InvalidInput(
                f"{self._state} keeps no place", hint="remove it to begin anew"
            ) from error
        if kept.get("authority") != self._origin:
            raise InvalidInput(f"{self._state} keeps a place in another trail")
        position = int(kept["position"])
        self._marks = [(int(index), str(entry)) for index, entry in kept.get("marks", [])]
        sent = len(self._marks)
        while self._marks and not self._is_there(*self._marks[-1]):
            self._marks.pop()
        if len(self._marks) < sent:
            position = self._marks[-1][0] + 1 if self._marks else 0
            log.warning("the trail was put back: entries are sent again from %d on", position)
        pending = [int(index) for index in kept.get("pending", [])]
        return position, [index for index in pending if index < position]

    def _is_there(self, index: int, entry: str) -> bool:
        try:
            return bool(self._engine.trail.get(index).id == entry)
        except NotFound:
            return False

    def _keep(self, place: int) -> None:
        kept: dict[str, Any] = {"authority": self._origin, "position": place}
        # Some that were sent, the older the fewer: after a restore they tell how far the trail is
        # the one that was sent.
        kept["marks"] = self._marks
        if hasattr(self._sink, "pending"):
            kept["pending"] = self._sink.pending()
        _replace(self._state, json.dumps(kept) + "\n")

    def _run(self) -> None:
        failed = 0
        while not self._stop.is_set():
            try:
                self.run()
                self.failure, failed = None, 0
            except Exception as error:  # noqa: BLE001 - a sink may raise anything; it is told.
                if isinstance(error, Error) and error.code == "engine_closed":
                    return
                self.failure = error
                failed = min(failed + 1, len(_PAUSES) - 1)
                log.warning("entries from %d on were not taken: %s", self.position, error)
            self._stop.wait(_PAUSES[failed])

    def close(self) -> None:
        """Stops after the batch that is under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(TIMEOUT * 2)

    def __enter__(self) -> Exporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
