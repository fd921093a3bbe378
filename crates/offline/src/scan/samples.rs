//! Files of a small table, written by hand, for tests.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use hitherto_core::{Created, EntityKey, KeyType, KeyValue, Row, Table, Timestamp, Value, ValueType};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use proptest::prelude::*;

use super::PinnedTable;
use crate::log::{DataFile, TimeRange};
use crate::schema::{CREATED, DELETED, EVENT, INGESTED, SEQUENCE};
use crate::types::UTC;
use crate::values::{array_of, key_array};

/// A row with everything that is known of it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) key: (Option<i64>, Option<&'static str>),
    pub(super) event: i64,
    pub(super) created: i64,
    pub(super) deleted: Option<bool>,
    pub(super) values: Vec<Value>,
}

/// Rows of one file.
#[derive(Clone, Debug)]
pub(super) struct SampleFile {
    pub(super) rows: Vec<Sample>,
    pub(super) commit_time: i64,
    /// How many of the table's features the file has.
    pub(super) features: usize,
    /// Whether it has `_sequence` and `_ingested_at` of its own.
    pub(super) compacted: bool,
    /// Whether its footer has statistics.
    pub(super) statistics: bool,
}

/// A row as a scan should see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) key: Option<EntityKey>,
    pub(super) row: Row,
    pub(super) ingested: i64,
    pub(super) values: Vec<Value>,
}

pub(super) fn table(created: Created) -> Table {
    let name = |text: &str| text.parse().expect("a name");
    Table {
        id: "legs-1".to_owned(),
        view: name("legs"),
        keys: vec![(name("a"), KeyType::Int64), (name("b"), KeyType::String)],
        created,
        columns: vec![
            (name("delay"), ValueType::Float32),
            (name("note"), ValueType::String),
            (name("place"), ValueType::Vector(2)),
            (name("stops"), ValueType::List(Box::new(ValueType::Int64))),
        ],
    }
}

/// Writes the files, and says what is in them. Compacted files number their rows backwards.
pub(super) async fn written(
    store: &Arc<dyn ObjectStore>,
    table: &Table,
    files: &[SampleFile],
    group_rows: usize,
) -> (Vec<DataFile>, Vec<Seen>) {
    let (mut data_files, mut seen) = (Vec::new(), Vec::new());
    let mut next = 0;
    for (index, file) in files.iter().enumerate() {
        let count = file.rows.len() as i64;
        let sequences: Vec<i64> =
            (0..count).map(|row| next + if file.compacted { count - 1 - row } else { row }).collect();
        let batch = batch(table, file, &sequences);
        let path = Path::from(format!("legs/{index}.parquet"));
        let size_bytes = put(store, &path, &batch, group_rows, file.statistics).await;
        data_files.push(data_file(table, file, path, size_bytes, (!file.compacted).then_some(next)));
        seen.extend(file.rows.iter().zip(&sequences).map(|(row, sequence)| see(table, file, row, *sequence)));
        next += count;
    }
    (data_files, seen)
}

pub(super) fn pinned(store: &Arc<dyn ObjectStore>, table: &Table, files: &[DataFile], last: i64) -> PinnedTable {
    PinnedTable::new(Arc::clone(store), table.clone(), files, last)
}

fn see(table: &Table, file: &SampleFile, row: &Sample, sequence: i64) -> Seen {
    let created = match table.created {
        Created::Absent => None,
        Created::Column => Some(Timestamp(row.created)),
        Created::IngestedAt => Some(Timestamp(file.commit_time)),
    };
    let mut values = row.values.clone();
    values[file.features..].fill(Value::Null);
    Seen {
        key: row.key.0.zip(row.key.1).map(|(a, b)| EntityKey(vec![KeyValue::Int(a), KeyValue::String(b.to_owned())])),
        row: Row { event: Timestamp(row.event), created, sequence, deleted: row.deleted == Some(true) },
        ingested: file.commit_time,
        values,
    }
}

pub(super) fn batch(table: &Table, file: &SampleFile, sequences: &[i64]) -> RecordBatch {
    let rows = &file.rows;
    let times = |time: &dyn Fn(&Sample) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(time)).with_timezone(UTC))
    };
    let a: Vec<Option<KeyValue>> = rows.iter().map(|row| row.key.0.map(KeyValue::Int)).collect();
    let b: Vec<_> = rows.iter().map(|row| row.key.1.map(|text| KeyValue::String(text.to_owned()))).collect();
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("a", key_array(KeyType::Int64, a.iter().map(Option::as_ref)).expect("integers"), true),
        ("b", key_array(KeyType::String, b.iter().map(Option::as_ref)).expect("texts"), true),
        (EVENT, times(&|row| row.event), false),
    ];
    if table.created == Created::Column {
        columns.push((CREATED, times(&|row| row.created), false));
    }
    for (index, (name, value_type)) in table.columns.iter().enumerate().take(file.features) {
        let values: Vec<Value> = rows.iter().map(|row| row.values[index].clone()).collect();
        columns.push((name.as_str(), array_of(value_type, &values).expect("values"), true));
    }
    columns.push((DELETED, Arc::new(rows.iter().map(|row| row.deleted).collect::<BooleanArray>()), true));
    if file.compacted {
        columns.push((SEQUENCE, Arc::new(Int64Array::from(sequences.to_vec())), false));
        columns.push((INGESTED, times(&|_| file.commit_time), false));
    }
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

async fn put(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    batch: &RecordBatch,
    group_rows: usize,
    statistics: bool,
) -> u64 {
    let statistics = if statistics { EnabledStatistics::Page } else { EnabledStatistics::None };
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(2)
        .set_statistics_enabled(statistics)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
    writer.write(batch).expect("rows are written");
    let bytes = writer.into_inner().expect("a file");
    let size = bytes.len() as u64;
    store.put(path, bytes.into()).await.expect("the file is stored");
    size
}

fn data_file(table: &Table, file: &SampleFile, path: Path, size_bytes: u64, first_sequence: Option<i64>) -> DataFile {
    let range = |time: fn(&Sample) -> i64| {
        let times = || file.rows.iter().filter(|_| file.statistics).map(time);
        Some(TimeRange { min: Timestamp(times().min()?), max: Timestamp(times().max()?) })
    };
    DataFile {
        path,
        size_bytes,
        rows: file.rows.len() as u64,
        first_sequence,
        commit_time: (!file.compacted).then_some(Timestamp(file.commit_time)),
        event: range(|row| row.event),
        created: range(|row| row.created).filter(|_| table.created == Created::Column),
        stats: serde_json::Map::default(),
    }
}

/// Small numbers, so that times meet and keys come again; the ends of time, so that sums saturate.
pub(super) fn files() -> impl Strategy<Value = Vec<SampleFile>> {
    let time = || prop_oneof![20 => -20_i64..20, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let text = || prop_oneof![Just("x"), Just("y"), Just("a text too long to be kept within a view")];
    let values = (proptest::option::of(0_u8..9), proptest::option::of(text()), any::<bool>(), 0_usize..3);
    let values = values.prop_map(|(delay, note, place, stops)| {
        let null_or = |value: Option<Value>| value.unwrap_or(Value::Null);
        vec![
            null_or(delay.map(|delay| Value::Float32(f32::from(delay)))),
            null_or(note.map(|note| Value::String(note.to_owned()))),
            null_or(place.then(|| Value::Vector(vec![1.0, f32::from(delay.unwrap_or(0))]))),
            Value::List((0..stops).map(|stop| Value::Int64(stop as i64)).collect()),
        ]
    });
    let key = (proptest::option::weighted(0.9, 0_i64..3), proptest::option::weighted(0.9, text()));
    let row = (key, time(), time(), proptest::option::of(any::<bool>()), values)
        .prop_map(|(key, event, created, deleted, values)| Sample { key, event, created, deleted, values });
    let file = (proptest::collection::vec(row, 1..14), -20_i64..20, 0_usize..=4, any::<bool>(), any::<bool>());
    let file = file.prop_map(|(rows, commit_time, features, compacted, statistics)| SampleFile {
        rows,
        commit_time,
        features,
        compacted,
        statistics,
    });
    proptest::collection::vec(file, 0..4)
}

pub(super) fn created() -> impl Strategy<Value = Created> {
    prop_oneof![Just(Created::Absent), Just(Created::Column), Just(Created::IngestedAt)]
}
