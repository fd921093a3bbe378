use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::row::{RowConverter, SortField};
use hitherto_core::{Created, KeyType, Table, Timestamp, ValueType};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::samples::{Rows, append, append_batch, history, memory, name, objects, read, read_files, samples, table};
use super::*;
use crate::store::RealDisk;
use crate::store::faults::{Fault, FaultyDisk, Lost, LostAnswers, store_on};
use crate::types::UTC;
use crate::{CREATED, EVENT, OfflineStore};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn options(reach: Reach) -> CompactOptions {
    CompactOptions { reach, ..CompactOptions::default() }
}

async fn compact(history: &History, reach: Reach) -> Compacted {
    history.compact(&options(reach), &|_, _| ()).await.expect("compacted")
}

fn done(compacted: Compacted) -> Compaction {
    match compacted {
        Compacted::Done(compaction) => compaction,
        other => panic!("not done: {other:?}"),
    }
}

/// The files of each run are in order, by keys, then times, then `_sequence`, strictly; and the log's ranges are theirs.
async fn assert_clustered(history: &History) {
    let snapshot = history.snapshot().await.expect("a snapshot");
    let runs: BTreeSet<&str> = snapshot.files.iter().filter_map(DataFile::run).collect();
    for run in runs {
        let mut files: Vec<DataFile> = snapshot.files.iter().filter(|file| file.run() == Some(run)).cloned().collect();
        files.sort_by_key(|file| file.path.clone());
        let mut batches = Vec::new();
        for file in &files {
            let rows = read_files(history, std::slice::from_ref(file), i64::MAX).await;
            let sequences = rows.iter().flat_map(|batch| {
                let column = batch.column_by_name(SEQUENCE).expect("sequences");
                column.as_primitive::<Int64Type>().values().to_vec()
            });
            let sequences: Vec<i64> = sequences.collect();
            assert_eq!(file.sequences(), sequences.iter().min().copied().zip(sequences.iter().max().copied()));
            assert_eq!(file.rows, sequences.len() as u64);
            batches.extend(rows);
        }
        let whole = concat_batches(&batches[0].schema(), &batches).expect("a batch");
        let keys = history.table().keys.len();
        let mut by: Vec<ArrayRef> = whole.columns()[..=keys].to_vec();
        by.extend(whole.column_by_name(CREATED).cloned());
        by.extend(whole.column_by_name(SEQUENCE).cloned());
        let fields = by.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let rows = RowConverter::new(fields).expect("a converter").convert_columns(&by).expect("rows");
        assert!((1..rows.num_rows()).all(|row| rows.row(row - 1) < rows.row(row)), "a run is in order");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rows, their sequences and commit times, and every pinned read, are the same whatever was compacted when.
    #[test]
    fn no_row_changes(
        commits in proptest::collection::vec((samples(), any::<bool>()), 1..8),
        created in prop_oneof![Just(Created::Absent), Just(Created::Column), Just(Created::IngestedAt)],
        keys in prop_oneof![
            Just(vec![KeyType::Int64, KeyType::String]), Just(vec![KeyType::Bytes]),
            Just(vec![KeyType::Bool, KeyType::Timestamp, KeyType::Int32]),
        ],
        file_bytes in prop_oneof![Just(1_u64), Just(1 << 20)],
    ) {
        run(async {
            let (store, table) = (memory(), table(&keys, created));
            let log = history(&store, &table);
            let mut expected = Rows::new();
            let mut ends = vec![-1];
            for (index, (rows, compacts)) in commits.iter().enumerate() {
                ends.push(append(&log, rows, Timestamp(index as i64 * 7), &mut expected).await.last_sequence);
                if *compacts {
                    let options = CompactOptions { file_bytes, ..CompactOptions::default() };
                    log.compact(&options, &|_, _| ()).await.expect("compacted");
                }
            }
            let next = log.snapshot().await.expect("a snapshot").next_sequence;
            done_or_nothing(compact(&log, Reach::All).await);
            for reach in [Reach::Small, Reach::New, Reach::All] {
                assert!(matches!(compact(&log, reach).await, Compacted::Nothing { .. }), "{reach:?} finds nothing more");
            }
            let reopened = history(&store, &table);
            for log in [&log, &reopened] {
                for end in &ends {
                    for last in [end - 2, *end] {
                        let pinned: Rows = expected.range(..=last).map(|(at, row)| (*at, row.clone())).collect();
                        assert_eq!(read(log, last).await, pinned, "pinned at {last}");
                    }
                }
                assert_clustered(log).await;
                let snapshot = log.snapshot().await.expect("a snapshot");
                assert_eq!(snapshot.next_sequence, next);
                assert!(snapshot.files.iter().all(|file| file.first_sequence.is_none()), "no file is fresh");
            }
        });
    }
}

fn done_or_nothing(compacted: Compacted) {
    assert!(!matches!(compacted, Compacted::Overtaken), "nobody else is here");
}

fn narrow_table() -> Table {
    Table {
        id: "legs-1".to_owned(),
        view: name("legs"),
        keys: vec![(name("leg"), KeyType::Int64)],
        created: Created::Absent,
        columns: vec![(name("note"), ValueType::String)],
    }
}

/// Rows whose key is `key(row)`, with a note of so many bytes.
fn narrow(rows: std::ops::Range<i64>, key: impl Fn(i64) -> i64, width: usize) -> RecordBatch {
    let notes: StringArray = rows.clone().map(|row| Some(format!("{}{row}", "-".repeat(width)))).collect();
    let times = TimestampMicrosecondArray::from_iter_values(rows.clone().map(|row| row % 1000)).with_timezone(UTC);
    RecordBatch::try_from_iter([
        ("leg", Arc::new(Int64Array::from_iter_values(rows.map(key))) as ArrayRef),
        (EVENT, Arc::new(times)),
        ("note", Arc::new(notes)),
    ])
    .expect("a batch")
}

/// Three small commits.
async fn three_commits(log: &History) -> Rows {
    let mut expected = Rows::new();
    for commit in 0..3 {
        let rows = narrow(commit * 5..commit * 5 + 5, |row| row % 2, 3);
        append_batch(log, &rows, Timestamp(commit), &mut expected).await;
    }
    expected
}

#[tokio::test]
async fn files_are_cut_where_the_key_changes() {
    let log = history(&memory(), &narrow_table());
    let mut expected = Rows::new();
    append_batch(&log, &narrow(0..20_000, |row| row % 90, 20), Timestamp(0), &mut expected).await;
    append_batch(&log, &narrow(20_000..40_000, |row| row % 90, 20), Timestamp(1), &mut expected).await;
    let options = CompactOptions { file_bytes: 20_000, ..CompactOptions::default() };
    let compaction = done(log.compact(&options, &|_, _| ()).await.expect("compacted"));
    assert!(compaction.written_files > 2, "{compaction:?}");
    assert_eq!((compaction.rows, compaction.files_before, compaction.rewritten_files), (40_000, 2, 2));
    assert_clustered(&log).await;
    let snapshot = log.snapshot().await.expect("a snapshot");
    assert_eq!(snapshot.files.len(), compaction.files_after);
    let mut ranges: Vec<(i64, i64)> = snapshot
        .files
        .iter()
        .map(|file| {
            let at = |statistic| file.stat(statistic, "leg").and_then(serde_json::Value::as_i64).expect("a range");
            (at("minValues"), at("maxValues"))
        })
        .collect();
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "no key is in two files: {ranges:?}");
    assert_eq!(read(&log, i64::MAX).await, expected);

    // a key with more rows than a file should have is in several
    let one = history(&memory(), &narrow_table());
    append_batch(&one, &narrow(0..40_000, |_| 7, 20), Timestamp(0), &mut Rows::new()).await;
    assert!(done(one.compact(&options, &|_, _| ()).await.expect("compacted")).written_files > 2);
    assert_clustered(&one).await;
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_sorted_all_the_same() {
    let options = CompactOptions { memory_bytes: CompactOptions::MEMORY_BYTES_MIN, ..CompactOptions::default() };
    for (rows, width) in [(60_000, 1_000), (250, 300_000)] {
        let log = history(&memory(), &narrow_table());
        let mut expected = Rows::new();
        let half = rows / 2;
        for from in [0, half] {
            let batch = narrow(from..from + half, |row| row * 7_919 % 1_009, width);
            append_batch(&log, &batch, Timestamp(0), &mut expected).await;
        }
        let watched = std::sync::Mutex::new(Vec::new());
        let progress = |rows, of| watched.lock().expect("no panic").push((rows, of));
        let compaction = done(log.compact(&options, &progress).await.expect("compacted"));
        assert_eq!(compaction.rows, rows as u64);
        assert!(read(&log, i64::MAX).await == expected, "rows of {width} bytes are the same");
        assert_clustered(&log).await;
        let watched = watched.into_inner().expect("no panic");
        assert!(watched.is_sorted() && watched.iter().all(|(rows, of)| rows <= of), "{watched:?}");
        assert_eq!(watched.last(), Some(&(rows as u64, rows as u64)));
    }
    let little = CompactOptions { memory_bytes: 1 << 20, ..options };
    let error = history(&memory(), &narrow_table()).compact(&little, &|_, _| ()).await.expect_err("too little");
    assert_eq!(error.to_string(), "could not compact in 1048576 bytes of memory: give at least 32 MiB");
}

#[tokio::test]
async fn numbers_go_on_where_they_were_also_after_a_checkpoint() {
    let store = memory();
    let mut expected = Rows::new();
    for commit in 0..21 {
        // a new handle each time knows nothing but what the store has
        let log = history(&store, &narrow_table());
        let rows = narrow(commit * 10..commit * 10 + 10, |row| row % 3, 4);
        let appended = append_batch(&log, &rows, Timestamp(100 - commit), &mut expected).await;
        assert_eq!(appended.first_sequence, commit * 10);
        done(compact(&log, Reach::All).await);
    }
    assert!(objects(&store).await.iter().any(|name| name.ends_with("40.checkpoint.parquet")));
    let log = history(&store, &narrow_table());
    let snapshot = log.snapshot().await.expect("a snapshot");
    assert_eq!((snapshot.version, snapshot.files.len(), snapshot.next_sequence), (Some(41), 1, 210));
    assert_eq!((snapshot.files[0].sequences(), snapshot.last_commit), (Some((0, 209)), Some(Timestamp(100))));
    assert_eq!(read(&log, i64::MAX).await, expected);
    let more = append_batch(&log, &narrow(0..1, |_| 0, 1), Timestamp(0), &mut expected).await;
    assert_eq!((more.first_sequence, more.time), (210, Timestamp(100)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_and_readers_do_not_notice() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_on(folder.path(), Arc::new(RealDisk));
    let (ended, compactions) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let appender = {
        let (log, ended) = (history(&store, &narrow_table()), Arc::clone(&ended));
        let compactions = Arc::clone(&compactions);
        tokio::spawn(async move {
            let mut expected = Rows::new();
            // on a busy machine a compaction may take as long as all of them
            for commit in (0..).take_while(|&commit| commit < 40 || compactions.load(Ordering::SeqCst) < 2) {
                let rows = narrow(commit * 20..commit * 20 + 20, |row| row % 6, 5);
                append_batch(&log, &rows, Timestamp(commit), &mut expected).await;
            }
            ended.store(true, Ordering::SeqCst);
            expected
        })
    };
    let reader = {
        let (log, ended) = (history(&store, &narrow_table()), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut reads = 0;
            while !ended.load(Ordering::SeqCst) {
                let next = log.snapshot().await.expect("a snapshot").next_sequence;
                let found = read(&log, next - 1).await;
                assert_eq!(found.keys().copied().collect::<Vec<_>>(), (0..next).collect::<Vec<_>>());
                reads += 1;
            }
            reads
        })
    };
    let log = history(&store, &narrow_table());
    while !ended.load(Ordering::SeqCst) {
        match compact(&log, Reach::New).await {
            Compacted::Done(_) => drop(compactions.fetch_add(1, Ordering::SeqCst)),
            Compacted::Nothing { .. } => tokio::task::yield_now().await,
            Compacted::Overtaken => panic!("nobody else compacts"),
        }
    }
    let expected = appender.await.expect("no panic");
    assert!(reader.await.expect("no panic") > 0);
    assert_eq!(read(&history(&store, &narrow_table()), i64::MAX).await, expected);
    assert_clustered(&log).await;
}

#[tokio::test]
async fn of_two_compactions_of_the_same_files_one_counts() {
    let store = memory();
    let log = history(&store, &narrow_table());
    let expected = three_commits(&log).await;
    // when the first has read its files, and before it commits, another comes
    let other = std::sync::Mutex::new(None);
    let watch = |_: u64, _: u64| {
        let mut other = other.lock().expect("no panic");
        if other.is_none() {
            let log = history(&store, &narrow_table());
            let second = std::thread::spawn(move || run(async { compact(&log, Reach::New).await }));
            *other = Some(second.join().expect("no panic"));
        }
    };
    let first = log.compact(&options(Reach::New), &watch).await.expect("no error");
    assert_eq!(first, Compacted::Overtaken);
    assert_eq!(done(other.into_inner().expect("no panic").expect("it ran")).rows, 15);
    assert_eq!(read(&log, i64::MAX).await, expected);
    let data = objects(&store).await.into_iter().filter(|name| name.contains("/data/")).count();
    assert_eq!(data, 3 + 1, "what was replaced is there, what the loser wrote is not");
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_counts_once() {
    // the log's fourth entry is the compaction's
    let store = LostAnswers::store(|put| (put == 3).then_some(Lost::Answer));
    let log = history(&store, &narrow_table());
    let expected = three_commits(&log).await;
    assert_eq!(done(compact(&log, Reach::New).await).version, 3);
    assert_eq!(read(&log, i64::MAX).await, expected);
    assert_eq!(log.snapshot().await.expect("a snapshot").files.len(), 1);

    let store = LostAnswers::store(|put| (put >= 3).then_some(Lost::Request));
    let log = history(&store, &narrow_table());
    let expected = three_commits(&log).await;
    let error = log.compact(&options(Reach::New), &|_, _| ()).await.expect_err("no answer");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().starts_with("could not compact table 'legs-1': "), "{error}");
    assert_eq!(read(&log, i64::MAX).await, expected);
    let data = objects(&store).await.into_iter().filter(|name| name.contains("/data/")).count();
    assert_eq!(data, 4, "the request may still arrive, so its file stays");
}

#[tokio::test]
async fn a_full_disk_leaves_the_table_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let healthy: OfflineStore = store_on(folder.path(), Arc::new(RealDisk));
    let expected = three_commits(&history(&healthy, &narrow_table())).await;
    let before = objects(&healthy).await;
    let mut refused = 0;
    for room in (0..).step_by(97) {
        let full = store_on(folder.path(), FaultyDisk::new(Arc::new(RealDisk), Fault::Room(room)));
        let log = history(&full, &narrow_table());
        match log.compact(&options(Reach::New), &|_, _| ()).await {
            Ok(compacted) => {
                done(compacted);
                break;
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Exhausted, "{error}");
                assert_eq!(objects(&healthy).await, before, "with room for {room} bytes");
                assert_eq!(read(&history(&healthy, &narrow_table()), i64::MAX).await, expected);
                refused += 1;
            }
        }
    }
    assert!(refused > 10, "{refused}");
    let log = history(&healthy, &narrow_table());
    assert_eq!(read(&log, i64::MAX).await, expected);
    assert_eq!(log.snapshot().await.expect("a snapshot").files.len(), 1);
}

#[tokio::test]
async fn columns_that_came_later_are_kept_and_never_left_behind() {
    let store = memory();
    let old = narrow_table();
    let mut grown = old.clone();
    grown.columns.push((name("speed"), ValueType::Int64));
    let behind = history(&store, &old);
    let mut expected = Rows::new();
    append_batch(&behind, &narrow(0..3, |row| row, 3), Timestamp(0), &mut expected).await;
    for columns in expected.values_mut() {
        columns.insert("speed".to_owned(), "null".to_owned());
    }
    let ahead = history(&store, &grown);
    let more = narrow(3..6, |row| row, 3);
    let mut columns: Vec<(String, ArrayRef)> =
        more.schema().fields().iter().map(|field| field.name().clone()).zip(more.columns().to_vec()).collect();
    columns.push(("speed".to_owned(), Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))));
    let more = RecordBatch::try_from_iter(columns).expect("a batch");
    append_batch(&ahead, &more, Timestamp(1), &mut expected).await;
    let error = behind.compact(&options(Reach::New), &|_, _| ()).await.expect_err("it does not know the column");
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("'speed'"), "{error}");
    done(compact(&ahead, Reach::New).await);
    assert_eq!(read(&ahead, i64::MAX).await, expected);
}

#[tokio::test]
async fn compactions_that_nobody_asked_for_leave_each_others_files_alone() {
    let log = history(&memory(), &table(&[KeyType::Int64], Created::Absent));
    let mut expected = Rows::new();
    let rows = samples().new_tree(&mut proptest::test_runner::TestRunner::deterministic()).expect("rows").current();
    for commit in 0..3 {
        append(&log, &rows, Timestamp(commit), &mut expected).await;
    }
    let first = log.claim(&log.snapshot().await.expect("a snapshot"), Reach::Small);
    assert_eq!((first.inputs.len(), log.small_files().await.expect("a snapshot")), (3, 0));
    assert_eq!(compact(&log, Reach::Quick).await, Compacted::Nothing { files: 3 });
    for commit in 3..5 {
        append(&log, &rows, Timestamp(commit), &mut expected).await;
    }
    assert_eq!(done(compact(&log, Reach::Quick).await).rewritten_files, 2, "what came meanwhile");
    drop(first);
    let rest = done(compact(&log, Reach::Small).await);
    assert_eq!((rest.rewritten_files, rest.files_after), (4, 1), "three files, and the run beside them");
    assert_eq!(read(&log, i64::MAX).await, expected);
}
