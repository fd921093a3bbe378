//! Which training sets hold rows of an entity: files that no store of ours owns.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use futures::TryStreamExt;
use hitherto_core::{Dataset, KeyType, ResolvedSet, Selector, VersionedName, ViewUse};
use hitherto_offline::KeyReader;
use hitherto_offline::input::Input;
use hitherto_offline::types::key_arrow_type;

use crate::engine::find_set;
use crate::training_set::evidence_columns;
use crate::{Engine, ErasedEntity, Error, EvidenceColumns, Result};

/// A training set that was built from a table that the entity was erased from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Its id.
    pub dataset: String,
    /// Where its file lies.
    pub location: String,
    /// Rows of the entity in it; none where the file cannot be read.
    pub rows: Option<u64>,
    /// Of these: rows with something that history knew of the entity, and cannot give again.
    pub rows_with_values: Option<u64>,
    /// Why the file cannot be read.
    pub fault: Option<String>,
    /// The model versions that were trained on it.
    pub models: Vec<VersionedName>,
}

impl Engine {
    /// The training sets that were built from what the entity was, or would be, erased from, in the order in which they were
    /// recorded: all of those that read one of its tables when its first row was there.
    pub async fn datasets_concerned(&self, entity: &ErasedEntity) -> Result<Vec<Dataset>> {
        let concerns = |dataset: &Dataset| {
            entity.tables.iter().any(|table| {
                let last = dataset.tables.get(&table.table);
                table.first_sequence.zip(last).is_some_and(|(first, last)| first <= *last)
            })
        };
        Ok(self.registry().datasets().await?.into_iter().filter(concerns).collect())
    }

    /// What a training set's file holds of the entity. A file that is gone, or another by now, is told as a fault.
    pub async fn holding(
        &self,
        entity: &ErasedEntity,
        dataset: &Dataset,
        file: Result<Input, String>,
    ) -> Result<Holding> {
        let models = self.all_model_versions().await?;
        let trained = models.iter().filter(|model| model.dataset.as_ref() == Some(&dataset.id));
        let mut holding = Holding {
            dataset: dataset.id.clone(),
            location: dataset.location.clone(),
            rows: None,
            rows_with_values: None,
            fault: None,
            models: trained.map(|model| VersionedName { name: model.name.clone(), version: model.version }).collect(),
        };
        let counted = match file {
            Ok(file) => self.count(entity, dataset, &file).await.map_err(|error| error.to_string()),
            Err(fault) => Err(fault),
        };
        match counted {
            Ok((rows, with_values)) => {
                (holding.rows, holding.rows_with_values) = (Some(rows), Some(with_values));
            }
            Err(fault) => holding.fault = Some(fault),
        }
        Ok(holding)
    }

    async fn count(&self, entity: &ErasedEntity, dataset: &Dataset, file: &Input) -> Result<(u64, u64)> {
        let catalog = self.registry().catalog().await?;
        let set = &find_set(&catalog, &Selector::Version(dataset.feature_set.clone()))?.resolved;
        let mut batches = file.stream().await.map_err(hitherto_offline::Error::from)?;
        let (mut rows, mut with_values) = (0, 0);
        while let Some(batch) = batches.try_next().await.map_err(hitherto_offline::Error::from)? {
            let mut is_of = vec![false; batch.num_rows()];
            let mut has_values = vec![false; batch.num_rows()];
            for (index, view_use) in set.uses.iter().enumerate() {
                if let Some(key) = entity.keys.get(&view_use.table) {
                    let values = value_columns(set, index, view_use, dataset, &batch)?;
                    let columns = key_columns(view_use, &batch)?;
                    let types: Vec<KeyType> = view_use.keys.iter().map(|key| key.key_type).collect();
                    let keys = KeyReader::try_new(&columns, &types)?;
                    for row in (0..batch.num_rows()).filter(|row| keys.key(*row).as_ref() == Some(key)) {
                        is_of[row] = true;
                        has_values[row] |= values.iter().any(|column| column.is_valid(row));
                    }
                }
            }
            rows += is_of.iter().filter(|of| **of).count() as u64;
            with_values += has_values.iter().filter(|has| **has).count() as u64;
        }
        Ok((rows, with_values))
    }
}

/// The spine's columns that are a use's key, in the types and the order of the key.
fn key_columns(view_use: &ViewUse, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    let column = |key: &hitherto_core::SpineKey| {
        let found = column(batch, &key.spine_column)?;
        cast(found, &key_arrow_type(key.key_type))
            .map_err(|source| Error::internal("could not read a key of a training set", source))
    };
    view_use.keys.iter().map(column).collect()
}

/// The columns that a use has given: its features, and its evidence.
fn value_columns<'a>(
    set: &ResolvedSet,
    index: usize,
    view_use: &ViewUse,
    dataset: &Dataset,
    batch: &'a RecordBatch,
) -> Result<Vec<&'a ArrayRef>> {
    let evidence = if dataset.evidence { EvidenceColumns::Times } else { EvidenceColumns::Absent };
    let times = evidence_columns(evidence).iter().map(|(_, what)| format!("{}__{what}", view_use.alias));
    let features = set.outputs.iter().filter(|output| output.view_use == index).map(|output| output.name.clone());
    features.chain(times).map(|name| column(batch, &name)).collect()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let found = batch.column_by_name(name);
    found.ok_or_else(|| Error::NotFound(format!("its file has no column '{name}': it is not the file that was built")))
}
