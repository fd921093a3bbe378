//! Between the histories' rows and Arrow's columns.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use hitherto_core::{Created, Value, ValueType};
use hitherto_offline::{array_of, key_array, value_at};

use super::history::{FeatureRow, History, Key};

/// The features, and the version of the view that brought each.
pub(crate) fn features() -> [(&'static str, ValueType); 3] {
    [("f", ValueType::Int64), ("g", ValueType::String), ("h", ValueType::Float64)]
}

impl FeatureRow {
    pub(crate) fn values(&self) -> [Value; 3] {
        [
            self.f.map_or(Value::Null, Value::Int64),
            self.g.clone().map_or(Value::Null, Value::String),
            self.h.map_or(Value::Null, Value::Float64),
        ]
    }
}

impl History {
    /// Rows in the columns of the view's source.
    pub(crate) fn batch(&self, rows: &[FeatureRow], features_sent: usize) -> Result<RecordBatch> {
        let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
        let mut columns = self.key_columns(&keys)?;
        columns.push(("event_timestamp".to_owned(), times(rows.iter().map(|row| row.event))));
        if self.created == Created::Column {
            columns.push(("created_timestamp".to_owned(), times(rows.iter().map(|row| row.created))));
        }
        let values: Vec<_> = rows.iter().map(FeatureRow::values).collect();
        for (index, (name, value_type)) in features().iter().take(features_sent).enumerate() {
            let column = array_of(value_type, values.iter().map(|values| &values[index]))?;
            columns.push(((*name).to_owned(), column));
        }
        let deleted: BooleanArray = rows.iter().map(|row| row.deleted).collect();
        columns.push(("_deleted".to_owned(), Arc::new(deleted)));
        batch_of(columns)
    }

    /// Every key at every moment, moments within keys; beside it, as another key, the keys in the opposite order.
    pub(crate) fn spine(&self, keys: &[Key], moments: &[i64]) -> Result<RecordBatch> {
        let rows: Vec<(Key, i64)> =
            keys.iter().flat_map(|key| moments.iter().map(move |moment| (key.clone(), *moment))).collect();
        let keys: Vec<Key> = rows.iter().map(|(key, _)| key.clone()).collect();
        let others: Vec<Key> = keys.iter().rev().cloned().collect();
        let mut columns = self.key_columns(&keys)?;
        columns.extend(self.key_columns(&others)?.into_iter().map(|(name, column)| (format!("other_{name}"), column)));
        columns.push(("event_timestamp".to_owned(), times(rows.iter().map(|(_, moment)| *moment))));
        batch_of(columns)
    }

    fn key_columns(&self, keys: &[Key]) -> Result<Vec<(String, ArrayRef)>> {
        let column = |(part, (name, key_type)): (usize, &(&str, _))| {
            Ok(((*name).to_owned(), key_array(*key_type, keys.iter().map(|key| key[part].as_ref()))?))
        };
        self.keys.iter().enumerate().map(column).collect()
    }
}

/// Columns by name as one batch.
pub(crate) fn batch_of(columns: Vec<(String, ArrayRef)>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))?)
}

/// UTC microseconds.
pub(crate) fn times(micros: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
}

/// The column `name` of `batch`.
pub(crate) fn column(batch: &RecordBatch, name: &str, value_type: &ValueType) -> Result<Vec<Value>> {
    let column = batch.column_by_name(name).with_context(|| format!("no column '{name}'"))?;
    (0..batch.num_rows()).map(|row| Ok(value_at(column, row, value_type)?)).collect()
}

/// Whether two values are the same, bit by bit where they are floats.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Float64(left), Value::Float64(right)) => left.to_bits() == right.to_bits(),
        _ => left == right,
    }
}
