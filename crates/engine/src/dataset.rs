//! `dataset`: a training set's file checked against its manifest, and built again from it.

use std::collections::BTreeMap;

use hitherto_core::{Catalog, Dataset, Selector, SetVersion};
use hitherto_offline::OutputLocation;

use crate::engine::find_set;
use crate::join::Pins;
use crate::training_set::{EvidenceColumns, Progress, TrainingSetRequest};
use crate::{Engine, Error, Result, Spine};

/// Whether a dataset's file is the one that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its bytes are those that were written.
    Same,
    /// Its bytes are others: the hash found.
    Different(String),
}

impl Engine {
    /// Compare the file of a dataset with the hash in its manifest.
    pub async fn verify_dataset(&self, dataset: &Dataset, location: &OutputLocation) -> Result<Verdict> {
        let found = location.sha256().await?;
        Ok(if found == dataset.file_hash { Verdict::Same } else { Verdict::Different(found) })
    }

    /// Build a dataset again, from the history that it saw (`_sequence` up to what is pinned), into `out`.
    ///
    /// Refused when the spine is no longer the one that it was built from.
    pub async fn rebuild_dataset(
        &self,
        dataset: &Dataset,
        spine: Spine,
        out: OutputLocation,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<Dataset> {
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &Selector::Version(dataset.feature_set.clone()))?;
        let wanted = TrainingSetRequest {
            feature_set: Selector::Version(dataset.feature_set.clone()),
            spine,
            out,
            mode: dataset.mode,
            event_timestamp: dataset.event_timestamp.clone(),
            evidence: if dataset.evidence { EvidenceColumns::Times } else { EvidenceColumns::Absent },
            name: dataset.name.clone(),
        };
        let pins = self.pin_as(&catalog, set, dataset).await?;
        let spine = self.open_spine(&wanted.spine).await?;
        let (rebuilt, _) = self.build(&wanted, set, spine, &pins, Some(dataset), seen).await?;
        Ok(rebuilt)
    }

    async fn pin_as(&self, catalog: &Catalog, set: &SetVersion, dataset: &Dataset) -> Result<Pins> {
        let mut pins = BTreeMap::new();
        for view_use in &set.resolved.uses {
            let missing = || Error::NotFound(format!("table '{}' of dataset {} is gone", view_use.table, dataset.id));
            let table = catalog.tables.get(&view_use.table).ok_or_else(missing)?;
            let last_sequence = *dataset.tables.get(&view_use.table).ok_or_else(missing)?;
            pins.insert(view_use.table.clone(), self.history(table)?.pin_at(last_sequence).await?);
        }
        Ok(pins)
    }
}
