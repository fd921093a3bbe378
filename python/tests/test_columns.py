"""Columns and frames on their way to messages, and back."""

from __future__ import annotations

import datetime
import math

import pandas
import polars
import pyarrow as pa
import pytest

import hitherto
from hitherto import columns
from hitherto.frames import table_of
from hitherto.v1 import common_pb2 as v1

UTC = datetime.UTC
ARRAYS = {
    "bool": pa.array([True, None, False]),
    "int32": pa.array([1, None, -(2**31)], pa.int32()),
    "int64": pa.array([2**62, None, -1], pa.int64()),
    "float32": pa.array([0.5, None, -0.0], pa.float32()),
    "float64": pa.array([0.1, None, math.inf], pa.float64()),
    "string": pa.array(["é", None, ""], pa.string()),
    "bytes": pa.array([b"\x00\xff", None, b""], pa.binary()),
    "timestamp": pa.array([1, None, -1], pa.timestamp("us", "UTC")),
    "date": pa.array([datetime.date(2013, 7, 10), None, datetime.date(1969, 12, 31)], pa.date32()),
    "list<int64>": pa.array([[1, None], None, []], pa.list_(pa.field("item", pa.int64()))),
    "list<string>": pa.array([["a"], None, ["b", "c"]], pa.list_(pa.field("item", pa.string()))),
    "list<timestamp>": pa.array([[None], [], [7]], pa.list_(pa.field("item", pa.timestamp("us", "UTC")))),
    "vector<float32, 2>": pa.array([[1.0, 2.0], None, [3.0, 4.0]], columns.arrow_type("vector<float32, 2>")),
}


def sent(array: pa.Array, *, up: bool = False) -> v1.Column:
    return columns.send(pa.table({"x": array}), rounded_up={"x"} if up else ())[0]


@pytest.mark.parametrize("name", ARRAYS)
def test_columns_survive_the_wire(name: str) -> None:
    array = ARRAYS[name]
    for some in (array, array.slice(1), array.drop_null(), array.slice(0, 0), pa.nulls(2, array.type)):
        column = v1.Column.FromString(sent(some).SerializeToString())
        assert column.type == name
        back = columns.receive(column)
        assert back.equals(some) and back.type == some.type, f"{back} and not {some}"


def test_nulls_of_the_server_may_come_without_values() -> None:
    column = v1.Column(name="x", type="date", validity=[False, False])
    assert columns.receive(column).equals(pa.nulls(2, pa.date32()))
    with pytest.raises(hitherto.Internal, match="does not know: 'decimal'"):
        columns.receive(v1.Column(name="x", type="decimal", validity=[True]))


@pytest.mark.parametrize(
    ("array", "name", "expected"),
    [
        (pa.array([1, 2], pa.uint16()), "int32", [1, 2]),
        (pa.array([1, 2], pa.uint32()), "int64", [1, 2]),
        (pa.array([1, 2**40], pa.uint64()), "int64", [1, 2**40]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "string", ["a", "b", "a"]),
        (pa.array(["a"], pa.string_view()), "string", ["a"]),
        (pa.array(["a"], pa.large_string()), "string", ["a"]),
        (pa.array([b"ab"], pa.binary(2)), "bytes", [b"ab"]),
        (pa.array([1], pa.timestamp("s")), "timestamp", [datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]),
        (pa.array([1], pa.timestamp("ms", "America/New_York")), "timestamp", [datetime.datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)]),
        (pa.array([86_400_000], pa.date64()), "date", [datetime.date(1970, 1, 2)]),
        (pa.array([[1], None], pa.large_list(pa.int8())), "list<int32>", [[1], None]),
        (pa.array([[1.5]], pa.list_(pa.float64(), 1)), "list<float64>", [[1.5]]),
    ],
)
def test_layouts_that_lose_nothing(array: pa.Array, name: str, expected: list[object]) -> None:
    column = sent(array)
    assert (column.type, columns.receive(column).to_pylist()) == (name, expected)


def test_nanoseconds_of_rows_are_rounded_up_and_of_keys_refused() -> None:
    nanos = pa.array([1000, 1001, -1, -1000, -1001, None, 0], pa.timestamp("ns", "UTC"))
    up = columns.receive(sent(nanos, up=True)).cast(pa.int64()).to_pylist()
    assert up == [1, 2, 0, -1, -1, None, 0]
    with pytest.raises(hitherto.InvalidArgument, match="could not send the column 'x' of type timestamp.*lose data"):
        sent(nanos)
    assert columns.receive(sent(nanos.slice(0, 1))).cast(pa.int64()).to_pylist() == [1]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (pa.nulls(2), "give it a type"),
        (pa.array([2**63], pa.uint64()), "2 *9223372036854775807|not in range"),
        (pa.array([None, [1.0, None]], pa.list_(pa.float32(), 2)), "a null among its numbers"),
        (pa.array([{"a": 1}]), "no such type"),
        (pa.array([[[1]]]), "no such type"),
        (pa.array([1], pa.duration("s")), "no such type"),
    ],
)
def test_what_is_of_no_type_is_refused(array: pa.Array, reason: str) -> None:
    with pytest.raises(hitherto.InvalidArgument, match=reason):
        sent(array)


def test_frames_of_every_library_are_the_same_table() -> None:
    expected = pa.table({"k": ["a", "b"], "n": pa.array([1, 2], pa.int64())})
    frame = pandas.DataFrame({"k": ["a", "b"], "n": [1, 2]})
    frames = [
        expected,
        expected.to_batches()[0],
        expected.to_reader(),
        frame,
        frame.set_index("k"),
        polars.DataFrame({"k": ["a", "b"], "n": [1, 2]}),
        polars.LazyFrame({"k": ["a", "b"], "n": [1, 2]}),
        {"k": ["a", "b"], "n": [1, 2]},
        {"k": pa.array(["a", "b"]), "n": frame["n"].to_numpy()},
        [{"k": "a", "n": 1}, {"k": "b", "n": 2}],
    ]
    for rows in frames:
        table = table_of(rows, "rows")
        assert table.select(["k", "n"]).to_pydict() == expected.to_pydict(), type(rows)
        assert table.num_columns == 2
    assert table_of({"k": "a", "n": 1}, "rows").to_pylist() == [{"k": "a", "n": 1}]
    assert table_of([{"k": "a"}, {"n": 1}], "rows").to_pylist() == [{"k": "a", "n": None}, {"k": None, "n": 1}]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "are no rows"),
        ({"k": ["a"], "n": 1}, "'n' is one value"),
        (3, "cannot be a int"),
        ("k", "cannot be a str"),
        (pandas.DataFrame({1: [1]}), "is not named by a text"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are named 'a'"),
        ({"a": [1, 2], "b": [1]}, "could not take rows as columns"),
    ],
)
def test_what_is_no_frame_is_refused(rows: object, reason: str) -> None:
    with pytest.raises(hitherto.InvalidArgument, match=reason):
        table_of(rows, "rows")
