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
    /// The key but for parts that are null.
    NullParts(EntityKey),
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
        let is_of = |row| match self {
            Self::Key(wanted) => keys.key(row).as_ref() == Some(wanted),
            Self::NullParts(wanted) => keys.is_but_for_nulls(row, wanted),
            Self::Traces(traces) => keys.key(row).is_some_and(|key| {
                let bytes = key.to_bytes();
                traces.iter().any(|trace| trace.is_of(&bytes))
            }),
        };
        Ok((0..batch.num_rows()).map(|row| Some(is_of(row))).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use hitherto_core::{Created, KeyType, KeyValue};

    use super::*;
    use crate::compact::samples::name;

    #[test]
    fn null_parts_are_told_from_the_key_and_from_other_keys() {
        let keys = vec![(name("a"), KeyType::String), (name("b"), KeyType::Int64)];
        let table =
            Table { id: "t-1".to_owned(), view: name("t"), keys, created: Created::Absent, columns: Vec::new() };
        let texts = [Some("x"), Some("x"), None, None, Some("y"), Some("x")];
        let numbers = [Some(7), None, Some(7), None, None, Some(8)];
        let batch = RecordBatch::try_from_iter([
            ("a", Arc::new(StringArray::from(texts.to_vec())) as ArrayRef),
            ("b", Arc::new(Int64Array::from(numbers.to_vec()))),
        ]);
        let batch = batch.expect("a batch");
        let key = EntityKey(vec![KeyValue::String("x".into()), KeyValue::Int(7)]);
        let of = |found: &KeyMatch| -> Vec<bool> {
            found.rows(&table, &batch).expect("rows").iter().map(Option::unwrap_or_default).collect()
        };
        assert_eq!(of(&KeyMatch::Key(key.clone())), [true, false, false, false, false, false]);
        assert_eq!(of(&KeyMatch::Traces(vec![KeyTrace::new(&key)])), [true, false, false, false, false, false]);
        // a row without any part may be anybody's
        assert_eq!(of(&KeyMatch::NullParts(key)), [false, true, true, false, false, false]);
    }

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
