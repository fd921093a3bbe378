//! Which rows are of one entity key: by the key itself, or by a hash of it where the key must not be kept.

use arrow::array::{BooleanArray, RecordBatch};
use hitherto_core::{EntityKey, Table};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::values::KeyReader;
use crate::{Error, Result};

/// A key that can be recognised and not read: SHA-256 over a salt of its own and the key's bytes, both in hex. Whoever has it
/// can try keys, so it is kept no longer than it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTrace {
    salt: String,
    hash: String,
}

impl KeyTrace {
    /// A trace of `key`, different each time.
    pub(crate) fn new(key: &EntityKey) -> Self {
        let salt = hex::encode([Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat());
        let hash = Self::hash(&salt, &key.to_bytes());
        Self { salt, hash }
    }

    /// Whether it is the trace of the key with these bytes.
    pub(crate) fn is_of(&self, key: &[u8]) -> bool {
        Self::hash(&self.salt, key) == self.hash
    }

    fn hash(salt: &str, key: &[u8]) -> String {
        hex::encode(Sha256::new().chain_update(salt).chain_update(key).finalize())
    }
}

/// What tells the rows of a key.
#[derive(Clone, Debug)]
pub(crate) enum KeyMatch {
    /// The key.
    Key(EntityKey),
    /// One of these traces.
    Traces(Vec<KeyTrace>),
}

impl KeyMatch {
    /// Which rows of a batch, whose first columns are the table's keys, are of the key.
    pub(crate) fn rows(&self, table: &Table, batch: &RecordBatch) -> Result<BooleanArray> {
        let types: Vec<_> = table.keys.iter().map(|(_, key_type)| *key_type).collect();
        let columns = batch.columns().get(..types.len()).ok_or_else(|| {
            Error::Invalid(format!("rows of table '{}' without their {} keys", table.id, types.len()))
        })?;
        let keys = KeyReader::try_new(columns, &types)?;
        let is_of = |key: &EntityKey| match self {
            Self::Key(wanted) => wanted == key,
            Self::Traces(traces) => {
                let bytes = key.to_bytes();
                traces.iter().any(|trace| trace.is_of(&bytes))
            }
        };
        Ok((0..batch.num_rows()).map(|row| Some(keys.key(row).as_ref().is_some_and(is_of))).collect())
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::KeyValue;

    use super::*;

    #[test]
    fn a_trace_knows_its_key_and_does_not_tell_it() {
        let key = EntityKey(vec![KeyValue::String("N14228".into()), KeyValue::Int(7)]);
        let other = EntityKey(vec![KeyValue::String("N14228".into()), KeyValue::Int(8)]);
        let (one, two) = (KeyTrace::new(&key), KeyTrace::new(&key));
        assert!(one.is_of(&key.to_bytes()) && two.is_of(&key.to_bytes()) && !one.is_of(&other.to_bytes()));
        assert_ne!(one, two);
        let text = serde_json::to_string(&one).expect("JSON");
        assert!(!text.contains("N14228") && !text.contains(&hex::encode("N14228")), "{text}");
    }
}
