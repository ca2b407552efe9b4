"""Entries in what auditors have: each library takes them as they are, and counts the same."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import answerable as ans
from answerable import analysis
from answerable.simulation import simulate

duckdb = pytest.importorskip("duckdb", reason="the test extra brings it")
pl = pytest.importorskip("polars", reason="the test extra brings it")
pd = pytest.importorskip("pandas", reason="the test extra brings it")

# Words that many entries share.
WORDS = [
    *("kind", "human", "human_name", "agent", "agent_name", "via", "tool", "effect", "reason"),
    *("task", "policy", "action", "outcome", "outcome_type"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ans.Engine]:
    folder = tmp_path_factory.mktemp("company") / "store"
    facts = simulate(folder, entries=2_500, humans=8, agents=30, days=4, seed=11)
    with ans.open(folder, clock=facts.end) as opened:
        yield opened


class Counted(dict[tuple[Any, ...], int]):
    """Calls by human, tool and effect, with the newest of each: what is compared."""


def counted(rows: Any) -> Counted:
    found: dict[tuple[Any, ...], list[datetime]] = collections.defaultdict(list)
    for human, tool, effect, at in rows:
        found[human, tool, effect].append(at)
    return Counted({(*key, max(some)): len(some) for key, some in found.items()})


@pytest.fixture(scope="module")
def expected(engine: ans.Engine) -> Counted:
    """Entry by entry."""
    return counted((e.human, e.tool, e.effect, e.at) for e in calls(engine))


def calls(engine: ans.Engine) -> Any:
    return engine.trail.entries(kind="decision")


SQL = 'select human, tool, effect, max("at"), count(*) from {} group by 1, 2, 3'


def asked(connection: Any, source: str) -> Counted:
    """The same of DuckDB, whatever zone it shows times in."""
    rows = connection.execute(SQL.format(source)).fetchall()
    return Counted({(*row[:3], row[3].astimezone(UTC)): row[4] for row in rows})


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_duckdb_takes_entries(engine: ans.Engine, expected: Counted, zone: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"set TimeZone = '{zone}'")
        connection.register("entries", calls(engine))
        assert asked(connection, "entries") == expected
        kind = connection.execute('select typeof("at") from entries limit 1').fetchone()
        assert kind == ("TIMESTAMP WITH TIME ZONE",)


def test_duckdb_goes_down_the_chain(engine: ans.Engine) -> None:
    grants = {grant.leaf["digest"]: grant for grant in engine.trail.entries(kind="grant")}
    found: collections.Counter[tuple[str, str]] = collections.Counter()
    for entry in calls(engine):
        for grant in (grants[digest] for digest in entry.leaf.get("chain", [])):
            found[grant.agent_name, grant.leaf["grant"]] += 1
    with duckdb.connect() as connection:
        connection.register("entries", calls(engine))
        rows = connection.execute(
            'select hop.agent_name, hop."grant", count(*) '
            "from (select unnest(chain) as hop from entries) group by 1, 2"
        ).fetchall()
    assert {(name, grant): count for name, grant, count in rows} == found


def test_duckdb_reads_their_parquet(engine: ans.Engine, expected: Counted, tmp_path: Path) -> None:
    """Written batch by batch, so that no frame is held."""
    file = tmp_path / "calls.parquet"
    stream = pa.RecordBatchReader.from_stream(calls(engine))
    with pq.ParquetWriter(file, stream.schema) as writer:
        for batch in stream:
            writer.write_batch(batch)
    with duckdb.connect() as connection:
        assert asked(connection, f"'{file}'") == expected


def test_a_saved_record_is_read_by_everybody(
    engine: ans.Engine, expected: Counted, tmp_path: Path
) -> None:
    folder = analysis.read(engine).save(tmp_path / "record")
    with duckdb.connect() as connection:
        assert asked(connection, f"'{folder / 'calls.parquet'}'") == expected
    columns = ["human", "tool", "effect", "at"]
    lazy = pl.scan_parquet(folder / "calls.parquet").select(columns)
    assert counted(lazy.collect().iter_rows()) == expected
    frame = pd.read_parquet(folder / "calls.parquet", columns=columns)
    assert counted(plain(frame)) == expected


def plain(frame: Any) -> Iterator[tuple[Any, ...]]:
    for human, tool, effect, at in frame.itertuples(index=False):
        yield human, None if pd.isna(tool) else tool, effect, at.to_pydatetime()


def test_pandas_polars_and_arrow_take_entries(engine: ans.Engine, expected: Counted) -> None:
    columns = ["human", "tool", "effect", "at"]
    assert counted(plain(calls(engine).to_pandas()[columns])) == expected
    assert counted(pl.DataFrame(calls(engine)).select(columns).iter_rows()) == expected
    rows = pa.table(calls(engine)).select(columns).to_pylist()
    assert counted(tuple(row.values()) for row in rows) == expected


def test_every_word_that_repeats_is_a_category(engine: ans.Engine) -> None:
    entries = engine.trail.entries()
    frame, other, arrow = entries.to_pandas(), entries.to_polars(), entries.to_arrow()
    for name in WORDS:
        assert isinstance(frame[name].dtype, pd.CategoricalDtype), name
        assert other.schema[name] in (pl.Categorical, pl.Enum), name
        assert pa.types.is_dictionary(arrow.schema.field(name).type), name
        assert frame[name].astype(object).where(frame[name].notna(), None).tolist() == [
            *other[name].to_list()
        ]


def test_a_time_is_the_same_instant_everywhere(engine: ans.Engine) -> None:
    """Micros since 1970, in UTC: what a chart in any zone is drawn from."""
    first = [entry.at for entry in engine.trail.entries()[:200]]
    entries = engine.trail.entries()[:200]
    assert entries.to_pandas()["at"].dt.tz_convert("Asia/Kathmandu").tolist() == first
    assert entries.to_polars()["at"].dt.convert_time_zone("Asia/Kathmandu").to_list() == first
    assert entries.to_arrow().schema.field("at").type == pa.timestamp("us", "UTC")
    assert first[0].utcoffset() == timedelta(0)


def test_a_lazy_query_needs_no_frame(engine: ans.Engine, tmp_path: Path) -> None:
    """Batch by batch from the store, then lazily from the file: the way for more than memory."""
    file = tmp_path / "all.parquet"
    stream = pa.RecordBatchReader.from_stream(engine.trail.entries())
    with pq.ParquetWriter(file, stream.schema) as writer:
        for batch in stream:
            writer.write_batch(batch)
            assert batch.num_rows <= 32 * 1024
    found = (
        pl.scan_parquet(file)
        .filter(pl.col("effect") == "deny")
        .group_by("reason")
        .len()
        .collect(engine="streaming")
    )
    expected = engine.trail.entries(effect="deny")
    assert dict(found.iter_rows()) == collections.Counter(e.reasons[0] for e in expected)
