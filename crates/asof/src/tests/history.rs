//! Spines and histories as arrays, in every layout that a key may come in.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray, Int16Array,
    Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type, Schema, SchemaRef};

use super::oracle::{Key, Row};
use crate::{AsOfView, Evidence, MemoryColumns, MemorySource};

/// A part of a key, as a column of some type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    Int64,
    Int32,
    Int16,
    UInt64,
    IntDictionary,
    Text,
    LargeText,
    TextView,
    TextDictionary,
    Bytes,
    BytesView,
    FixedBytes,
    Bool,
    Millis,
    Micros,
    Nanos,
}

impl Layout {
    /// Layouts whose values compare with each other.
    pub(super) const FAMILIES: [&[Self]; 5] = [
        &[Self::Int64, Self::Int32, Self::Int16, Self::UInt64, Self::IntDictionary],
        &[Self::Text, Self::LargeText, Self::TextView, Self::TextDictionary],
        &[Self::Bytes, Self::BytesView, Self::FixedBytes],
        &[Self::Bool],
        &[Self::Millis, Self::Micros, Self::Nanos],
    ];

    pub(super) fn column(self, parts: impl Iterator<Item = Option<u8>>) -> ArrayRef {
        let ints = parts.map(|part| part.map(i64::from)).collect::<Vec<_>>();
        let narrow = || ints.iter().map(|int| int.map(|int| int as i16));
        // the first is empty, the last too long to lie inside a view
        let name = |int: &i64| "composite-".repeat(*int as usize);
        let texts: Vec<Option<String>> = ints.iter().map(|int| int.as_ref().map(name)).collect();
        let bytes = || texts.iter().map(|text| text.as_ref().map(String::as_bytes));
        let time = |scale: i64| ints.iter().map(move |int| int.map(|int| (int - 1) * scale));
        match self {
            Self::Int64 => Arc::new(Int64Array::from(ints)),
            Self::Int32 => Arc::new(narrow().map(|int| int.map(i32::from)).collect::<Int32Array>()),
            Self::Int16 => Arc::new(narrow().collect::<Int16Array>()),
            Self::UInt64 => Arc::new(ints.iter().map(|int| int.map(|int| int as u64)).collect::<UInt64Array>()),
            Self::IntDictionary => {
                let values: ArrayRef = Arc::new(Int32Array::from(vec![3, 2, 1, 0]));
                let keys = narrow().map(|int| int.map(|int| 3 - i32::from(int))).collect();
                Arc::new(DictionaryArray::<Int32Type>::new(keys, values))
            }
            Self::Text => Arc::new(StringArray::from(texts)),
            Self::LargeText => Arc::new(LargeStringArray::from(texts)),
            Self::TextView => Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>()),
            Self::TextDictionary => Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int8Type>>()),
            Self::Bytes => Arc::new(bytes().collect::<BinaryArray>()),
            Self::BytesView => Arc::new(bytes().collect::<BinaryViewArray>()),
            // of one width, so it can hold one of the values and nulls: enough to see it compared
            Self::FixedBytes => {
                let fixed = bytes().map(|value| value.filter(|value| value.len() == 10));
                let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 10);
                Arc::new(fixed.expect("values of 10 bytes"))
            }
            Self::Bool => Arc::new(ints.iter().map(|int| int.map(|int| int % 2 == 1)).collect::<BooleanArray>()),
            Self::Millis => Arc::new(time(1).collect::<TimestampMillisecondArray>()),
            Self::Micros => Arc::new(time(1_000).collect::<TimestampMicrosecondArray>().with_timezone("+02:00")),
            Self::Nanos => Arc::new(time(1_000_000).collect::<TimestampNanosecondArray>()),
        }
    }

    /// What becomes of a part in this layout, where two parts fall together or cannot be said.
    pub(super) fn fold(self, part: Option<u8>) -> Option<u8> {
        match self {
            Self::Bool => part.map(|part| part % 2),
            Self::FixedBytes => part.filter(|part| *part == 1),
            _ => part,
        }
    }
}

/// The two parts of the keys.
pub(super) type Layouts = [Layout; 2];

pub(super) fn fold(layouts: Layouts, key: Key) -> Key {
    [layouts[0].fold(key[0]), layouts[1].fold(key[1])]
}

/// How the spine and the history are laid out.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) spine: Layouts,
    pub(super) history: Layouts,
    pub(super) has_created: bool,
    /// Rows to a batch, of the spine and of the history.
    pub(super) spine_rows: usize,
    pub(super) history_rows: usize,
    pub(super) partitions: usize,
}

fn micros(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

/// Columns `id`, `k0`, `k1`, `t`.
pub(super) fn spine(rows: &[(Key, i64)], shape: &Shape) -> (SchemaRef, Vec<RecordBatch>) {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows.len() as i64));
    let whole = batch(vec![
        ("id", id),
        ("k0", shape.spine[0].column(rows.iter().map(|row| row.0[0]))),
        ("k1", shape.spine[1].column(rows.iter().map(|row| row.0[1]))),
        ("t", micros(rows.iter().map(|row| Some(row.1)))),
    ]);
    (whole.schema(), split(&whole, shape.spine_rows))
}

/// Columns `k0`, `k1`, `event`, `created`, `sequence`, `deleted`, `value`, `text`.
pub(super) fn source(rows: &[Row], shape: &Shape) -> MemorySource {
    let text = rows.iter().map(|row| row.value.map(|value| format!("v{value}"))).collect::<StringArray>();
    let whole = batch(vec![
        ("k0", shape.history[0].column(rows.iter().map(|row| row.key[0]))),
        ("k1", shape.history[1].column(rows.iter().map(|row| row.key[1]))),
        ("event", micros(rows.iter().map(|row| Some(row.event)))),
        ("created", micros(rows.iter().map(|row| row.created))),
        ("sequence", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.sequence)))),
        ("deleted", Arc::new(rows.iter().map(|row| row.deleted).collect::<BooleanArray>())),
        ("value", Arc::new(rows.iter().map(|row| row.value).collect::<Int64Array>())),
        ("text", Arc::new(text)),
    ]);
    let columns = MemoryColumns {
        keys: vec![0, 1],
        event: 2,
        created: shape.has_created.then_some(3),
        sequence: Some(4),
        deleted: Some(5),
        payload: vec![6, 7],
    };
    MemorySource::try_new("memory", &whole.schema(), &split(&whole, shape.history_rows), &columns)
        .expect("a history")
        .with_partitions(shape.partitions)
}

/// Output `{name}_text`, `{name}_value`; evidence `{name}_event`, `{name}_available`, `{name}_sequence`.
pub(super) fn view(name: &str, source: MemorySource, reading: super::oracle::Reading) -> AsOfView {
    let output =
        |column: usize, name: String, data_type: DataType| (column, Arc::new(Field::new(name, data_type, true)));
    AsOfView {
        name: name.to_owned(),
        source: Arc::new(source),
        spine_keys: vec![1, 2],
        source_delay_us: reading.delay,
        ttl_us: reading.ttl,
        visibility: reading.visibility,
        output: vec![
            output(1, format!("{name}_text"), DataType::Utf8),
            output(0, format!("{name}_value"), DataType::Int64),
        ],
        evidence: vec![
            (Evidence::EventTimestamp, format!("{name}_event")),
            (Evidence::AvailableAt, format!("{name}_available")),
            (Evidence::Sequence, format!("{name}_sequence")),
        ],
    }
}

fn split(whole: &RecordBatch, rows: usize) -> Vec<RecordBatch> {
    (0..whole.num_rows()).step_by(rows).map(|start| whole.slice(start, rows.min(whole.num_rows() - start))).collect()
}

pub(super) fn spine_schema() -> Schema {
    let shape = Shape {
        spine: [Layout::Int64, Layout::Text],
        history: [Layout::Int64, Layout::Text],
        has_created: true,
        spine_rows: 1,
        history_rows: 1,
        partitions: 1,
    };
    spine(&[], &shape).0.as_ref().clone()
}
