"""How rows looked before they were sent, so that they come back so."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hitherto.errors import Internal, InvalidArgument


class Shape:
    """The columns of a spine: their types as they were, and plainer ones in which they travel.

    Dictionaries and views are unpacked on the way, since a server may answer with either layout; `restored` packs them again.
    """

    def __init__(self, schema: pa.Schema, dictionaries: dict[str, pa.Array] | None = None, frame: Any = None) -> None:
        self.schema = schema
        self.plain = pa.schema([field.with_type(plain(field.type)) for field in schema])
        # of each column what its dictionaries held; None where that is more than one dictionary can hold
        self._dictionaries: dict[str, pa.Array | None] = dict(dictionaries or {})
        # what pandas or Polars call the types of the columns, with what Arrow has no word for
        self.dtypes: dict[str, Any] = {}
        self.index_dtypes: list[Any] = []
        if frame is not None:
            self.dtypes = dict(zip(frame.columns, frame.dtypes, strict=True))
        if hasattr(frame, "index"):
            levels = frame.index.levels if frame.index.nlevels > 1 else [frame.index]
            self.index_dtypes = [level.dtype for level in levels]

    @classmethod
    def of_table(cls, table: pa.Table, frame: Any = None) -> tuple[Shape, pa.Table]:
        """The shape, and the same rows with one dictionary a column."""
        if not any(pa.types.is_dictionary(field.type) for field in table.schema):
            return cls(table.schema, frame=frame), table
        table = table.unify_dictionaries()
        dictionaries = {}
        for field, column in zip(table.schema, table.columns, strict=True):
            if pa.types.is_dictionary(field.type) and column.num_chunks:
                dictionaries[field.name] = column.chunk(0).dictionary
        return cls(table.schema, dictionaries, frame), table

    def sent(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch as it travels."""
        for column, field in zip(batch.columns, self.schema, strict=True):
            if pa.types.is_dictionary(field.type):
                self._learn(field, column.dictionary)
        columns = [_cast(column, field) for column, field in zip(batch.columns, self.plain, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self.plain)

    def restored(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of an answer, its first columns those that were sent."""
        names = batch.schema.names[: len(self.schema)]
        if names != self.schema.names:
            raise Internal(f"the answer begins with the columns {names}, not with the spine's, {self.schema.names}")
        columns = []
        for column, field in zip(batch.columns, self.schema, strict=False):
            columns.append(self._restored(column, field))
        rest = normal(batch.select(list(range(len(self.schema), batch.num_columns))))
        schema = pa.schema([*self.schema, *rest.schema], metadata=self.schema.metadata)
        return pa.RecordBatch.from_arrays([*columns, *rest.columns], schema=schema)

    def _learn(self, field: pa.Field, dictionary: pa.Array) -> None:
        """Remembers what a batch's dictionary holds, in the order in which it first came: a file or a reader has one a batch."""
        if field.name not in self._dictionaries:
            self._dictionaries[field.name] = dictionary
            return
        known = self._dictionaries[field.name]
        if known is None or known.equals(dictionary):
            return
        new = dictionary.filter(pc.invert(pc.is_in(dictionary, value_set=known))).drop_null().unique()
        known = pa.concat_arrays([known, new]) if len(new) else known
        # more than its keys can tell: each batch then comes back with a dictionary of its own
        fits = len(known) <= 1 << (field.type.index_type.bit_width - (0 if pa.types.is_unsigned_integer(field.type.index_type) else 1))
        self._dictionaries[field.name] = known if fits else None

    def _restored(self, column: pa.Array, field: pa.Field) -> pa.Array:
        if column.type == field.type and field.name not in self._dictionaries:
            return column
        if not pa.types.is_dictionary(field.type):
            return _cast(column, field)
        column = _cast(column, field.with_type(plain(field.type.value_type)))
        column = column if column.type == field.type.value_type else column.cast(field.type.value_type)
        dictionary = self._dictionaries.get(field.name)
        if dictionary is None:
            encoded = column.dictionary_encode()
            dictionary, indices = encoded.dictionary, encoded.indices
        else:
            # a dictionary may hold a null, which is what a row without a value may have pointed at
            indices = pc.index_in(column, value_set=dictionary, skip_nulls=True)
            if indices.null_count != column.null_count:
                raise Internal(f"the answer's column '{field.name}' has values that the spine's has not")
        try:
            indices = indices.cast(field.type.index_type)
        except pa.ArrowInvalid as error:
            keys = field.type.index_type
            raise InvalidArgument(f"the column '{field.name}' has more values than keys of {keys} can tell: use wider keys") from error
        return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=field.type.ordered)


def normal(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same with plain layouts, which every reader of Arrow knows."""
    if all(plain(field.type) == field.type for field in batch.schema):
        return batch
    fields = [field.with_type(plain(field.type)) for field in batch.schema]
    columns = [_cast(column, field) for column, field in zip(batch.columns, fields, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=batch.schema.metadata))


def plain(kind: pa.DataType) -> pa.DataType:
    """A type without dictionaries, runs and views."""
    is_ = pa.types
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return plain(kind.value_type)
    if is_.is_string_view(kind):
        return pa.string()
    if is_.is_binary_view(kind):
        return pa.binary()
    return kind


def _cast(column: pa.Array, field: pa.Field) -> pa.Array:
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise Internal(f"could not turn the column '{field.name}' from {column.type} into {field.type}: {error}") from error
