use std::collections::BTreeSet;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use futures::future::join_all;
use hitherto_core::{Kind, NewTables};
use hitherto_offline::{BatchId, OfflineStore};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::readings::served_readings;
use crate::{Destination, Ingested};

const DEFINITIONS: &str = "kind: entity\nname: thing\njoin_keys: {k: int64}\n---\nkind: feature_view\nname: readings\nentity: thing\n\
                           features: {v: int64}\n";
const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

async fn engine() -> (Engine, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let (place, project) = (folder.path().display(), "default".parse().expect("a name"));
    let registry = hitherto_registry::open(&format!("sqlite://{place}/registry.db"), &project).await;
    let offline = OfflineStore::open(&format!("file://{place}/offline"), [("", ""); 0]).expect("a store");
    let online = hitherto_online::open(&format!("embedded://{place}/online"), &project).expect("a store");
    let engine = Engine::new(project, registry.expect("a registry"), offline, Some(online), Clock::Frozen(NOW));
    let files = [("d.yaml".to_owned(), DEFINITIONS.to_owned())];
    engine.apply(&files, NewTables::Refuse).await.expect("it applies");
    (engine, folder)
}

fn view() -> Name {
    "readings".parse().expect("a name")
}

/// A row of each of these keys.
fn rows(keys: &[i64]) -> RecordBatch {
    let times = TimestampMicrosecondArray::from(vec![NOW.0 - 1; keys.len()]).with_timezone("UTC");
    let ints = || Arc::new(Int64Array::from(keys.to_vec())) as ArrayRef;
    RecordBatch::try_from_iter([("k", ints()), ("event_timestamp", Arc::new(times) as ArrayRef), ("v", ints())])
        .expect("a batch")
}

async fn table(engine: &Engine) -> Arc<TableHistory> {
    let known = engine.definitions().await.expect("definitions");
    engine.history(&known.catalog.tables["readings-1"]).expect("a history")
}

/// Somebody at work who does nothing yet: whoever pushes waits.
async fn hold(history: &Arc<TableHistory>) -> (Place<Append>, AtWork<Append>) {
    let none = rows(&[]);
    let batch = history.history().ready(BatchId::Unremembered, &none).await.expect("it fits");
    let waiting =
        Append { batch, clock: Clock::Frozen(NOW), progress: PushProgress::default(), tell: oneshot::channel().0 };
    let (place, at_work) = history.pushes().appends.join(waiting, 0).expect("there is room");
    (place, at_work.expect("nobody is at work"))
}

fn push(
    engine: &Engine,
    rows: RecordBatch,
    batch_id: Option<&str>,
    progress: &PushProgress,
) -> JoinHandle<Result<Ingested>> {
    let (engine, progress, batch_id) = (engine.clone(), progress.clone(), batch_id.map(str::to_owned));
    tokio::spawn(async move { engine.push_watched(&view(), &rows, batch_id, Destination::Both, &progress).await })
}

async fn until_waiting(history: &TableHistory, count: usize) {
    while history.pushes().appends.waiting() != count {
        tokio::task::yield_now().await;
    }
}

fn sequences(pushed: &Ingested) -> (i64, i64) {
    let commit = pushed.commit.as_ref().expect("a commit");
    (commit.first_sequence, commit.last_sequence)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_pushes_make_few_commits_and_all_are_online() {
    const PUSHES: i64 = 200;
    let (engine, _folder) = engine().await;
    let history = table(&engine).await;
    let progress = PushProgress::default();
    let pushes: Vec<_> = (0..PUSHES).map(|n| push(&engine, rows(&[n]), Some(&format!("id {n}")), &progress)).collect();
    let mut places = BTreeSet::new();
    for pushed in join_all(pushes).await {
        let pushed = pushed.expect("no panic").expect("it is pushed");
        assert!(!pushed.online.is_empty());
        places.insert(sequences(&pushed));
    }
    assert!(places.iter().map(|(first, _)| *first).eq(0..PUSHES), "each its own place: {places:?}");
    let chronicle = history.history().chronicle().await.expect("a log");
    assert_eq!(chronicle.batches.len(), PUSHES as usize);
    let commits: BTreeSet<u64> = chronicle.batches.iter().map(|batch| batch.version).collect();
    assert!(commits.len() < PUSHES as usize / 2, "{} commits", commits.len());
    let known = engine.definitions().await.expect("definitions");
    let reading = served_readings(&known.catalog, &[]).pop().expect("a reading").id;
    let marks = engine.online().expect("a store").marks(&[reading]).await.expect("marks");
    assert_eq!(marks[0].map(|marks| marks.sequence), Some(PUSHES - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_before_the_commit_takes_its_rows_along() {
    let (engine, _folder) = engine().await;
    let history = table(&engine).await;
    let (place, at_work) = hold(&history).await;
    let watched = [(); 3].map(|()| PushProgress::default());
    let mut pushes = Vec::new();
    for (n, progress) in watched.iter().enumerate() {
        pushes.push(push(&engine, rows(&[n as i64]), None, progress));
        until_waiting(&history, n + 2).await;
    }
    let left = pushes.remove(1);
    left.abort();
    assert!(left.await.expect_err("it is cut off").is_cancelled());
    until_waiting(&history, 3).await;
    drop(place);
    tokio::spawn(commit_all(Arc::clone(&history), at_work));
    let pushed = join_all(pushes).await.into_iter().map(|pushed| pushed.expect("no panic").expect("it is pushed"));
    assert_eq!(pushed.map(|pushed| sequences(&pushed)).collect::<Vec<_>>(), [(0, 0), (1, 1)]);
    let stages = watched.each_ref().map(PushProgress::stage);
    assert_eq!(stages, [PushStage::Kept, PushStage::Waiting, PushStage::Kept]);
    assert_eq!(history.history().snapshot().await.expect("a snapshot").next_sequence, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_push_fails_alone_and_a_repeated_one_is_told_so() {
    let (engine, _folder) = engine().await;
    let history = table(&engine).await;
    let progress = PushProgress::default();
    push(&engine, rows(&[1]), Some("old"), &progress).await.expect("no panic").expect("it is pushed");
    let (place, at_work) = hold(&history).await;
    // refused before it joins
    let odd = RecordBatch::try_from_iter([("k", Arc::clone(rows(&[1]).column(0)))]).expect("a batch");
    let error = push(&engine, odd, None, &progress).await.expect("no panic").expect_err("no times");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    let mut pushes = Vec::new();
    let wanted: [(&[i64], &str); 5] = [(&[2, 3], "a"), (&[4], "old"), (&[1], "old"), (&[9], "a"), (&[5], "b")];
    for (n, (keys, id)) in wanted.into_iter().enumerate() {
        pushes.push(push(&engine, rows(keys), Some(id), &progress));
        until_waiting(&history, n + 2).await;
    }
    drop(place);
    tokio::spawn(commit_all(Arc::clone(&history), at_work));
    let told = join_all(pushes).await.into_iter().map(|pushed| match pushed.expect("no panic") {
        Ok(Ingested { already: Some(id), .. }) => format!("already {id}"),
        Ok(pushed) => format!("{:?}", sequences(&pushed)),
        Err(error) => format!("{:?}", error.kind()),
    });
    assert_eq!(told.collect::<Vec<_>>(), ["(1, 2)", "Conflict", "already old", "Conflict", "(3, 3)"]);
}

#[tokio::test]
async fn all_hear_of_a_store_that_fails_and_the_next_is_tried_again() {
    let (engine, folder) = engine().await;
    let progress = PushProgress::default();
    push(&engine, rows(&[1]), None, &progress).await.expect("no panic").expect("it is pushed");
    // a file where the folder of the data is to be
    let data = folder.path().join("offline/readings/readings-1/data");
    let away = folder.path().join("away");
    std::fs::rename(&data, &away).expect("moved");
    std::fs::write(&data, "in the way").expect("a file");
    let pushes: Vec<_> = (0..5).map(|n| push(&engine, rows(&[n]), None, &progress)).collect();
    for pushed in join_all(pushes).await {
        pushed.expect("no panic").expect_err("nothing can be written");
    }
    std::fs::remove_file(&data).expect("removed");
    std::fs::rename(&away, &data).expect("moved back");
    let pushed = push(&engine, rows(&[1]), None, &progress).await.expect("no panic").expect("it is pushed");
    assert_eq!(sequences(&pushed), (1, 1));
}
