"""An exported trail as columns, without an engine.

Decisions and outcomes are read by Arrow's own parser, into the fields that questions ask for; the
other entries, far fewer, line by line. Reading is not verifying: `read(file, authority=…)` does
that first, and what is read after it is compared with what was verified.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from answerable.analysis.lines import lines_of
from answerable.analysis.record import COLUMNS, Calls, Record, told_path
from answerable.errors import InvalidInput

__all__ = ["of_export"]

_BLOCK = 32 * 1024 * 1024  # How much is parsed at once, in bytes.
_CALLS = ["decision", "outcome"]


def of_export(path: Path, other: re.Pattern[bytes], verified: Any) -> Record:
    """The record of an exported file; `other` finds the lines that are no calls."""
    if verified is None:  # Else it was found to be one.
        _must_be_export(path)

    @functools.cache
    def parts() -> tuple[Any, list[dict[str, Any]]]:
        return _parts(path, other, verified)

    def details(entries: list[str]) -> dict[str, dict[str, Any]]:
        table = parts()[0]
        wanted = table.filter(pc.is_in(table["id"], pa.array(entries, pa.string())))
        told = zip(wanted["id"].to_pylist(), wanted["detail"].to_pylist(), strict=True)
        return {entry: detail[0] for entry, detail in told if detail}

    made: list[Record] = []
    record = Record(
        told_path(path),
        lambda: _calls(parts()[0], made[0]),
        lambda: iter(parts()[1]),
        details,
        verified=verified,
    )
    made.append(record)
    return record


def _must_be_export(path: Path) -> None:
    with lines_of(path, None) as lines:
        try:
            header = json.loads(next(lines, b""))
        except ValueError:
            header = None
    if not isinstance(header, dict) or header.get("answerable") != "trail":
        raise InvalidInput(
            f"{path} is no exported trail", hint="a file that engine.trail.export wrote"
        )


def _schema() -> Any:
    text = pa.string()
    moment = pa.struct([("$datetime", text)])
    value = pa.struct([("value", text)])
    detail = pa.struct([("message", text), ("fix", text)])
    leaf = [(name, text) for name in ("id", "kind", "human", "agent", "task", "effect", "policy")]
    leaf += [(name, text) for name in ("tool", "parent", "decision", "status", "type")]
    leaf += [("at", moment), ("duration_us", pa.int64()), ("reasons", pa.list_(text))]
    leaf += [("chain", pa.list_(pa.struct([("$bytes", text)])))]
    values = [("resource", value), ("tool", value)]
    values += [("detail", pa.struct([("value", pa.list_(detail))]))]
    return pa.schema(
        [("index", pa.uint64()), ("leaf", pa.struct(leaf)), ("values", pa.struct(values))]
    )


def _parts(path: Path, other: re.Pattern[bytes], verified: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Decisions and outcomes as columns, and the other entries as they are."""
    tables: list[Any] = []
    others: list[dict[str, Any]] = []
    calls: list[bytes] = []
    size = 0

    def put() -> None:
        table, kinds = _columns(calls or [b'{"index":null}'])
        tables.append(table)
        # How a line looks is a guess: what it is, is what it says once it is read.
        for place in np.flatnonzero(~kinds):
            if calls and (entry := _entry(calls[place])):
                others.append(entry)
        calls.clear()

    try:
        with lines_of(path, verified) as lines:
            next(lines, None)
            for line in lines:
                if not line.strip():
                    continue
                if other.search(line) is None and not line.startswith(b'{"checkpoint"'):
                    calls.append(line)
                elif entry := _entry(line):
                    if entry["leaf"].get("kind") in _CALLS:
                        calls.append(line)  # An argument looks like another kind.
                    else:
                        others.append(entry)
                        continue
                else:
                    continue
                size += len(line)
                if size > _BLOCK:
                    put()
                    size = 0
            if calls or not tables:
                put()
        others.sort(key=lambda entry: int(entry["index"]))
    except InvalidInput:
        raise
    except (pa.ArrowInvalid, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {str(error)[:200]}",
            hint="verify it first: ans.verify(file, authority) names every fault",
        ) from error
    return pa.concat_tables(tables).combine_chunks(), others


def _entry(line: bytes) -> dict[str, Any] | None:
    """An entry, of any kind; None for a checkpoint."""
    entry = json.loads(line)
    leaf = entry.get("leaf")
    if leaf is None:
        return None
    values = {name: value["value"] for name, value in entry.get("values", {}).items()}
    return {"index": entry["index"], "leaf": leaf, "values": values}


def _columns(lines: list[bytes]) -> tuple[Any, Any]:
    """The decisions and outcomes among some lines, flat; and which lines are of those kinds."""
    import pyarrow.json as pj

    table = pj.read_json(
        pa.BufferReader(b"".join(lines)),
        read_options=pj.ReadOptions(block_size=4 * 1024 * 1024),
        parse_options=pj.ParseOptions(
            explicit_schema=_schema(), unexpected_field_behavior="ignore"
        ),
    )
    leaf, values = table["leaf"].combine_chunks(), table["values"].combine_chunks()
    flat = {"index": table["index"]}
    flat |= {field.name: pc.struct_field(leaf, field.name) for field in leaf.type}
    flat["at"] = pc.struct_field(flat["at"], "$datetime")
    flat["resource"] = pc.struct_field(values, ["resource", "value"])
    flat["hidden"] = pc.struct_field(values, ["tool", "value"])
    flat["detail"] = pc.struct_field(values, ["detail", "value"])
    made = pa.table(flat)
    kinds = pc.is_in(made["kind"], pa.array(_CALLS))
    if len(made) != len(lines):
        raise ValueError("a line holds more than one entry, or none")
    return made.filter(kinds), kinds.combine_chunks().to_numpy(zero_copy_only=False)


def _calls(lines: Any, record: Record) -> Calls:
    outcomes = lines.filter(pc.equal(lines["kind"], "outcome"))
    table = lines.filter(pc.equal(lines["kind"], "decision")).combine_chunks()
    book = record.book
    # Each decision's outcome, by its id.
    place = pc.index_in(table["id"], outcomes["decision"].combine_chunks())
    ended = {name: outcomes[name].take(place) for name in ("status", "type", "duration_us")}
    chain = table["chain"].combine_chunks()
    digests = pc.struct_field(pc.list_flatten(chain), "$bytes").dictionary_encode()
    known = digests.dictionary.to_pylist()
    grants = [book.by_digest.get(digest) for digest in known]
    told = {
        "agent": [grant.agent if grant else "" for grant in grants],
        "agent_name": [book.label(grant.agent) if grant else "" for grant in grants],
        "grant": [
            grant.id if grant else digest for grant, digest in zip(grants, known, strict=True)
        ],
    }
    hops = {
        name: pa.array(words, pa.string()).take(digests.indices).dictionary_encode()
        for name, words in told.items()
    }
    names = hops["agent_name"].dictionary_decode()
    lengths = pc.fill_null(pc.list_value_length(chain), 0).to_numpy()
    ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    via = pc.binary_join(pa.ListArray.from_arrays(ends, names), " → ")
    via = pc.if_else(pa.array(lengths > 0), via, pa.scalar(None, pa.string()))
    tool = table["tool"].combine_chunks()
    # A name that is none stands beside the leaf; the frame of an engine shows it as the leaf does.
    tool = pc.if_else(pc.equal(tool, ""), pa.scalar(None, pa.string()), tool)
    reasons = table["reasons"].combine_chunks()
    first = pc.if_else(
        pc.greater(pc.list_value_length(reasons), 0),
        pc.list_element(_padded(reasons), 0),
        pa.scalar(None, pa.string()),
    )
    at = pc.strptime(pc.utf8_slice_codeunits(table["at"], 0, 19), "%Y-%m-%dT%H:%M:%S", "us")
    micros = pc.cast(pc.utf8_slice_codeunits(table["at"], 20, 26), pa.int64())
    stamp = pc.add(pc.cast(at, pa.int64()), micros).cast(pa.timestamp("us", "UTC"))
    columns = {
        "index": table["index"],
        "id": table["id"],
        "at": stamp,
        "human": table["human"].combine_chunks().dictionary_encode(),
        "human_name": _named(table["human"], book),
        "agent": table["agent"].combine_chunks().dictionary_encode(),
        "agent_name": _named(table["agent"], book),
        "via": via.dictionary_encode(),
        "tool": tool.dictionary_encode(),
        "effect": table["effect"].combine_chunks().dictionary_encode(),
        "reason": first.dictionary_encode(),
        "task": table["task"].combine_chunks().dictionary_encode(),
        "policy": table["policy"].combine_chunks().dictionary_encode(),
        "outcome": ended["status"].combine_chunks().dictionary_encode(),
        "outcome_type": ended["type"].combine_chunks().dictionary_encode(),
        "resource": table["resource"],
        "parent": table["parent"],
        "duration_us": ended["duration_us"],
        "reasons": reasons,
    }
    rows = pa.array(np.repeat(np.arange(len(lengths)), lengths), pa.int64())
    return Calls(
        pa.table({name: columns[name] for name in COLUMNS}), pa.table({"row": rows, **hops})
    )


def _padded(lists: Any) -> Any:
    """Lists without an empty one among them, which `list_element` refuses."""
    lengths = pc.list_value_length(lists).to_numpy()
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    flat = pa.concat_arrays([pc.list_flatten(lists), pa.array([None], pa.string())])
    place = np.where(lengths > 0, starts, len(flat) - 1)
    return pa.ListArray.from_arrays(
        pa.array(np.arange(len(place) + 1), pa.int32()), flat.take(pa.array(place))
    )


def _named(ids: Any, book: Any) -> Any:
    encoded = ids.combine_chunks().dictionary_encode()
    names = pa.array(
        [None if one == "none" else book.label(one) for one in encoded.dictionary.to_pylist()],
        pa.string(),
    )
    return names.take(encoded.indices).dictionary_encode()
