"""The rows to be enriched, wherever they come from, as a stream of record batches."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from hitherto import frames
from hitherto.errors import InvalidArgument, NotFound
from hitherto.shape import Shape

BATCH_BYTES = 2 << 20
"""About how many bytes travel in one message; servers take 4 MiB at least."""
BATCH_ROWS = 64 << 10


@dataclasses.dataclass(frozen=True)
class SQL:
    """A query over feature history, which the server runs: `training_set(SQL("select …"), …)`.

    A plain `str` is always a path, so that no file name is ever run as a query.
    """

    query: str


SpineLike: TypeAlias = Any
"""An Arrow table, record batch or reader, anything with `__arrow_c_stream__`, a pandas or Polars frame, a path of a Parquet
or CSV file, or `SQL`."""


class Spine:
    """Rows that can be sent, once or (if `is_repeatable`) as often as need be."""

    def __init__(self, shape: Shape, open_: Callable[[], Iterator[pa.RecordBatch]], *, is_repeatable: bool, kind: str) -> None:
        self.shape = shape
        self.is_repeatable = is_repeatable
        self.kind = kind
        """`pandas`, `polars` or `arrow`."""
        self._open = open_

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows as they travel, in messages of bounded size."""
        for batch in self._open():
            if batch.num_rows:
                yield from _pieces(self.shape.sent(batch))


def spine_of(source: SpineLike) -> Spine:
    """The spine that a user means. Files are opened here, not by the server."""
    if isinstance(source, str | os.PathLike):
        return _of_path(source)
    if isinstance(source, pa.Table):
        return _of_table(source, "arrow")
    if isinstance(source, pa.RecordBatch):
        return _of_table(pa.Table.from_batches([source]), "arrow")
    if isinstance(source, pa.RecordBatchReader):
        return _of_reader(source)
    if frames.is_pandas(source):
        return _of_pandas(source)
    if frames.is_lazy_polars(source):
        source = source.collect()
    if frames.is_polars(source):
        return _of_table(source.to_arrow(), "polars", source)
    if hasattr(source, "__arrow_c_stream__"):
        return _of_reader(pa.RecordBatchReader.from_stream(source))
    raise InvalidArgument(
        f"a spine cannot be a {type(source).__name__}: give an Arrow table or reader, a pandas or Polars frame, "
        "the path of a Parquet or CSV file, or hitherto.SQL(query)"
    )


def _of_table(table: pa.Table, kind: str, frame: Any = None) -> Spine:
    shape, table = Shape.of_table(table, frame)
    return Spine(shape, lambda: iter(table.to_batches(max_chunksize=BATCH_ROWS)), is_repeatable=True, kind=kind)


def _of_pandas(frame: Any) -> Spine:
    frames.refuse_odd_names(frame.columns, "the spine")
    try:
        # the index travels as columns where it is no range, and pandas' own metadata brings it back
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InvalidArgument(f"could not take the spine as columns: {error}") from error
    return _of_table(table, "pandas", frame)


def _of_reader(reader: pa.RecordBatchReader) -> Spine:
    return Spine(Shape(reader.schema), lambda: iter(reader), is_repeatable=False, kind="arrow")


def _of_path(source: str | os.PathLike[str]) -> Spine:
    text = os.fspath(source)
    if "://" in text:
        raise InvalidArgument(f"'{text}' is a URL: open it (pyarrow.fs, or read it into a frame) and give what it holds")
    path = pathlib.Path(text)
    if not path.is_file():
        words = text.split(maxsplit=1)
        hint = "a query is written hitherto.SQL(query)" if words and words[0].lower() in ("select", "with") else None
        raise NotFound(f"there is no file '{text}'", hint=hint)
    if _is_parquet(path):
        return Spine(Shape(_parquet(path).schema_arrow), lambda: _rows_of_parquet(path), is_repeatable=True, kind="arrow")
    if ".csv" not in [suffix.lower() for suffix in path.suffixes]:
        raise InvalidArgument(f"'{text}' is neither Parquet nor named .csv: read it into a table and give that")
    with _csv(path) as reader:
        shape = Shape(reader.schema)
    return Spine(shape, lambda: _rows_of_csv(path), is_repeatable=True, kind="arrow")


def _is_parquet(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet(path: pathlib.Path) -> pa.parquet.ParquetFile:
    try:
        return pa.parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidArgument(f"could not read '{path}': {error}") from error


def _rows_of_parquet(path: pathlib.Path) -> Iterator[pa.RecordBatch]:
    with _parquet(path) as file:
        try:
            yield from file.iter_batches(batch_size=BATCH_ROWS)
        except (pa.ArrowInvalid, OSError) as error:
            raise InvalidArgument(f"could not read '{path}': {error}") from error


def _csv(path: pathlib.Path) -> pa.csv.CSVStreamingReader:
    try:
        return pa.csv.open_csv(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidArgument(f"could not read '{path}': {error}") from error


def _rows_of_csv(path: pathlib.Path) -> Iterator[pa.RecordBatch]:
    with _csv(path) as reader:
        try:
            yield from reader
        except (pa.ArrowInvalid, OSError) as error:
            remedy = "types are taken from the first megabyte; for others, give pyarrow.csv.open_csv(…) with column_types"
            raise InvalidArgument(f"could not read '{path}': {error}", hint=remedy) from error


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in halves of halves, until each is small enough to travel."""
    if batch.nbytes <= BATCH_BYTES or batch.num_rows <= 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))
