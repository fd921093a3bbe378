"""The client against the server, over gRPC."""

from __future__ import annotations

import asyncio
import datetime
import pathlib
from collections.abc import Iterator

import pandas
import polars
import pyarrow as pa
import pytest
import served

import hitherto
from hitherto import Entity, Feature, FeatureSet, FeatureView, Transform

pytestmark = pytest.mark.server

UTC = datetime.UTC
NOW = datetime.datetime.now(UTC).replace(microsecond=0)
DEFINITIONS = [
    Entity("rider", {"rider": "string", "city": "int64"}, description="who rides: in a city"),
    FeatureView(
        "rides",
        entity="rider",
        features={
            "fare": "float64",
            "trips": "int32",
            "note": Feature("string", description="as it was given, \"quotes\" and: colons"),
            "paid": "bool",
            "first_ride": "timestamp",
            "birthday": "date",
            "tips": "list<int64>",
            "taste": "vector<float32, 2>",
        },
        created_timestamp="created_timestamp",
        ttl="365d",
    ),
    FeatureSet(
        "ride_features",
        ["rides:*"],
        request={"distance": "float64"},
        transforms=[Transform("fare_per_mile", "rides__fare / distance")],
    ),
]


def rides(rows: int = 2, minutes: int = 10) -> pa.Table:
    """The latest rides of riders in a city, known when they ended."""
    at = NOW - datetime.timedelta(minutes=minutes)
    return pa.table(
        {
            "rider": [f"r{row}" for row in range(rows)],
            "city": pa.array([7] * rows, pa.int32()),
            "event_timestamp": pa.array([at] * rows, pa.timestamp("ns", "Europe/Berlin")),
            "created_timestamp": pa.array([at] * rows, pa.timestamp("ms", "UTC")),
            "fare": pa.array([float(minutes)] * rows),
            "trips": pa.array([None, *[3] * (rows - 1)], pa.int32()),
            "note": pa.array(["née"] * rows).dictionary_encode(),
            "paid": pa.array([True] * rows),
            "first_ride": pa.array([at] * rows, pa.timestamp("us", "UTC")),
            "birthday": pa.array([datetime.date(1969, 12, 31)] * rows),
            "tips": pa.array([[1, None, 3]] * rows),
            "taste": pa.array([[0.5, -1.0]] * rows, pa.list_(pa.float32(), 2)),
        }
    )


@pytest.fixture(scope="module")
def client(place: served.Place) -> Iterator[hitherto.Client]:
    with hitherto.Client(place.address) as client:
        client.apply(DEFINITIONS)
        yield client


def test_definitions_are_planned_applied_and_then_known(client: hitherto.Client, tmp_path: pathlib.Path) -> None:
    extra = Entity("depot", {"depot": "bytes"}, tags={"owner": "ops"})
    plan = client.plan(extra)
    assert [(change.action, change.kind, change.name, change.version, change.previous) for change in plan.changes] == [
        ("create", "entity", "depot", 1, None)
    ]
    assert client.plan(extra).revision == plan.revision, "a plan changes nothing"
    (tmp_path / "depot.yaml").write_text(extra.to_yaml())
    applied = client.apply(tmp_path)
    assert applied.changes == plan.changes and applied.revision > plan.revision
    assert client.plan(extra).is_empty and client.apply([extra.to_yaml(), *DEFINITIONS]).is_empty


def test_every_problem_of_definitions_is_told_with_its_place(client: hitherto.Client) -> None:
    wrong = FeatureView("broken", entity="nobody", features={"x": "decimal"})
    with pytest.raises(hitherto.InvalidArgument) as caught:
        client.plan(wrong)
    assert [violation.field.startswith("FeatureView('broken'):") for violation in caught.value.violations] == [True] * len(
        caught.value.violations
    )
    assert len(caught.value.violations) >= 1 and "decimal" in str(caught.value)


def test_pushed_rows_are_served_with_their_types(client: hitherto.Client) -> None:
    pushed = client.push("rides", rides(), batch_id="two")
    assert (pushed.rows, pushed.already, pushed.online_rows) == (2, 0, 2)
    again = client.push("rides", rides(), batch_id="two")
    assert (again.rows, again.already, again.first_sequence) == (2, 2, None)
    with pytest.raises(hitherto.Conflict):
        client.push("rides", rides(minutes=5), batch_id="two")

    entities = {"rider": ["r0", "none", "r1"], "city": [7, 7, 7]}
    found = client.get_features(entities, feature_set="ride_features", request_fields={"distance": [4.0, 4.0, 0.5]})
    assert found.feature_set[:2] == ("ride_features", 1) and found.model is None and found.rows == 3
    table = found.to_arrow()
    expected = rides()
    for name in ("fare", "trips", "note", "paid", "first_ride", "birthday", "tips", "taste"):
        values = expected.column(name).to_pylist()
        assert table.column(f"rides__{name}").to_pylist() == [values[0], None, values[1]], name
    assert found["rides__trips"].statuses == ["NULL_VALUE", "NOT_FOUND", "PRESENT"]
    assert found["rides__taste"].type == "vector<float32, 2>" and found["rides__birthday"].values.type == pa.date32()
    assert found["fare_per_mile"].values.to_pylist() == [2.5, None, 20.0]
    times = found["rides__fare"].event_times
    assert times is not None and times.to_pylist() == [NOW - datetime.timedelta(minutes=10), None, NOW - datetime.timedelta(minutes=10)]

    def lag() -> datetime.timedelta | None:
        return client.get_features(entities, feature_set="ride_features", request_fields={"distance": [1.0] * 3}).views[0].lag

    assert served.until("the view's marks are online", lag) >= datetime.timedelta(0)
    bare = client.get_features(entities, feature_set="ride_features@1", request_fields={"distance": [1.0] * 3}, event_times=False)
    assert bare["rides__fare"].event_times is None


def test_batches_of_a_stream_are_kept_one_by_one(client: hitherto.Client) -> None:
    batches = [(rides(minutes=30 + number), f"streamed {number}") for number in range(200)]
    told = list(client.push_stream("rides", [*batches, rides().drop_columns(["fare"]), batches[0]]))
    pushed = [one for one in told[:200] if isinstance(one, hitherto.Pushed)]
    firsts = [one.first_sequence for one in pushed]
    assert len(firsts) == 200 and None not in firsts and firsts == sorted(firsts, key=int), "their order is the order in history"
    assert isinstance(told[200], hitherto.InvalidArgument) and "fare" in told[200].message
    repeated = told[201]
    assert isinstance(repeated, hitherto.Pushed) and (repeated.rows, repeated.already, repeated.first_sequence) == (2, 2, None)


def test_frames_of_pandas_and_polars_are_pushed_and_asked_for(client: hitherto.Client) -> None:
    client.push("rides", rides(3, minutes=4).to_pandas(types_mapper=pandas.ArrowDtype), to="both")
    client.push("rides", polars.from_arrow(rides(3, minutes=3)), batch_id="polars")
    riders = pandas.DataFrame({"rider": ["r1", "r2"], "city": [7, 7]}).set_index("rider")
    distance = polars.DataFrame({"distance": [1.0, 2.0]})
    found = client.get_features(riders, feature_set="ride_features", request_fields=distance)
    assert found.to_pandas()["rides__fare"].to_list() == [3.0, 3.0]
    assert found.to_polars()["fare_per_mile"].to_list() == [3.0, 1.5]


def test_what_is_wrong_is_told_by_the_server(client: hitherto.Client) -> None:
    with pytest.raises(hitherto.NotFound, match="ride_featurs"):
        client.get_features({"rider": "r0", "city": 7}, feature_set="ride_featurs")
    with pytest.raises(hitherto.InvalidArgument) as caught:
        client.get_features({"rider": "r0"}, feature_set="ride_features", request_fields={"distance": [1.0]})
    assert "city" in caught.value.message
    with pytest.raises(hitherto.InvalidArgument, match="fare"):
        client.push("rides", rides().drop_columns(["fare"]))
    with pytest.raises(hitherto.NotFound):
        client.push("ride", rides())
    with pytest.raises(hitherto.NotFound):
        client.models.get("nobody")


def test_the_async_client_asks_many_at_once(client: hitherto.Client, place: served.Place) -> None:
    client.push("rides", rides(50, minutes=2), batch_id="fifty")

    async def ask() -> list[hitherto.Features]:
        async with hitherto.AsyncClient(place.address) as asking:
            await asking.push("rides", rides(50, minutes=1), batch_id="fifty more")
            request = {"distance": [1.0]}
            calls = [
                asking.get_features({"rider": f"r{row}", "city": 7}, feature_set="ride_features", request_fields=request)
                for row in range(50)
            ]
            return await asyncio.gather(*calls)

    assert [found["rides__fare"].values.to_pylist() for found in asyncio.run(ask())] == [[1.0]] * 50


def test_models_are_registered_served_and_listed(client: hitherto.Client) -> None:
    client.push("rides", rides(), batch_id="for the model")
    first = client.models.register("fares", feature_set="ride_features", tags={"run": "1"})
    second = client.models.register("fares", feature_set_hash=first.feature_set_hash)
    assert (str(first), str(second), first.feature_set, first.dataset) == ("fares@1", "fares@2", "ride_features@1", None)
    assert client.models.versions("fares") == [first, second]
    moved = served.until("the view is online", lambda: moved_to(client, first))
    with pytest.raises(hitherto.Conflict):
        client.models.move_alias(second, "champion", expected=0)
    assert client.models.aliases("fares") == {"fares@champion": moved}
    assert client.models.get("fares@champion") == first
    found = client.get_features({"rider": "r0", "city": 7}, model="fares@champion", request_fields={"distance": 1.0})
    assert found.model == ("fares", 1, "champion")


def moved_to(client: hitherto.Client, model: hitherto.ModelVersion) -> hitherto.Alias | None:
    """The alias `champion`, moved from nowhere; None as long as the follower has not come by."""
    try:
        return client.models.move_alias(model, "champion", expected=0)
    except hitherto.Error as error:
        assert "online" in str(error), error
        return None
