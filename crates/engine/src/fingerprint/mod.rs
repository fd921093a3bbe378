//! What decides a training set's values, and what came of it, as hashes that outlive versions of the engine and of Arrow.

mod arrow_rows;
mod canonical;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use hitherto_core::Dataset;
use sha2::{Digest, Sha256};

use self::arrow_rows::ArrowRows;
use self::canonical::{Columns, heading};
use crate::{Error, Result};

/// SHA-256, in hex, of a spine: the names and types of its columns, then its rows in order, however they are batched.
#[derive(Debug)]
pub(crate) enum Fingerprint {
    Canonical(Sha256),
    /// As manifests of format 0 have it.
    ArrowRows(Box<ArrowRows>),
}

impl Fingerprint {
    /// As manifests of `format` have it.
    pub(crate) fn new(schema: &SchemaRef, format: u32) -> Result<Self> {
        if format == 0 {
            return Ok(Self::ArrowRows(Box::new(ArrowRows::new(schema)?)));
        }
        Ok(Self::Canonical(Sha256::new_with_prefix(heading(schema)?)))
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let hash = match self {
            Self::Canonical(hash) => hash,
            Self::ArrowRows(rows) => return rows.add(batch),
        };
        let columns = Columns::new(batch.columns())?;
        let mut bytes = Vec::new();
        for row in 0..batch.num_rows() {
            columns.put(row, &mut bytes);
            if bytes.len() >= 4096 {
                hash.update(&bytes);
                bytes.clear();
            }
        }
        hash.update(&bytes);
        Ok(())
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::Canonical(hash) => hex::encode(hash.finalize()),
            Self::ArrowRows(rows) => rows.text(),
        }
    }
}

/// The fingerprint of a multiset of rows, whatever their order, their batches and their encoding: the sum, modulo 2^256, of
/// the rows' SHA-256. Two files with the same rows have the same; files with other rows have another, unless somebody
/// searches for rows that add up, against whom the hash of the file stands.
///
/// A row's hash is over the heading of its columns (`hitherto rows 1`, names and types) and its values in a canonical
/// encoding that depends on no library; each hash is read as a big-endian number, and the sum written so, in hex.
#[derive(Clone, Debug)]
pub struct RowsFingerprint {
    /// Has taken the heading.
    begun: Sha256,
    /// The least significant part first.
    sum: [u64; 4],
}

impl RowsFingerprint {
    /// Of no rows of `schema`. A column type that Parquet cannot hold is refused.
    pub fn new(schema: &Schema) -> Result<Self> {
        Ok(Self { begun: Sha256::new_with_prefix(heading(schema)?), sum: [0; 4] })
    }

    /// Add the rows of a batch of that schema.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = Columns::new(batch.columns())?;
        let mut bytes = Vec::new();
        for row in 0..batch.num_rows() {
            bytes.clear();
            columns.put(row, &mut bytes);
            let hash: [u8; 32] = self.begun.clone().chain_update(&bytes).finalize().into();
            self.add_hash(&hash);
        }
        Ok(())
    }

    fn add_hash(&mut self, hash: &[u8; 32]) {
        let mut carry = false;
        for (sum, part) in self.sum.iter_mut().zip(hash.rchunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(part);
            let (added, over) = sum.overflowing_add(u64::from_be_bytes(word));
            let (added, over_again) = added.overflowing_add(u64::from(carry));
            (*sum, carry) = (added, over || over_again);
        }
    }

    /// 64 hexadecimal digits.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.sum.iter().rev().flat_map(|word| word.to_be_bytes()).collect();
        hex::encode(bytes)
    }
}

/// SHA-256 of the values of one row of a batch, without names and types.
pub(crate) struct RowValues(Columns);

impl RowValues {
    pub(crate) fn new(columns: &[arrow::array::ArrayRef]) -> Result<Self> {
        Columns::new(columns).map(Self)
    }

    /// The hash of `prefix` and row `row`.
    pub(crate) fn hash(&self, prefix: &[u8], row: usize) -> [u8; 32] {
        let mut bytes = prefix.to_vec();
        self.0.put(row, &mut bytes);
        Sha256::digest(&bytes).into()
    }
}

/// SHA-256, in hex, of what decides a dataset's values.
pub(crate) fn dataset_id(dataset: &Dataset) -> Result<String> {
    Ok(hex::encode(Sha256::digest(deciding(dataset)?)))
}

/// What decides a dataset's values, as a text: the spine's rows and its time column, the feature set, which table each
/// alias reads, the mode, the evidence asked for, the split, and per table the last `_sequence` seen and its erasures.
///
/// View versions are not in it: what they decide (columns, delay, ttl) is in the feature set's hash, and which table they
/// read is here. Neither are names, places, tags, versions of the engine or of the Delta log, nor who and when.
pub(crate) fn deciding(dataset: &Dataset) -> Result<String> {
    let reads: BTreeMap<&str, &str> =
        dataset.views.iter().map(|view| (view.alias.as_str(), view.table.as_str())).collect();
    // a JSON library's map need not sort, so the order is said here
    let deciding = serde_json::json!([
        "hitherto dataset 1",
        dataset.event_timestamp,
        dataset.evidence,
        dataset.feature_set_hash,
        dataset.mode,
        reads.into_iter().collect::<Vec<_>>(),
        dataset.spine_fingerprint,
        serde_json::to_string(&dataset.split).map_err(unwritable)?,
        dataset.tables.iter().collect::<Vec<_>>(),
        dataset.erasures.iter().filter(|(_, erased)| !erased.is_empty()).collect::<Vec<_>>(),
    ]);
    serde_json::to_string(&deciding).map_err(unwritable)
}

fn unwritable(source: serde_json::Error) -> Error {
    Error::internal("could not write JSON", source)
}
