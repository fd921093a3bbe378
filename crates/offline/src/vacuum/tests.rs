use std::sync::Arc;

use futures::TryStreamExt;
use hitherto_core::{Created, KeyType, Table};
use object_store::ObjectStoreExt;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::*;
use crate::compact::samples::{Rows, append, batch, history, objects, read, samples, table};
use crate::store::RealDisk;
use crate::store::faults::store_on;
use crate::{BatchId, CompactOptions, OfflineStore, PinnedTable};

const HOUR: i64 = 3_600_000_000;

fn hours(hours: i64) -> Span {
    Span::from_micros(hours * HOUR).expect("a length of time")
}

fn things() -> Table {
    table(&[KeyType::Int64], Created::Absent)
}

/// A store on a folder with three commits that were compacted, and two files that no log names: one whole, one staged.
async fn compacted(folder: &std::path::Path) -> (OfflineStore, Rows) {
    let store = store_on(folder, Arc::new(RealDisk));
    let log = history(&store, &things());
    let mut expected = Rows::new();
    let mut runner = TestRunner::deterministic();
    for commit in 0..3 {
        let rows = samples().new_tree(&mut runner).expect("rows").current();
        append(&log, &rows, Timestamp(commit), &mut expected).await;
    }
    log.compact(&CompactOptions::default(), &|_, _| ()).await.expect("compacted");
    let place = folder.join("history/things/things-1");
    std::fs::write(place.join("data/orphan.parquet"), "half").expect("written");
    std::fs::write(place.join("data/a.parquet#17"), "staged").expect("written");
    std::fs::write(place.join("_delta_log/00000000000000000004.json#18"), "staged").expect("written");
    (store, expected)
}

fn staged(folder: &std::path::Path) -> usize {
    let place = folder.join("history/things/things-1");
    let names =
        ["data", "_delta_log"].map(|name| std::fs::read_dir(place.join(name)).expect("a folder").map_while(Result::ok));
    names.into_iter().flatten().filter(|entry| entry.file_name().to_string_lossy().contains('#')).count()
}

/// When the store says that the youngest file was written.
async fn youngest(store: &OfflineStore) -> Timestamp {
    let all: Vec<ObjectMeta> = store.store().list(Some(store.base())).try_collect().await.expect("a list");
    Timestamp(all.iter().map(|file| file.last_modified.timestamp_micros()).max().expect("a file") + 1_000_000)
}

#[tokio::test]
async fn what_nobody_needs_goes_when_its_time_has_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, expected) = compacted(folder.path()).await;
    let now = youngest(&store).await;
    let log = history(&store, &things());
    let before = objects(&store).await;

    let kept = log.vacuum(hours(1), now, Sweep::Delete).await.expect("vacuumed");
    assert_eq!((kept.deleted_files, kept.deleted_bytes, kept.kept_files), (0, 0, 6), "all of it is too young");
    let hour_later = now.saturating_add(hours(1));
    let planned = log.vacuum(hours(1), hour_later, Sweep::DryRun).await.expect("vacuumed");
    assert_eq!((planned.deleted_files, planned.kept_files), (6, 0), "three replaced files, one orphan, two staged");
    assert_eq!((objects(&store).await, staged(folder.path())), (before.clone(), 2), "nothing was touched");

    let done = log.vacuum(hours(1), hour_later, Sweep::Delete).await.expect("vacuumed");
    assert_eq!(done, planned);
    let left = objects(&store).await;
    assert_eq!(left.len(), before.len() - 4);
    assert_eq!((left.iter().filter(|name| name.contains("/data/")).count(), staged(folder.path())), (1, 0));
    assert_eq!(read(&history(&store, &things()), i64::MAX).await, expected);
    assert_eq!(log.vacuum(hours(1), hour_later, Sweep::Delete).await.expect("vacuumed"), Vacuumed::default());
}

#[tokio::test]
async fn a_replaced_file_counts_from_its_replacement_not_from_its_writing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = compacted(folder.path()).await;
    let log = history(&store, &things());
    let (snapshot, removed) = log.with_removals(&|_: &Path| true).await.expect("the log");
    assert_eq!(removed.len(), 3);
    let replaced = removed.values().copied().max().expect("a removal");
    let of_run = store.store().head(&snapshot.files[0].path).await.expect("the run's file");
    assert_eq!(replaced, of_run.last_modified.timestamp_millis(), "the store's time, no pretended one");
    // files that were written long before, as the store says
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_hours(24 * 365 * 40);
    for file in std::fs::read_dir(folder.path().join("history/things/things-1/data")).expect("a folder") {
        let file = std::fs::File::options().append(true).open(file.expect("an entry").path()).expect("a file");
        file.set_modified(old).expect("its time can be set");
    }
    let now = Timestamp(replaced * 1000 + HOUR / 2);
    let vacuumed = log.vacuum(hours(1), now, Sweep::Delete).await.expect("vacuumed");
    assert_eq!((vacuumed.deleted_files, vacuumed.kept_files), (2, 3 + 1), "the orphan and what was staged beside it");
    assert_eq!(
        log.vacuum(hours(1), now.saturating_add(hours(1)), Sweep::DryRun).await.expect("vacuumed").deleted_files,
        4
    );
}

#[tokio::test]
async fn who_pinned_the_table_reads_on_until_the_vacuum() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_on(folder.path(), Arc::new(RealDisk));
    let log = history(&store, &things());
    let mut expected = Rows::new();
    let rows = samples().new_tree(&mut TestRunner::deterministic()).expect("rows").current();
    append(&log, &rows, Timestamp(0), &mut expected).await;
    let files = log.snapshot().await.expect("a snapshot").files.clone();
    let pinned = PinnedTable::new(Arc::clone(store.store()), things(), &files, i64::MAX);
    log.compact(&CompactOptions::default(), &|_, _| ()).await.expect("compacted");
    let count = async || {
        let rows = pinned.whole_rows(1 << 20).await?;
        let batches: Vec<_> = rows.stream().try_collect().await?;
        Ok::<_, Error>(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>())
    };
    let now = youngest(&store).await;
    log.vacuum(hours(1), now, Sweep::Delete).await.expect("vacuumed");
    assert_eq!(count().await.expect("the old file is there"), expected.len());
    assert_eq!(log.vacuum(Span::ZERO, now, Sweep::Delete).await.expect("vacuumed").deleted_files, 1);
    assert_eq!(count().await.expect_err("it is gone").kind(), hitherto_core::Kind::NotFound);
    assert_eq!(read(&log, i64::MAX).await, expected);
}

#[tokio::test]
async fn what_is_known_to_be_read_stays_as_long_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_on(folder.path(), Arc::new(RealDisk));
    let log = history(&store, &things());
    let rows = samples().new_tree(&mut TestRunner::deterministic()).expect("rows").current();
    append(&log, &rows, Timestamp(0), &mut Rows::new()).await;
    let files = log.snapshot().await.expect("a snapshot").files.clone();
    let pinned = PinnedTable::new(Arc::clone(store.store()), things(), &files, i64::MAX);
    let pins = [pinned.watch()];
    log.compact(&CompactOptions::default(), &|_, _| ()).await.expect("compacted");
    let now = youngest(&store).await;
    let vacuum = async || log.vacuum_but(&pins, Span::ZERO, now, Sweep::Delete).await.expect("vacuumed");
    let kept = vacuum().await;
    assert_eq!((kept.deleted_files, kept.kept_files), (0, 1));
    let read: Vec<_> =
        pinned.whole_rows(1 << 20).await.expect("the old file").stream().try_collect().await.expect("rows");
    assert_eq!(read.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), rows.len());
    let clone = pinned.clone();
    drop(pinned);
    assert_eq!((vacuum().await.deleted_files, pins[0].is_over()), (0, false), "a clone reads them as well");
    drop(clone);
    assert_eq!((vacuum().await.deleted_files, pins[0].is_over()), (1, true));
}

#[tokio::test]
async fn an_ingest_whose_files_a_vacuum_took_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, expected) = compacted(folder.path()).await;
    let (log, other) = (history(&store, &things()), history(&store, &things()));
    let rows = samples().new_tree(&mut TestRunner::deterministic()).expect("rows").current();
    let whole = batch(&things(), &rows);
    // without its last column it cannot go into the same file
    let bare = whole.project(&(0..whole.num_columns() - 1).collect::<Vec<_>>()).expect("a batch");
    let last = bare.clone();
    let late = futures::stream::once(async move {
        assert_eq!(other.vacuum(Span::ZERO, Timestamp::MAX, Sweep::Delete).await?.deleted_files, 6 + 1);
        Ok(last)
    });
    let rows = futures::stream::iter([Ok(whole), Ok(bare)]).chain(late);
    let appended = Box::pin(log.append(BatchId::Unremembered, rows, &|| Timestamp(9))).await;
    let error = appended.expect_err("a file is gone");
    assert_eq!(error.kind(), hitherto_core::Kind::Conflict);
    assert!(error.to_string().contains("whose --retention or --delay was shorter"), "{error}");
    assert_eq!(read(&log, i64::MAX).await, expected);
}

#[tokio::test]
async fn unasked_nothing_goes_that_a_writer_may_yet_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = compacted(folder.path()).await;
    let log = history(&store, &things());
    let now = youngest(&store).await;
    let sweep = async |hours_later: i64| {
        let now = now.saturating_add(hours(hours_later));
        log.vacuum_but(&[], hours(1), now, Sweep::DryRun).await.expect("vacuumed")
    };
    let soon = sweep(2).await;
    assert_eq!((soon.deleted_files, soon.kept_files), (3, 3), "what the log does not know stays, and what is staged");
    let late = sweep(24 * 7 + 1).await;
    assert_eq!((late.deleted_files, late.kept_files), (6, 0));
}

/// A writer that was taken for dead commits its file after the sweep has found it.
#[tokio::test]
async fn what_is_committed_before_it_is_deleted_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, mut expected) = compacted(folder.path()).await;
    let (log, other) = (history(&store, &things()), history(&store, &things()));
    let before = log.snapshot().await.expect("a snapshot");
    let rows = samples().new_tree(&mut TestRunner::deterministic()).expect("rows").current();
    append(&other, &rows, Timestamp(3), &mut expected).await;
    let late = other.snapshot().await.expect("a snapshot").files.clone();
    let late = late.into_iter().find(|file| !before.files.contains(file)).expect("the file of the last commit");
    let found = store.store().head(&late.path).await.expect("it is there");
    let size = found.size;
    assert_eq!(log.delete(vec![found], Vec::new()).await.expect("nothing fails"), (1, size), "it was spared");
    assert_eq!(read(&log, i64::MAX).await, expected);
}

#[tokio::test]
async fn files_without_a_log_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = compacted(folder.path()).await;
    std::fs::remove_dir_all(folder.path().join("history/things/things-1/_delta_log")).expect("removed");
    let before = objects(&store).await;
    let vacuumed = history(&store, &things()).vacuum(Span::ZERO, Timestamp::MAX, Sweep::Delete).await;
    assert_eq!(vacuumed.expect("vacuumed"), Vacuumed::default());
    assert_eq!(objects(&store).await, before);
}

#[tokio::test]
async fn a_retention_that_the_log_cannot_keep_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, _) = compacted(folder.path()).await;
    let log = history(&store, &things());
    assert_eq!(log.vacuum(hours(168), Timestamp(0), Sweep::DryRun).await.expect("7 days").deleted_files, 0);
    let error = log.vacuum(hours(192), Timestamp(0), Sweep::DryRun).await.expect_err("8 days");
    assert_eq!(
        error.to_string(),
        "could not keep replaced files for 8d: the log remembers for 7d when a file was replaced; use 7d or less"
    );
}
