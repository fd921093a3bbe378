//! How spines were hashed in manifests of format 0, so that those can still be rebuilt.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// SHA-256 over names, types, and rows as Arrow's row format has them.
#[derive(Debug)]
pub(crate) struct ArrowRows {
    hash: Sha256,
    converter: RowConverter,
}

impl ArrowRows {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let mut hash = Sha256::new();
        for field in schema.fields() {
            hash.update(format!("{}: {}\n", field.name(), plain(field.data_type())));
        }
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self { hash, converter: RowConverter::new(fields).map_err(failed)? })
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
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

    pub(super) fn text(self) -> String {
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
