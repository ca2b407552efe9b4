"""Entries as frames of pandas, polars and pyarrow, each imported only when it is asked for.

What crosses is the Arrow PyCapsule interface, so that whatever else speaks it (DuckDB, nanoarrow)
takes entries as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from answerable.errors import InvalidInput

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from answerable._core import Entries

__all__ = ["to_arrow", "to_pandas", "to_polars"]


def to_arrow(entries: Entries) -> pyarrow.Table:
    """A `pyarrow.Table`, with `pip install answerable[arrow]`."""
    return _module("pyarrow", "arrow").table(entries)


def to_pandas(entries: Entries, *, lists: bool = False) -> pandas.DataFrame:
    """A `pandas.DataFrame`, with `pip install answerable[pandas]`.

    Words that repeat are categories. `reasons` and `chain` stay lists, in Arrow's own memory: an
    object of Python is made of a row only when it is looked at. With `lists` they are objects.
    """
    arrow, frames = _module("pyarrow", "pandas"), _module("pandas", "pandas")

    def kept(type_: Any) -> Any:
        return frames.ArrowDtype(type_) if arrow.types.is_nested(type_) and not lists else None

    # Each column is let go of as soon as pandas has it.
    table = _table(entries, arrow)
    return table.to_pandas(split_blocks=True, self_destruct=True, types_mapper=kept)


def _table(entries: Entries, arrow: Any) -> Any:
    """The entries as a table that can let go of its columns one by one.

    What comes as one batch is held as long as any column of it is.
    """
    columns: dict[str, list[Any]] = {}
    for piece in entries._pieces() if hasattr(entries, "_pieces") else ():
        for part in piece.columns():
            one = arrow.table(part)
            columns.setdefault(one.column_names[0], []).extend(one.column(0).chunks)
    if not columns:
        return arrow.table(entries)
    return arrow.table({name: arrow.chunked_array(chunks) for name, chunks in columns.items()})


def to_polars(entries: Entries) -> polars.DataFrame:
    """A `polars.DataFrame`, with `pip install answerable[polars]`."""
    frames = _module("polars", "polars")
    # Of a whole stream polars takes all batches before it makes columns of its own of them: twice
    # the memory of the frame. An answer of `analysis` is small, and a stream only.
    pieces = entries._pieces() if hasattr(entries, "_pieces") else ()
    parts = [frames.DataFrame(piece) for piece in pieces] or [frames.DataFrame(entries)]
    frame: polars.DataFrame = frames.concat(parts, rechunk=False)
    return frame


def _module(name: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise InvalidInput(
            f"{name} is not installed", hint=f"pip install 'answerable[{extra}]'"
        ) from error
