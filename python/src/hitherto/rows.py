"""Rows that stream from the server: read once as batches, or gathered."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import polars


class Rows:
    """The rows of an answer.

    `to_arrow`, `to_pandas` and `to_polars` gather them, once: they may be called again, and in any order. `batches` hands them out as
    they come, and keeps none. `with` closes what is not read to its end.
    """

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch], end: Callable[[], object] = lambda: None) -> None:
        self._schema = schema
        self._end = end
        self._stream: Iterator[pa.RecordBatch] | None = batches
        # who has been given the stream may not have read it to its end
        self._source = batches
        self._table: pa.Table | None = None

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, a record batch after the other."""
        if self._table is not None:
            return iter(self._table.to_batches())
        return self._taken()

    def to_reader(self) -> pa.RecordBatchReader:
        """The rows as a stream for other libraries: DuckDB, pyarrow's writers, …"""
        return pa.RecordBatchReader.from_batches(self._schema, self.batches())

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        if self._table is None:
            self._table = pa.Table.from_batches(list(self._taken()), self._schema)
        return self._table

    def to_pandas(self, **options: Any) -> Any:
        """All rows as a pandas frame; `options` are those of `pyarrow.Table.to_pandas`."""
        return self.to_arrow().to_pandas(**options)

    def to_polars(self) -> polars.DataFrame:
        """All rows as a Polars frame."""
        import polars

        frame = polars.from_arrow(self.to_arrow().replace_schema_metadata(None))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def close(self) -> None:
        """Ends the answer; rows that were not read are not sent."""
        self._stream = None
        if isinstance(self._source, Generator):
            try:
                self._source.close()
            except ValueError:
                # it is at work: who is told how far it is has called, and its end comes with the call's
                pass
        self._end()

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _taken(self) -> Iterator[pa.RecordBatch]:
        """The stream, which is there once."""
        stream, self._stream = self._stream, None
        if stream is None:
            raise RuntimeError("the rows were read already: keep them with to_arrow(), or ask again")
        return stream
