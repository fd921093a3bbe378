from hitherto.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AnswerFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANSWER_FORMAT_UNSPECIFIED: _ClassVar[AnswerFormat]
    COLUMNS: _ClassVar[AnswerFormat]
    ARROW: _ClassVar[AnswerFormat]

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    PRESENT: _ClassVar[Status]
    NULL_VALUE: _ClassVar[Status]
    NOT_FOUND: _ClassVar[Status]
    OUTSIDE_MAX_AGE: _ClassVar[Status]
ANSWER_FORMAT_UNSPECIFIED: AnswerFormat
COLUMNS: AnswerFormat
ARROW: AnswerFormat
STATUS_UNSPECIFIED: Status
PRESENT: Status
NULL_VALUE: Status
NOT_FOUND: Status
OUTSIDE_MAX_AGE: Status

class GetFeaturesRequest(_message.Message):
    __slots__ = ("feature_set", "model", "entities", "request_fields", "include_event_times", "routing_key", "format")
    FEATURE_SET_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EVENT_TIMES_FIELD_NUMBER: _ClassVar[int]
    ROUTING_KEY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    feature_set: str
    model: str
    entities: _containers.RepeatedCompositeFieldContainer[_common_pb2.Column]
    request_fields: _containers.RepeatedCompositeFieldContainer[_common_pb2.Column]
    include_event_times: bool
    routing_key: str
    format: AnswerFormat
    def __init__(self, feature_set: _Optional[str] = ..., model: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[_common_pb2.Column, _Mapping]]] = ..., request_fields: _Optional[_Iterable[_Union[_common_pb2.Column, _Mapping]]] = ..., include_event_times: bool = ..., routing_key: _Optional[str] = ..., format: _Optional[_Union[AnswerFormat, str]] = ...) -> None: ...

class GetFeaturesResponse(_message.Message):
    __slots__ = ("columns", "views", "feature_set", "model", "clock_us", "rows", "arrow")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SET_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CLOCK_US_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ARROW_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[FeatureColumn]
    views: _containers.RepeatedCompositeFieldContainer[ViewAnswer]
    feature_set: FeatureSetVersion
    model: ModelPin
    clock_us: int
    rows: int
    arrow: bytes
    def __init__(self, columns: _Optional[_Iterable[_Union[FeatureColumn, _Mapping]]] = ..., views: _Optional[_Iterable[_Union[ViewAnswer, _Mapping]]] = ..., feature_set: _Optional[_Union[FeatureSetVersion, _Mapping]] = ..., model: _Optional[_Union[ModelPin, _Mapping]] = ..., clock_us: _Optional[int] = ..., rows: _Optional[int] = ..., arrow: _Optional[bytes] = ...) -> None: ...

class FeatureColumn(_message.Message):
    __slots__ = ("column", "statuses", "view")
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    column: _common_pb2.Column
    statuses: _containers.RepeatedScalarFieldContainer[Status]
    view: int
    def __init__(self, column: _Optional[_Union[_common_pb2.Column, _Mapping]] = ..., statuses: _Optional[_Iterable[_Union[Status, str]]] = ..., view: _Optional[int] = ...) -> None: ...

class ViewAnswer(_message.Message):
    __slots__ = ("name", "version", "alias", "event_times_us", "event_time_validity", "watermark")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIMES_US_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_VALIDITY_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    alias: str
    event_times_us: _containers.RepeatedScalarFieldContainer[int]
    event_time_validity: _containers.RepeatedScalarFieldContainer[bool]
    watermark: Watermark
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., alias: _Optional[str] = ..., event_times_us: _Optional[_Iterable[int]] = ..., event_time_validity: _Optional[_Iterable[bool]] = ..., watermark: _Optional[_Union[Watermark, _Mapping]] = ...) -> None: ...

class Watermark(_message.Message):
    __slots__ = ("sequence", "clock_us", "lag_us", "stale")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CLOCK_US_FIELD_NUMBER: _ClassVar[int]
    LAG_US_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    clock_us: int
    lag_us: int
    stale: bool
    def __init__(self, sequence: _Optional[int] = ..., clock_us: _Optional[int] = ..., lag_us: _Optional[int] = ..., stale: bool = ...) -> None: ...

class FeatureSetVersion(_message.Message):
    __slots__ = ("name", "version", "hash")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    hash: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., hash: _Optional[str] = ...) -> None: ...

class ModelPin(_message.Message):
    __slots__ = ("name", "version", "alias")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    alias: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., alias: _Optional[str] = ...) -> None: ...
