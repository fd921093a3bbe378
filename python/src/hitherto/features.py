"""What `get_features` answers: columns of values, with what is needed to judge them."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from hitherto import columns, frames
from hitherto.errors import Internal, InvalidArgument
from hitherto.v1 import online_features_pb2 as v1

if TYPE_CHECKING:
    import polars


class Status(enum.StrEnum):
    """What a value stands for."""

    PRESENT = "PRESENT"
    """A value."""
    NULL_VALUE = "NULL_VALUE"
    """A row, whose value is null."""
    NOT_FOUND = "NOT_FOUND"
    """No row, or a tombstone."""
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """A row older than the view's ttl; its value is withheld."""


_STATUSES = {
    v1.PRESENT: Status.PRESENT,
    v1.NULL_VALUE: Status.NULL_VALUE,
    v1.NOT_FOUND: Status.NOT_FOUND,
    v1.OUTSIDE_MAX_AGE: Status.OUTSIDE_MAX_AGE,
}


class FeatureSetVersion(NamedTuple):
    """The feature set that answered."""

    name: str
    version: int
    hash: str


class ModelPin(NamedTuple):
    """The model version that answered, and the alias that was asked for, if one was."""

    name: str
    version: int
    alias: str | None


class View(NamedTuple):
    """One view's part in an answer."""

    name: str
    version: int
    alias: str
    """The name under which the feature set uses it."""
    event_times: pa.Array | None
    """Per row, the event time of the view's row (UTC), null where there is none; None where they were not asked for."""
    lag: datetime.timedelta | None
    """How far the online store lags behind history; None where nothing of the view ever reached it."""


class Feature(NamedTuple):
    """A feature or a transform, for every row."""

    name: str
    type: str
    """As definitions write it."""
    values: pa.Array
    """Null wherever the status is not `PRESENT`."""
    statuses: list[Status]
    view: View | None
    """Where it comes from; None for a transform."""

    @property
    def event_times(self) -> pa.Array | None:
        """Per row, how old the value is; None for a transform, and where event times were not asked for."""
        return None if self.view is None else self.view.event_times


class Features:
    """The features of every row that was asked for, in the feature set's order and the rows' order."""

    def __init__(self, features: list[Feature], views: list[View], answer: v1.GetFeaturesResponse) -> None:
        self._features = {feature.name: feature for feature in features}
        self.views = views
        self.rows = answer.rows
        """How many rows were asked for."""
        said = answer.feature_set
        self.feature_set = FeatureSetVersion(said.name, said.version, said.hash)
        self.model: ModelPin | None = None
        if answer.HasField("model"):
            pin = answer.model
            self.model = ModelPin(pin.name, pin.version, pin.alias if pin.HasField("alias") else None)
        self.clock = _EPOCH + datetime.timedelta(microseconds=answer.clock_us)
        """The moment at which this was answered, by the server's clock."""

    @property
    def names(self) -> list[str]:
        """The features' names, in the feature set's order, then its transforms'."""
        return list(self._features)

    def __getitem__(self, name: str) -> Feature:
        return self._features[name]

    def __iter__(self) -> Iterator[Feature]:
        return iter(self._features.values())

    def __len__(self) -> int:
        return len(self._features)

    def to_arrow(self, *, statuses: bool = False, event_times: bool = False) -> pa.Table:
        """A column a feature; on request `NAME__status` and `NAME__event_time` behind each."""
        table: dict[str, Any] = {}
        for feature in self:
            table[feature.name] = feature.values
            if statuses:
                table[f"{feature.name}__status"] = pa.array([str(status) for status in feature.statuses], pa.string())
            if event_times and feature.event_times is not None:
                table[f"{feature.name}__event_time"] = feature.event_times
        return pa.table(table)

    def to_pandas(self, *, statuses: bool = False, event_times: bool = False) -> Any:
        """The same as a pandas frame."""
        return self.to_arrow(statuses=statuses, event_times=event_times).to_pandas()

    def to_polars(self, *, statuses: bool = False, event_times: bool = False) -> polars.DataFrame:
        """The same as a Polars frame."""
        import polars

        frame = polars.from_arrow(self.to_arrow(statuses=statuses, event_times=event_times))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_dicts(self, *, statuses: bool = False, event_times: bool = False) -> list[dict[str, Any]]:
        """A dict a row."""
        rows: list[dict[str, Any]] = self.to_arrow(statuses=statuses, event_times=event_times).to_pylist()
        return rows

    def __repr__(self) -> str:
        by = f"{self.feature_set.name}@{self.feature_set.version}"
        if self.model is not None:
            by += f" for {self.model.name}@{self.model.version}"
        return f"<Features: {self.rows} rows, {len(self)} columns, {by}>"


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def request(
    entities: frames.Frame,
    *,
    feature_set: str | None,
    model: str | None,
    request_fields: frames.Frame | None,
    event_times: bool,
    routing_key: str | None,
) -> v1.GetFeaturesRequest:
    """What is asked."""
    consumer = consumer_of(feature_set, model)
    message = v1.GetFeaturesRequest(
        include_event_times=event_times, feature_set=consumer.get("feature_set"), model=consumer.get("model")
    )
    message.entities.extend(columns.send(frames.table_of(entities, "entities")))
    if request_fields is not None:
        fields = frames.table_of(request_fields, "request_fields")
        message.request_fields.extend(columns.send(fields))
    if routing_key is not None:
        message.routing_key = routing_key
    return message


def answer(message: v1.GetFeaturesResponse) -> Features:
    """What is answered."""
    views = [_view(view) for view in message.views]
    features = []
    for column in message.columns:
        values = columns.receive(column.column)
        if len(values) != message.rows or len(column.statuses) != message.rows:
            raise Internal(f"the answer has {message.rows} rows, and its column '{column.column.name}' has {len(values)}")
        statuses = [_STATUSES[status] for status in column.statuses]
        view = views[column.view] if column.HasField("view") else None
        features.append(Feature(column.column.name, column.column.type, values, statuses, view))
    return Features(features, views, message)


def consumer_of(feature_set: str | None, model: str | None) -> dict[str, str]:
    """Which of the two is asked for: exactly one."""
    if (feature_set is None) == (model is None):
        raise InvalidArgument("name either a feature_set or a model: feature_set='late_arrival', or model='late_flights@champion'")
    return {"model": model} if model is not None else {"feature_set": str(feature_set)}


def _view(view: v1.ViewAnswer) -> View:
    times = None
    if view.event_times_us:
        times = pa.array(list(view.event_times_us), pa.int64()).cast(columns.TIME)
        if view.event_time_validity:
            times = pc.if_else(pa.array(list(view.event_time_validity)), times, pa.scalar(None, columns.TIME))
    lag = datetime.timedelta(microseconds=view.watermark.lag_us) if view.HasField("watermark") else None
    return View(view.name, view.version, view.alias, times, lag)
