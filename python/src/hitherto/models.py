"""Model versions and aliases."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import NamedTuple

from hitherto.channel import Channel
from hitherto.errors import InvalidArgument
from hitherto.methods import GET_MODEL, LIST_ALIASES, LIST_MODELS, MOVE_ALIAS, REGISTER
from hitherto.training_set import TrainingSet
from hitherto.v1 import models_pb2 as v1

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class ModelVersion(NamedTuple):
    """A version of a model; it never changes."""

    name: str
    version: int
    feature_set: str
    """`NAME@VERSION`: what it consumes, and is served."""
    feature_set_hash: str
    dataset: str | None
    """The id of the training set that it was trained on."""
    tags: dict[str, str]
    registered_at: datetime.datetime

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Alias(NamedTuple):
    """A movable name for one version of a model, or for several that share its traffic."""

    model: str
    alias: str
    version: int
    moved_at: datetime.datetime
    split: dict[int, int]
    """Weight by version; empty where all traffic goes to `version`."""
    shadow: int | None
    """A version that is read and measured as well, and not returned."""


class Models:
    """`client.models`. Evaluations, gates' overrides and traffic are the command line's: `hitherto model --help`."""

    def __init__(self, channel: Callable[[], Channel], timeout: float | None) -> None:
        self._channel, self._timeout = channel, timeout

    def register(
        self,
        name: str,
        *,
        dataset: TrainingSet | str | None = None,
        feature_set: str | None = None,
        feature_set_hash: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Registers a new version. Of dataset (or its id or name), feature set and hash one is enough, and all must agree."""
        if isinstance(dataset, TrainingSet):
            dataset = dataset.dataset_id
        if dataset is None and feature_set is None and feature_set_hash is None:
            raise InvalidArgument(f"what was '{name}' trained on? give dataset=, or feature_set=")
        request = v1.RegisterModelRequest(name=name, tags=dict(tags or {}))
        if dataset is not None:
            request.dataset = dataset
        if feature_set is not None:
            request.feature_set = feature_set
        if feature_set_hash is not None:
            request.feature_set_hash = feature_set_hash
        return _model(self._channel().call(REGISTER, request, self._timeout))

    def get(self, model: str) -> ModelVersion:
        """`NAME` (its latest version), `NAME@VERSION` or `NAME@ALIAS`."""
        return _model(self._channel().call(GET_MODEL, v1.GetModelRequest(model=model), self._timeout))

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """Every version of one model or of all."""
        request = v1.ListModelsRequest() if name is None else v1.ListModelsRequest(name=name)
        return [_model(model) for model in self._channel().call(LIST_MODELS, request, self._timeout).models]

    def move_alias(self, model: ModelVersion | str, alias: str, version: int | None = None, *, expected: int | None = None) -> Alias:
        """Points an alias at a version, if its gate lets it; the version's views must be online.

        `expected` is the version that it must point at now (0 for nowhere yet), or else this is a `Conflict`.
        """
        if isinstance(model, ModelVersion):
            version = model.version if version is None else version
            model = model.name
        if version is None:
            raise InvalidArgument(f"which version of '{model}' shall '{alias}' point at? give version=")
        request = v1.MoveAliasRequest(model=model, alias=alias, version=version)
        if expected is not None:
            request.expected_version = expected
        return _alias(self._channel().call(MOVE_ALIAS, request, self._timeout))

    def aliases(self, model: str | None = None) -> dict[str, Alias]:
        """The aliases of one model or of all, by `MODEL@ALIAS`."""
        request = v1.ListAliasesRequest() if model is None else v1.ListAliasesRequest(model=model)
        found = [_alias(alias) for alias in self._channel().call(LIST_ALIASES, request, self._timeout).aliases]
        return {f"{alias.model}@{alias.alias}": alias for alias in found}


def _model(sent: v1.ModelVersion) -> ModelVersion:
    return ModelVersion(
        name=sent.name,
        version=sent.version,
        feature_set=f"{sent.feature_set.name}@{sent.feature_set.version}",
        feature_set_hash=sent.feature_set_hash,
        dataset=sent.dataset if sent.HasField("dataset") else None,
        tags=dict(sent.tags),
        registered_at=_EPOCH + datetime.timedelta(microseconds=sent.registered_at_us),
    )


def _alias(sent: v1.ModelAlias) -> Alias:
    return Alias(
        model=sent.model,
        alias=sent.alias,
        version=sent.version,
        moved_at=_EPOCH + datetime.timedelta(microseconds=sent.moved_at_us),
        split={share.version: share.weight for share in sent.split},
        shadow=sent.shadow if sent.HasField("shadow") else None,
    )
