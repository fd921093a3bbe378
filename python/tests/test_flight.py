"""The client against the server, over Arrow Flight: training sets and SQL."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Iterator

import pandas
import polars
import polars.testing
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pytest
import served

import hitherto

pytestmark = [pytest.mark.server, pytest.mark.flight]

DEPARTURE = datetime.datetime(2013, 7, 10, 18, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def client(demo: served.Place) -> Iterator[hitherto.Client]:
    with hitherto.Client(demo.address) as client:
        yield client


@pytest.fixture(scope="module")
def day(demo: served.Place) -> pa.Table:
    """The spine's flights of one day, in an order of no key and no time."""
    spine = pa.parquet.read_table(demo.folder / "data/spine.parquet")
    start = pa.scalar(DEPARTURE.replace(hour=0), pa.timestamp("us", "UTC"))
    end = pa.scalar(DEPARTURE.replace(hour=23), pa.timestamp("us", "UTC"))
    times = spine.column("event_timestamp")
    chosen = spine.filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end))).replace_schema_metadata(None)
    return chosen.sort_by([("dest", "descending"), ("flight_id", "ascending")])


def test_the_clients_set_is_the_command_lines(client: hitherto.Client, demo: served.Place, day: pa.Table, tmp_path: pathlib.Path) -> None:
    pa.parquet.write_table(day, tmp_path / "day.parquet")
    flags = ["--spine", str(tmp_path / "day.parquet"), "--out", str(tmp_path / "out.parquet"), "--evidence"]
    demo.run("training-set", "--feature-set", "late_arrival", *flags)
    expected = pa.parquet.read_table(tmp_path / "out.parquet")
    flights = client.training_set(day, feature_set="late_arrival", evidence=True)
    table = flights.to_arrow()
    assert table.column_names == expected.column_names and table.num_rows == day.num_rows > 500
    assert table.select(day.column_names).equals(day)
    for name in expected.column_names[day.num_columns :]:
        column = expected.column(name).combine_chunks()
        assert table.column(name).combine_chunks().cast(column.type).equals(column), name
    manifest = flights.manifest
    assert (manifest["id"], manifest["rows"], manifest["mode"]) == (flights.dataset_id, day.num_rows, "knowledge")
    by_model = client.training_set(day, model="late_flights@champion", evidence=True)
    assert by_model.dataset_id == flights.dataset_id


def test_a_path_and_a_frame_are_the_same_spine(client: hitherto.Client, day: pa.Table, tmp_path: pathlib.Path) -> None:
    pa.parquet.write_table(day, tmp_path / "day.parquet")
    pa.csv.write_csv(day, tmp_path / "day.csv")
    expected = client.training_set(day, feature_set="late_arrival")
    for spine in (tmp_path / "day.parquet", day.to_reader(), polars.from_arrow(day)):
        assert client.training_set(spine, feature_set="late_arrival").to_arrow().column("gust").equals(expected.to_arrow().column("gust"))
    from_csv = client.training_set(tmp_path / "day.csv", feature_set="late_arrival").to_arrow()
    assert from_csv.column("flight_id").to_pylist() == day.column("flight_id").to_pylist()
    assert from_csv.column("gust").to_pylist() == expected.to_arrow().column("gust").to_pylist()


def test_types_come_back_as_they_went(client: hitherto.Client, day: pa.Table) -> None:
    frame = day.to_pandas()
    frame["event_timestamp"] = frame["event_timestamp"].astype("datetime64[ns, UTC]").dt.tz_convert("America/New_York")
    frame["carrier"] = pandas.Categorical(frame["carrier"], categories=["ZZ", *sorted(frame["carrier"].unique())], ordered=True)
    frame["weight"] = pandas.array([None, *range(len(frame) - 1)], dtype="Int16")
    frame = frame.set_index(frame["flight_id"].rename("number") * 3)
    back = client.training_set(frame, feature_set="late_arrival").to_pandas()
    pandas.testing.assert_frame_equal(back[list(frame.columns)], frame)
    expected = client.training_set(day, feature_set="late_arrival").to_pandas()
    assert back["aircraft_last_leg__arr_delay"].to_list() == pytest.approx(expected["aircraft_last_leg__arr_delay"].to_list(), nan_ok=True)

    lazy = polars.from_arrow(day)
    assert isinstance(lazy, polars.DataFrame)
    nanos = polars.col("event_timestamp").cast(polars.Datetime("ns", "UTC"))
    spine = lazy.with_columns(polars.col("carrier").cast(polars.Categorical), nanos)
    polars_back = client.training_set(spine, feature_set="late_arrival").to_polars()
    polars.testing.assert_frame_equal(polars_back.select(spine.columns), spine)


def test_batches_stream_and_come_again(client: hitherto.Client, demo: served.Place) -> None:
    flights = client.training_set(demo.folder / "data/spine.parquet", feature_set="late_arrival", name="all_of_them")
    sizes = [batch.num_rows for batch in flights.batches()]
    assert sum(sizes) == 336_776 and len(sizes) > 4
    again = pa.Table.from_batches(list(flights.batches()))
    assert again.column("flight_id").to_pylist() == list(range(336_776))
    existing = client.dataset("all_of_them")
    assert existing.dataset_id == flights.dataset_id and existing.to_arrow().column("gust").equals(again.column("gust"))
    with client.training_set(demo.folder / "data/spine.parquet", feature_set="late_arrival") as left:
        next(left.batches())


def test_a_query_is_a_spine(client: hitherto.Client) -> None:
    query = "select tailnum, 'EWR' as origin, 'UA' as carrier, event_timestamp from aircraft_last_leg where tailnum = 'N14228'"
    flights = client.training_set(sql=query, feature_set="late_arrival", split=hitherto.Split.by_time("2013-07-01"))
    table = flights.to_arrow()
    assert table.column_names[:4] == ["tailnum", "origin", "carrier", "event_timestamp"] and table.num_rows > 100
    assert set(table.column("split").to_pylist()) == {"train", "test"}
    assert flights.manifest["spine"] == query


def test_mode_event_reads_another_leg(client: hitherto.Client, demo: served.Place) -> None:
    column = "aircraft_last_leg__arr_delay"
    spine = demo.folder / "data/spine.parquet"
    known = client.training_set(spine, feature_set="late_arrival").to_arrow().column(column).combine_chunks()
    true = client.training_set(spine, feature_set="late_arrival", mode="event").to_arrow().column(column).combine_chunks()
    same = pc.or_kleene(pc.equal(known, true), pc.and_(known.is_null(), true.is_null()))
    assert known.null_count == 6_660
    assert pc.sum(pc.invert(pc.fill_null(same, False))).as_py() == 3_552, "as the demo says"


def test_failures_say_what_and_why(client: hitherto.Client, day: pa.Table) -> None:
    with pytest.raises(hitherto.NotFound, match="late_arival"):
        client.training_set(day, feature_set="late_arival")
    with pytest.raises(hitherto.InvalidArgument, match="tailnum"):
        client.training_set(day.drop_columns(["tailnum"]), feature_set="late_arrival")
    with pytest.raises(hitherto.InvalidArgument, match="when"):
        client.training_set(day, feature_set="late_arrival", event_timestamp="when")
    with pytest.raises(hitherto.NotFound):
        client.dataset("none_such")
    assert client.training_set(day.slice(0, 0), feature_set="late_arrival").to_arrow().num_rows == 0


def test_progress_is_told(client: hitherto.Client, demo: served.Place) -> None:
    told: list[hitherto.Progress] = []
    client.training_set(demo.folder / "data/spine.parquet", feature_set="late_arrival", fresh=True, progress=told.append).to_arrow()
    assert told[-1].stage == "done" and max(one.done for one in told if one.stage == "receiving") == 336_776
    assert {"sending", "receiving"} <= {one.stage for one in told}


def test_queries_answer_with_rows(client: hitherto.Client, demo: served.Place) -> None:
    table = client.sql("select carrier, count(*) as days from carrier_day group by carrier order by carrier").to_arrow()
    counted = pa.parquet.read_table(demo.folder / "data/carrier_day.parquet").group_by("carrier").aggregate([("carrier", "count")])
    expected = counted.sort_by("carrier")
    assert (table.column("carrier").to_pylist(), table.column("days").to_pylist()) == (
        expected.column("carrier").to_pylist(),
        expected.column("carrier_count").to_pylist(),
    )
    frame = client.sql("select tailnum, arr_delay from aircraft_last_leg where tailnum = 'N14228' order by event_timestamp desc limit 3")
    assert frame.to_pandas()["arr_delay"].to_list() == [5.0, -1.0, -1.0]
    with client.sql("select * from aircraft_last_leg") as rows:
        assert sum(batch.num_rows for batch in rows.batches()) == 327_346
    with client.sql("select * from aircraft_last_leg") as rows:
        next(rows.batches())
    assert client.sql("select 1 as one where false").to_arrow().schema.names == ["one"]


def test_queries_take_values(client: hitherto.Client) -> None:
    one = "select count(*) as n from aircraft_last_leg where tailnum = $1 and event_timestamp < $2"
    before = datetime.datetime(2013, 7, 1, tzinfo=datetime.UTC)
    count = "select count(*) as n from aircraft_last_leg where tailnum = 'N14228'"
    literal = client.sql(f"{count} and event_timestamp < '2013-07-01T00:00:00Z'")
    assert client.sql(one, ["N14228", before]).to_arrow().equals(literal.to_arrow())
    named = "select count(*) as n from aircraft_last_leg where tailnum = $tailnum"
    everything = client.sql(count).to_arrow()
    assert client.sql(named, {"tailnum": "N14228"}).to_arrow().equals(everything)
    injected = client.sql(named, {"tailnum": "x' or '1'='1"}).to_arrow()
    assert injected.column("n").to_pylist() == [0]


def test_queries_that_write_or_are_none_are_refused(client: hitherto.Client) -> None:
    for query in ("drop table weather", "insert into weather select * from weather", "selec 1", "select * from none_such"):
        with pytest.raises(hitherto.Error) as caught:
            client.sql(query)
        assert not isinstance(caught.value, hitherto.Internal), query
