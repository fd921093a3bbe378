from hitherto.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Destination(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DESTINATION_UNSPECIFIED: _ClassVar[Destination]
    DESTINATION_OFFLINE: _ClassVar[Destination]
    DESTINATION_BOTH: _ClassVar[Destination]
DESTINATION_UNSPECIFIED: Destination
DESTINATION_OFFLINE: Destination
DESTINATION_BOTH: Destination

class PushRequest(_message.Message):
    __slots__ = ("view", "columns", "batch_id", "destination")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    view: str
    columns: _containers.RepeatedCompositeFieldContainer[_common_pb2.Column]
    batch_id: str
    destination: Destination
    def __init__(self, view: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[_common_pb2.Column, _Mapping]]] = ..., batch_id: _Optional[str] = ..., destination: _Optional[_Union[Destination, str]] = ...) -> None: ...

class PushResponse(_message.Message):
    __slots__ = ("rows", "already", "first_sequence", "last_sequence", "online_rows", "null_key_rows", "backdated_rows", "error")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ALREADY_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ONLINE_ROWS_FIELD_NUMBER: _ClassVar[int]
    NULL_KEY_ROWS_FIELD_NUMBER: _ClassVar[int]
    BACKDATED_ROWS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    rows: int
    already: bool
    first_sequence: int
    last_sequence: int
    online_rows: int
    null_key_rows: int
    backdated_rows: int
    error: PushError
    def __init__(self, rows: _Optional[int] = ..., already: bool = ..., first_sequence: _Optional[int] = ..., last_sequence: _Optional[int] = ..., online_rows: _Optional[int] = ..., null_key_rows: _Optional[int] = ..., backdated_rows: _Optional[int] = ..., error: _Optional[_Union[PushError, _Mapping]] = ...) -> None: ...

class PushError(_message.Message):
    __slots__ = ("code", "message", "details")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    details: bytes
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., details: _Optional[bytes] = ...) -> None: ...
