"""Training sets over Flight against a stand-in: what goes up, what comes down, and in which types."""

from __future__ import annotations

import datetime
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.flight as flight
import pyarrow.parquet
import pytest
import standins
from pandas.testing import assert_frame_equal
from polars.testing import assert_frame_equal as assert_polars_equal

import hitherto
import hitherto.rows

QUICK = hitherto.Retry(attempts=3, first=0.001)
ADDED = ["leg__delay", "leg__name"]
TIMES = pa.array([1_372_680_000_000_000, None, 0], pa.timestamp("us", "UTC"))
SPINE = pa.table(
    {
        "tailnum": pa.array(["N1", None, "N3"]),
        "event_timestamp": TIMES,
        "zoned": TIMES.cast(pa.timestamp("ms", "America/New_York")),
        "size": pa.DictionaryArray.from_arrays(pa.array([2, None, 0], pa.int8()), pa.array(["s", "m", "l"]), ordered=True),
        "late": pa.array([True, None, False]),
        "count": pa.array([1, None, 2], pa.uint16()),
    },
)


def client(server: standins.Flight, token: str | None = None) -> hitherto.Client:
    return hitherto.Client(server.address, token, retry=QUICK)


def test_rows_come_back_in_their_order_and_types(flight_standin: standins.Flight) -> None:
    spine = SPINE.replace_schema_metadata({"made": "by hand"})
    flights = client(flight_standin, "secret").training_set(
        spine,
        model="late@champion",
        mode="event",
        event_timestamp="zoned",
        evidence=True,
        name="nightly",
        tags={"run": "7"},
        split=hitherto.Split.by_time(datetime.datetime(2013, 6, 1), "2013-07-01", gap=datetime.timedelta(days=1)),
        fresh=True,
    )
    table = flights.to_arrow()
    assert table.schema.names == [*spine.schema.names, *ADDED]
    assert table.select(spine.schema.names).equals(spine) and table.schema.metadata == {b"made": b"by hand"}
    assert table["size"].chunk(0).dictionary.to_pylist() == ["s", "m", "l"], "with what no row has"
    assert table["leg__name"].type == pa.string(), "a layout that everybody knows"
    assert table["leg__delay"].to_pylist() == [0, 1, 2]
    assert flights.schema == table.schema and flights.to_arrow() is table
    assert (flights.dataset_id, flights.manifest["rows"]) == ("ab12", 3)
    assert flight_standin.commands == [
        {
            "model": "late@champion",
            "mode": "event",
            "event_timestamp": "zoned",
            "evidence": True,
            "name": "nightly",
            "tags": {"run": "7"},
            "split": {"by": "time", "train_end": 1370044800000000, "validation_end": "2013-07-01", "gap": 86400000000},
            "fresh": True,
            "progress": False,
        }
    ]
    assert flight_standin.headers[0]["authorization"] == ["Bearer secret"]
    assert not any(pa.types.is_dictionary(field.type) for field in flight_standin.spines[0].schema)


def test_what_is_not_said_is_left_to_the_server(flight_standin: standins.Flight) -> None:
    client(flight_standin).training_set(SPINE, feature_set="late").close()
    assert flight_standin.commands == [{"feature_set": "late", "mode": "knowledge", "evidence": False, "fresh": False, "progress": False}]


def test_a_pandas_frame_comes_back_with_index_and_types(flight_standin: standins.Flight) -> None:
    frame = pandas.DataFrame(
        {
            "tailnum": pandas.array(["N1", None, "N3"], dtype="string"),
            "object": pandas.Series(["a", None, "c"], dtype=object, index=[7, 5, 6]).to_numpy(),
            "event_timestamp": pandas.to_datetime(["2013-07-01", None, "2013-07-02"]).tz_localize("America/New_York"),
            "nanos": pandas.to_datetime([1, 2, 3], unit="ns"),
            "size": pandas.Categorical(["l", None, "s"], categories=["s", "m", "l"], ordered=True),
            "code": pandas.Categorical([30, 10, 30], categories=[10, 20, 30]),
            "late": pandas.array([True, None, False], dtype="boolean"),
            "count": pandas.array([1, None, 2], dtype="Int32"),
            "minutes": [0.5, None, -0.0],
            "small": pandas.Series([1, 2, 3], dtype="int8").to_numpy(),
        },
        index=pandas.Index([7, 5, 6], name="flight"),
    )
    for spine in (frame, frame.reset_index(drop=True), frame.rename_axis(None), frame.set_index("tailnum", append=True)):
        back = client(flight_standin).training_set(spine, feature_set="late").to_pandas()
        assert list(back.columns) == [*spine.columns, *ADDED]
        assert_frame_equal(back[list(spine.columns)], spine)
        assert back["leg__delay"].to_list() == [0, 1, 2]


def test_a_polars_frame_comes_back_with_its_types(flight_standin: standins.Flight) -> None:
    frame = polars.DataFrame(
        {
            "tailnum": ["N1", None, "N3"],
            "event_timestamp": polars.Series([datetime.datetime(2013, 7, 1), None, datetime.datetime(2013, 7, 2)]).dt.replace_time_zone(
                "Europe/Berlin"
            ),
            "nanos": polars.Series([1, 2, None], dtype=polars.Datetime("ns")),
            "size": polars.Series(["l", None, "s"], dtype=polars.Enum(["s", "m", "l"])),
            "kind": polars.Series(["a", "b", None], dtype=polars.Categorical),
            "count": polars.Series([1, None, 2], dtype=polars.UInt8),
            "list": [[1], None, []],
        }
    )
    for spine in (frame, frame.lazy()):
        back = client(flight_standin).training_set(spine, feature_set="late").to_polars()
        assert_polars_equal(back.select(frame.columns), frame, categorical_as_str=False)
        assert back.schema["size"] == frame.schema["size"] and back["leg__name"].to_list() == ["leg 0", "leg 1", "leg 2"]


def test_files_are_opened_here_and_streamed(flight_standin: standins.Flight, tmp_path: pathlib.Path) -> None:
    rows = 200_000
    times = pa.array(range(rows), pa.timestamp("us", "UTC"))
    spine = pa.table({"tailnum": [f"N{row % 97}" for row in range(rows)], "event_timestamp": times})
    pa.parquet.write_table(spine, tmp_path / "spine", row_group_size=50_000)
    pa.csv.write_csv(spine, tmp_path / "spine.csv")
    for path in (tmp_path / "spine", str(tmp_path / "spine.csv")):
        sizes = []
        flights = client(flight_standin).training_set(path, feature_set="late")
        with flights:
            for batch in flights.batches():
                sizes.append(batch.num_rows)
        assert sum(sizes) == rows and len(sizes) > 50
        back = client(flight_standin).training_set(path, feature_set="late").to_arrow()
        assert back.column("tailnum").equals(spine.column("tailnum"))
        assert back.column("event_timestamp").cast(pa.timestamp("us", "UTC")).equals(spine.column("event_timestamp"))
    assert flight_standin.spines[0].column("tailnum").num_chunks > 3


def test_anything_with_arrows_stream_is_a_spine(flight_standin: standins.Flight) -> None:
    asking = client(flight_standin)
    for spine in (SPINE.to_reader(), SPINE.to_batches()[0], Stream(SPINE)):
        back = asking.training_set(spine, feature_set="late").to_arrow()
        assert back.select(SPINE.schema.names).to_pydict() == SPINE.to_pydict()
        assert back.schema.field("size").type == SPINE.schema.field("size").type


def coded(values: list[str | None], keys: list[int | None]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(keys, pa.int8()), pa.array(values), ordered=True)


def test_dictionaries_of_a_reader_come_back_in_their_order(flight_standin: standins.Flight) -> None:
    columns = [coded(["s", "m", "l"], [2, None, 0]), coded(["s", "m", "l", "xl", "xxl"], [3, 1])]
    batches = [pa.RecordBatch.from_arrays([column], ["size"]) for column in columns]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    back = client(flight_standin).training_set(reader, feature_set="late").to_arrow()
    assert back["size"].to_pylist() == ["l", None, "s", "xl", "m"]
    assert back["size"].type == columns[0].type
    assert {tuple(chunk.dictionary.to_pylist()) for chunk in back["size"].chunks} == {("s", "m", "l", "xl", "xxl")}


def test_dictionaries_that_hold_more_than_their_keys_can_tell_are_their_batches_own(flight_standin: standins.Flight) -> None:
    values = [[f"{batch}-{value}" for value in range(100)] for batch in range(3)]
    batches = [pa.RecordBatch.from_arrays([coded(some, list(range(100)))], ["size"]) for some in values]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    back = client(flight_standin).training_set(reader, feature_set="late").to_arrow()
    assert back["size"].to_pylist() == [text for some in values for text in some]
    assert back["size"].type == batches[0].schema.field("size").type
    # an answer may come in other batches than the spine has gone
    flight_standin.answer = lambda spine: standins.with_delay(spine).combine_chunks()
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    with pytest.raises(hitherto.InvalidArgument, match="more values than keys of int8 can tell: use wider keys"):
        client(flight_standin).training_set(reader, feature_set="late").to_arrow()


def test_a_null_among_a_dictionarys_values_is_a_null(flight_standin: standins.Flight) -> None:
    spine = pa.table({"size": coded(["s", None, "l"], [0, 1, None, 2])})
    back = client(flight_standin).training_set(spine, feature_set="late").to_arrow()
    assert back["size"].to_pylist() == ["s", None, None, "l"]


class Stream:
    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_a_query_is_said_to_be_one(flight_standin: standins.Flight) -> None:
    asking = client(flight_standin)
    for wanted in ({"spine": hitherto.SQL("select 1")}, {"sql": "select 1"}):
        assert asking.training_set(**wanted, feature_set="late").to_arrow().column_names == ["k", *ADDED]
    assert [command["spine_sql"] for command in flight_standin.commands] == ["select 1"] * 2
    with pytest.raises(hitherto.NotFound, match="there is no file 'select 1'\nhint: a query is written hitherto.SQL"):
        asking.training_set("select 1", feature_set="late")
    for both in ({}, {"spine": SPINE, "sql": "select 1"}):
        with pytest.raises(hitherto.InvalidArgument, match="either a spine or sql="):
            asking.training_set(**both, feature_set="late")  # type: ignore[arg-type]
    assert len(flight_standin.commands) == 2


@pytest.mark.parametrize(
    ("spine", "reason"),
    [
        (3, "a spine cannot be a int"),
        ("s3://bucket/spine.parquet", "is a URL"),
        ("none.parquet", "there is no file"),
        ("notes.txt", "neither Parquet nor named .csv"),
        ("broken.parquet", "could not read '.*broken.parquet'"),
        (pandas.DataFrame({1: [1]}), "is not named by a text"),
        (pandas.DataFrame({"a": [1, "x"]}), "could not take the spine as columns"),
    ],
)
def test_what_is_no_spine_is_refused_before_it_travels(
    flight_standin: standins.Flight, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, spine: object, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("a,b\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(hitherto.Error, match=reason):
        client(flight_standin).training_set(spine, feature_set="late")
    assert flight_standin.commands == []


def test_a_spine_that_fails_midway_ends_the_call_with_its_reason(flight_standin: standins.Flight, tmp_path: pathlib.Path) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield SPINE.to_batches()[0]
        raise RuntimeError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(SPINE.schema, batches())
    with pytest.raises(RuntimeError, match="the disk is gone"):
        client(flight_standin).training_set(reader, feature_set="late").to_arrow()
    # the types of a CSV file are taken from its first megabyte
    (tmp_path / "spine.csv").write_text("k\n" + "1\n" * 1_000_000 + "x\n")
    with pytest.raises(hitherto.InvalidArgument, match="could not read '.*spine.csv'.*\nhint: types are taken") as caught:
        client(flight_standin).training_set(tmp_path / "spine.csv", feature_set="late").to_arrow()
    assert "hitherto-spine" not in [thread.name for thread in threading.enumerate()], caught.value


def test_rows_may_be_read_again_by_their_id(flight_standin: standins.Flight) -> None:
    flights = client(flight_standin).training_set(SPINE, feature_set="late")
    first = pa.Table.from_batches(list(flights.batches()))
    assert flight_standin.fetched == []
    again = pa.Table.from_batches(list(flights.batches()))
    assert flight_standin.fetched == [b'{"dataset": "ab12"}']
    assert first.equals(again) and first.equals(flights.to_arrow())
    assert pa.Table.from_batches(list(flights.batches())).equals(first) and len(flight_standin.fetched) == 2
    assert flights.to_reader().read_all().equals(first) and polars.DataFrame(flights).height == 3


def test_the_id_may_be_asked_for_first(flight_standin: standins.Flight, monkeypatch: pytest.MonkeyPatch) -> None:
    flights = client(flight_standin).training_set(SPINE, feature_set="late")
    assert repr(flights) == "<TrainingSet: 8 columns, rows not read yet>"
    assert flights.dataset_id == "ab12" and repr(flights) == "<TrainingSet: 8 columns, 3 rows, dataset ab12>"
    assert flights.to_arrow().num_rows == 3 and flight_standin.fetched == []
    # rows that are too many to be kept are fetched again
    monkeypatch.setattr("hitherto.training_set.KEPT_BYTES_MAX", 10)
    flights = client(flight_standin).training_set(SPINE, feature_set="late")
    assert flights.dataset_id == "ab12" and flights._table is None
    assert flights.to_arrow().select(SPINE.schema.names).equals(SPINE) and len(flight_standin.fetched) == 1


def test_what_is_left_midway_is_cancelled(flight_standin: standins.Flight) -> None:
    rows = pa.table({"k": pa.array(range(1_000_000))})
    with client(flight_standin).training_set(rows, feature_set="late") as flights:
        next(flights.batches())
    with pytest.raises(hitherto.Error, match="not read to their end"):
        print(flights.dataset_id)
    assert "hitherto-spine" not in [thread.name for thread in threading.enumerate()]


def test_no_rows_have_columns(flight_standin: standins.Flight) -> None:
    flights = client(flight_standin).training_set(SPINE.slice(0, 0), feature_set="late")
    table = flights.to_arrow()
    assert (table.num_rows, table.schema.names[-2:], table.schema.field("size").type) == (0, ADDED, SPINE.schema.field("size").type)
    assert flights.manifest["rows"] == 0
    assert client(flight_standin).training_set(SPINE.to_pandas().head(0), feature_set="late").to_pandas().empty


def test_a_failure_is_told_with_its_details(flight_standin: standins.Flight) -> None:
    message = "could not read feature set 'lat'"
    details = standins.details(5, message, "NOT_FOUND", "did you mean 'late'?", {"feature_set": "no such set"})
    large = pa.table({"k": pa.array(range(3_000_000))})
    for spine in (SPINE, large):
        flight_standin.refuse = [flight.FlightServerError(message, extra_info=details)]
        with pytest.raises(hitherto.NotFound) as caught:
            client(flight_standin).training_set(spine, feature_set="lat")
        assert (str(caught.value), caught.value.violations) == (f"{message}\nhint: did you mean 'late'?", [("feature_set", "no such set")])


def test_a_failure_of_a_server_in_rust_is_told_with_its_details(grpc_standin: standins.Grpc) -> None:
    """It sends no headers of Arrow's, and pyarrow reads nothing else."""
    message = "other rows had this id"
    details = standins.details(10, message, "CONFLICT", "choose another")
    refuse = standins.Refuse(grpc.StatusCode.ABORTED, message, details)

    def answer(_: bytes) -> Any:
        raise refuse

    grpc_standin.answers["/arrow.flight.protocol.FlightService/DoExchange"] = answer
    asking = hitherto.Client(grpc_standin.address, retry=QUICK)
    with pytest.raises(hitherto.Conflict, match=f"^{message}\nhint: choose another$"):
        asking.training_set(SPINE, feature_set="late")
    refuse.trailer = None
    with pytest.raises(hitherto.Error, match=f"^{message}$"):
        asking.training_set(SPINE, feature_set="late")
    refuse.code = grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(hitherto.InvalidArgument, match=f"^{message}$"):
        asking.training_set(SPINE, feature_set="late")


def test_only_a_spine_that_is_there_again_is_sent_again(flight_standin: standins.Flight) -> None:
    down = flight.FlightUnavailableError("down")
    flight_standin.refuse = [down, down]
    assert client(flight_standin).training_set(SPINE, feature_set="late").to_arrow().num_rows == 3
    assert len(flight_standin.commands) == 3
    flight_standin.refuse = [down]
    with pytest.raises(hitherto.Unavailable, match="down"):
        client(flight_standin).training_set(SPINE.to_reader(), feature_set="late")
    assert len(flight_standin.commands) == 4


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda spine: spine.select([1, 0]), "begins with the columns"),
        (lambda spine: spine.set_column(3, "size", pa.array(["s", "xl", "m"])), "has values that the spine's has not"),
        (lambda spine: spine.set_column(4, "late", pa.array(["a", "b", "c"])), "could not turn the column 'late'"),
    ],
)
def test_an_answer_that_is_not_the_spines_is_refused(flight_standin: standins.Flight, answer: Any, reason: str) -> None:
    flight_standin.answer = answer
    with pytest.raises(hitherto.Internal, match=reason):
        client(flight_standin).training_set(SPINE, feature_set="late").to_arrow()


def test_progress_is_told_to_whoever_asks(flight_standin: standins.Flight) -> None:
    told: list[hitherto.Progress] = []
    client(flight_standin).training_set(SPINE, feature_set="late", progress=told.append).to_arrow()
    assert told[0] == ("sending", 3, None) and told[1] == ("reading", 5, 10)
    assert told[2] == ("receiving", 3, 3) and told[-1].stage == "done"
    assert flight_standin.commands[0]["progress"] is True


@pytest.mark.parametrize("stage", ["sending", "reading", "receiving", "done"])
def test_who_is_told_may_end_it(flight_standin: standins.Flight, stage: str) -> None:
    told: list[str] = []

    def tell(progress: hitherto.Progress) -> None:
        told.append(progress.stage)
        if progress.stage == stage:
            raise RuntimeError("enough")

    rows = pa.table({"k": pa.array(range(1_000_000))})
    # what the other direction raises is told by this one
    with pytest.raises(RuntimeError, match="enough"):
        client(flight_standin).training_set(rows, feature_set="late", progress=tell).to_arrow()
    assert stage in told
    assert "hitherto-spine" not in [thread.name for thread in threading.enumerate()]


def test_who_is_told_may_close_it(flight_standin: standins.Flight) -> None:
    told: list[str] = []
    opened: list[hitherto.TrainingSet] = []

    def tell(progress: hitherto.Progress) -> None:
        told.append(progress.stage)
        if progress.stage == "receiving" and told.count("receiving") == 2:
            opened[0].close()

    rows = pa.table({"k": pa.array(range(1_000_000))})
    opened.append(client(flight_standin).training_set(rows, feature_set="late", progress=tell))
    with pytest.raises((hitherto.Error, pa.ArrowException)):
        opened[0].to_arrow()
    assert told[-1] == "done" and told.count("done") == 1
    assert "hitherto-spine" not in [thread.name for thread in threading.enumerate()]


def test_rows_end_with_who_has_them() -> None:
    ended: list[str] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from pa.table({"k": [1, 2]}).to_batches(max_chunksize=1)
        finally:
            ended.append("stream")

    schema = pa.schema([pa.field("k", pa.int64())])
    with hitherto.rows.Rows(schema, batches(), lambda: ended.append("call")) as rows:
        assert next(rows.batches()).num_rows == 1
        assert ended == []
    assert ended == ["stream", "call"]


def test_an_existing_set_is_fetched(flight_standin: standins.Flight, grpc_standin: standins.Grpc) -> None:
    from hitherto.v1 import training_sets_pb2

    client(flight_standin).training_set(SPINE, feature_set="late").to_arrow()
    sent = training_sets_pb2.Dataset(id="ab12", manifest=json.dumps({"id": "ab12", "rows": 3}))
    grpc_standin.answers["/hitherto.v1.TrainingSets/Get"] = lambda _: sent
    asking = client(flight_standin)
    with hitherto.Client(grpc_standin.address) as other:
        asking._open = other._open
        flights = asking.dataset("nightly")
        assert flights.dataset_id == "ab12"
        assert flights.to_arrow().column_names == [*SPINE.schema.names, *ADDED]
    request = training_sets_pb2.GetTrainingSetRequest.FromString(grpc_standin.calls[0][1])
    assert (request.dataset, flight_standin.fetched) == ("nightly", [b'{"dataset": "ab12"}'])


def test_splits_are_as_manifests_have_them() -> None:
    split = hitherto.Split.by_key(train=8, test=2, columns=["tailnum"])
    assert split.to_json() == {"by": "key", "columns": ["tailnum"], "weights": [8, 0, 2]}
    assert hitherto.Split.by_time("2013-06-01").to_json() == {"by": "time", "train_end": "2013-06-01"}
    with pytest.raises(hitherto.InvalidArgument, match=r"write columns=\['tailnum'\]"):
        hitherto.Split.by_key(train=1, columns="tailnum")
