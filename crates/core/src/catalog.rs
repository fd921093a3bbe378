//! What has been applied: every version of every definition at one revision of the registry.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

use crate::{
    Entity, FeatureSet, FeatureView, GateVersion, KeyType, Name, Reading, Selector, Transform, ValueType, VersionedName,
};

/// Everything applied so far, at one revision. Versions are in order, the first is 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Rises with every change of the registry.
    pub revision: i64,
    /// Entities by name.
    pub entities: BTreeMap<Name, Vec<EntityVersion>>,
    /// Tables by id.
    pub tables: BTreeMap<String, Table>,
    /// Feature views by name.
    pub views: BTreeMap<Name, Vec<ViewVersion>>,
    /// Feature sets by name.
    pub sets: BTreeMap<Name, Vec<SetVersion>>,
    /// Gates by name.
    pub gates: BTreeMap<Name, Vec<GateVersion>>,
}

/// An applied entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityVersion {
    /// Its version, from 1.
    pub version: u32,
    /// What was applied.
    pub definition: Entity,
}

/// Where rows of a family of view versions lie. Versions are readings of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Unique for ever, also a folder's name: `<view>-<n>`, n from 1.
    pub id: String,
    /// The view whose rows it holds.
    pub view: Name,
    /// Key columns, sorted by name.
    pub keys: Vec<(Name, KeyType)>,
    /// Whether rows carry a created time.
    pub created: Created,
    /// Feature columns of all versions: the list only grows, and a column keeps its type.
    pub columns: Vec<(Name, ValueType)>,
}

/// Where a row's created time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Created {
    /// Nowhere: rows have none.
    Absent,
    /// A column of the source; never null.
    Column,
    /// `_ingested_at`: the time of the commit.
    IngestedAt,
}

/// An applied feature view: a reading of its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewVersion {
    /// Its version, from 1.
    pub version: u32,
    /// The table that it reads.
    pub table: String,
    /// Join keys of its entities when it was applied, sorted by name.
    pub keys: Vec<ViewKey>,
    /// What was applied.
    pub definition: FeatureView,
}

/// One join key of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewKey {
    /// The entity key.
    pub name: Name,
    /// Its type.
    pub key_type: KeyType,
    /// The column in the source.
    pub column: String,
}

/// An applied feature set with everything pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetVersion {
    /// Its version, from 1.
    pub version: u32,
    /// What was applied.
    pub definition: FeatureSet,
    /// What it resolved to when it was applied.
    pub resolved: ResolvedSet,
    /// SHA-256, in hex, of the canonical JSON of what decides its values.
    pub hash: String,
}

/// A feature set with every reference resolved and pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedSet {
    /// Each view under each alias once, in the order of first use.
    pub uses: Vec<ViewUse>,
    /// The features, in the set's order.
    pub outputs: Vec<Output>,
    /// Request fields, sorted by name.
    pub request: BTreeMap<Name, ValueType>,
    /// Transforms, in order; they follow the features.
    pub transforms: Vec<Transform>,
}

/// A pinned view as a feature set uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewUse {
    /// The alias; the view's name where the set gives none.
    pub alias: Name,
    /// The pinned view version.
    pub view: VersionedName,
    /// The table of that version.
    pub table: String,
    /// Microseconds; see [`Reading`].
    pub source_delay: crate::Span,
    /// See [`Reading`].
    pub ttl: Option<crate::Span>,
    /// Per entity key, sorted by its name: its type and the spine's column.
    pub keys: Vec<SpineKey>,
}

impl ViewUse {
    /// How the view's rows are read.
    pub fn reading(&self) -> Reading {
        Reading { source_delay: self.source_delay, ttl: self.ttl }
    }
}

/// One entity key of a view, and where the spine has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpineKey {
    /// The entity key.
    pub name: Name,
    /// Its type.
    pub key_type: KeyType,
    /// The column of the spine, or of a request's entities.
    pub spine_column: String,
}

/// One feature of a resolved set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// `alias__feature`, or what the set renames it to.
    pub name: String,
    /// Index into [`ResolvedSet::uses`].
    pub view_use: usize,
    /// The feature in the view.
    pub feature: Name,
    /// Its type.
    pub value_type: ValueType,
}

impl ViewVersion {
    /// `view@version`.
    pub fn versioned_name(&self) -> VersionedName {
        VersionedName { name: self.definition.name.clone(), version: self.version }
    }

    /// How its rows are read.
    pub fn reading(&self) -> Reading {
        Reading { source_delay: self.definition.source_delay, ttl: self.definition.ttl }
    }
}

impl SetVersion {
    /// `set@version`.
    pub fn versioned_name(&self) -> VersionedName {
        VersionedName { name: self.definition.name.clone(), version: self.version }
    }
}

impl Catalog {
    /// The view that `selector` names: its latest version, or the version asked for. An alias selects no view.
    pub fn view(&self, selector: &Selector) -> Option<&ViewVersion> {
        pick(self.views.get(selector.name())?, selector, |view| view.version)
    }

    /// The feature set that `selector` names: its latest version, or the version asked for. An alias selects no set.
    pub fn set(&self, selector: &Selector) -> Option<&SetVersion> {
        pick(self.sets.get(selector.name())?, selector, |set| set.version)
    }

    /// The set version with this hash; the latest, if versions share it.
    pub fn set_by_hash(&self, hash: &str) -> Option<&SetVersion> {
        self.sets.values().flatten().rfind(|set| set.hash == hash)
    }

    /// The gate of a model's alias, in its latest version.
    pub fn gate(&self, model: &Name, alias: &Name) -> Option<&GateVersion> {
        let mut latest = self.gates.values().filter_map(|versions| versions.last());
        latest.find(|gate| gate.definition.model == *model && gate.definition.alias == *alias)
    }

    /// The versions of a view that ingest feeds: those that read the table of its latest version.
    pub fn live_versions(&self, view: &str) -> Vec<&ViewVersion> {
        let versions = self.views.get(view).map_or(&[][..], Vec::as_slice);
        let table = versions.last().map(|latest| latest.table.as_str());
        versions.iter().filter(|version| Some(version.table.as_str()) == table).collect()
    }
}

impl Catalog {
    /// This catalog after `records` are written to it, one revision later; the same when there are none.
    pub fn with(&self, records: &[Record]) -> Self {
        let mut after = self.clone();
        for record in records {
            after.put(record.clone());
        }
        after.revision += i64::from(!records.is_empty());
        after
    }

    /// Inserts the record, or replaces the one with the same kind, name and version.
    pub(crate) fn put(&mut self, record: Record) {
        match record {
            Record::Entity(entity) => {
                put_version(self.entities.entry(entity.definition.name.clone()), entity, |entity| entity.version);
            }
            Record::Table(table) => {
                self.tables.insert(table.id.clone(), table);
            }
            Record::View(view) => {
                put_version(self.views.entry(view.definition.name.clone()), view, |view| view.version);
            }
            Record::Set(set) => put_version(self.sets.entry(set.definition.name.clone()), set, |set| set.version),
            Record::Gate(gate) => {
                put_version(self.gates.entry(gate.definition.name.clone()), gate, |gate| gate.version);
            }
        }
    }
}

fn put_version<T>(entry: Entry<'_, Name, Vec<T>>, new: T, version: impl Fn(&T) -> u32) {
    let versions = entry.or_default();
    match versions.binary_search_by_key(&version(&new), &version) {
        Ok(index) => versions[index] = new,
        Err(index) => versions.insert(index, new),
    }
}

fn pick<'a, T>(versions: &'a [T], selector: &Selector, version: impl Fn(&T) -> u32) -> Option<&'a T> {
    match selector {
        Selector::Latest(_) => versions.last(),
        Selector::Version(wanted) => versions.iter().find(|candidate| version(candidate) == wanted.version),
        Selector::Alias(..) => None,
    }
}

/// One record of the registry to be written by an apply: inserted, or replacing the one with the same kind, name and
/// version (only notes, and a table's list of columns, ever change).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A version of an entity.
    Entity(EntityVersion),
    /// A table.
    Table(Table),
    /// A version of a feature view.
    View(ViewVersion),
    /// A version of a feature set.
    Set(SetVersion),
    /// A version of a gate.
    Gate(GateVersion),
}
