"""Definitions as Python objects, which print to the YAML that a person would write."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from hitherto.errors import InvalidArgument
from hitherto.yaml import Fields, document

Tags: TypeAlias = Mapping[str, str]


class Definition(abc.ABC):
    """What can be applied: `Entity`, `FeatureView`, `FeatureSet` or `Gate`. Prints to its YAML."""

    name: str

    @abc.abstractmethod
    def to_yaml(self) -> str:
        """The document, as it would stand in a file."""

    def __str__(self) -> str:
        return self.to_yaml()


@dataclasses.dataclass(frozen=True)
class Entity(Definition):
    """A kind of thing that features describe."""

    name: str
    join_keys: Mapping[str, str]
    """Join key to type: `int32`, `int64`, `string`, `bytes`, `bool`, `timestamp`."""
    description: str | None = None
    tags: Tags = dataclasses.field(default_factory=dict)

    def to_yaml(self) -> str:
        fields: Fields = {"kind": "entity", "name": self.name, "join_keys": dict(self.join_keys)}
        return document(fields | _notes(self.description, self.tags))


@dataclasses.dataclass(frozen=True)
class Feature:
    """A typed column of a view, where there is more to say of it than its type."""

    type: str
    column: str | None = None
    """The column in the source, where it is not named as the feature."""
    description: str | None = None
    tags: Tags = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FeatureView(Definition):
    """Named features of one or more entities from one source, with one ttl."""

    name: str
    entity: str | Sequence[str]
    """The entity, or several whose join keys together make the entity key."""
    features: Mapping[str, str | Feature]
    """Name to type, or to a `Feature`, in their order."""
    created_timestamp: str | None = None
    """The source's column of when a row was known. Without one, a row is known `source_delay` after its event."""
    event_timestamp: str | None = None
    """The source's column of when a row was true; `event_timestamp` by default."""
    source_delay: str | None = None
    """`10m`, `2h`, …"""
    ttl: str | None = None
    """`2d`, …: how old an event may be and still count."""
    join_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Entity key to column in the source, where the two differ."""
    description: str | None = None
    tags: Tags = dataclasses.field(default_factory=dict)

    def to_yaml(self) -> str:
        fields: Fields = {"kind": "feature_view", "name": self.name}
        if isinstance(self.entity, str):
            fields["entity"] = self.entity
        else:
            fields["entities"] = list(self.entity)
        fields["join_keys"] = dict(self.join_keys) or None
        for name in ("event_timestamp", "created_timestamp", "source_delay", "ttl"):
            fields[name] = getattr(self, name)
        fields |= _notes(self.description, self.tags)
        fields["features"] = {name: _feature(feature) for name, feature in self.features.items()}
        return document(fields, block=("features",))


@dataclasses.dataclass(frozen=True)
class Ref:
    """One feature of a view under another name: `Ref("weather:wind_gust", as_="gust")`."""

    ref: str
    as_: str


@dataclasses.dataclass(frozen=True)
class ViewRef:
    """All features of a view, for another key of the spine: `ViewRef("origin_hour", as_="dest_hour", join_keys={"origin": "dest"})`."""

    view: str
    as_: str | None = None
    join_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Entity key to column of the spine."""


@dataclasses.dataclass(frozen=True)
class Transform:
    """A SQL scalar expression over a set's features and request fields."""

    name: str
    expr: str


@dataclasses.dataclass(frozen=True)
class FeatureSet(Definition):
    """What a model consumes."""

    name: str
    features: Sequence[str | Ref | ViewRef]
    """`view:feature`, `view@1:feature`, `view:*`, `Ref` or `ViewRef`, in their order."""
    request: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Fields that come with a request, to their types; offline, columns of the spine."""
    transforms: Sequence[Transform] = ()
    description: str | None = None
    tags: Tags = dataclasses.field(default_factory=dict)

    def to_yaml(self) -> str:
        if isinstance(self.features, str):
            raise InvalidArgument(f"features is a list: write features=['{self.features}']")
        fields: Fields = {"kind": "feature_set", "name": self.name}
        fields |= _notes(self.description, self.tags)
        fields["features"] = [_member(member) for member in self.features]
        fields["request"] = dict(self.request) or None
        fields["transforms"] = [{"name": one.name, "expr": one.expr} for one in self.transforms] or None
        return document(fields, block=("features", "transforms"))


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a gate asks of a metric: bounds, or how far it may be from another version's."""

    metric: str
    slice: str | None = None
    min: float | None = None
    max: float | None = None
    against: str | None = None
    """The alias whose version it is held against."""
    min_change: float | None = None
    max_change: float | None = None


@dataclasses.dataclass(frozen=True)
class Gate(Definition):
    """What a model version must show before an alias moves to it."""

    name: str
    model: str
    alias: str
    is_dataset_verified: bool = False
    """Whether the latest verdict on its training set must be that every row is proven."""
    max_lag: str | None = None
    """How far its views may be behind online: `10m`."""
    metrics: Sequence[Metric] = ()
    description: str | None = None
    tags: Tags = dataclasses.field(default_factory=dict)

    def to_yaml(self) -> str:
        fields: Fields = {"kind": "gate", "name": self.name, "model": self.model, "alias": self.alias}
        fields["dataset"] = "verified" if self.is_dataset_verified else None
        fields["online"] = None if self.max_lag is None else {"max_lag": self.max_lag}
        fields["metrics"] = [_present(dataclasses.asdict(metric)) for metric in self.metrics] or None
        return document(fields | _notes(self.description, self.tags), block=("metrics",))


def to_yaml(*definitions: Definition) -> str:
    """One file with all of them."""
    return "---\n".join(definition.to_yaml() for definition in definitions)


def _notes(description: str | None, tags: Tags) -> Fields:
    return {"description": description, "tags": dict(tags) or None}


def _feature(feature: str | Feature) -> object:
    if isinstance(feature, str):
        return feature
    fields = _present({"column": feature.column} | _notes(feature.description, feature.tags))
    return {"type": feature.type} | fields if fields else feature.type


def _member(member: str | Ref | ViewRef) -> object:
    if isinstance(member, str):
        return member
    if isinstance(member, Ref):
        return {"ref": member.ref, "as": member.as_}
    return _present({"view": member.view, "as": member.as_, "join_keys": dict(member.join_keys) or None})


def _present(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}
