//! Models and aliases.

use std::collections::BTreeMap;

use hitherto_core::{Alias, ModelVersion, Name, Provenance, Selector, Share, Timestamp};

use crate::{Error, field, v1};

/// What a model version is registered with. Of feature set, hash and dataset at least one is given, and they agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterModel {
    /// The model.
    pub name: Name,
    /// The feature set that it consumes.
    pub feature_set: Option<Selector>,
    /// That set's hash.
    pub feature_set_hash: Option<String>,
    /// The training set that it was trained on: an id, the beginning of one that is unique, or a name.
    pub dataset: Option<String>,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
}

/// A move of an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveAlias {
    /// The model.
    pub model: Name,
    /// The alias.
    pub alias: Name,
    /// The version to point at.
    pub version: u32,
    /// Where it must point now.
    pub expected: ExpectedAlias,
}

/// Where an alias must point before it moves, or else the move is a conflict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpectedAlias {
    /// Anywhere, or nowhere: the last mover wins.
    #[default]
    Anywhere,
    /// Nowhere yet.
    Nowhere,
    /// At this version.
    Version(u32),
}

impl From<RegisterModel> for v1::RegisterModelRequest {
    fn from(wanted: RegisterModel) -> Self {
        Self {
            name: wanted.name.into(),
            feature_set: wanted.feature_set.map(|set| set.to_string()),
            feature_set_hash: wanted.feature_set_hash,
            dataset: wanted.dataset,
            tags: wanted.tags.into_iter().collect(),
        }
    }
}

impl TryFrom<v1::RegisterModelRequest> for RegisterModel {
    type Error = Error;

    fn try_from(sent: v1::RegisterModelRequest) -> Result<Self, Error> {
        if sent.feature_set.is_none() && sent.feature_set_hash.is_none() && sent.dataset.is_none() {
            return Err(Error::Absent { field: "feature_set, feature_set_hash or dataset" });
        }
        Ok(Self {
            name: field::parse("name", &sent.name)?,
            feature_set: field::parse_optional("feature_set", sent.feature_set.as_deref())?,
            feature_set_hash: sent.feature_set_hash.map(|hash| field::text("feature_set_hash", hash)).transpose()?,
            dataset: sent.dataset.map(|dataset| field::text("dataset", dataset)).transpose()?,
            tags: sent.tags.into_iter().collect(),
        })
    }
}

impl From<MoveAlias> for v1::MoveAliasRequest {
    fn from(wanted: MoveAlias) -> Self {
        let expected_version = match wanted.expected {
            ExpectedAlias::Anywhere => None,
            ExpectedAlias::Nowhere => Some(0),
            ExpectedAlias::Version(version) => Some(version),
        };
        Self { model: wanted.model.into(), alias: wanted.alias.into(), version: wanted.version, expected_version }
    }
}

impl TryFrom<v1::MoveAliasRequest> for MoveAlias {
    type Error = Error;

    fn try_from(sent: v1::MoveAliasRequest) -> Result<Self, Error> {
        Ok(Self {
            model: field::parse("model", &sent.model)?,
            alias: field::parse("alias", &sent.alias)?,
            version: field::version("version", sent.version)?,
            expected: match sent.expected_version {
                None => ExpectedAlias::Anywhere,
                Some(0) => ExpectedAlias::Nowhere,
                Some(version) => ExpectedAlias::Version(version),
            },
        })
    }
}

impl From<ModelVersion> for v1::ModelVersion {
    fn from(model: ModelVersion) -> Self {
        Self {
            name: model.name.into(),
            version: model.version,
            feature_set: Some(model.feature_set.into()),
            feature_set_hash: model.feature_set_hash,
            dataset: model.dataset,
            tags: model.tags.into_iter().collect(),
            registered_at_us: model.registered_at.0,
        }
    }
}

impl TryFrom<v1::ModelVersion> for ModelVersion {
    type Error = Error;

    fn try_from(sent: v1::ModelVersion) -> Result<Self, Error> {
        Ok(Self {
            name: field::parse("name", &sent.name)?,
            version: field::version("version", sent.version)?,
            feature_set: field::versioned_name("feature_set", sent.feature_set)?,
            feature_set_hash: field::text("feature_set_hash", sent.feature_set_hash)?,
            dataset: sent.dataset,
            // not told over the wire yet
            provenance: Provenance::default(),
            tags: sent.tags.into_iter().collect(),
            registered_at: Timestamp(sent.registered_at_us),
        })
    }
}

impl From<Alias> for v1::ModelAlias {
    fn from(alias: Alias) -> Self {
        Self {
            model: alias.model.into(),
            alias: alias.alias.into(),
            version: alias.version,
            moved_at_us: alias.moved_at.0,
            split: alias
                .split
                .into_iter()
                .map(|Share { version, weight }| v1::TrafficShare { version, weight })
                .collect(),
            shadow: alias.shadow,
        }
    }
}

impl TryFrom<v1::ModelAlias> for Alias {
    type Error = Error;

    fn try_from(sent: v1::ModelAlias) -> Result<Self, Error> {
        let share = |sent: v1::TrafficShare| {
            let version = field::version("split.version", sent.version)?;
            Ok(Share { version, weight: sent.weight })
        };
        Ok(Self {
            model: field::parse("model", &sent.model)?,
            alias: field::parse("alias", &sent.alias)?,
            version: field::version("version", sent.version)?,
            moved_at: Timestamp(sent.moved_at_us),
            split: sent.split.into_iter().map(share).collect::<Result<_, Error>>()?,
            shadow: sent.shadow.map(|shadow| field::version("shadow", shadow)).transpose()?,
        })
    }
}
