//! Model versions as the registry remembers them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Name, Timestamp, VersionedName};

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
