//! Model versions: registered with what they were trained on.

use std::collections::BTreeMap;

use hitherto_core::{Catalog, ModelVersion, Name, NewModelVersion, Provenance, Selector, SetVersion};

use crate::{Engine, Error, Result, engine::find_set};

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
        let registered = self.registry().register_model(new, self.clock().now()).await?;
        self.anchor().await;
        Ok(registered)
    }

    /// Every version of every model, by name, then version.
    pub async fn all_model_versions(&self) -> Result<Vec<ModelVersion>> {
        let mut versions = Vec::new();
        for latest in self.registry().models().await? {
            versions.extend(self.registry().model_versions(&latest.name).await?);
        }
        Ok(versions)
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
