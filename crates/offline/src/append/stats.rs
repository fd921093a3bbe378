//! What the log says about a file, so that readers can leave it closed: rows, and ranges of keys and times.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{max, max_string, min, min_string};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use hitherto_core::{Created, Table, Timestamp};
use serde_json::{Map, Value, json};

use super::file::FileKind;
use crate::log::timestamp_text;
use crate::{CREATED, EVENT, Error, INGESTED, Result, SEQUENCE};

/// Texts are cut to this many characters, outward.
const TEXT_CHARS: usize = 32;

/// Statistics of the rows so far.
pub(super) struct Stats {
    rows: u64,
    columns: Vec<(String, Column)>,
}

#[derive(Default)]
struct Column {
    nulls: u64,
    range: Option<(Bound, Bound)>,
}

#[derive(Clone, PartialEq, PartialOrd)]
enum Bound {
    Int(i64),
    Time(i64),
    Text(String),
}

impl Stats {
    pub(super) fn new(table: &Table, kind: FileKind) -> Self {
        let created = (table.created == Created::Column).then_some(CREATED);
        let carried: &[&str] = if kind == FileKind::Fresh { &[] } else { &[SEQUENCE, INGESTED] };
        let names = table.keys.iter().map(|(name, _)| name.as_str());
        let names = names.chain([EVENT]).chain(created).chain(carried.iter().copied());
        Self { rows: 0, columns: names.map(|name| (name.to_owned(), Column::default())).collect() }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        for (name, column) in &mut self.columns {
            let array = batch
                .column_by_name(name)
                .ok_or_else(|| Error::Invalid(format!("could not append: column '{name}' is missing")))?;
            column.nulls += array.null_count() as u64;
            let Some((low, high)) = range(array) else { continue };
            column.range = Some(match column.range.take() {
                None => (low, high),
                Some((min, max)) => (if low < min { low } else { min }, if high > max { high } else { max }),
            });
        }
        Ok(())
    }

    /// As Delta's protocol has it. What JSON cannot say, or would say wrongly, is left out.
    pub(super) fn to_json(&self) -> Value {
        let (mut min_values, mut max_values, mut null_count) = (Map::new(), Map::new(), Map::new());
        for (name, column) in &self.columns {
            null_count.insert(name.clone(), json!(column.nulls));
            let Some((low, high)) = &column.range else { continue };
            if let (Some(low), Some(high)) = (low.floor(), high.ceiling()) {
                min_values.insert(name.clone(), low);
                max_values.insert(name.clone(), high);
            }
        }
        json!({"numRecords": self.rows, "minValues": min_values, "maxValues": max_values, "nullCount": null_count})
    }
}

impl Bound {
    fn floor(&self) -> Option<Value> {
        match self {
            Self::Int(value) => Some(json!(value)),
            Self::Time(micros) => timestamp_text(Timestamp(*micros)).map(Value::String),
            Self::Text(text) => Some(Value::String(text.chars().take(TEXT_CHARS).collect())),
        }
    }

    fn ceiling(&self) -> Option<Value> {
        match self {
            Self::Text(text) if text.chars().count() > TEXT_CHARS => {
                // nothing that begins as the text does is greater than this
                Some(Value::String(text.chars().take(TEXT_CHARS).chain([char::MAX]).collect()))
            }
            other => other.floor(),
        }
    }
}

fn range(array: &ArrayRef) -> Option<(Bound, Bound)> {
    match array.data_type() {
        DataType::Int32 => {
            let array = array.as_primitive::<Int32Type>();
            Some((Bound::Int(min(array)?.into()), Bound::Int(max(array)?.into())))
        }
        DataType::Int64 => {
            let array = array.as_primitive::<Int64Type>();
            Some((Bound::Int(min(array)?), Bound::Int(max(array)?)))
        }
        DataType::Timestamp(..) => {
            let array = array.as_primitive::<TimestampMicrosecondType>();
            Some((Bound::Time(min(array)?), Bound::Time(max(array)?)))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Some((Bound::Text(min_string(array)?.to_owned()), Bound::Text(max_string(array)?.to_owned())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_outward() {
        let long = Bound::Text("ä".repeat(40));
        let (low, high) = (long.floor().expect("a text"), long.ceiling().expect("a text"));
        let (low, high) = (low.as_str().expect("a text"), high.as_str().expect("a text"));
        assert_eq!(low.chars().count(), 32);
        assert!(low < "ä".repeat(40).as_str() && high > "ä".repeat(40).as_str());
        assert_eq!(Bound::Text("short".into()).ceiling(), Some(json!("short")));
    }

    #[test]
    fn times_that_four_digits_cannot_say_are_left_out() {
        assert_eq!(Bound::Time(0).floor(), Some(json!("1970-01-01T00:00:00.000000Z")));
        assert_eq!(Bound::Time(i64::MAX).ceiling(), None);
    }
}
