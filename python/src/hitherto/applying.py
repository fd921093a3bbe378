"""Definitions on their way to the registry, and what it says of them."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from hitherto.definitions import Definition
from hitherto.errors import Internal, InvalidArgument, NotFound
from hitherto.v1 import registry_pb2 as v1
from hitherto.v1 import training_sets_pb2

DefinitionsLike: TypeAlias = Definition | str | os.PathLike[str] | Iterable[Definition | str | os.PathLike[str]]

_ACTIONS = {
    v1.ACTION_CREATE: "create",
    v1.ACTION_NEW_VERSION: "new version",
    v1.ACTION_NEW_TABLE: "new table",
    v1.ACTION_NOTES: "notes",
    v1.ACTION_UNCHANGED: "unchanged",
}
_KINDS = {
    v1.DEFINITION_KIND_ENTITY: "entity",
    v1.DEFINITION_KIND_FEATURE_VIEW: "feature view",
    v1.DEFINITION_KIND_FEATURE_SET: "feature set",
    v1.DEFINITION_KIND_GATE: "gate",
}


class Change(NamedTuple):
    """What becomes of one definition."""

    action: str
    """`create`, `new version`, `new table`, `notes` (description or tags alone), `unchanged`."""
    kind: str
    """`entity`, `feature view`, `feature set`, `gate`."""
    name: str
    version: int
    """The latest version afterwards."""
    previous: int | None
    """The latest version before, if there was one."""
    new_table: str | None
    """The table that begins with this change, if one does: its history must be ingested."""
    details: list[str]
    """What it has, of a new definition; what differs, of a known one. In words."""

    def __str__(self) -> str:
        return "; ".join([f"{self.kind} {self.name}@{self.version}: {self.action}", *self.details])


class Plan(NamedTuple):
    """What applying definitions changes, or has changed."""

    changes: list[Change]
    """One a definition: entities, then feature views, then feature sets, then gates."""
    revision: int
    """The registry's revision that they were compared with, or that holds them."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return all(change.action == "unchanged" for change in self.changes)

    def __str__(self) -> str:
        return "\n".join(str(change) for change in self.changes)


def plan_request(definitions: DefinitionsLike, allow_new_table: bool) -> v1.PlanRequest:
    return v1.PlanRequest(definitions=_texts(definitions), allow_new_table=allow_new_table)


def apply_request(definitions: DefinitionsLike, allow_new_table: bool) -> v1.ApplyRequest:
    return v1.ApplyRequest(definitions=_texts(definitions), allow_new_table=allow_new_table)


def plan(sent: v1.PlanResponse | v1.ApplyResponse) -> Plan:
    return Plan([_change(change) for change in sent.changes], sent.revision)


def manifest(sent: training_sets_pb2.Dataset) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(sent.manifest)
    except ValueError as error:
        raise Internal(f"the manifest of dataset {sent.id} is no JSON") from error
    return read


def _texts(definitions: DefinitionsLike) -> list[v1.DefinitionText]:
    if isinstance(definitions, str | os.PathLike | Definition):
        definitions = [definitions]
    texts = [text for place, one in enumerate(definitions, 1) for text in _text(place, one)]
    if not texts:
        raise InvalidArgument("there are no definitions")
    return texts


def _text(place: int, definition: Definition | str | os.PathLike[str]) -> Iterator[v1.DefinitionText]:
    if isinstance(definition, Definition):
        name = f"{type(definition).__name__}({definition.name!r})"
        yield v1.DefinitionText(name=name, text=definition.to_yaml())
    elif isinstance(definition, str) and "\n" in definition:
        yield v1.DefinitionText(name=f"definitions {place}", text=definition)
    elif isinstance(definition, str | os.PathLike):
        for path in _files(pathlib.Path(definition)):
            yield v1.DefinitionText(name=str(path), text=path.read_text(encoding="utf-8"))
    else:
        raise InvalidArgument(f"a {type(definition).__name__} is no definition: give Entity, FeatureView, FeatureSet, Gate, YAML or a path")


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NotFound(f"there is no file '{path}'", hint="text without a line break is a path; YAML has at least two lines")
    files = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and file.is_file())
    if not files:
        raise NotFound(f"the folder '{path}' has no .yaml or .yml file")
    return files


def _change(sent: v1.Change) -> Change:
    return Change(
        action=_ACTIONS.get(sent.action, "unknown"),
        kind=_KINDS.get(sent.kind, "unknown"),
        name=sent.name,
        version=sent.version,
        previous=sent.previous if sent.HasField("previous") else None,
        new_table=sent.new_table if sent.HasField("new_table") else None,
        details=list(sent.details),
    )
