from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Column(_message.Message):
    __slots__ = ("name", "type", "values", "validity")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    values: Values
    validity: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., values: _Optional[_Union[Values, _Mapping]] = ..., validity: _Optional[_Iterable[bool]] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("bools", "int32s", "int64s", "float32s", "float64s", "strings", "byte_strings", "timestamps_us", "dates", "lists", "vectors")
    BOOLS_FIELD_NUMBER: _ClassVar[int]
    INT32S_FIELD_NUMBER: _ClassVar[int]
    INT64S_FIELD_NUMBER: _ClassVar[int]
    FLOAT32S_FIELD_NUMBER: _ClassVar[int]
    FLOAT64S_FIELD_NUMBER: _ClassVar[int]
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    BYTE_STRINGS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_US_FIELD_NUMBER: _ClassVar[int]
    DATES_FIELD_NUMBER: _ClassVar[int]
    LISTS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    bools: Bools
    int32s: Int32s
    int64s: Int64s
    float32s: Float32s
    float64s: Float64s
    strings: Strings
    byte_strings: ByteStrings
    timestamps_us: Int64s
    dates: Int32s
    lists: Lists
    vectors: Vectors
    def __init__(self, bools: _Optional[_Union[Bools, _Mapping]] = ..., int32s: _Optional[_Union[Int32s, _Mapping]] = ..., int64s: _Optional[_Union[Int64s, _Mapping]] = ..., float32s: _Optional[_Union[Float32s, _Mapping]] = ..., float64s: _Optional[_Union[Float64s, _Mapping]] = ..., strings: _Optional[_Union[Strings, _Mapping]] = ..., byte_strings: _Optional[_Union[ByteStrings, _Mapping]] = ..., timestamps_us: _Optional[_Union[Int64s, _Mapping]] = ..., dates: _Optional[_Union[Int32s, _Mapping]] = ..., lists: _Optional[_Union[Lists, _Mapping]] = ..., vectors: _Optional[_Union[Vectors, _Mapping]] = ...) -> None: ...

class Bools(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, values: _Optional[_Iterable[bool]] = ...) -> None: ...

class Int32s(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class Int64s(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class Float32s(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class Float64s(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class Strings(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class ByteStrings(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Lists(_message.Message):
    __slots__ = ("lengths", "items", "item_validity")
    LENGTHS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ITEM_VALIDITY_FIELD_NUMBER: _ClassVar[int]
    lengths: _containers.RepeatedScalarFieldContainer[int]
    items: Values
    item_validity: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, lengths: _Optional[_Iterable[int]] = ..., items: _Optional[_Union[Values, _Mapping]] = ..., item_validity: _Optional[_Iterable[bool]] = ...) -> None: ...

class Vectors(_message.Message):
    __slots__ = ("length", "items")
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    length: int
    items: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, length: _Optional[int] = ..., items: _Optional[_Iterable[float]] = ...) -> None: ...

class VersionedName(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class Notes(_message.Message):
    __slots__ = ("description", "tags")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    description: str
    tags: _containers.ScalarMap[str, str]
    def __init__(self, description: _Optional[str] = ..., tags: _Optional[_Mapping[str, str]] = ...) -> None: ...
