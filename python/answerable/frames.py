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


def to_pandas(entries: Entries) -> pandas.DataFrame:
    """A `pandas.DataFrame`, with `pip install answerable[pandas]`.

    Words that repeat are categories; the chain stays a list of hops.
    """
    arrow = _module("pyarrow", "pandas")
    _module("pandas", "pandas")
    # Each column is let go of as soon as pandas has it.
    return arrow.table(entries).to_pandas(split_blocks=True, self_destruct=True)


def to_polars(entries: Entries) -> polars.DataFrame:
    """A `polars.DataFrame`, with `pip install answerable[polars]`."""
    frame: polars.DataFrame = _module("polars", "polars").DataFrame(entries)
    return frame


def _module(name: str, extra: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise InvalidInput(
            f"{name} is not installed", hint=f"pip install 'answerable[{extra}]'"
        ) from error
