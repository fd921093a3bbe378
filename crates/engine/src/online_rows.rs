//! Rows of history as the online store takes them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use hitherto_core::{Created, KeyType, Table, Timestamp, Value, ValueType};
use hitherto_offline::{CREATED, DELETED, EVENT, SEQUENCE};
use hitherto_offline::{ColumnReader, KeyReader};
use hitherto_online::{OnlineRow, RowVersion, Write, encoding};

use crate::{Error, Result};

/// Turns batches of a table's changes into writes.
#[derive(Debug)]
pub(crate) struct OnlineRows {
    created: Created,
    keys: Vec<String>,
    key_types: Vec<KeyType>,
    names: Vec<String>,
    types: Vec<ValueType>,
}

impl OnlineRows {
    pub(crate) fn new(table: &Table) -> Self {
        Self {
            created: table.created,
            keys: table.keys.iter().map(|(name, _)| name.to_string()).collect(),
            key_types: table.keys.iter().map(|(_, key_type)| *key_type).collect(),
            names: table.columns.iter().map(|(name, _)| name.to_string()).collect(),
            types: table.columns.iter().map(|(_, value_type)| value_type.clone()).collect(),
        }
    }

    /// One write per row whose key has no null part. A tombstone carries no values.
    pub(crate) fn writes(&self, batch: &RecordBatch) -> Result<Vec<Write>> {
        let key_columns = self.keys.iter().map(|name| column(batch, name).cloned()).collect::<Result<Vec<_>>>()?;
        let keys = KeyReader::try_new(&key_columns, &self.key_types)?;
        let features = self.names.iter().zip(&self.types);
        let features = features.map(|(name, value_type)| Ok(ColumnReader::try_new(column(batch, name)?, value_type)?));
        let features = features.collect::<Result<Vec<_>>>()?;
        let event = column(batch, EVENT)?.as_primitive::<TimestampMicrosecondType>();
        let created = match self.created {
            Created::Absent => None,
            Created::Column | Created::IngestedAt => {
                Some(column(batch, CREATED)?.as_primitive::<TimestampMicrosecondType>())
            }
        };
        let sequence = column(batch, SEQUENCE)?.as_primitive::<Int64Type>();
        let deleted = column(batch, DELETED)?.as_boolean();
        let mut writes = Vec::with_capacity(batch.num_rows());
        let mut values: Vec<Value> = Vec::with_capacity(features.len());
        for row in 0..batch.num_rows() {
            let Some(key) = keys.key(row) else { continue };
            let is_deleted = deleted.is_valid(row) && deleted.value(row);
            values.clear();
            values.extend(features.iter().map(|feature| if is_deleted { Value::Null } else { feature.value(row) }));
            let version = RowVersion {
                event: Timestamp(event.value(row)),
                created: created.map(|created| Timestamp(created.value(row))),
                sequence: sequence.value(row),
            };
            let values = encoding::encode(&self.types, &values)
                .map_err(|source| Error::internal("could not pack a row", source))?;
            let row = OnlineRow { version, deleted: is_deleted, values };
            writes.push(Write { key: key.to_bytes(), row });
        }
        Ok(writes)
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::internal("history lacks a column", name.to_owned()))
}
