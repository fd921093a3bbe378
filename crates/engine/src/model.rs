//! Model versions: registered with what they were trained on; aliases move only to what is online.

use std::collections::BTreeMap;

use hitherto_core::{Alias, Catalog, ModelVersion, Name, NewModelVersion, Provenance, Selector, SetVersion};
use hitherto_registry::{Expected, Grounds};

use crate::{Engine, Error, Result, engine::find_set, readings::reading_of};

/// What a model version is registered with.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The model.
    pub name: Name,
    /// The feature set; where absent, the one that the dataset was built with.
    pub feature_set: Option<Selector>,
    /// The training set: an id, the beginning of one that is unique, or a name.
    pub dataset: Option<String>,
    /// What it is and where it came from.
    pub provenance: Provenance,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
}

impl Engine {
    /// Register the next version of a model. It holds the feature set's hash and the training set's id, which must agree.
    pub async fn register_model(&self, wanted: Registration) -> Result<ModelVersion> {
        let catalog = self.registry().catalog().await?;
        let dataset = match &wanted.dataset {
            Some(id) => Some(self.registry().dataset(id).await?),
            None => None,
        };
        let set = match (&wanted.feature_set, &dataset) {
            (Some(selector), _) => find_set(&catalog, selector)?,
            (None, Some(dataset)) => find_set(&catalog, &Selector::Version(dataset.feature_set.clone()))?,
            (None, None) => {
                return Err(Error::Invalid(format!(
                    "model '{}' needs a feature set or a dataset: what was it trained on?",
                    wanted.name
                )));
            }
        };
        if let Some(dataset) = dataset.as_ref().filter(|dataset| dataset.feature_set_hash != set.hash) {
            return Err(Error::Invalid(format!(
                "dataset {} was built with {}, which is not {}: a model is served what it was trained on",
                dataset.id,
                dataset.feature_set,
                set.versioned_name()
            )));
        }
        let new = NewModelVersion {
            name: wanted.name,
            feature_set: set.versioned_name(),
            feature_set_hash: set.hash.clone(),
            dataset: dataset.map(|dataset| dataset.id),
            provenance: wanted.provenance,
            tags: wanted.tags,
        };
        Ok(self.registry().register_model(new, self.clock().now()).await?)
    }

    /// Point `alias` at a version of `model`, once every view that it consumes is online.
    pub async fn move_alias(&self, model: &Name, alias: &Name, version: u32, expected: Expected) -> Result<Alias> {
        let target = hitherto_core::VersionedName { name: model.clone(), version };
        let found = self.registry().model(&Selector::Version(target)).await?;
        let catalog = self.registry().catalog().await?;
        let missing = self.offline_views(model_set(&catalog, &found)?).await?;
        if !missing.is_empty() {
            return Err(Error::Unavailable(format!(
                "{model}@{version} cannot become '{alias}' yet: not in the online store: {}; run `hitherto materialize` first",
                missing.join(", ")
            )));
        }
        Ok(self.registry().move_alias(model, alias, version, expected, Grounds::default(), self.clock().now()).await?)
    }

    /// Every version of every model, by name, then version.
    pub async fn all_model_versions(&self) -> Result<Vec<ModelVersion>> {
        let mut versions = Vec::new();
        for latest in self.registry().models().await? {
            versions.extend(self.registry().model_versions(&latest.name).await?);
        }
        Ok(versions)
    }

    /// The views of `set` that have never been materialized, each once.
    async fn offline_views(&self, set: &SetVersion) -> Result<Vec<String>> {
        let uses = &set.resolved.uses;
        let readings: Vec<_> = uses.iter().map(reading_of).collect();
        let Ok(online) = self.online() else {
            return Ok(uses.iter().map(|view_use| view_use.view.to_string()).collect());
        };
        let marks = online.marks(&readings).await?;
        let mut missing: Vec<String> = uses
            .iter()
            .zip(marks)
            .filter(|(_, marks)| marks.is_none())
            .map(|(view_use, _)| view_use.view.to_string())
            .collect();
        missing.dedup();
        Ok(missing)
    }
}

/// The feature set version that `model` holds; an error if the registry has another under its name.
pub(crate) fn model_set<'a>(catalog: &'a Catalog, model: &ModelVersion) -> Result<&'a SetVersion> {
    let set = find_set(catalog, &Selector::Version(model.feature_set.clone()))?;
    if set.hash == model.feature_set_hash {
        Ok(set)
    } else {
        Err(Error::internal(
            "a model's feature set has changed under it",
            format!("{}@{} holds {}, the registry has {}", model.name, model.version, model.feature_set_hash, set.hash),
        ))
    }
}
