from hitherto.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DefinitionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEFINITION_KIND_UNSPECIFIED: _ClassVar[DefinitionKind]
    DEFINITION_KIND_ENTITY: _ClassVar[DefinitionKind]
    DEFINITION_KIND_FEATURE_VIEW: _ClassVar[DefinitionKind]
    DEFINITION_KIND_FEATURE_SET: _ClassVar[DefinitionKind]
    DEFINITION_KIND_GATE: _ClassVar[DefinitionKind]

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_CREATE: _ClassVar[Action]
    ACTION_NEW_VERSION: _ClassVar[Action]
    ACTION_NEW_TABLE: _ClassVar[Action]
    ACTION_NOTES: _ClassVar[Action]
    ACTION_UNCHANGED: _ClassVar[Action]
DEFINITION_KIND_UNSPECIFIED: DefinitionKind
DEFINITION_KIND_ENTITY: DefinitionKind
DEFINITION_KIND_FEATURE_VIEW: DefinitionKind
DEFINITION_KIND_FEATURE_SET: DefinitionKind
DEFINITION_KIND_GATE: DefinitionKind
ACTION_UNSPECIFIED: Action
ACTION_CREATE: Action
ACTION_NEW_VERSION: Action
ACTION_NEW_TABLE: Action
ACTION_NOTES: Action
ACTION_UNCHANGED: Action

class DefinitionText(_message.Message):
    __slots__ = ("name", "text")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class PlanRequest(_message.Message):
    __slots__ = ("definitions", "allow_new_table")
    DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_NEW_TABLE_FIELD_NUMBER: _ClassVar[int]
    definitions: _containers.RepeatedCompositeFieldContainer[DefinitionText]
    allow_new_table: bool
    def __init__(self, definitions: _Optional[_Iterable[_Union[DefinitionText, _Mapping]]] = ..., allow_new_table: bool = ...) -> None: ...

class PlanResponse(_message.Message):
    __slots__ = ("changes", "revision")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    revision: int
    def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class ApplyRequest(_message.Message):
    __slots__ = ("definitions", "allow_new_table")
    DEFINITIONS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_NEW_TABLE_FIELD_NUMBER: _ClassVar[int]
    definitions: _containers.RepeatedCompositeFieldContainer[DefinitionText]
    allow_new_table: bool
    def __init__(self, definitions: _Optional[_Iterable[_Union[DefinitionText, _Mapping]]] = ..., allow_new_table: bool = ...) -> None: ...

class ApplyResponse(_message.Message):
    __slots__ = ("changes", "revision")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    revision: int
    def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., revision: _Optional[int] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("action", "kind", "name", "version", "previous", "new_table", "details")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    NEW_TABLE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    action: Action
    kind: DefinitionKind
    name: str
    version: int
    previous: int
    new_table: str
    details: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, action: _Optional[_Union[Action, str]] = ..., kind: _Optional[_Union[DefinitionKind, str]] = ..., name: _Optional[str] = ..., version: _Optional[int] = ..., previous: _Optional[int] = ..., new_table: _Optional[str] = ..., details: _Optional[_Iterable[str]] = ...) -> None: ...

class ListEntitiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListEntitiesResponse(_message.Message):
    __slots__ = ("entities",)
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    def __init__(self, entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ...) -> None: ...

class DescribeEntityRequest(_message.Message):
    __slots__ = ("entity",)
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    entity: str
    def __init__(self, entity: _Optional[str] = ...) -> None: ...

class ListFeatureViewsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFeatureViewsResponse(_message.Message):
    __slots__ = ("feature_views",)
    FEATURE_VIEWS_FIELD_NUMBER: _ClassVar[int]
    feature_views: _containers.RepeatedCompositeFieldContainer[FeatureView]
    def __init__(self, feature_views: _Optional[_Iterable[_Union[FeatureView, _Mapping]]] = ...) -> None: ...

class DescribeFeatureViewRequest(_message.Message):
    __slots__ = ("feature_view",)
    FEATURE_VIEW_FIELD_NUMBER: _ClassVar[int]
    feature_view: str
    def __init__(self, feature_view: _Optional[str] = ...) -> None: ...

class ListFeatureSetsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListFeatureSetsResponse(_message.Message):
    __slots__ = ("feature_sets",)
    FEATURE_SETS_FIELD_NUMBER: _ClassVar[int]
    feature_sets: _containers.RepeatedCompositeFieldContainer[FeatureSet]
    def __init__(self, feature_sets: _Optional[_Iterable[_Union[FeatureSet, _Mapping]]] = ...) -> None: ...

class DescribeFeatureSetRequest(_message.Message):
    __slots__ = ("feature_set",)
    FEATURE_SET_FIELD_NUMBER: _ClassVar[int]
    feature_set: str
    def __init__(self, feature_set: _Optional[str] = ...) -> None: ...

class GetCatalogRevisionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCatalogRevisionResponse(_message.Message):
    __slots__ = ("revision",)
    REVISION_FIELD_NUMBER: _ClassVar[int]
    revision: int
    def __init__(self, revision: _Optional[int] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("name", "version", "join_keys", "notes")
    class JoinKeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    JOIN_KEYS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    join_keys: _containers.ScalarMap[str, str]
    notes: _common_pb2.Notes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., join_keys: _Optional[_Mapping[str, str]] = ..., notes: _Optional[_Union[_common_pb2.Notes, _Mapping]] = ...) -> None: ...

class FeatureView(_message.Message):
    __slots__ = ("name", "version", "table", "entities", "keys", "join_keys", "event_timestamp", "created_timestamp", "source_delay_us", "ttl_us", "features", "notes")
    class JoinKeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    JOIN_KEYS_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_DELAY_US_FIELD_NUMBER: _ClassVar[int]
    TTL_US_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    table: str
    entities: _containers.RepeatedScalarFieldContainer[str]
    keys: _containers.RepeatedCompositeFieldContainer[ViewKey]
    join_keys: _containers.ScalarMap[str, str]
    event_timestamp: str
    created_timestamp: str
    source_delay_us: int
    ttl_us: int
    features: _containers.RepeatedCompositeFieldContainer[Feature]
    notes: _common_pb2.Notes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., table: _Optional[str] = ..., entities: _Optional[_Iterable[str]] = ..., keys: _Optional[_Iterable[_Union[ViewKey, _Mapping]]] = ..., join_keys: _Optional[_Mapping[str, str]] = ..., event_timestamp: _Optional[str] = ..., created_timestamp: _Optional[str] = ..., source_delay_us: _Optional[int] = ..., ttl_us: _Optional[int] = ..., features: _Optional[_Iterable[_Union[Feature, _Mapping]]] = ..., notes: _Optional[_Union[_common_pb2.Notes, _Mapping]] = ...) -> None: ...

class ViewKey(_message.Message):
    __slots__ = ("name", "type", "column")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    column: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., column: _Optional[str] = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ("name", "type", "column", "notes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    column: str
    notes: _common_pb2.Notes
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., column: _Optional[str] = ..., notes: _Optional[_Union[_common_pb2.Notes, _Mapping]] = ...) -> None: ...

class FeatureSet(_message.Message):
    __slots__ = ("name", "version", "hash", "members", "uses", "outputs", "request_fields", "transforms", "notes")
    class RequestFieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELDS_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    hash: str
    members: _containers.RepeatedCompositeFieldContainer[Member]
    uses: _containers.RepeatedCompositeFieldContainer[ViewUse]
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    request_fields: _containers.ScalarMap[str, str]
    transforms: _containers.RepeatedCompositeFieldContainer[Transform]
    notes: _common_pb2.Notes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., hash: _Optional[str] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., uses: _Optional[_Iterable[_Union[ViewUse, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., request_fields: _Optional[_Mapping[str, str]] = ..., transforms: _Optional[_Iterable[_Union[Transform, _Mapping]]] = ..., notes: _Optional[_Union[_common_pb2.Notes, _Mapping]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("view", "version", "one", "all", "aliased")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ONE_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    ALIASED_FIELD_NUMBER: _ClassVar[int]
    view: str
    version: int
    one: OneFeature
    all: AllFeatures
    aliased: AliasedFeatures
    def __init__(self, view: _Optional[str] = ..., version: _Optional[int] = ..., one: _Optional[_Union[OneFeature, _Mapping]] = ..., all: _Optional[_Union[AllFeatures, _Mapping]] = ..., aliased: _Optional[_Union[AliasedFeatures, _Mapping]] = ...) -> None: ...

class OneFeature(_message.Message):
    __slots__ = ("feature", "rename")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    RENAME_FIELD_NUMBER: _ClassVar[int]
    feature: str
    rename: str
    def __init__(self, feature: _Optional[str] = ..., rename: _Optional[str] = ...) -> None: ...

class AllFeatures(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AliasedFeatures(_message.Message):
    __slots__ = ("alias", "join_keys")
    class JoinKeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    JOIN_KEYS_FIELD_NUMBER: _ClassVar[int]
    alias: str
    join_keys: _containers.ScalarMap[str, str]
    def __init__(self, alias: _Optional[str] = ..., join_keys: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ViewUse(_message.Message):
    __slots__ = ("alias", "view", "table", "source_delay_us", "ttl_us", "keys")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_DELAY_US_FIELD_NUMBER: _ClassVar[int]
    TTL_US_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    alias: str
    view: _common_pb2.VersionedName
    table: str
    source_delay_us: int
    ttl_us: int
    keys: _containers.RepeatedCompositeFieldContainer[SpineKey]
    def __init__(self, alias: _Optional[str] = ..., view: _Optional[_Union[_common_pb2.VersionedName, _Mapping]] = ..., table: _Optional[str] = ..., source_delay_us: _Optional[int] = ..., ttl_us: _Optional[int] = ..., keys: _Optional[_Iterable[_Union[SpineKey, _Mapping]]] = ...) -> None: ...

class SpineKey(_message.Message):
    __slots__ = ("name", "type", "spine_column")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SPINE_COLUMN_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    spine_column: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., spine_column: _Optional[str] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("name", "view_use", "feature", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VIEW_USE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    view_use: int
    feature: str
    type: str
    def __init__(self, name: _Optional[str] = ..., view_use: _Optional[int] = ..., feature: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class Transform(_message.Message):
    __slots__ = ("name", "expr")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPR_FIELD_NUMBER: _ClassVar[int]
    name: str
    expr: str
    def __init__(self, name: _Optional[str] = ..., expr: _Optional[str] = ...) -> None: ...
