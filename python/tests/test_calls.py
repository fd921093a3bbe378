"""Calls over gRPC: what goes with them, how their failures look, which are tried again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pyarrow as pa
import pytest
import standins
from standins import Refuse

import hitherto
from hitherto import columns
from hitherto.v1 import common_pb2, ingest_pb2, models_pb2, online_features_pb2, registry_pb2

QUICK = hitherto.Retry(attempts=3, first=0.001)
GET_FEATURES = "/hitherto.v1.OnlineFeatures/GetFeatures"
PUSH = "/hitherto.v1.Ingest/Push"
PUSH_STREAM = "/hitherto.v1.Ingest/PushStream"
DESCRIBE_VIEW = "/hitherto.v1.Registry/DescribeFeatureView"
APPLY = "/hitherto.v1.Registry/Apply"
ENTITIES = {"tailnum": ["N1", "N2", "N3"]}


def client(server: standins.Grpc, **options: Any) -> hitherto.Client:
    return hitherto.Client(server.address, **{"retry": QUICK, "timeout": 20.0} | options)


def failing(*failures: Refuse | Any) -> Any:
    """Answers each call with the next of `failures`, the last again and again."""
    left = list(failures)

    def answer(_: bytes) -> Any:
        now = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(now, Refuse):
            raise now
        return now

    return answer


def features_of(rows: int) -> online_features_pb2.GetFeaturesResponse:
    """One feature of each status and a transform, for three rows."""
    v1 = online_features_pb2
    gust = columns.send(pa.table({"gust": pa.array([21.5, None, None], pa.float32())}))[0]
    gusty = columns.send(pa.table({"is_gusty": pa.array([False, None, True])}))[0]
    return v1.GetFeaturesResponse(
        columns=[
            v1.FeatureColumn(column=gust, statuses=[v1.PRESENT, v1.NULL_VALUE, v1.OUTSIDE_MAX_AGE], view=0),
            v1.FeatureColumn(column=gusty, statuses=[v1.PRESENT, v1.NULL_VALUE, v1.PRESENT]),
        ],
        views=[
            v1.ViewAnswer(
                name="weather",
                version=2,
                alias="weather",
                event_times_us=[1_000_000, 2_000_000, 0],
                event_time_validity=[True, True, False],
                watermark=v1.Watermark(sequence=7, clock_us=5, lag_us=1_500_000),
            )
        ],
        feature_set=v1.FeatureSetVersion(name="late", version=3, hash="ab"),
        model=v1.ModelPin(name="flights", version=4, alias="champion"),
        clock_us=3_000_000,
        rows=rows,
    )


def test_features_are_typed_columns(grpc_standin: standins.Grpc) -> None:
    grpc_standin.answers[GET_FEATURES] = lambda _: features_of(3)
    with client(grpc_standin, token="secret") as asking:
        found = asking.get_features(ENTITIES, model="flights@champion", routing_key="u7")
    (name, request, metadata) = grpc_standin.calls[0]
    asked = online_features_pb2.GetFeaturesRequest.FromString(request)
    assert (name, asked.model, asked.routing_key, asked.include_event_times) == ("GetFeatures", "flights@champion", "u7", True)
    assert [column.name for column in asked.entities] == ["tailnum"]
    assert metadata["authorization"] == "Bearer secret"

    assert found.names == ["gust", "is_gusty"]
    assert found["gust"].values.equals(pa.array([21.5, None, None], pa.float32()))
    assert found["gust"].statuses == ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE"]
    assert found["gust"].event_times is not None
    assert found["gust"].event_times.cast(pa.int64()).to_pylist() == [1_000_000, 2_000_000, None]
    assert found["gust"].view is not None and found["gust"].view.lag is not None
    assert (found["gust"].view.name, found["gust"].view.version, found["gust"].view.lag.total_seconds()) == ("weather", 2, 1.5)
    assert (found["is_gusty"].view, found["is_gusty"].event_times) == (None, None)
    assert (found.feature_set, found.model) == (("late", 3, "ab"), ("flights", 4, "champion"))
    assert found.clock.isoformat() == "1970-01-01T00:00:03+00:00"
    assert repr(found) == "<Features: 3 rows, 2 columns, late@3 for flights@4>"
    assert found.to_dicts()[0] == {"gust": 21.5, "is_gusty": False}
    assert found.to_arrow(statuses=True, event_times=True).column_names == [
        "gust",
        "gust__status",
        "gust__event_time",
        "is_gusty",
        "is_gusty__status",
    ]
    assert found.to_pandas(statuses=True)["gust__status"].to_list() == ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE"]
    assert found.to_polars()["is_gusty"].to_list() == [False, None, True]


def test_an_answer_that_contradicts_itself_is_refused(grpc_standin: standins.Grpc) -> None:
    grpc_standin.answers[GET_FEATURES] = lambda _: features_of(4)
    with client(grpc_standin) as asking, pytest.raises(hitherto.Internal, match="has 4 rows, and its column 'gust' has 3"):
        asking.get_features(ENTITIES, feature_set="late")


def test_exactly_one_consumer_is_named(grpc_standin: standins.Grpc) -> None:
    with client(grpc_standin) as asking:
        for both in ({}, {"feature_set": "a", "model": "b"}):
            with pytest.raises(hitherto.InvalidArgument, match="either a feature_set or a model"):
                asking.get_features(ENTITIES, **both)  # type: ignore[arg-type]
    assert grpc_standin.calls == []


def test_a_failure_is_an_exception_with_reason_and_hint(grpc_standin: standins.Grpc) -> None:
    message = "could not read feature set 'lat'"
    trailer = standins.details(5, message, "NOT_FOUND", "did you mean 'late'?", {"feature_set": "no such set"})
    grpc_standin.answers[GET_FEATURES] = failing(Refuse(grpc.StatusCode.NOT_FOUND, message, trailer))
    with client(grpc_standin) as asking, pytest.raises(hitherto.NotFound) as caught:
        asking.get_features(ENTITIES, feature_set="lat")
    error = caught.value
    assert (error.reason, error.message, error.hint) == ("NOT_FOUND", message, "did you mean 'late'?")
    assert error.violations == [("feature_set", "no such set")]
    assert str(error) == f"{message}\nhint: did you mean 'late'?"
    assert len(grpc_standin.calls) == 1, "what is not there is not asked for again"


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (grpc.StatusCode.NOT_FOUND, hitherto.NotFound, "NOT_FOUND"),
        (grpc.StatusCode.ALREADY_EXISTS, hitherto.AlreadyExists, "ALREADY_EXISTS"),
        (grpc.StatusCode.INVALID_ARGUMENT, hitherto.InvalidArgument, "INVALID_ARGUMENT"),
        (grpc.StatusCode.ABORTED, hitherto.Conflict, "CONFLICT"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, hitherto.Exhausted, "EXHAUSTED"),
        (grpc.StatusCode.UNIMPLEMENTED, hitherto.Unsupported, "UNSUPPORTED"),
        (grpc.StatusCode.INTERNAL, hitherto.Internal, "INTERNAL"),
        (grpc.StatusCode.DATA_LOSS, hitherto.Internal, "INTERNAL"),
        (grpc.StatusCode.UNAUTHENTICATED, hitherto.Unauthenticated, "UNAUTHENTICATED"),
        (grpc.StatusCode.PERMISSION_DENIED, hitherto.PermissionDenied, "PERMISSION_DENIED"),
    ],
)
@pytest.mark.parametrize("trailer", [None, b"\xff no status"])
def test_a_plain_status_has_a_kind_as_well(
    grpc_standin: standins.Grpc, code: grpc.StatusCode, kind: type[hitherto.Error], reason: str, trailer: bytes | None
) -> None:
    grpc_standin.answers[GET_FEATURES] = failing(Refuse(code, "no", trailer))
    with client(grpc_standin) as asking, pytest.raises(kind, match="^no$") as caught:
        asking.get_features(ENTITIES, feature_set="late")
    assert (type(caught.value), caught.value.reason) == (kind, reason)


def test_who_cannot_be_reached_is_asked_again_by_reads_alone(grpc_standin: standins.Grpc) -> None:
    down = Refuse(grpc.StatusCode.UNAVAILABLE, "down")
    grpc_standin.answers[GET_FEATURES] = failing(down, down, features_of(3))
    grpc_standin.answers[APPLY] = failing(down, registry_pb2.ApplyResponse())
    with client(grpc_standin) as asking:
        assert asking.get_features(ENTITIES, feature_set="late").rows == 3
        assert len(grpc_standin.calls) == 3
        with pytest.raises(hitherto.Unavailable, match="down"):
            asking.apply("kind: entity\nname: a\n")
        assert len(grpc_standin.calls) == 4
        grpc_standin.answers[GET_FEATURES] = failing(down)
        with pytest.raises(hitherto.Unavailable):
            asking.get_features(ENTITIES, feature_set="late")
        assert len(grpc_standin.calls) == 7, "three attempts"


def test_the_server_says_how_long_to_wait(grpc_standin: standins.Grpc) -> None:
    trailer = standins.details(14, "soon", "UNAVAILABLE", retry=0.2)
    grpc_standin.answers[GET_FEATURES] = failing(Refuse(grpc.StatusCode.UNAVAILABLE, "soon", trailer), features_of(3))
    began = time.monotonic()
    with client(grpc_standin) as asking:
        asking.get_features(ENTITIES, feature_set="late")
        assert time.monotonic() - began >= 0.2
        # and one that would have to wait longer than it may is told at once
        grpc_standin.answers[GET_FEATURES] = failing(Refuse(grpc.StatusCode.UNAVAILABLE, "soon", trailer))
        with pytest.raises(hitherto.Unavailable, match="soon"):
            asking.get_features(ENTITIES, feature_set="late", timeout=0.19)


def test_a_timeout_is_for_all_attempts(grpc_standin: standins.Grpc) -> None:
    import threading

    leave = threading.Event()

    def never(_: bytes) -> Any:
        leave.wait(20)
        return features_of(3)

    grpc_standin.answers[GET_FEATURES] = never
    with client(grpc_standin) as asking:
        with pytest.raises(TimeoutError) as caught:
            asking.get_features(ENTITIES, feature_set="late", timeout=0.05)
        leave.set()
    assert isinstance(caught.value, hitherto.Timeout)
    assert len(grpc_standin.calls) == 1


def test_pushes_are_tried_again_with_a_batch_id_alone(grpc_standin: standins.Grpc) -> None:
    down = Refuse(grpc.StatusCode.UNAVAILABLE, "down")
    rows = {"k": ["a"], "event_timestamp": pa.array([1001], pa.timestamp("ns"))}
    done = ingest_pb2.PushResponse(rows=1, first_sequence=7, last_sequence=7, online_rows=1)
    with client(grpc_standin) as asking:
        grpc_standin.answers[PUSH] = failing(down, done)
        with pytest.raises(hitherto.Unavailable):
            asking.push("legs", rows)
        grpc_standin.answers[PUSH] = failing(down, done)
        pushed = asking.push("legs", rows, batch_id="b1", to="offline")
    assert (pushed.rows, pushed.batches, pushed.first_sequence, pushed.online_rows) == (1, 1, 7, 1)
    sent = [ingest_pb2.PushRequest.FromString(request) for _, request, _ in grpc_standin.calls]
    assert [message.batch_id for message in sent] == ["", "b1", "b1"]
    assert [message.destination for message in sent] == [ingest_pb2.DESTINATION_BOTH, *[ingest_pb2.DESTINATION_OFFLINE] * 2]
    assert list(sent[0].columns[1].values.timestamps_us.values) == [2], "later, never too early"


def test_only_a_views_times_are_rounded(grpc_standin: standins.Grpc) -> None:
    nanos = pa.array([1001], pa.timestamp("ns"))
    view = registry_pb2.FeatureView(name="legs", event_timestamp="landed")
    grpc_standin.answers[DESCRIBE_VIEW] = lambda _: view
    grpc_standin.answers[PUSH] = lambda _: ingest_pb2.PushResponse(rows=1)

    async def push() -> None:
        async with hitherto.AsyncClient(grpc_standin.address) as asking:
            await asking.push("legs", {"k": ["a"], "landed": nanos})

    with client(grpc_standin) as asking:
        asking.push("legs", {"k": ["a"], "landed": nanos})
        asyncio.run(push())
        assert [call for call, _, _ in grpc_standin.calls] == ["DescribeFeatureView", "Push"] * 2
        for _, request, _ in grpc_standin.calls[1::2]:
            assert list(ingest_pb2.PushRequest.FromString(request).columns[1].values.timestamps_us.values) == [2]
        # a feature is what it was, or it is refused
        with pytest.raises(hitherto.InvalidArgument, match="could not send the column 'seen'"):
            asking.push("legs", {"k": ["a"], "landed": nanos, "seen": nanos})
        grpc_standin.calls.clear()
        asking.push("legs", {"k": ["a"], "event_timestamp": nanos, "seen": pa.array([1000], pa.timestamp("ns"))})
        assert [call for call, _, _ in grpc_standin.calls] == ["Push"]


def test_many_rows_are_pushed_in_batches_that_the_rows_decide(grpc_standin: standins.Grpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hitherto.pushes.ROWS", 4)
    monkeypatch.setattr("hitherto.pushes.BYTES_MAX", 500)
    seen: list[tuple[str, int]] = []

    def take(request: bytes) -> Any:
        message = ingest_pb2.PushRequest.FromString(request)
        rows = len(message.columns[0].values.strings.values)
        seen.append((message.batch_id, rows))
        first = sum(rows for _, rows in seen[:-1])
        return ingest_pb2.PushResponse(rows=rows, already=len(seen) == 1, first_sequence=first, last_sequence=first + rows - 1)

    grpc_standin.answers[PUSH] = take
    table = pa.table({"k": ["x" * 10] * 4 + ["y" * 200] * 3 + ["z"]})
    with client(grpc_standin) as asking:
        pushed = asking.push("legs", table, batch_id="b")
        assert seen == [("b", 4), ("b.2", 2), ("b.3", 2)]
        assert (pushed.rows, pushed.already, pushed.batches, pushed.first_sequence, pushed.last_sequence) == (8, 4, 3, 0, 7)
        seen.clear()
        # other buffers, the same rows: the same batches
        asking.push("legs", pa.concat_tables([table.slice(0, 3), table.slice(3)]), batch_id="b")
        assert seen == [("b", 4), ("b.2", 2), ("b.3", 2)]
        with pytest.raises(hitherto.InvalidArgument, match="which no message holds"):
            asking.push("legs", {"k": ["x" * 600]})
        with pytest.raises(hitherto.InvalidArgument, match="there are no rows"):
            asking.push("legs", table.slice(0, 0))


def test_a_stream_gives_what_became_of_each_batch(grpc_standin: standins.Grpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hitherto.pushes.ROWS", 2)

    def take(request: bytes) -> Any:
        message = ingest_pb2.PushRequest.FromString(request)
        rows = len(message.columns[0].values.strings.values)
        if message.batch_id == "bad":
            trailer = standins.details(9, "the id was used before", "CONFLICT", hint="use another")
            return ingest_pb2.PushResponse(error=ingest_pb2.PushError(code=10, message="the id was used before", details=trailer))
        return ingest_pb2.PushResponse(rows=rows, first_sequence=5, last_sequence=5 + rows - 1)

    grpc_standin.answers[PUSH_STREAM] = take
    batches: list[Any] = [{"k": ["a", "b", "c"]}, ({"k": ["d"]}, "bad"), {"k": []}, ({"k": ["e"]}, "good")]
    with client(grpc_standin) as asking:
        told = list(asking.push_stream("legs", batches, to="offline"))
        assert [type(one).__name__ for one in told] == ["Pushed", "Conflict", "InvalidArgument", "Pushed"]
        first, refused, empty, last = told
        assert isinstance(first, hitherto.Pushed) and (first.rows, first.batches) == (3, 2)
        assert isinstance(refused, hitherto.Conflict) and refused.hint == "use another"
        assert "there are no rows" in str(empty)
        assert isinstance(last, hitherto.Pushed) and last.rows == 1
        sent = [ingest_pb2.PushRequest.FromString(request) for _, request, _ in grpc_standin.calls]
        assert [message.batch_id for message in sent] == ["", "", "bad", "good"]
        assert {message.destination for message in sent} == {ingest_pb2.DESTINATION_OFFLINE}

        def broken() -> Iterator[Any]:
            yield {"k": ["a"]}
            raise RuntimeError("no more")

        stream = asking.push_stream("legs", broken())
        assert isinstance(next(stream), hitherto.Pushed)
        with pytest.raises(RuntimeError, match="no more"):
            next(stream)
        grpc_standin.answers[PUSH_STREAM] = failing(Refuse(grpc.StatusCode.UNAVAILABLE, "the server stops"))
        with pytest.raises(hitherto.Unavailable, match="the server stops"):
            list(asking.push_stream("legs", [{"k": ["a"]}]))


def test_a_push_that_fails_midway_says_what_was_taken(grpc_standin: standins.Grpc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hitherto.pushes.ROWS", 2)
    full = Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk is full")
    grpc_standin.answers[PUSH] = failing(ingest_pb2.PushResponse(rows=2), full)
    with client(grpc_standin) as asking, pytest.raises(hitherto.Exhausted) as caught:
        asking.push("legs", {"k": ["a", "b", "c"]})
    assert caught.value.__notes__ == ["2 rows before were taken, in 1 batches"]


def test_models_are_registered_and_aliases_moved(grpc_standin: standins.Grpc) -> None:
    version = models_pb2.ModelVersion(
        name="late", version=2, feature_set=common_pb2.VersionedName(name="set", version=1), dataset="ab", registered_at_us=1
    )
    share = models_pb2.TrafficShare(version=2, weight=9)
    alias = models_pb2.ModelAlias(model="late", alias="champion", version=2, moved_at_us=2, split=[share])
    service = "/hitherto.v1.Models/"
    grpc_standin.answers = {
        f"{service}Register": lambda _: version,
        f"{service}Get": lambda _: version,
        f"{service}List": lambda _: models_pb2.ListModelsResponse(models=[version]),
        f"{service}MoveAlias": lambda _: alias,
        f"{service}ListAliases": lambda _: models_pb2.ListAliasesResponse(aliases=[alias]),
    }
    with client(grpc_standin) as asking:
        model = asking.models.register("late", dataset="ab", tags={"run": "7"})
        assert (str(model), model.feature_set, model.dataset) == ("late@2", "set@1", "ab")
        assert asking.models.get("late@champion") == model and asking.models.versions() == [model]
        moved = asking.models.move_alias(model, "champion", expected=0)
        assert (moved.version, moved.split, moved.shadow) == (2, {2: 9}, None)
        assert asking.models.aliases("late") == {"late@champion": moved}
        with pytest.raises(hitherto.InvalidArgument, match="which version of 'late'"):
            asking.models.move_alias("late", "champion")
        with pytest.raises(hitherto.InvalidArgument, match="what was 'late' trained on"):
            asking.models.register("late")
    register = models_pb2.RegisterModelRequest.FromString(grpc_standin.calls[0][1])
    assert (register.dataset, dict(register.tags), register.HasField("feature_set")) == ("ab", {"run": "7"}, False)
    move = models_pb2.MoveAliasRequest.FromString(grpc_standin.calls[3][1])
    assert (move.model, move.version, move.HasField("expected_version"), move.expected_version) == ("late", 2, True, 0)


def test_plans_say_what_changes(grpc_standin: standins.Grpc) -> None:
    v1 = registry_pb2
    change = v1.Change(
        action=v1.ACTION_NEW_VERSION,
        kind=v1.DEFINITION_KIND_FEATURE_VIEW,
        name="weather",
        version=2,
        previous=1,
        details=["ttl: 6h becomes 3h"],
    )
    grpc_standin.answers["/hitherto.v1.Registry/Plan"] = lambda _: v1.PlanResponse(changes=[change], revision=9)
    with client(grpc_standin) as asking:
        plan = asking.plan(hitherto.Entity("a", {"k": "string"}), allow_new_table=True)
    assert str(plan) == "feature view weather@2: new version; ttl: 6h becomes 3h"
    assert (plan.revision, plan.is_empty, plan.changes[0].previous, plan.changes[0].new_table) == (9, False, 1, None)
    assert v1.PlanRequest.FromString(grpc_standin.calls[0][1]).allow_new_table


def test_the_async_client_does_the_same(grpc_standin: standins.Grpc) -> None:
    down = Refuse(grpc.StatusCode.UNAVAILABLE, "down")
    grpc_standin.answers[GET_FEATURES] = failing(down, features_of(3))
    grpc_standin.answers[PUSH] = failing(Refuse(grpc.StatusCode.ABORTED, "other rows", standins.details(10, "other rows", "CONFLICT")))

    async def ask() -> None:
        async with hitherto.AsyncClient(grpc_standin.address, "secret", retry=QUICK) as asking:
            several = [asking.get_features(ENTITIES, feature_set="late") for _ in range(3)]
            for found in await asyncio.gather(*several):
                assert found.to_dicts()[0] == {"gust": 21.5, "is_gusty": False}
            with pytest.raises(hitherto.Conflict, match="other rows"):
                await asking.push("legs", {"k": ["a"]}, batch_id="b")
        with pytest.raises(hitherto.InvalidArgument, match="is closed"):
            await asking.get_features(ENTITIES, feature_set="late")

    asyncio.run(ask())
    assert [name for name, _, _ in grpc_standin.calls] == ["GetFeatures"] * 4 + ["Push"]
    assert all(metadata["authorization"] == "Bearer secret" for _, _, metadata in grpc_standin.calls)


def test_a_closed_client_says_so(grpc_standin: standins.Grpc) -> None:
    asking = client(grpc_standin)
    asking.close()
    asking.close()
    with pytest.raises(hitherto.InvalidArgument, match="the client is closed"):
        asking.get_features(ENTITIES, feature_set="late")


def test_nobody_there_is_unavailable() -> None:
    with hitherto.Client("127.0.0.1:1", retry=QUICK) as asking:
        with pytest.raises(hitherto.Unavailable):
            asking.get_features(ENTITIES, feature_set="late")
        with pytest.raises(hitherto.Unavailable):
            asking.training_set(pa.table(ENTITIES), feature_set="late")
        with pytest.raises(hitherto.Unavailable):
            asking.sql("select 1")
