//! Histories for tests of maintenance: random rows, appended in commits, and what any reader should find in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use futures::{TryStreamExt, stream};
use hitherto_core::{Created, KeyType, KeyValue, Name, Table, Timestamp, Value, ValueType};
use object_store::ObjectStore;
use proptest::prelude::*;

use crate::types::UTC;
use crate::{
    Appended, BatchId, CREATED, Commit, DELETED, DataFile, EVENT, History, INGESTED, OfflineStore, PinnedTable,
    SEQUENCE, array_of, history_schema, key_array,
};

/// Rows by `_sequence`: column by column as text, `_ingested_at` included.
pub(crate) type Rows = BTreeMap<i64, BTreeMap<String, String>>;

/// One row: which key of a few, times, and a number that decides all of its features.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) key: u8,
    pub(crate) event: i64,
    pub(crate) created: i64,
    pub(crate) deleted: Option<bool>,
    pub(crate) seed: u8,
}

/// The store's clock.
#[expect(clippy::disallowed_methods, reason = "what is due is compared with times of the store")]
pub(crate) fn present() -> Timestamp {
    Timestamp(chrono::Utc::now().timestamp_micros())
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// A table with every kind of column, keys of these types.
pub(crate) fn table(keys: &[KeyType], created: Created) -> Table {
    let keys = keys.iter().enumerate().map(|(index, key_type)| (name(&format!("k{index}")), *key_type)).collect();
    let columns =
        ["bool", "int32", "float64", "string", "bytes", "timestamp", "date", "list<string>", "vector<float32, 3>"];
    let columns = columns.iter().enumerate();
    let columns = columns.map(|(index, text)| (name(&format!("f{index}")), text.parse().expect("a type"))).collect();
    Table { id: "things-1".to_owned(), view: name("things"), keys, created, columns }
}

pub(crate) fn memory() -> OfflineStore {
    OfflineStore::open("memory:///", [("", ""); 0]).expect("a store")
}

pub(crate) fn history(store: &OfflineStore, table: &Table) -> History {
    History::new(store, table.clone()).expect("a history")
}

/// Few keys and times, so that they meet; sometimes the ends of time.
pub(crate) fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let time = || prop_oneof![9 => -20_i64..20, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let row = (0_u8..12, time(), time(), proptest::option::of(any::<bool>()), any::<u8>());
    let row = row.prop_map(|(key, event, created, deleted, seed)| Sample { key, event, created, deleted, seed });
    proptest::collection::vec(row, 1..40)
}

pub(crate) fn batch(table: &Table, rows: &[Sample]) -> RecordBatch {
    let times = |time: &dyn Fn(&Sample) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(time)).with_timezone(UTC))
    };
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (index, (name, key_type)) in table.keys.iter().enumerate() {
        let parts: Vec<Option<KeyValue>> = rows.iter().map(|row| key(*key_type, row.key >> index)).collect();
        columns.push((name.to_string(), key_array(*key_type, parts.iter().map(Option::as_ref)).expect("keys")));
    }
    columns.push((EVENT.to_owned(), times(&|row| row.event)));
    if table.created == Created::Column {
        columns.push((CREATED.to_owned(), times(&|row| row.created)));
    }
    for (name, value_type) in &table.columns {
        let values: Vec<Value> = rows.iter().map(|row| value(value_type, row.seed)).collect();
        columns.push((name.to_string(), array_of(value_type, &values).expect("values")));
    }
    let deleted: BooleanArray = rows.iter().map(|row| row.deleted).collect();
    columns.push((DELETED.to_owned(), Arc::new(deleted)));
    RecordBatch::try_from_iter(columns).expect("a batch")
}

/// Every fourth part is null.
fn key(key_type: KeyType, number: u8) -> Option<KeyValue> {
    if number % 4 == 3 {
        return None;
    }
    Some(match key_type {
        KeyType::Bool => KeyValue::Bool(number.is_multiple_of(2)),
        KeyType::Int32 | KeyType::Int64 => KeyValue::Int(i64::from(number) - 3),
        KeyType::String => KeyValue::String("ä".repeat(usize::from(number))),
        KeyType::Bytes => KeyValue::Bytes(vec![0xff; usize::from(number)]),
        KeyType::Timestamp => KeyValue::Timestamp(Timestamp(i64::from(number) * 1_000_003)),
    })
}

fn value(value_type: &ValueType, seed: u8) -> Value {
    if seed.is_multiple_of(5) {
        return Value::Null;
    }
    let number = i64::from(seed);
    match value_type {
        ValueType::Bool => Value::Bool(seed.is_multiple_of(2)),
        ValueType::Int32 => Value::Int32(i32::from(seed)),
        ValueType::Int64 => Value::Int64(number << 40),
        ValueType::Float32 => Value::Float32(f32::from(seed) / 7.0),
        ValueType::Float64 => Value::Float64(f64::from(seed) / 7.0),
        ValueType::String => Value::String(format!("text {seed}")),
        ValueType::Bytes => Value::Bytes(vec![seed; 3]),
        ValueType::Timestamp => Value::Timestamp(Timestamp(number)),
        ValueType::Date => Value::Date(i32::from(seed)),
        ValueType::List(item) => Value::List((0..seed % 4).map(|i| value(item, seed.wrapping_add(i))).collect()),
        ValueType::Vector(length) => Value::Vector(vec![f32::from(seed); *length as usize]),
    }
}

/// Appends the rows at a time, and puts what should be read of them into `expected`.
pub(crate) async fn append(history: &History, rows: &[Sample], at: Timestamp, expected: &mut Rows) -> Commit {
    append_batch(history, &batch(history.table(), rows), at, expected).await
}

pub(crate) async fn append_batch(history: &History, rows: &RecordBatch, at: Timestamp, expected: &mut Rows) -> Commit {
    let whole = stream::iter([Ok(rows.clone())]);
    let appended = history.append(BatchId::Unremembered, whole, &|| at).await.expect("appended");
    let Appended::Done(commit) = appended else { panic!("{appended:?}") };
    for row in 0..rows.num_rows() {
        let mut columns = as_text(rows, row);
        columns.insert(INGESTED.to_owned(), commit.time.0.to_string());
        for field in history_schema(history.table()).fields().iter().filter(|field| field.name() != SEQUENCE) {
            columns.entry(field.name().clone()).or_insert_with(|| "null".to_owned());
        }
        assert!(expected.insert(commit.first_sequence + row as i64, columns).is_none(), "a sequence comes twice");
    }
    commit
}

/// The table's rows with `_sequence <= last`, as a reader finds them.
pub(crate) async fn read(history: &History, last: i64) -> Rows {
    let files = &history.snapshot().await.expect("a snapshot").files;
    let mut found = Rows::new();
    for batch in read_files(history, files, last).await {
        let sequences = batch.column_by_name(SEQUENCE).expect("sequences");
        for row in 0..batch.num_rows() {
            let sequence = array_value_to_string(sequences, row).expect("text").parse().expect("a number");
            let mut columns = as_text(&batch, row);
            columns.remove(SEQUENCE);
            assert!(found.insert(sequence, columns).is_none(), "sequence {sequence} comes twice");
        }
    }
    found
}

pub(crate) async fn read_files(history: &History, files: &[DataFile], last: i64) -> Vec<RecordBatch> {
    let store = Arc::clone(history.store().store());
    let pinned = PinnedTable::new(store, history.table().clone(), files, last);
    let rows = pinned.whole_rows(1 << 20).await.expect("footers");
    assert_eq!(*rows.schema(), history_schema(history.table()));
    rows.stream().try_collect().await.expect("rows")
}

/// The row's columns; times as microseconds, because a calendar cannot say all of them.
fn as_text(batch: &RecordBatch, row: usize) -> BTreeMap<String, String> {
    let text = |column: &ArrayRef| {
        if column.is_null(row) {
            return "null".to_owned();
        }
        match column.data_type() {
            arrow::datatypes::DataType::Timestamp(..) => {
                let plain = arrow::compute::cast(column, &arrow::datatypes::DataType::Int64).expect("microseconds");
                array_value_to_string(&plain, row).expect("text")
            }
            _ => array_value_to_string(column, row).expect("text"),
        }
    };
    let schema = batch.schema();
    schema.fields().iter().zip(batch.columns()).map(|(field, column)| (field.name().clone(), text(column))).collect()
}

/// The names of all objects, staging files of folders left out.
pub(crate) async fn objects(store: &OfflineStore) -> Vec<String> {
    let all: Vec<_> = store.store().list(Some(store.base())).try_collect().await.expect("a list");
    let mut names: Vec<String> = all.into_iter().map(|found| found.location.to_string()).collect();
    names.sort();
    names
}
