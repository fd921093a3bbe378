use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};
use datafusion::execution::TaskContext;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use hitherto_asof::{Bounds, FeatureSource, KeySet, NarrowBatch, NarrowPass, RowAddress, ScanCounters, Sequence};
use hitherto_core::{
    Created, EntityKey, Feature, FeatureView, KeyType, Name, Notes, Reading, Row, Span, Table, Timestamp, Value,
    ViewVersion,
};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::samples::{Sample, SampleFile, Seen, created, files, pinned, table, written};
use super::*;
use crate::input::{Input, Location, Options};
use crate::log::DataFile;
use crate::schema::{CREATED, DELETED, EVENT, SEQUENCE};
use crate::values::{ColumnReader, KeyReader};
use crate::{BatchId, Error, History, OfflineStore, Result};

pub(super) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

pub(super) fn context(batch_size: usize) -> Arc<TaskContext> {
    let config = SessionConfig::new().with_batch_size(batch_size).with_target_partitions(3);
    Arc::new(TaskContext::default().with_session_config(config))
}

pub(super) const ALL_TIMES: Bounds = Bounds { event_min: None, event_max: i64::MAX, created_max: None };

fn everything() -> NarrowPass {
    pass(ALL_TIMES, any_keys())
}

/// The payload at `addresses`, in one batch.
async fn fetched(source: &TableSource, addresses: &[RowAddress], context: &Arc<TaskContext>) -> Result<RecordBatch> {
    let counters = ScanCounters::unregistered();
    let batches = source.fetch(addresses.into(), &counters, context).expect("a stream").try_collect::<Vec<_>>().await;
    let batches = batches.map_err(|error| recovered("fetch", error))?;
    assert!(batches.iter().all(|batch| batch.schema() == source.payload_schema()));
    Ok(arrow::compute::concat_batches(&source.payload_schema(), &batches).expect("one schema"))
}

pub(super) fn source(pinned: PinnedTable, partitions: usize) -> TableSource {
    let names: Vec<Name> = pinned.table().columns.iter().map(|(name, _)| name.clone()).collect();
    TableSource::try_new(pinned, &names, partitions).expect("features of the table")
}

pub(super) fn pass(bounds: Bounds, keys: KeySet) -> NarrowPass {
    NarrowPass { bounds, keys: Arc::new(keys), counters: ScanCounters::unregistered() }
}

/// Keys of which nothing is known.
pub(super) fn any_keys() -> KeySet {
    KeySet::listed(&[])
}

pub(super) async fn narrow(source: &TableSource, pass: &NarrowPass, context: &Arc<TaskContext>) -> Vec<NarrowBatch> {
    let mut batches = Vec::new();
    for partition in 0..source.partitions() {
        let stream = source.narrow(partition, pass, context).expect("a stream");
        batches.extend(stream.try_collect::<Vec<_>>().await.expect("narrow batches"));
    }
    batches
}

/// Row by row what a narrow pass gives, by address.
pub(super) fn rows_of(batches: &[NarrowBatch]) -> BTreeMap<RowAddress, (Option<EntityKey>, Row)> {
    let mut rows = BTreeMap::new();
    for batch in batches {
        let keys: Vec<ArrayRef> = batch
            .keys
            .iter()
            .zip([DataType::Int64, DataType::Utf8])
            .map(|(key, declared)| cast(key, &declared).expect("a key's type"))
            .collect();
        let keys = KeyReader::try_new(&keys, &[KeyType::Int64, KeyType::String]).expect("keys");
        for index in 0..batch.num_rows() {
            let row = Row {
                event: Timestamp(batch.event.value(index)),
                created: batch.created.as_ref().map(|created| Timestamp(created.value(index))),
                sequence: match &batch.sequence {
                    Sequence::Column(column) => column.value(index),
                    Sequence::From(first) => first + index as i64,
                },
                deleted: batch.deleted.as_ref().is_some_and(|deleted| deleted.is_valid(index) && deleted.value(index)),
            };
            let address = RowAddress::new(batch.file, batch.first_row + index as u64);
            assert_eq!(rows.insert(address, (keys.key(index), row)), None, "{address:?} came twice");
        }
    }
    rows
}

fn values(table: &Table, batch: &RecordBatch) -> Vec<Vec<Value>> {
    let readers: Vec<ColumnReader<'_>> = table
        .columns
        .iter()
        .map(|(name, value_type)| {
            let column = batch.column_by_name(name.as_str()).expect("a column");
            ColumnReader::try_new(column, value_type).expect("its type")
        })
        .collect();
    (0..batch.num_rows()).map(|row| readers.iter().map(|reader| reader.value(row)).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The narrow pass has every row once with what the files say, and the payload of any rows is theirs, in order.
    #[test]
    fn narrow_and_fetch_read_what_was_written(
        files in files(), created in created(), group_rows in 1_usize..6, partitions in 1_usize..4,
        batch_size in 1_usize..5, last in -1_i64..40, chosen in proptest::collection::vec(any::<bool>(), 60),
    ) {
        run(async {
            let (store, table) = (memory(), table(created));
            let (data_files, seen) = written(&store, &table, &files, group_rows).await;
            let (source, context) = (source(pinned(&store, &table, &data_files, last), partitions), context(batch_size));
            let rows = rows_of(&narrow(&source, &everything(), &context).await);
            let by_sequence: BTreeMap<i64, &Seen> = seen.iter().map(|seen| (seen.row.sequence, seen)).collect();
            let mut found: Vec<i64> = Vec::new();
            for (key, row) in rows.values() {
                let written = by_sequence[&row.sequence];
                assert_eq!(*row, written.row);
                if row.sequence <= last {
                    assert_eq!(*key, written.key);
                    found.push(row.sequence);
                } else {
                    assert_eq!(*key, None, "a row beyond the pin must match nothing");
                }
            }
            found.sort_unstable();
            assert_eq!(found, by_sequence.keys().copied().filter(|sequence| *sequence <= last).collect::<Vec<_>>());
            let chosen: Vec<(RowAddress, i64)> = rows
                .iter()
                .zip(chosen)
                .filter_map(|((address, (_, row)), chosen)| chosen.then_some((*address, row.sequence)))
                .collect();
            let addresses: Vec<RowAddress> = chosen.iter().map(|(address, _)| *address).collect();
            let payload = fetched(&source, &addresses, &context).await.expect("the payload");
            let expected: Vec<_> = chosen.iter().map(|(_, sequence)| by_sequence[sequence].values.clone()).collect();
            assert_eq!(values(&table, &payload), expected);
        });
    }

    /// Two runs together, and any run alone, write what the contract says.
    #[test]
    fn changes_are_those_that_reached(
        files in files(), created in created(), group_rows in 1_usize..6, sequence in -1_i64..30,
        clock in -20_i64..20, later in 0_i64..20, delay in 0_i64..8, last in 0_i64..40,
    ) {
        run(async {
            let (store, table) = (memory(), table(created));
            let (data_files, seen) = written(&store, &table, &files, group_rows).await;
            let pinned = pinned(&store, &table, &data_files, last);
            let (after, until) = (Marks { sequence, clock: Timestamp(clock) }, Timestamp(clock + later));
            let delay = Span::from_micros(delay).expect("a delay");
            let batches: Vec<_> = pinned.changes(after, until, delay).try_collect().await.expect("changes");
            let mut found = Vec::new();
            for batch in &batches {
                assert_eq!(batch.schema(), changes_schema(&table));
                found.extend(changed(&table, batch));
            }
            found.sort_by_key(|(_, row, _)| row.sequence);
            let mut keys = Vec::new();
            for batch in pinned.keys().try_collect::<Vec<_>>().await.expect("keys") {
                let reader = KeyReader::try_new(batch.columns(), &[KeyType::Int64, KeyType::String]).expect("keys");
                keys.extend((0..batch.num_rows()).map(|row| reader.key(row)));
            }
            let mut all: Vec<_> =
                seen.iter().filter(|seen| seen.row.sequence <= last).map(|seen| seen.key.clone()).collect();
            // files come in no order that is promised
            let bytes = |key: &Option<EntityKey>| key.as_ref().map(EntityKey::to_bytes);
            keys.sort_by_key(bytes);
            all.sort_by_key(bytes);
            assert_eq!(keys, all);
            let reading = Reading { source_delay: delay, ttl: None };
            let mut expected: Vec<_> = seen
                .into_iter()
                .filter(|seen| {
                    let available = reading.available_at(&seen.row);
                    let new = seen.row.sequence > sequence || available > after.clock;
                    seen.row.sequence <= last && available <= until && new && seen.key.is_some()
                })
                .map(|seen| (seen.key, seen.row, seen.values))
                .collect();
            expected.sort_by_key(|(_, row, _)| row.sequence);
            assert_eq!(found, expected);
        });
    }
}

fn changed(table: &Table, batch: &RecordBatch) -> Vec<(Option<EntityKey>, Row, Vec<Value>)> {
    let keys = KeyReader::try_new(&batch.columns()[..2], &[KeyType::Int64, KeyType::String]).expect("keys");
    let time = |name: &str, row: usize| {
        let column = batch.column_by_name(name)?.as_primitive::<TimestampMicrosecondType>();
        Some(Timestamp(column.value(row)))
    };
    let sequence = batch.column_by_name(SEQUENCE).expect("sequences").as_primitive::<Int64Type>();
    let deleted = batch.column_by_name(DELETED).expect("tombstones").as_boolean();
    let rows = values(table, batch).into_iter().enumerate().map(|(index, values)| {
        let row = Row {
            event: time(EVENT, index).expect("an event time"),
            created: time(CREATED, index),
            sequence: sequence.value(index),
            deleted: deleted.is_valid(index) && deleted.value(index),
        };
        (keys.key(index), row, values)
    });
    rows.collect()
}

/// `count` rows: row n has key (n % 3, x), happens at n seconds, is created 1 s later, and delays n minutes.
pub(super) fn file(count: i64, commit_time: i64, features: usize) -> SampleFile {
    let row = |n: i64| Sample {
        key: (Some(n % 3), Some("x")),
        event: n * 1_000_000,
        created: n * 1_000_000 + 1_000_000,
        deleted: None,
        values: vec![Value::Float32(n as f32), Value::String(format!("leg {n}")), Value::Null, Value::Null],
    };
    SampleFile { rows: (0..count).map(row).collect(), commit_time, features, compacted: false, statistics: true }
}

pub(super) fn view(delay: &str, features: &[&str]) -> ViewVersion {
    let table = table(Created::Column);
    let name = |text: &str| text.parse::<Name>().expect("a name");
    let feature = |text: &&str| Feature {
        name: name(text),
        value_type: table.columns.iter().find(|(n, _)| n.as_str() == *text).expect("a column").1.clone(),
        column: (*text).to_owned(),
        notes: Notes::default(),
    };
    let definition = FeatureView {
        name: name("legs"),
        entities: vec![name("leg")],
        join_keys: BTreeMap::new(),
        event_timestamp: EVENT.to_owned(),
        created_timestamp: None,
        source_delay: delay.parse().expect("a delay"),
        ttl: None,
        features: features.iter().map(feature).collect(),
        notes: Notes::default(),
    };
    ViewVersion { version: 1, table: table.id, keys: Vec::new(), definition }
}

async fn query(
    pinned: &PinnedTable,
    view: &ViewVersion,
    sql: &str,
) -> Result<Vec<String>, datafusion::error::DataFusionError> {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    let history = HistoryTable::try_new(pinned.clone(), view).expect("a table");
    context.register_table("legs", Arc::new(history))?;
    let batches = context.sql(sql).await?.collect().await?;
    let text = arrow::util::pretty::pretty_format_batches(&batches)?.to_string();
    let cells = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(",");
    Ok(text.lines().filter(|line| line.starts_with('|')).skip(1).map(cells).collect())
}

#[tokio::test]
async fn sql_sees_the_version_with_its_delay_and_its_features() {
    let (store, table) = (memory(), table(Created::Column));
    let (files, _) = written(&store, &table, &[file(5, 7_000_000, 4), file(4, 9_000_000, 1)], 2).await;
    let pinned = pinned(&store, &table, &files, 7);
    let view = view("3s", &["note", "delay"]);
    let sql = |text: &'static str| query(&pinned, &view, text);
    assert_eq!(sql("select count(*) from legs").await.expect("a count"), ["8"]);
    assert_eq!(
        sql("select * from legs where _sequence = 4").await.expect("a row"),
        ["1,x,1970-01-01T00:00:04Z,1970-01-01T00:00:05Z,leg 4,4.0,1970-01-01T00:00:07Z,,4,1970-01-01T00:00:07Z"]
    );
    assert_eq!(
        sql("select _sequence, note, delay, _ingested_at from legs where event_timestamp >= timestamp '1970-01-01T00:00:02Z' \
             and _ingested_at > timestamp '1970-01-01T00:00:08Z' order by 1").await.expect("rows"),
        ["7,,2.0,1970-01-01T00:00:09Z"],
        "the note came later than the file, and the row after it is beyond the pin"
    );
    assert_eq!(
        sql("select a, max(delay) from legs group by a order by a").await.expect("groups"),
        ["0,3.0", "1,4.0", "2,2.0"]
    );
}

#[tokio::test]
async fn filters_on_time_skip_row_groups_and_nothing_else() {
    let (store, table) = (memory(), table(Created::Column));
    let (files, _) = written(&store, &table, &[file(6, 0, 4)], 2).await;
    let pinned = pinned(&store, &table, &files, 100);
    let morsels = |first: i64, last: i64| {
        let pinned = pinned.clone();
        async move {
            let within = |(min, max): (i64, i64)| min <= last && max >= first;
            pinned.morsels(|extent| extent.event.is_none_or(within)).await.expect("morsels").len()
        }
    };
    assert_eq!(
        (morsels(0, 5_000_000).await, morsels(4_000_000, 9_000_000).await, morsels(6_000_000, 9_000_000).await),
        (3, 1, 0)
    );
    let view = view("0s", &["delay"]);
    let rows = |sql: &'static str| query(&pinned, &view, sql);
    let between = "select delay from legs where event_timestamp between timestamp '1970-01-01T00:00:01Z' and \
                   timestamp '1970-01-01T00:00:02Z' or delay = 5 order by 1";
    assert_eq!(rows(between).await.expect("rows"), ["1.0", "2.0", "5.0"]);
    let after = "select delay from legs where timestamp '1970-01-01T00:00:03Z' < event_timestamp order by 1";
    assert_eq!(rows(after).await.expect("rows"), ["4.0", "5.0"]);
}

/// Overwrites the bytes of a column, so that whoever decodes it fails.
async fn spoil(store: &Arc<dyn ObjectStore>, file: &DataFile, column: &str) {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let bytes = store.get(&file.path).await.expect("the file").bytes().await.expect("its bytes");
    let metadata = Arc::clone(ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).expect("a footer").metadata());
    let mut bytes = bytes.to_vec();
    for group in metadata.row_groups() {
        for chunk in group.columns().iter().filter(|chunk| chunk.column_path().parts() == [column]) {
            let (start, length) = chunk.byte_range();
            bytes[start as usize..(start + length) as usize].fill(0xff);
        }
    }
    store.put(&file.path, bytes.into()).await.expect("the file is stored");
}

#[tokio::test]
async fn only_columns_asked_for_are_read_and_a_corrupt_one_is_named() {
    let (store, table) = (memory(), table(Created::Column));
    let (files, _) = written(&store, &table, &[file(6, 0, 4)], 3).await;
    spoil(&store, &files[0], "delay").await;
    let pinned = pinned(&store, &table, &files, 100);
    let view = view("0s", &["delay", "note"]);
    let good = query(&pinned, &view, "select max(note), max(_sequence), max(available_at) from legs").await;
    assert_eq!(good.expect("other columns are well"), ["leg 5,5,1970-01-01T00:00:06Z"]);
    let error = query(&pinned, &view, "select max(delay) from legs").await.expect_err("a spoilt column");
    let error = recovered("query", error);
    assert!(matches!(&error, Error::Corrupt { path, .. } if path == "legs/0.parquet"), "{error}");

    let source = source(pinned.clone(), 1);
    assert_eq!(rows_of(&narrow(&source, &everything(), &context(8)).await).len(), 6, "no payload is read");
    let error = fetched(&source, &[RowAddress::new(0, 1)], &context(8)).await.expect_err("a spoilt column");
    assert!(error.to_string().contains("legs/0.parquet"), "{error}");
}

#[tokio::test]
async fn broken_files_are_named() {
    let (store, table) = (memory(), table(Created::Absent));
    let (files, _) = written(&store, &table, &[file(6, 0, 4)], 3).await;
    let fault = |files: Vec<DataFile>| {
        let pinned = pinned(&store, &table, &files, 100);
        async move { pinned.morsels(|_| true).await.expect_err("a broken file").to_string() }
    };
    let miscounted = DataFile { rows: 7, ..files[0].clone() };
    assert_eq!(fault(vec![miscounted]).await, "'legs/0.parquet' is corrupt: it has 6 rows, but the log says 7");
    store.put(&files[0].path, vec![b'x'; files[0].size_bytes as usize].into()).await.expect("a put");
    assert!(fault(files.clone()).await.starts_with("'legs/0.parquet' is corrupt: "));
    store.delete(&files[0].path).await.expect("a delete");
    let message = fault(files).await;
    assert!(message.starts_with("could not read 'legs/0.parquet': "), "{message}");
}

#[tokio::test]
async fn footers_are_read_once_even_over_pins() {
    let (store, table) = (memory(), table(Created::Column));
    let (files, _) = written(&store, &table, &[file(6, 0, 4), file(3, 1, 4)], 3).await;
    let first = pinned(&store, &table, &files[..1], 5);
    assert_eq!(first.morsels(|_| true).await.expect("morsels").len(), 2);
    store.delete(&files[0].path).await.expect("a delete");
    let second = first.repinned(table.clone(), &files, 8);
    assert_eq!(second.morsels(|_| true).await.expect("the footer is known").len(), 3);
}

#[tokio::test]
async fn few_and_many_rows_of_large_groups_are_fetched_alike() {
    let (store, table) = (memory(), table(Created::Column));
    let (files, seen) = written(&store, &table, &[file(3_000, 0, 4), file(2_000, 1, 4)], 1_500).await;
    let source = source(pinned(&store, &table, &files, 5_000), 2);
    let address = |sequence: u64| match sequence {
        early if early < 3_000 => RowAddress::new(0, early),
        late => RowAddress::new(1, late - 3_000),
    };
    for step in [1, 2, 40, 700] {
        // pairs of neighbours, so that there are runs to be cut well
        let wanted: Vec<u64> = (0..5_000).filter(|sequence| sequence % step <= 1).collect();
        let addresses: Vec<RowAddress> = wanted.iter().map(|sequence| address(*sequence)).collect();
        let payload = fetched(&source, &addresses, &context(512)).await.expect("the payload");
        let expected: Vec<_> = wanted.iter().map(|sequence| seen[*sequence as usize].values.clone()).collect();
        assert_eq!(values(&table, &payload), expected, "every {step}th");
    }
}

#[tokio::test]
async fn what_was_appended_is_read() {
    let offline = OfflineStore::open("memory:///", [("", ""); 0]).expect("a store");
    let table = Table { columns: table(Created::Column).columns[..1].to_vec(), ..table(Created::Column) };
    let grown = super::samples::table(Created::Column);
    let commit = |batch: RecordBatch, table: Table, now: i64| {
        let offline = offline.clone();
        async move {
            let history = History::new(&offline, table).expect("a history");
            let rows = futures::stream::iter([Ok(batch)]);
            history.append(BatchId::Unremembered, rows, &|| Timestamp(now)).await.expect("a commit");
            history.snapshot().await.expect("a snapshot")
        }
    };
    let old = super::samples::batch(&table, &file(5, 0, 1), &[]);
    let first = commit(old, table.clone(), 7_000_000).await;
    let second = commit(super::samples::batch(&grown, &file(3, 0, 4), &[]), grown.clone(), 8_000_000).await;
    assert_eq!((first.next_sequence, second.next_sequence), (5, 8));
    let pinned = PinnedTable::new(Arc::clone(offline.store()), grown, &second.files, second.next_sequence - 1);
    let sql = "select _sequence, _ingested_at, a, delay, note from legs where delay < 2 order by 1";
    let rows = query(&pinned, &view("0s", &["delay", "note"]), sql).await.expect("rows");
    let expected = [
        "0,1970-01-01T00:00:07Z,0,0.0,",
        "1,1970-01-01T00:00:07Z,1,1.0,",
        "5,1970-01-01T00:00:08Z,0,0.0,leg 0",
        "6,1970-01-01T00:00:08Z,1,1.0,leg 1",
    ];
    assert_eq!(rows, expected);
    assert_eq!(PinnedTable::new(Arc::clone(offline.store()), table, &second.files, 4).files().len(), 1);
}

#[tokio::test]
async fn addresses_that_no_file_has_are_refused() {
    let (store, table) = (memory(), table(Created::Column));
    let (files, _) = written(&store, &table, &[file(6, 0, 4)], 3).await;
    let source = source(pinned(&store, &table, &files, 100), 1);
    for address in [RowAddress::new(0, 6), RowAddress::new(1, 0)] {
        assert!(fetched(&source, &[address], &context(8)).await.is_err(), "{address:?}");
    }
    assert_eq!(fetched(&source, &[], &context(8)).await.expect("nothing").num_rows(), 0);
    let unknown: Name = "speed".parse().expect("a name");
    let error = TableSource::try_new(source.pinned().clone(), [&unknown], 1).expect_err("no such column");
    assert_eq!(error.to_string(), "table 'legs-1' has no column 'speed'");
}

#[tokio::test]
async fn a_spine_keeps_its_types_and_its_order() {
    let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![3, 1, 2]));
    let types = [
        DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
        DataType::Utf8View,
        DataType::LargeUtf8,
        DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())),
        DataType::UInt16,
    ];
    let columns: Vec<ArrayRef> = types.iter().map(|to| cast(&numbers, to).expect("a cast")).collect();
    let fields: Vec<Field> =
        types.iter().enumerate().map(|(n, to)| Field::new(format!("c{n}"), to.clone(), n % 2 == 0)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("rows are written");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("spine.parquet");
    std::fs::write(&path, writer.into_inner().expect("a file")).expect("the file is written");
    let location = Location::Local(path.display().to_string());
    let input = Input::open([location], &Options::default()).await.expect("an input");

    let from_file = spine_of_input(batch.schema(), input).expect("a plan");
    let halves = vec![batch.slice(0, 2), batch.slice(2, 1)];
    let from_memory = spine_of_batches(batch.schema(), halves).expect("a plan");
    for plan in [from_file, from_memory] {
        assert_eq!(plan.schema().fields(), batch.schema().fields());
        for _ in 0..2 {
            let read = datafusion::physical_plan::collect(Arc::clone(&plan), context(2)).await.expect("rows");
            assert_eq!(
                arrow::compute::concat_batches(&read[0].schema(), &read).expect("a batch").columns(),
                batch.columns()
            );
        }
    }
}
