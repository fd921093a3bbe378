"""The methods of `hitherto.v1`: what each takes and answers, and whether it may be asked twice."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

from google.protobuf.message import Message

from hitherto.v1 import ingest_pb2, models_pb2, online_features_pb2, registry_pb2, training_sets_pb2

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)


@dataclasses.dataclass(frozen=True)
class Method(Generic[Request, Answer]):
    """One method of one service."""

    path: str
    request: type[Request]
    answer: type[Answer]
    is_idempotent: bool = True
    """Whether the call may be repeated when nobody knows what became of it."""


def _of(service: str, name: str, request: type[Request], answer: type[Answer], *, again: bool = True) -> Method[Request, Answer]:
    return Method(f"/hitherto.v1.{service}/{name}", request, answer, again)


GET_FEATURES = _of("OnlineFeatures", "GetFeatures", online_features_pb2.GetFeaturesRequest, online_features_pb2.GetFeaturesResponse)
# only with a batch id, which is looked at where it is called
PUSH = _of("Ingest", "Push", ingest_pb2.PushRequest, ingest_pb2.PushResponse, again=False)
# messages both ways
PUSH_STREAM = _of("Ingest", "PushStream", ingest_pb2.PushRequest, ingest_pb2.PushResponse, again=False)
PLAN = _of("Registry", "Plan", registry_pb2.PlanRequest, registry_pb2.PlanResponse)
# a second answer would say that nothing changed
APPLY = _of("Registry", "Apply", registry_pb2.ApplyRequest, registry_pb2.ApplyResponse, again=False)
DESCRIBE_VIEW = _of("Registry", "DescribeFeatureView", registry_pb2.DescribeFeatureViewRequest, registry_pb2.FeatureView)
REGISTER = _of("Models", "Register", models_pb2.RegisterModelRequest, models_pb2.ModelVersion, again=False)
MOVE_ALIAS = _of("Models", "MoveAlias", models_pb2.MoveAliasRequest, models_pb2.ModelAlias, again=False)
GET_MODEL = _of("Models", "Get", models_pb2.GetModelRequest, models_pb2.ModelVersion)
LIST_MODELS = _of("Models", "List", models_pb2.ListModelsRequest, models_pb2.ListModelsResponse)
LIST_ALIASES = _of("Models", "ListAliases", models_pb2.ListAliasesRequest, models_pb2.ListAliasesResponse)
GET_DATASET = _of("TrainingSets", "Get", training_sets_pb2.GetTrainingSetRequest, training_sets_pb2.Dataset)
