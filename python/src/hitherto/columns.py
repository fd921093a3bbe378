"""Columns between Arrow and the messages of `hitherto.v1`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hitherto.errors import Internal, InvalidArgument
from hitherto.v1 import common_pb2 as v1

TIME = pa.timestamp("us", "UTC")

# hitherto's name, its Arrow type, its field of `Values`, and the type whose Python values are those of the field
_SCALARS: dict[str, tuple[pa.DataType, str, pa.DataType]] = {
    "bool": (pa.bool_(), "bools", pa.bool_()),
    "int32": (pa.int32(), "int32s", pa.int32()),
    "int64": (pa.int64(), "int64s", pa.int64()),
    "float32": (pa.float32(), "float32s", pa.float32()),
    "float64": (pa.float64(), "float64s", pa.float64()),
    "string": (pa.string(), "strings", pa.string()),
    "bytes": (pa.binary(), "byte_strings", pa.binary()),
    "timestamp": (TIME, "timestamps_us", pa.int64()),
    "date": (pa.date32(), "dates", pa.int32()),
}


def send(table: pa.Table, *, rounded_up: Collection[str] = ()) -> list[v1.Column]:
    """Every column as it travels. Times finer than a microsecond are refused, and in the columns `rounded_up` rounded up."""
    return [_send(name, column, name in rounded_up) for name, column in zip(table.column_names, table.columns, strict=True)]


def fine(table: pa.Table) -> set[str]:
    """The columns with times finer than a microsecond."""
    return {name for name, column in zip(table.column_names, table.columns, strict=True) if _is_fine(column)}


def receive(column: v1.Column) -> pa.Array:
    """A column's values, with nulls where it says so."""
    try:
        return _receive(column)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, ValueError) as error:
        raise Internal(f"could not read the column '{column.name}' of the answer: {error}") from error


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a type as definitions write it: `float32`, `list<int64>`, `vector<float32, 3>`."""
    if name in _SCALARS:
        return _SCALARS[name][0]
    if found := re.fullmatch(r"list<(\w+)>", name):
        return pa.list_(pa.field("item", arrow_type(found[1])))
    if found := re.fullmatch(r"vector<float32, *(\d+)>", name):
        return pa.list_(pa.field("item", pa.float32(), nullable=False), int(found[1]))
    raise Internal(f"the server answers with a type that this client does not know: '{name}'")


def _send(name: str, column: pa.ChunkedArray, round_times_up: bool) -> v1.Column:
    def refused(reason: str) -> InvalidArgument:
        return InvalidArgument(f"could not send the column '{name}' of type {column.type}: {reason}")

    if pa.types.is_null(column.type):
        raise refused("all of it is null and says nothing of what it would hold; give it a type")
    try:
        array = _one(_layout(column, round_times_up))
        kind, values = _pack(array)
    except _Unsendable as error:
        raise refused(str(error)) from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise refused(str(error)) from error
    return v1.Column(name=name, type=kind, values=values, validity=_validity(array))


class _Unsendable(Exception):
    pass


def _layout(column: pa.ChunkedArray, round_times_up: bool) -> pa.ChunkedArray:
    """The same values in the layout of one of the types that there are."""
    kind = column.type
    is_ = pa.types
    if is_.is_dictionary(kind) or is_.is_run_end_encoded(kind):
        return _layout(column.cast(kind.value_type), round_times_up)
    if is_.is_timestamp(kind):
        if kind.unit == "ns":
            return _up(column) if round_times_up else _exact(column)
        return column.cast(pa.timestamp("us", kind.tz)).cast(TIME)
    to = _plain_type(kind)
    return column if kind == to else column.cast(to)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    is_ = pa.types
    table: list[tuple[Callable[[pa.DataType], bool], pa.DataType]] = [
        (is_.is_boolean, pa.bool_()),
        (lambda t: t in (pa.int8(), pa.int16(), pa.int32(), pa.uint8(), pa.uint16()), pa.int32()),
        (lambda t: is_.is_integer(t), pa.int64()),
        (lambda t: t in (pa.float16(), pa.float32()), pa.float32()),
        (is_.is_float64, pa.float64()),
        (lambda t: is_.is_string(t) or is_.is_large_string(t) or is_.is_string_view(t), pa.string()),
        (lambda t: is_.is_binary(t) or is_.is_large_binary(t) or is_.is_binary_view(t), pa.binary()),
        (is_.is_fixed_size_binary, pa.binary()),
        (is_.is_timestamp, TIME),
        (is_.is_date, pa.date32()),
    ]
    for applies, to in table:
        if applies(kind):
            return to
    if is_.is_fixed_size_list(kind) and kind.value_type == pa.float32():
        return kind
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        item = _plain_type(kind.value_type)
        if not is_.is_nested(item):
            return pa.list_(item)
    raise _Unsendable("features and keys are of no such type")


def _up(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Nanoseconds as microseconds, later where they do not fit: no row may be seen before its time."""
    nanos = column.cast(pa.int64())
    micros = pc.divide(nanos, 1000)
    # the division drops towards zero, which is up already for what lies before 1970
    missing = pc.greater(nanos, pc.multiply(micros, 1000))
    return pc.add(micros, missing.cast(pa.int64())).cast(TIME)


def _is_fine(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    if not pa.types.is_timestamp(kind) or kind.unit != "ns":
        return False
    nanos = column.cast(kind).cast(pa.int64())
    whole = pc.multiply(pc.divide(nanos, 1000), 1000)
    return bool(pc.any(pc.not_equal(nanos, whole)).as_py())


def _exact(column: pa.ChunkedArray) -> pa.ChunkedArray:
    tz = column.type.tz
    return column.cast(pa.timestamp("us", tz)).cast(TIME)


def _one(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)


def _validity(array: pa.Array) -> list[bool]:
    valid: list[bool] = array.is_valid().to_pylist() if array.null_count else []
    return valid


def _pack(array: pa.Array) -> tuple[str, v1.Values]:
    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        zeros = [0.0] * kind.list_size
        items = [number for vector in array.to_pylist() for number in (zeros if vector is None else vector)]
        if None in items:
            raise _Unsendable("a vector has a null among its numbers")
        vectors = v1.Vectors(length=kind.list_size, items=items)
        return f"vector<float32, {kind.list_size}>", v1.Values(vectors=vectors)
    if pa.types.is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_pylist()
        items = array.flatten()
        name, values = _pack(items)
        return f"list<{name}>", v1.Values(lists=v1.Lists(lengths=lengths, items=values, item_validity=_validity(items)))
    for name, (ours, field, python) in _SCALARS.items():
        if kind == ours:
            plain = array.cast(python) if python != ours else array
            filled = plain.fill_null(_ZERO[field]) if plain.null_count else plain
            values = v1.Values()
            getattr(values, field).values.extend(filled.to_pylist())
            # a message that is empty would not be sent, and then no row has a value
            getattr(values, field).SetInParent()
            return name, values
    raise _Unsendable("features and keys are of no such type")


_ZERO: dict[str, Any] = {
    "bools": False,
    "int32s": 0,
    "int64s": 0,
    "float32s": 0.0,
    "float64s": 0.0,
    "strings": "",
    "byte_strings": b"",
    "timestamps_us": 0,
    "dates": 0,
}


def _receive(column: v1.Column) -> pa.Array:
    to = arrow_type(column.type)
    if column.values.WhichOneof("kind") is None:
        return pa.nulls(len(column.validity), to)
    mask = pc.invert(pa.array(list(column.validity), pa.bool_())) if column.validity else None
    return _values(column.values, to, mask)


def _values(values: v1.Values, to: pa.DataType, mask: pa.Array | None) -> pa.Array:
    field = values.WhichOneof("kind")
    if field == "vectors":
        items = pa.array(list(values.vectors.items), pa.float32())
        return pa.FixedSizeListArray.from_arrays(items, type=to, mask=mask)
    if field == "lists":
        return _lists(values.lists, to, mask)
    python = next(python for _, name, python in _SCALARS.values() if name == field)
    array = pa.array(list(getattr(values, field).values), python)
    array = array if python == to else array.cast(to)
    return array if mask is None else pc.if_else(mask, pa.scalar(None, to), array)


def _lists(lists: v1.Lists, to: pa.DataType, mask: pa.Array | None) -> pa.Array:
    offsets = [0]
    for length in lists.lengths:
        offsets.append(offsets[-1] + length)
    holes = pc.invert(pa.array(list(lists.item_validity), pa.bool_())) if lists.item_validity else None
    if lists.items.WhichOneof("kind") is None:
        items = pa.nulls(len(lists.item_validity), to.value_type)
    else:
        items = _values(lists.items, to.value_type, holes)
    if len(items) != offsets[-1]:
        raise ValueError(f"its lists have {offsets[-1]} items together, and {len(items)} came")
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items, type=to, mask=mask)
