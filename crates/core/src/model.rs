//! Model versions and training sets as the registry remembers them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Mode, Name, Timestamp, VersionedName};

/// An immutable version of a model: what it was trained on is what it is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The model.
    pub name: Name,
    /// Its version, from 1.
    pub version: u32,
    /// The feature set that it consumes.
    pub feature_set: VersionedName,
    /// That set's hash.
    pub feature_set_hash: String,
    /// The training set that it was trained on.
    pub dataset: Option<String>,
    /// Free labels: a run id, a code version.
    pub tags: BTreeMap<String, String>,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// What a model version is registered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewModelVersion {
    /// The model.
    pub name: Name,
    /// The feature set that it consumes.
    pub feature_set: VersionedName,
    /// That set's hash.
    pub feature_set_hash: String,
    /// The training set that it was trained on.
    pub dataset: Option<String>,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
}

/// A movable name for one version of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The model.
    pub model: Name,
    /// The alias; never all digits.
    pub alias: Name,
    /// The version that it points at.
    pub version: u32,
    /// When it was moved there.
    pub moved_at: Timestamp,
}

/// A training set: what decided its values, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// SHA-256, in hex, of what decides its values.
    pub id: String,
    /// The name that its maker gave it.
    pub name: Option<Name>,
    /// The feature set.
    pub feature_set: VersionedName,
    /// That set's hash.
    pub feature_set_hash: String,
    /// Which rows it could see.
    pub mode: Mode,
    /// Where the spine came from: a location or a SQL text.
    pub spine: String,
    /// SHA-256, in hex, of the spine's rows.
    pub spine_fingerprint: String,
    /// The spine's column of prediction times.
    pub event_timestamp: String,
    /// Whether evidence columns follow.
    pub evidence: bool,
    /// Per table that it read: its id and the last `_sequence` that it saw (−1 for none).
    pub tables: BTreeMap<String, i64>,
    /// Where the file lies.
    pub location: String,
    /// Rows in it.
    pub rows: u64,
    /// SHA-256, in hex, of the file.
    pub file_hash: String,
    /// When it was built.
    pub built_at: Timestamp,
}
