from hitherto.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_KNOWLEDGE: _ClassVar[Mode]
    MODE_EVENT: _ClassVar[Mode]
MODE_UNSPECIFIED: Mode
MODE_KNOWLEDGE: Mode
MODE_EVENT: Mode

class CreateTrainingSetRequest(_message.Message):
    __slots__ = ("feature_set", "spine_url", "spine_sql", "out_url", "mode", "event_timestamp", "evidence", "name")
    FEATURE_SET_FIELD_NUMBER: _ClassVar[int]
    SPINE_URL_FIELD_NUMBER: _ClassVar[int]
    SPINE_SQL_FIELD_NUMBER: _ClassVar[int]
    OUT_URL_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    feature_set: str
    spine_url: str
    spine_sql: str
    out_url: str
    mode: Mode
    event_timestamp: str
    evidence: bool
    name: str
    def __init__(self, feature_set: _Optional[str] = ..., spine_url: _Optional[str] = ..., spine_sql: _Optional[str] = ..., out_url: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., event_timestamp: _Optional[str] = ..., evidence: bool = ..., name: _Optional[str] = ...) -> None: ...

class Dataset(_message.Message):
    __slots__ = ("id", "name", "feature_set", "feature_set_hash", "mode", "spine", "spine_fingerprint", "event_timestamp", "evidence", "tables", "location", "rows", "file_hash", "built_at_us", "manifest")
    class TablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SET_FIELD_NUMBER: _ClassVar[int]
    FEATURE_SET_HASH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    SPINE_FIELD_NUMBER: _ClassVar[int]
    SPINE_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    FILE_HASH_FIELD_NUMBER: _ClassVar[int]
    BUILT_AT_US_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    feature_set: _common_pb2.VersionedName
    feature_set_hash: str
    mode: Mode
    spine: str
    spine_fingerprint: str
    event_timestamp: str
    evidence: bool
    tables: _containers.ScalarMap[str, int]
    location: str
    rows: int
    file_hash: str
    built_at_us: int
    manifest: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., feature_set: _Optional[_Union[_common_pb2.VersionedName, _Mapping]] = ..., feature_set_hash: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., spine: _Optional[str] = ..., spine_fingerprint: _Optional[str] = ..., event_timestamp: _Optional[str] = ..., evidence: bool = ..., tables: _Optional[_Mapping[str, int]] = ..., location: _Optional[str] = ..., rows: _Optional[int] = ..., file_hash: _Optional[str] = ..., built_at_us: _Optional[int] = ..., manifest: _Optional[str] = ...) -> None: ...

class GetTrainingSetRequest(_message.Message):
    __slots__ = ("dataset",)
    DATASET_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    def __init__(self, dataset: _Optional[str] = ...) -> None: ...

class ListTrainingSetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListTrainingSetsResponse(_message.Message):
    __slots__ = ("datasets",)
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ...) -> None: ...
