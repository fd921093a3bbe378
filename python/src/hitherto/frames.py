"""Rows as users have them, as an Arrow table: for requests, whose rows are few enough to be held whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from hitherto.errors import InvalidArgument

Frame: TypeAlias = Any
"""An Arrow table, record batch or reader; a pandas or Polars frame; anything with `__arrow_c_stream__`; a dict of columns
or of one row; a list of dicts."""


def table_of(rows: Frame, what: str) -> pa.Table:
    """`rows` as a table; `what` names them in errors. A pandas index comes along where it has a name."""
    try:
        return _table_of(rows, what)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InvalidArgument(f"could not take {what} as columns: {error}") from error


def _table_of(rows: Frame, what: str) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if isinstance(rows, pa.RecordBatchReader):
        return rows.read_all()
    if is_pandas(rows):
        named = [name for name in rows.index.names if name is not None]
        kept = rows.reset_index(level=named) if named else rows
        refuse_odd_names(kept.columns, what)
        return pa.Table.from_pandas(kept, preserve_index=False).replace_schema_metadata(None)
    if is_polars(rows):
        return rows.to_arrow()
    if is_lazy_polars(rows):
        return rows.collect().to_arrow()
    if hasattr(rows, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(rows).read_all()
    if isinstance(rows, Mapping):
        # text is a sequence too, and a value here
        is_one = {name: isinstance(value, str | bytes) or not _is_column(value) for name, value in rows.items()}
        if rows and all(is_one.values()):
            return pa.table({name: [value] for name, value in rows.items()})
        if any(is_one.values()):
            name = next(name for name, one in is_one.items() if one)
            raise InvalidArgument(f"{what}: '{name}' is one value, and others are columns; write all as columns, or one row")
        return pa.table(dict(rows))
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes) and all(isinstance(row, Mapping) for row in rows):
        if not rows:
            raise InvalidArgument(f"{what} are no rows, and so have no columns; give a table with columns and no rows")
        # of all rows: a column that the first one lacks is not dropped
        names = dict.fromkeys(name for row in rows for name in row)
        return pa.table({name: [row.get(name) for row in rows] for name in names})
    raise InvalidArgument(
        f"{what} cannot be a {type(rows).__name__}: give an Arrow table, a pandas or Polars frame, a dict of columns or a list of dicts"
    )


def _is_column(value: object) -> bool:
    return isinstance(value, Sequence | pa.Array | pa.ChunkedArray) or hasattr(value, "__array__") and hasattr(value, "__len__")


def is_pandas(rows: object) -> bool:
    return _is_of(rows, "pandas", "DataFrame")


def is_polars(rows: object) -> bool:
    return _is_of(rows, "polars", "DataFrame")


def is_lazy_polars(rows: object) -> bool:
    return _is_of(rows, "polars", "LazyFrame")


def refuse_odd_names(names: Any, what: str) -> None:
    """Columns must be named by text, each once: pandas allows more."""
    names = list(names)
    odd = next((name for name in names if not isinstance(name, str)), None)
    if odd is not None:
        raise InvalidArgument(f"{what}: the column {odd!r} is not named by a text; rename it, for instance with columns.map(str)")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidArgument(f"{what}: two columns are named '{twice}'")


def _is_of(rows: object, package: str, name: str) -> bool:
    # without an import: neither package need be there
    return any(base.__module__.split(".")[0] == package and base.__name__ == name for base in type(rows).__mro__)
