"""A training set as it comes: the spine's rows in their order, each with its features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hitherto.errors import Error
from hitherto.rows import Rows
from hitherto.shape import Shape, normal

if TYPE_CHECKING:
    import polars

KEPT_BYTES_MAX = 256 << 20
"""Of rows that are read only because the manifest comes behind them; more are fetched again when they are wanted."""


class TrainingSet(Rows):
    """Every row of a spine, in its order, with what was known at its time.

    Made by `Client.training_set` and `Client.dataset`. The rows stream: `batches` hands them out as they come, which is how a set
    larger than memory is read; `to_arrow`, `to_pandas` and `to_polars` gather them. The spine's columns have the types that they
    had when they went, whatever library they came from.
    """

    def __init__(
        self,
        schema: pa.Schema,
        stream: Iterator[pa.RecordBatch],
        *,
        manifest: Callable[[], dict[str, Any] | None],
        again: Callable[[str], Iterator[pa.RecordBatch]],
        shape: Shape | None = None,
        kind: str = "arrow",
        end: Callable[[], object] = lambda: None,
    ) -> None:
        self._restored = normal if shape is None else shape.restored
        empty = pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)
        super().__init__(self._restored(empty).schema, stream, end)
        self._shape, self._kind = shape, kind
        self._manifest, self._again = manifest, again

    @property
    def manifest(self) -> dict[str, Any]:
        """What decided the values, and what came of it, as `hitherto dataset show --output json` has it.

        It comes behind the rows. Asked for before they are read, they are read: small sets stay in memory, large ones are fetched again
        when they are wanted.
        """
        known = self._manifest()
        if known is None and self._stream is not None:
            kept: list[pa.RecordBatch] = []
            size = 0
            for batch in self._taken():
                size += batch.nbytes
                if size > KEPT_BYTES_MAX:
                    kept.clear()
                else:
                    kept.append(batch)
            if size <= KEPT_BYTES_MAX:
                self._table = self._gathered(kept)
            known = self._manifest()
        if known is None:
            raise Error("the rows were not read to their end, and the manifest comes behind them; build the set again")
        return known

    @property
    def dataset_id(self) -> str:
        """The dataset's id: the same request on the same history has the same. See `manifest` on when it is known."""
        return str(self.manifest["id"])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, a record batch after the other; none is kept. May be called again: the set is then fetched by its id."""
        return super().batches()

    def to_arrow(self) -> pa.Table:
        """All rows as an Arrow table."""
        if self._table is None:
            self._table = self._gathered(list(self._taken()))
        return self._table

    def to_pandas(self, **options: Any) -> Any:
        """All rows as a pandas frame, with the spine's own index and types where it was one.

        `options` are those of `pyarrow.Table.to_pandas`.
        """
        frame = self.to_arrow().to_pandas(**options)
        if self._kind == "pandas" and self._shape is not None and not options:
            wanted = {name: dtype for name, dtype in self._shape.dtypes.items() if frame[name].dtype != dtype}
            frame = frame.astype(wanted) if wanted else frame
            frame.index = _retyped(frame.index, self._shape.index_dtypes)
        return frame

    def to_polars(self) -> polars.DataFrame:
        """All rows as a Polars frame, the spine's columns with its own types where it was one."""
        frame = super().to_polars()
        if self._kind == "polars" and self._shape is not None:
            wanted: Any = {name: dtype for name, dtype in self._shape.dtypes.items() if frame.schema[name] != dtype}
            frame = frame.cast(wanted) if wanted else frame
        return frame

    def __repr__(self) -> str:
        known = self._manifest()
        said = "rows not read yet" if known is None else f"{known.get('rows', 0):,} rows, dataset {str(known['id'])[:12]}"
        return f"<TrainingSet: {len(self._schema)} columns, {said}>"

    def __enter__(self) -> TrainingSet:
        return self

    def _taken(self) -> Iterator[pa.RecordBatch]:
        stream, self._stream = self._stream, None
        if stream is None:
            known = self._manifest()
            if known is None:
                raise Error("the rows were not read to their end the first time; build the set again")
            stream = self._source = self._again(str(known["id"]))
        return (self._restored(batch) for batch in stream)

    def _gathered(self, batches: list[pa.RecordBatch]) -> pa.Table:
        table = pa.Table.from_batches(batches, self._schema)
        try:
            # a column has one dictionary, as it had when it went
            return table.unify_dictionaries()
        except pa.ArrowInvalid:
            # of more values than its keys can tell, as it had then too
            return table


def _retyped(index: Any, dtypes: list[Any]) -> Any:
    """A pandas index whose levels have these types."""
    if index.nlevels == 1:
        return index if index.dtype == dtypes[0] else index.astype(dtypes[0])
    for place, (level, dtype) in enumerate(zip(index.levels, dtypes, strict=True)):
        if level.dtype != dtype:
            index = index.set_levels(level.astype(dtype), level=place)
    return index
