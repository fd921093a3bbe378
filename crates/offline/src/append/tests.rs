use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, AsArray, Float32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use futures::{TryStreamExt, stream};
use hitherto_core::{KeyType, Kind, Name, Table, ValueType};
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::OfflineStore;
use crate::store::faults::{Fault, FaultyDisk, ForgetfulDisk, Lost, LostAnswers, store_on};
use crate::store::{Disk, RealDisk};

mod group;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn table() -> Table {
    Table {
        id: "legs-1".to_owned(),
        view: name("legs"),
        keys: vec![(name("tailnum"), KeyType::String)],
        created: Created::Column,
        columns: vec![(name("delay"), ValueType::Float32)],
    }
}

/// Rows `from..to`; row n belongs to tail n % 7 and happened at n seconds.
fn rows(from: i64, to: i64) -> RecordBatch {
    let times = || {
        Arc::new(TimestampMicrosecondArray::from_iter_values((from..to).map(|n| n * 1_000_000)).with_timezone("UTC"))
    };
    let tails: StringArray = (from..to).map(|n| Some(format!("N{}", n % 7))).collect();
    let delays: Float32Array = (from..to).map(|n| Some(n as f32)).collect();
    RecordBatch::try_from_iter([
        ("tailnum", Arc::new(tails) as ArrayRef),
        (EVENT, times()),
        (CREATED, times()),
        ("delay", Arc::new(delays)),
    ])
    .expect("a batch")
}

fn stream_of(batches: Vec<RecordBatch>) -> impl Stream<Item = Result<RecordBatch>> + Send {
    stream::iter(batches.into_iter().map(Ok))
}

async fn append(history: &History, id: BatchId, batch: RecordBatch) -> Result<Appended> {
    history.append(id, stream_of(vec![batch]), &|| Timestamp(1_000)).await
}

fn given(id: &str) -> BatchId {
    BatchId::Given(id.to_owned())
}

fn done(appended: Appended) -> Commit {
    match appended {
        Appended::Done(commit) => commit,
        other => panic!("not done: {other:?}"),
    }
}

fn history(store: &OfflineStore) -> History {
    History::new(store, table()).expect("a history")
}

fn memory() -> OfflineStore {
    OfflineStore::open("memory:///", [("", ""); 0]).expect("a store")
}

/// Event seconds by sequence, as the files and the log tell them.
async fn read(history: &History) -> BTreeMap<i64, i64> {
    let snapshot = history.snapshot().await.expect("a snapshot");
    let mut found = BTreeMap::new();
    for file in &snapshot.files {
        let bytes = history.store().store().get(&file.path).await.expect("a file").bytes().await.expect("bytes");
        assert_eq!(bytes.len() as u64, file.size_bytes);
        let mut sequence = file.first_sequence.expect("a fresh file");
        for batch in ParquetRecordBatchReaderBuilder::try_new(bytes).expect("parquet").build().expect("a reader") {
            let batch = batch.expect("a batch");
            let events = batch.column_by_name(EVENT).expect("events");
            for event in events.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().values() {
                assert!(found.insert(sequence, event / 1_000_000).is_none(), "sequence {sequence} comes twice");
                sequence += 1;
            }
        }
        assert_eq!(file.last_sequence(), Some(sequence - 1));
    }
    assert!(found.keys().all(|sequence| *sequence < snapshot.next_sequence));
    found
}

async fn files_in_store(store: &OfflineStore) -> BTreeSet<String> {
    let all: Vec<_> = store.store().list(Some(store.base())).try_collect().await.expect("a list");
    all.into_iter().map(|found| found.location.to_string()).collect()
}

#[tokio::test]
async fn rows_follow_each_other_in_the_order_of_their_commits() {
    let store = memory();
    let log = history(&store);
    assert_eq!(*log.snapshot().await.expect("empty"), crate::Snapshot::default());
    assert!(files_in_store(&store).await.is_empty(), "reading makes nothing");
    let first = done(append(&log, BatchId::Content, rows(0, 10)).await.expect("appended"));
    assert_eq!((first.rows, first.first_sequence, first.last_sequence, first.version), (10, 0, 9, 0));
    // a clock that goes back does not take the commits along
    let now = || Timestamp(500);
    let second = log.append(BatchId::Unremembered, stream_of(vec![rows(10, 12), rows(5, 6)]), &now).await;
    let second = done(second.expect("appended"));
    assert_eq!((second.first_sequence, second.last_sequence, second.time), (10, 12, Timestamp(1_000)));
    let expected: BTreeMap<i64, i64> = (0..12).chain([5]).enumerate().map(|(i, event)| (i as i64, event)).collect();
    assert_eq!(read(&log).await, expected);
    let again = history(&store);
    assert_eq!(read(&again).await, expected, "as another process sees it");
    let snapshot = again.snapshot().await.expect("a snapshot");
    let file = snapshot.files.iter().find(|file| file.first_sequence == Some(0)).expect("the first file");
    let event = file.event.expect("a range");
    assert_eq!((event.min, event.max), (Timestamp(0), Timestamp(9_000_000)));
    assert_eq!(file.null_count("tailnum"), Some(0));
    assert_eq!(file.stat("maxValues", "tailnum").and_then(|value| value.as_str()), Some("N6"));
    assert_eq!(file.commit_time, Some(Timestamp(1_000)));
}

#[tokio::test]
async fn a_file_has_page_index_and_bloom_filters_on_keys_only() {
    let log = history(&memory());
    done(append(&log, BatchId::Unremembered, rows(0, 1_000)).await.expect("appended"));
    let snapshot = log.snapshot().await.expect("a snapshot");
    let store = Arc::clone(log.store().store());
    let bytes = store.get(&snapshot.files[0].path).await.expect("a file").bytes().await.expect("bytes");
    let options = parquet::arrow::arrow_reader::ArrowReaderOptions::new()
        .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).expect("parquet");
    assert!(reader.metadata().column_index().is_some());
    let group = reader.metadata().row_group(0);
    for column in group.columns() {
        let is_key = column.column_path().string() == "tailnum";
        assert_eq!(column.bloom_filter_offset().is_some(), is_key, "{}", column.column_path());
    }
    let size = group.column(0).bloom_filter_length().expect("a length");
    assert!(size < 1_000, "seven keys need no {size} bytes");
}

#[tokio::test]
async fn what_does_not_fit_the_table_is_refused_and_leaves_nothing() {
    let store = memory();
    let log = history(&store);
    let whole = rows(0, 3);
    for (columns, reason) in
        [(vec![0, 1, 3], "column 'created_timestamp' is missing"), (vec![1, 2, 3], "column 'tailnum' is missing")]
    {
        let part = whole.project(&columns).expect("a batch");
        let batches = stream_of(vec![whole.clone(), part]);
        let error = log.append(BatchId::Content, batches, &|| Timestamp(0)).await.expect_err("refused");
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let mut named: Vec<(&str, ArrayRef)> = vec![("speed", Arc::new(Int64Array::from(vec![1, 2, 3])))];
    let schema = whole.schema();
    named.extend(schema.fields().iter().map(|field| field.name().as_str()).zip(whole.columns().iter().cloned()));
    let error = append(&log, BatchId::Content, RecordBatch::try_from_iter(named).expect("a batch")).await;
    assert!(error.expect_err("refused").to_string().contains("it has no column 'speed'"));
    let broken = stream::iter([Ok(rows(0, 3)), Err(Error::Invalid("line 4 is broken".to_owned()))]);
    let error = log.append(BatchId::Content, broken, &|| Timestamp(0)).await.expect_err("refused");
    assert_eq!(error.to_string(), "line 4 is broken");
    assert_eq!(append(&log, BatchId::Content, rows(0, 0)).await.expect("nothing"), Appended::Nothing);
    assert!(files_in_store(&store).await.is_empty());
}

#[tokio::test]
async fn the_same_batch_twice_changes_nothing() {
    let store = memory();
    let log = history(&store);
    done(append(&log, given("monday"), rows(0, 5)).await.expect("appended"));
    done(append(&log, BatchId::Content, rows(5, 9)).await.expect("appended"));
    let (before, files) = (log.snapshot().await.expect("a snapshot"), files_in_store(&store).await);
    let again = history(&store);
    let already = Appended::Already { batch_id: "monday".to_owned() };
    assert_eq!(append(&again, given("monday"), rows(0, 5)).await.expect("known"), already);
    let cut = again.append(BatchId::Content, stream_of(vec![rows(5, 6), rows(6, 9)]), &|| Timestamp(9)).await;
    assert!(matches!(cut.expect("known"), Appended::Already { .. }));
    let error = append(&again, given("monday"), rows(0, 6)).await.expect_err("other content");
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("'monday'"), "{error}");
    assert_eq!(again.snapshot().await.expect("a snapshot"), before);
    assert_eq!(files_in_store(&store).await, files);
    // without memory, the same rows are new rows
    done(append(&again, BatchId::Unremembered, rows(0, 5)).await.expect("appended"));
    assert_eq!(read(&again).await.len(), 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_sent_by_many_at_once_enters_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_on(folder.path(), Arc::new(RealDisk));
    let tasks = (0..8).map(|i| {
        let log = history(&store);
        tokio::spawn(async move { append(&log, given("b"), if i < 6 { rows(0, 50) } else { rows(1, 50) }).await })
    });
    let (mut entered, mut already, mut conflicts) = (0, 0, 0);
    for result in futures::future::join_all(tasks).await {
        match result.expect("no panic") {
            Ok(Appended::Done(_)) => entered += 1,
            Ok(Appended::Already { .. }) => already += 1,
            Err(error) if error.kind() == Kind::Conflict => conflicts += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((entered, already + conflicts), (1, 7));
    assert!(conflicts == 2 || conflicts == 6, "{conflicts}");
    let snapshot = history(&store).snapshot().await.expect("a snapshot");
    assert_eq!(snapshot.files.len(), 1);
    let data = files_in_store(&store).await.into_iter().filter(|path| path.ends_with(".parquet")).count();
    assert_eq!(data, 1, "the files of those who lost are gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_writers_make_one_order_and_readers_never_see_it_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_on(folder.path(), Arc::new(RealDisk));
    let left = Arc::new(AtomicI64::new(8));
    let clock = Arc::new(AtomicI64::new(0));
    let writers = (0..8).map(|writer| {
        let (log, left, clock) = (history(&store), Arc::clone(&left), Arc::clone(&clock));
        tokio::spawn(async move {
            let mut commits = Vec::new();
            for batch in 0..6 {
                let from = (writer * 6 + batch) * 10;
                let now = || Timestamp(clock.fetch_add(1, Ordering::SeqCst));
                let appended = log.append(BatchId::Content, stream_of(vec![rows(from, from + 10)]), &now).await;
                commits.push(done(appended.expect("appended")));
            }
            left.fetch_sub(1, Ordering::SeqCst);
            commits
        })
    });
    let writers: Vec<_> = writers.collect();
    let reader = history(&store);
    let mut seen = 0;
    let mut files = HashSet::new();
    while left.load(Ordering::SeqCst) > 0 {
        let snapshot = reader.snapshot().await.expect("a snapshot");
        for file in snapshot.files.iter().filter(|file| files.insert(file.path.clone())) {
            assert!(file.first_sequence.expect("fresh") >= seen, "a smaller sequence came later");
        }
        seen = snapshot.next_sequence;
        tokio::task::yield_now().await;
    }
    let mut commits: Vec<Commit> = Vec::new();
    for writer in writers {
        commits.extend(writer.await.expect("no panic"));
    }
    commits.sort_by_key(|commit| commit.version);
    for pair in commits.windows(2) {
        assert!(pair[0].last_sequence < pair[1].first_sequence, "{pair:?}");
        assert!(pair[0].time <= pair[1].time, "{pair:?}");
    }
    let found = read(&reader).await;
    assert_eq!(found.values().copied().collect::<BTreeSet<_>>(), (0..480).collect());
    // opened through its checkpoint, it is the same table
    assert!(files_in_store(&store).await.iter().any(|path| path.ends_with(".checkpoint.parquet")));
    let reopened = history(&store);
    assert_eq!(read(&reopened).await, found);
    let (a, b) = (reader.snapshot().await.expect("one"), reopened.snapshot().await.expect("other"));
    assert_eq!((a.next_sequence, a.last_commit, &a.columns), (b.next_sequence, b.last_commit, &b.columns));
    let by_path = |snapshot: &crate::Snapshot| {
        snapshot
            .files
            .iter()
            .map(|file| (file.path.to_string(), (file.event, file.created, file.rows)))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(by_path(&a), by_path(&b), "statistics survive the checkpoint");
    let known = append(&reopened, BatchId::Content, rows(470, 480)).await.expect("known");
    assert!(matches!(known, Appended::Already { .. }), "batch ids survive the checkpoint");
}

#[tokio::test]
async fn files_of_a_writer_that_died_are_not_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_on(folder.path(), Arc::new(RealDisk));
    let log = history(&store);
    done(append(&log, BatchId::Content, rows(0, 5)).await.expect("appended"));
    let mut orphans = Vec::new();
    log.write_files(stream_of(vec![rows(5, 10)]), true, &mut orphans).await.expect("written");
    assert_eq!(orphans.len(), 1);
    let reopened = history(&store);
    assert_eq!(read(&reopened).await.len(), 5);
    assert_eq!(done(append(&reopened, BatchId::Content, rows(5, 10)).await.expect("appended")).first_sequence, 5);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_counts_once() {
    // of the puts of the log's entries, the first arrives unanswered, the third gets lost on the way
    let store = LostAnswers::store(|put| match put {
        0 => Some(Lost::Answer),
        2 => Some(Lost::Request),
        _ => None,
    });
    let log = history(&store);
    for batch in 0..3 {
        let commit = done(append(&log, BatchId::Unremembered, rows(batch * 5, batch * 5 + 5)).await.expect("appended"));
        assert_eq!((commit.version, commit.first_sequence), (batch as u64, batch * 5));
    }
    assert_eq!(read(&history(&store)).await.into_values().collect::<Vec<_>>(), (0..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn files_that_an_unanswered_commit_may_name_stay() {
    let store = LostAnswers::store(|_| Some(Lost::Request));
    let error = append(&history(&store), given("a"), rows(0, 5)).await.expect_err("no answer");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(files_in_store(&store).await.len(), 1, "the request may still arrive");
    let store = LostAnswers::store(|put| Some(if put == 0 { Lost::Answer } else { Lost::Request }));
    append(&history(&store), given("a"), rows(0, 5)).await.expect_err("no answer");
    assert_eq!(read(&history(&store)).await.len(), 5, "it did arrive");
    let again = append(&history(&store), given("a"), rows(0, 5)).await.expect("known");
    assert!(matches!(again, Appended::Already { .. }));
}

#[tokio::test]
async fn several_files_enter_in_one_commit_in_the_order_of_their_rows() {
    let log = history(&memory());
    done(append(&log, BatchId::Unremembered, rows(0, 2)).await.expect("appended"));
    // a batch without the feature cannot go into the file of those that have it
    let bare = rows(5, 9).project(&[0, 1, 2]).expect("a batch");
    let batches = stream_of(vec![rows(2, 5), bare, rows(9, 11)]);
    let commit = done(log.append(BatchId::Content, batches, &|| Timestamp(0)).await.expect("appended"));
    assert_eq!((commit.version, commit.rows, commit.first_sequence, commit.last_sequence), (1, 9, 2, 10));
    assert_eq!(log.snapshot().await.expect("a snapshot").files.len(), 4);
    assert_eq!(read(&log).await.into_values().collect::<Vec<_>>(), (0..11).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_table_grows_by_new_columns() {
    let store = memory();
    done(append(&history(&store), given("old"), rows(0, 3)).await.expect("appended"));
    let mut grown = table();
    grown.columns.push((name("speed"), ValueType::Vector(2)));
    let log = History::new(&store, grown).expect("a history");
    assert!(!log.snapshot().await.expect("a snapshot").columns.iter().any(|column| column == "speed"));
    // a batch that was there before is still known
    assert!(matches!(append(&log, given("old"), rows(0, 3)).await.expect("known"), Appended::Already { .. }));
    done(append(&log, given("new"), rows(3, 5)).await.expect("appended"));
    assert!(log.snapshot().await.expect("a snapshot").columns.iter().any(|column| column == "speed"));
    // a process that does not know the column yet takes nothing away
    let behind = history(&store);
    done(append(&behind, given("newer"), rows(5, 6)).await.expect("appended"));
    assert!(behind.snapshot().await.expect("a snapshot").columns.iter().any(|column| column == "speed"));
    assert_eq!(read(&behind).await.len(), 6);
}

#[tokio::test]
async fn names_that_differ_by_case_alone_are_refused_with_the_reason() {
    let mut twins = table();
    twins.columns.push((name("Delay"), ValueType::Int64));
    let store = memory();
    let log = History::new(&store, twins).expect("a history");
    let error = append(&log, BatchId::Content, rows(0, 3)).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert!(error.to_string().contains("more than case"), "{error}");
    assert!(files_in_store(&store).await.is_empty());
}

/// Appends three batches, loses power, and says which rows are there.
async fn after_power_loss(folder: &FilePath, fault: Option<Fault>) -> Result<usize> {
    let forgetful = ForgetfulDisk::new(folder);
    let disk: Arc<dyn Disk> = match fault {
        Some(fault) => FaultyDisk::new(Arc::clone(&forgetful) as Arc<dyn Disk>, fault),
        None => Arc::clone(&forgetful) as Arc<dyn Disk>,
    };
    let log = history(&store_on(folder, disk));
    for batch in 0..3 {
        done(append(&log, BatchId::Content, rows(batch * 5, batch * 5 + 5)).await.expect("appended"));
    }
    forgetful.lose_power();
    let log = history(&store_on(folder, forgetful));
    let mut rows = 0;
    for file in &log.snapshot().await?.files {
        let store = Arc::clone(log.store().store());
        let found = store.get(&file.path).await.map_err(|e| Error::object_store("read", e))?;
        let bytes = found.bytes().await.map_err(|e| Error::object_store("read", e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| Error::parquet("read", e))?;
        rows += reader.metadata().file_metadata().num_rows() as usize;
    }
    Ok(rows)
}

#[tokio::test]
async fn an_acknowledged_append_survives_a_loss_of_power() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(after_power_loss(folder.path(), None).await.expect("a table"), 15);
}

#[tokio::test]
async fn without_fsync_of_files_a_loss_of_power_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_ne!(after_power_loss(folder.path(), Some(Fault::IgnoresFileSync)).await.ok(), Some(15));
}

#[tokio::test]
async fn without_fsync_of_folders_a_loss_of_power_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_ne!(after_power_loss(folder.path(), Some(Fault::IgnoresFolderSync)).await.ok(), Some(15));
}

#[tokio::test]
async fn a_full_disk_leaves_the_table_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    done(
        append(&history(&store_on(folder.path(), Arc::new(RealDisk))), given("a"), rows(0, 5)).await.expect("appended"),
    );
    let healthy = store_on(folder.path(), Arc::new(RealDisk));
    let (before, files) = (read(&history(&healthy)).await, files_in_store(&healthy).await);
    let mut refused = 0;
    for room in (0..).step_by(97) {
        let full = store_on(folder.path(), FaultyDisk::new(Arc::new(RealDisk), Fault::Room(room)));
        match append(&history(&full), given("b"), rows(5, 200)).await {
            Ok(appended) => {
                done(appended);
                break;
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Exhausted, "{error}");
                assert_eq!(read(&history(&healthy)).await, before, "with room for {room} bytes");
                assert_eq!(files_in_store(&healthy).await, files, "with room for {room} bytes");
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{refused}");
    let log = history(&healthy);
    assert_eq!(done(append(&log, given("c"), rows(200, 210)).await.expect("appended")).first_sequence, 200);
    assert_eq!(read(&log).await.into_values().collect::<Vec<_>>(), (0..210).collect::<Vec<_>>());
    let left_over = walk(folder.path()).into_iter().filter(|path| path.contains('#')).count();
    assert_eq!(left_over, 0, "no staging files stay behind");
}

fn walk(folder: &FilePath) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path.display().to_string()] }).collect()
}
