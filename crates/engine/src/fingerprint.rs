//! What decides a training set's values, as a hash.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use hitherto_core::Dataset;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// SHA-256, in hex, of a spine: the names and types of its columns, then its rows in order, however they are batched.
#[derive(Debug)]
pub(crate) struct Fingerprint {
    hash: Sha256,
    converter: RowConverter,
}

impl Fingerprint {
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self> {
        let mut hash = Sha256::new();
        for field in schema.fields() {
            hash.update(format!("{}: {}\n", field.name(), plain(field.data_type())));
        }
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self { hash, converter: RowConverter::new(fields).map_err(failed)? })
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows = self.converter.convert_columns(batch.columns()).map_err(failed)?;
        for row in &rows {
            self.hash.update((row.as_ref().len() as u64).to_le_bytes());
            self.hash.update(row.as_ref());
        }
        Ok(())
    }

    pub(crate) fn text(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

fn failed(source: arrow::error::ArrowError) -> Error {
    Error::internal("could not take the spine's fingerprint", source)
}

/// A dictionary holds the same rows as its values do.
fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => plain(value),
        other => other,
    }
}

/// SHA-256, in hex, of what decides a dataset's values: the spine's rows and its time column, the feature set, the mode, the
/// evidence asked for, and per table the last `_sequence` seen.
pub(crate) fn dataset_id(dataset: &Dataset) -> Result<String> {
    let deciding = serde_json::json!({
        "event_timestamp": dataset.event_timestamp,
        "evidence": dataset.evidence,
        "feature_set_hash": dataset.feature_set_hash,
        "mode": dataset.mode,
        "spine_fingerprint": dataset.spine_fingerprint,
        "tables": dataset.tables,
    });
    let text = serde_json::to_string(&deciding).map_err(|source| Error::internal("could not write JSON", source))?;
    Ok(hex::encode(Sha256::digest(text)))
}
