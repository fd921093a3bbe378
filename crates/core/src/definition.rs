//! Definitions as their author wrote them: entities, feature views, feature sets, gates. Immutable once applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Gate, KeyType, Name, Span, ValueType};

/// Words and labels that decide no value: a change of them makes no new version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// What it is, for people.
    pub description: Option<String>,
    /// Labels, for people and tools.
    pub tags: BTreeMap<String, String>,
}

/// A thing that features describe, with its join keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// Its name.
    pub name: Name,
    /// Join keys with their types; the canonical order is by name.
    pub join_keys: BTreeMap<Name, KeyType>,
    /// Description and tags.
    pub notes: Notes,
}

/// Named features of one entity (or several together) from one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureView {
    /// Its name.
    pub name: Name,
    /// The entities whose join keys together make the entity key; at least one.
    pub entities: Vec<Name>,
    /// Entity key to column in the source, where the two differ.
    pub join_keys: BTreeMap<Name, String>,
    /// The source's column of event times.
    pub event_timestamp: String,
    /// The source's column of created times; `_ingested_at` may be named.
    pub created_timestamp: Option<String>,
    /// A row cannot have been used sooner than this after its event.
    pub source_delay: Span,
    /// How long the winner may be served; `None` where absent or zero.
    pub ttl: Option<Span>,
    /// Its features in the order of the file; at least one.
    pub features: Vec<Feature>,
    /// Description and tags.
    pub notes: Notes,
}

/// A typed column of a feature view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub value_type: ValueType,
    /// The column in the source; its own name where absent in the file.
    pub column: String,
    /// Description and tags.
    pub notes: Notes,
}

/// What a model consumes: features of views in order, request fields, transforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureSet {
    /// Its name.
    pub name: Name,
    /// The features, in order; at least one.
    pub features: Vec<Member>,
    /// Fields that come with a request; offline, columns of the spine. Sorted by name.
    pub request: BTreeMap<Name, ValueType>,
    /// SQL scalar expressions over the features and request fields, in order.
    pub transforms: Vec<Transform>,
    /// Description and tags.
    pub notes: Notes,
}

/// One entry of a feature set's list of features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Member {
    /// `view:feature`, `view@1:feature` or `{ref: "view:feature", as: name}`.
    One {
        /// The view.
        view: Name,
        /// The version that the author pinned.
        version: Option<u32>,
        /// The feature.
        feature: Name,
        /// The output's name, instead of `view__feature`.
        rename: Option<Name>,
    },
    /// `view:*`: every feature of the view's version, in its order.
    All {
        /// The view.
        view: Name,
        /// The version that the author pinned.
        version: Option<u32>,
    },
    /// `{view: v, as: alias, join_keys: {…}}`: every feature of the view, for another key of the spine; outputs are
    /// named `alias__feature`.
    Aliased {
        /// The view.
        view: Name,
        /// The version that the author pinned.
        version: Option<u32>,
        /// The alias, unique in the set.
        alias: Name,
        /// Entity key to column of the spine, where the two differ.
        join_keys: BTreeMap<Name, String>,
    },
}

impl Member {
    /// The view that it refers to.
    pub fn view(&self) -> &Name {
        match self {
            Self::One { view, .. } | Self::All { view, .. } | Self::Aliased { view, .. } => view,
        }
    }

    /// The version that its author pinned.
    pub fn version(&self) -> Option<u32> {
        match self {
            Self::One { version, .. } | Self::All { version, .. } | Self::Aliased { version, .. } => *version,
        }
    }
}

/// A SQL scalar expression over a set's features and its request fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transform {
    /// The output's name.
    pub name: Name,
    /// The expression as written.
    pub expr: String,
}

/// Any definition: one YAML document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// An entity.
    Entity(Entity),
    /// A feature view.
    FeatureView(FeatureView),
    /// A feature set.
    FeatureSet(FeatureSet),
    /// A gate.
    Gate(Gate),
}

impl Definition {
    /// The kind, as written after `kind:`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Entity(_) => "entity",
            Self::FeatureView(_) => "feature_view",
            Self::FeatureSet(_) => "feature_set",
            Self::Gate(_) => "gate",
        }
    }

    /// The name.
    pub fn name(&self) -> &Name {
        match self {
            Self::Entity(entity) => &entity.name,
            Self::FeatureView(view) => &view.name,
            Self::FeatureSet(set) => &set.name,
            Self::Gate(gate) => &gate.name,
        }
    }
}
