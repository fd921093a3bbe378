//! Train, validation and test: told by time or by key, the same every time.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use hitherto_core::{ResolvedSet, Split};
use hitherto_offline::input::convert_time_down;

use crate::fingerprint::RowValues;
use crate::{Error, Result};

/// The column that says where a row belongs: `train`, `validation`, `test`, or null for none.
pub const SPLIT_COLUMN: &str = "split";

const TRAIN: &str = "train";
const VALIDATION: &str = "validation";
const TEST: &str = "test";
/// Never changed: another prefix would put keys elsewhere.
const PREFIX: &[u8] = b"hitherto split 1\n";

/// A split that is checked against a spine.
#[derive(Debug)]
pub(crate) struct Splitter {
    split: Split,
    schema: SchemaRef,
    /// The spine's columns that decide.
    columns: Vec<usize>,
}

impl Splitter {
    /// Of a spine of `spine` columns, whose times are in column `event_timestamp`, behind the columns of `joined`. Refused: no
    /// weight at all, ends that are not in order, columns that the spine does not have, and a column called `split`.
    pub(crate) fn try_new(split: &Split, spine: &Schema, event_timestamp: &str, joined: &Schema) -> Result<Self> {
        let column = |name: &str| {
            let names = spine.fields().iter().map(|field| field.name().as_str());
            let hint = hitherto_core::did_you_mean(name, names.clone()).map_or_else(
                || format!("it has {}", names.collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean '{near}'?"),
            );
            spine
                .index_of(name)
                .map_err(|_| Error::Invalid(format!("the spine has no column '{name}' to split by ({hint})")))
        };
        let columns = match split {
            Split::Time { train_end, validation_end, .. } => {
                if let Some(end) = validation_end.filter(|end| end <= train_end) {
                    return Err(Error::Invalid(format!(
                        "the split's validation would end at {end}, no later than train at {train_end}: give the earlier end first"
                    )));
                }
                vec![column(event_timestamp)?]
            }
            Split::Key { weights, .. } if weights.iter().all(|weight| *weight == 0) => {
                return Err(Error::Invalid("a split needs shares that are not all 0, like 80,10,10".to_owned()));
            }
            Split::Key { columns, .. } if columns.is_empty() => {
                return Err(Error::Invalid("a split by key needs a column of the spine".to_owned()));
            }
            Split::Key { columns, .. } => columns.iter().map(|name| column(name)).collect::<Result<_>>()?,
        };
        if joined.index_of(SPLIT_COLUMN).is_ok() {
            return Err(Error::Invalid(format!(
                "the training set would have two columns '{SPLIT_COLUMN}': rename the spine's column, or the feature with `as:`"
            )));
        }
        let mut fields: Vec<FieldRef> = joined.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(SPLIT_COLUMN, DataType::Utf8, true)));
        Ok(Self { split: split.clone(), schema: Arc::new(Schema::new(fields)), columns })
    }

    /// The columns of the training set, `split` last.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batch with the column `split`.
    pub(crate) fn append(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let parts: StringArray = match &self.split {
            Split::Time { .. } => {
                let times = convert_time_down(batch.column(self.columns[0]))
                    .map_err(|source| Error::Invalid(format!("the spine's times: {source}")))?;
                times.iter().map(|time| time.and_then(|time| part_at(&self.split, time))).collect()
            }
            Split::Key { weights, .. } => {
                let keys = self.columns.iter().map(|column| widened(batch.column(*column)));
                let keys = RowValues::new(&keys.collect::<Result<Vec<_>>>()?)?;
                (0..batch.num_rows()).map(|row| Some(part_of(*weights, &keys.hash(PREFIX, row)))).collect()
            }
        };
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(parts));
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|source| Error::internal("could not add the split", source))
    }
}

/// The spine's columns of the key that all views share, by which a split goes unless it says another.
pub(crate) fn shared_key(set: &ResolvedSet) -> Result<Vec<String>> {
    let mut keys: Vec<Vec<String>> = Vec::new();
    for view_use in &set.uses {
        let key: Vec<String> = view_use.keys.iter().map(|key| key.spine_column.clone()).collect();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    match keys.as_slice() {
        [one] => Ok(one.clone()),
        many => Err(Error::Invalid(format!(
            "the views of the set have {} different keys ({}): say with --split-by which columns the split goes by",
            many.len(),
            many.iter().map(|key| key.join(" and ")).collect::<Vec<_>>().join("; ")
        ))),
    }
}

fn part_at(split: &Split, time: i64) -> Option<&'static str> {
    let Split::Time { train_end, validation_end, gap } = split else { return None };
    let after = |end: &hitherto_core::Timestamp| time >= end.saturating_add(*gap).0;
    match validation_end {
        _ if time < train_end.0 => Some(TRAIN),
        Some(end) if time < end.0 => after(train_end).then_some(VALIDATION),
        // a gap that reaches over all of validation goes on after it
        Some(end) => (after(end) && after(train_end)).then_some(TEST),
        None => after(train_end).then_some(TEST),
    }
}

/// The first eight bytes of a hash as a fraction of all that they could be, held against the shares.
fn part_of(weights: [u32; 3], hash: &[u8; 32]) -> &'static str {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let place = ((u128::from(u64::from_be_bytes(first)) * u128::from(total)) >> 64) as u64;
    let [train, validation, _] = weights.map(u64::from);
    if place < train {
        TRAIN
    } else if place < train + validation {
        VALIDATION
    } else {
        TEST
    }
}

/// Integers as the widest, so that a key falls where it falls however its column came.
fn widened(column: &ArrayRef) -> Result<ArrayRef> {
    let wide = match column.data_type() {
        DataType::UInt64 => return Ok(Arc::clone(column)),
        integer if integer.is_integer() => cast(column, &DataType::Int64),
        _ => return Ok(Arc::clone(column)),
    };
    wide.map_err(|source| Error::internal("could not widen a key", source))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, Int64Array, TimestampMicrosecondArray};
    use hitherto_core::{Span, Timestamp};

    use super::*;

    fn parts(split: &Split, column: ArrayRef) -> Vec<Option<String>> {
        let batch = RecordBatch::try_from_iter([("c", column)]).expect("a column");
        let splitter = Splitter::try_new(split, &batch.schema(), "c", &batch.schema()).expect("a split");
        let done = splitter.append(&batch).expect("split");
        assert_eq!(done.schema(), *splitter.schema());
        done.column(1).as_string::<i32>().iter().map(|part| part.map(str::to_owned)).collect()
    }

    fn times(times: Vec<i64>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    }

    #[test]
    fn times_fall_before_between_and_after_with_gaps() {
        let gap = Span::from_micros(5).expect("a span");
        let split = |validation_end: Option<i64>| Split::Time {
            train_end: Timestamp(10),
            validation_end: validation_end.map(Timestamp),
            gap,
        };
        let found = parts(&split(Some(20)), times(vec![9, 10, 14, 15, 19, 20, 24, 25]));
        let named: Vec<&str> = found.iter().map(|part| part.as_deref().unwrap_or("-")).collect();
        assert_eq!(named, ["train", "-", "-", "validation", "validation", "-", "-", "test"]);
        let found = parts(&split(None), times(vec![9, 14, 15]));
        assert_eq!(found, [Some("train".to_owned()), None, Some("test".to_owned())]);
    }

    #[test]
    fn keys_fall_evenly_and_always_alike() {
        let split = Split::Key { columns: vec!["c".to_owned()], weights: [80, 10, 10] };
        let found = parts(&split, Arc::new(Int64Array::from_iter_values(0..20_000)));
        let share = |part: &str| found.iter().filter(|found| found.as_deref() == Some(part)).count();
        assert_eq!(share("train") + share("validation") + share("test"), 20_000);
        for (part, expected) in [("train", 16_000), ("validation", 2000), ("test", 2000)] {
            assert!(share(part).abs_diff(expected) < 200, "{part}: {}", share(part));
        }
        let narrow = parts(&split, Arc::new(Int32Array::from_iter_values(0..20_000)));
        assert_eq!(narrow, found, "whatever the integers' width");
        let first: Vec<&str> = found[..8].iter().filter_map(Option::as_deref).collect();
        assert_eq!(first, ["train", "train", "train", "train", "validation", "train", "test", "train"], "for ever");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let spine = Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("t", DataType::Int64, true)]);
        let refused = |split: &Split, joined: &Schema| {
            Splitter::try_new(split, &spine, "t", joined).expect_err("refused").to_string()
        };
        let keys = |columns: &[&str], weights| Split::Key {
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
            weights,
        };
        assert!(refused(&keys(&["kk"], [1, 0, 1]), &spine).contains("no column 'kk' to split by"));
        assert!(refused(&keys(&["k"], [0, 0, 0]), &spine).contains("not all 0"));
        let taken = Schema::new(vec![Field::new(SPLIT_COLUMN, DataType::Int64, true)]);
        assert!(refused(&keys(&["k"], [1, 1, 1]), &taken).contains("two columns 'split'"));
        let backward = Split::Time { train_end: Timestamp(5), validation_end: Some(Timestamp(5)), gap: Span::ZERO };
        assert!(refused(&backward, &spine).contains("give the earlier end first"));
    }
}
