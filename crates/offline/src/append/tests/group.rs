//! Many batches in one commit.

use proptest::prelude::*;

use super::*;
use crate::ReadyBatch;
use crate::log::LoggedBatch;

/// A batch that somebody pushes: an id of few, or none, and rows `from..from + rows`.
#[derive(Clone, Debug)]
struct Pushed {
    id: Option<u8>,
    from: i64,
    rows: i64,
}

impl Pushed {
    fn id(&self) -> BatchId {
        self.id.map_or(BatchId::Unremembered, |id| BatchId::Given(format!("id {id}")))
    }

    fn rows(&self) -> RecordBatch {
        rows(self.from, self.from + self.rows)
    }
}

/// Repeats, conflicts and empty batches among them.
fn pushes() -> impl Strategy<Value = Vec<Pushed>> {
    let pushed = (proptest::option::of(0_u8..5), 0_i64..4, 0_i64..4);
    proptest::collection::vec(pushed.prop_map(|(id, from, rows)| Pushed { id, from, rows }), 1..24)
}

/// What became of a batch, without what differs between a commit of its own and a shared one.
fn outcome(appended: Result<Appended>) -> String {
    match appended {
        Ok(Appended::Done(commit)) => format!("{} to {}", commit.first_sequence, commit.last_sequence),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

async fn append_all(history: &History, pushed: &[Pushed]) -> Vec<Result<Appended>> {
    let mut ready: Vec<ReadyBatch> = Vec::new();
    for pushed in pushed {
        ready.push(history.ready(pushed.id(), &pushed.rows()).await.expect("it fits"));
    }
    history.append_all(&ready, &|| Timestamp(1_000)).await.expect("the store is whole")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_group_does_what_its_batches_do_one_after_the_other(pushed in pushes(), cuts in proptest::collection::vec(1_usize..9, 24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (alone, grouped) = (history(&memory()), history(&memory()));
            let (mut expected, mut found, mut left) = (Vec::new(), Vec::new(), &pushed[..]);
            for pushed in &pushed {
                expected.push(outcome(append(&alone, pushed.id(), pushed.rows()).await));
            }
            let mut groups = 0;
            for cut in cuts {
                let (group, rest) = left.split_at(cut.min(left.len()));
                found.extend(append_all(&grouped, group).await.into_iter().map(outcome));
                groups += u64::from(!group.is_empty());
                left = rest;
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(read(&grouped).await, read(&alone).await);
            let commits = grouped.snapshot().await.expect("a snapshot").version.map_or(0, |version| version + 1);
            prop_assert!(commits <= groups, "{commits} commits for {groups} groups");

            // the log tells the same batches, whether they shared a commit or not
            let told = |batches: Vec<LoggedBatch>| -> Vec<_> {
                batches.into_iter().map(|batch| (batch.id, batch.rows, batch.first_sequence, batch.last_sequence)).collect()
            };
            let alone = alone.chronicle().await.expect("a log").batches;
            let grouped = grouped.chronicle().await.expect("a log").batches;
            let places: HashSet<(u64, Option<usize>)> = grouped.iter().map(|batch| (batch.version, batch.index)).collect();
            prop_assert_eq!(places.len(), grouped.len(), "each has a name of its own");
            prop_assert_eq!(told(grouped), told(alone));
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_group_is_one_commit_and_one_file_and_is_read_back_by_others() {
    let store = memory();
    let log = history(&store);
    done(append(&log, given("before"), rows(90, 92)).await.expect("appended"));
    let pushed: Vec<Pushed> =
        (0..40).map(|n| Pushed { id: (n % 2 == 0).then_some(n as u8), from: n, rows: 1 }).collect();
    let appended = append_all(&log, &pushed).await;
    let commits: Vec<Commit> = appended.into_iter().map(|appended| done(appended.expect("appended"))).collect();
    assert!(commits.iter().all(|commit| (commit.version, commit.rows) == (1, 1)), "{commits:?}");
    assert!(commits.iter().map(|commit| commit.first_sequence).eq(2..42), "in the order of arrival: {commits:?}");
    assert_eq!(commits[4].batch_id.as_deref(), Some("id 4"));
    assert_eq!(log.snapshot().await.expect("a snapshot").files.len(), 2);
    // a process that has read on entry by entry sees what one does that opens the table now
    let again = history(&store);
    let sorted = async |log: &History| {
        let snapshot = log.snapshot().await.expect("a snapshot");
        let mut snapshot = (*snapshot).clone();
        snapshot.files.sort_by(|a, b| a.path.cmp(&b.path));
        snapshot
    };
    assert_eq!(sorted(&log).await, sorted(&again).await);
    assert_eq!(read(&again).await, read(&log).await);
    let repeated = append_all(&again, &pushed[4..6]).await.into_iter().map(outcome).collect::<Vec<_>>();
    assert_eq!(repeated, ["Already { batch_id: \"id 4\" }", "42 to 42"]);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_it_joins() {
    let log = history(&memory());
    let refused = log.ready(BatchId::Unremembered, &rows(0, 2).project(&[1, 2, 3]).expect("a batch")).await;
    assert!(refused.expect_err("no key").to_string().contains("column 'tailnum' is missing"));
    let appended = append_all(&log, &[Pushed { id: None, from: 0, rows: 2 }]).await;
    assert_eq!(appended.into_iter().map(outcome).collect::<Vec<_>>(), ["0 to 1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_groups_of_many_processes_each_batch_enters_once() {
    const IDS: u8 = 30;
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_on(folder.path(), Arc::new(RealDisk));
    let tasks = (0..6).map(|writer: u8| {
        let log = history(&store);
        tokio::spawn(async move {
            let mut entered = Vec::new();
            // the same batches in another order, cut otherwise
            let ids: Vec<u8> = (0..IDS).map(|n| (n * 7 + writer * 5) % IDS).collect();
            for ids in ids.chunks(usize::from(3 + writer)) {
                let pushed: Vec<Pushed> =
                    ids.iter().map(|id| Pushed { id: Some(*id), from: i64::from(*id) * 10, rows: 3 }).collect();
                for (id, appended) in ids.iter().zip(append_all(&log, &pushed).await) {
                    match appended.expect("it is there") {
                        Appended::Done(commit) => entered.push((commit.first_sequence, *id)),
                        already => assert!(matches!(already, Appended::Already { .. }), "{already:?}"),
                    }
                }
            }
            entered
        })
    });
    let mut entered = BTreeMap::new();
    for writer in futures::future::join_all(tasks).await {
        entered.extend(writer.expect("no panic"));
    }
    let ids: BTreeSet<u8> = entered.values().copied().collect();
    assert_eq!((ids.len(), entered.len()), (usize::from(IDS), usize::from(IDS)), "{entered:?}");
    let mut expected = BTreeMap::new();
    for (first, id) in entered {
        expected.extend((0..3).map(|row| (first + row, i64::from(id) * 10 + row)));
    }
    let log = history(&store);
    assert_eq!(read(&log).await, expected);
    let files = log.snapshot().await.expect("a snapshot").files.len();
    let data = files_in_store(&store).await.into_iter().filter(|path| path.ends_with(".parquet"));
    assert_eq!(data.filter(|path| !path.contains("_delta_log")).count(), files, "the files of those who lost are gone");
}

#[tokio::test]
async fn a_group_whose_answer_is_lost_enters_once_and_is_known_again() {
    let pushed: Vec<Pushed> = (0..4).map(|n| Pushed { id: Some(n), from: i64::from(n), rows: 1 }).collect();
    let ready = async |log: &History| {
        let mut ready = Vec::new();
        for pushed in &pushed {
            ready.push(log.ready(pushed.id(), &pushed.rows()).await.expect("it fits"));
        }
        ready
    };
    // whether it arrived is not known, so its file stays
    let store = LostAnswers::store(|put| Some(if put == 0 { Lost::Answer } else { Lost::Request }));
    let log = history(&store);
    let error = log.append_all(&ready(&log).await, &|| Timestamp(0)).await.expect_err("no answer");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(read(&history(&store)).await.into_values().collect::<Vec<_>>(), [0, 1, 2, 3], "it did arrive");
    let again = append_all(&history(&store), &pushed).await;
    assert!(again.iter().all(|again| matches!(again, Ok(Appended::Already { .. }))), "{again:?}");
    // once lost and sent again
    let store = LostAnswers::store(|put| (put == 0).then_some(Lost::Request));
    let appended = append_all(&history(&store), &pushed).await.into_iter().map(outcome).collect::<Vec<_>>();
    assert_eq!(appended, ["0 to 0", "1 to 1", "2 to 2", "3 to 3"]);
    assert_eq!(read(&history(&store)).await.len(), 4);
}

#[tokio::test]
async fn an_acknowledged_group_survives_a_loss_of_power_and_a_full_disk_takes_none_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let forgetful = ForgetfulDisk::new(folder.path());
    let log = history(&store_on(folder.path(), Arc::clone(&forgetful) as Arc<dyn Disk>));
    let pushed = |from: i64| (0..5).map(|n| Pushed { id: None, from: from + n, rows: 1 }).collect::<Vec<_>>();
    append_all(&log, &pushed(0)).await;
    append_all(&log, &pushed(5)).await;
    forgetful.lose_power();
    let healthy = store_on(folder.path(), forgetful);
    assert_eq!(read(&history(&healthy)).await.into_values().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    let full = history(&store_on(folder.path(), FaultyDisk::new(Arc::new(RealDisk), Fault::Room(500))));
    let mut ready = Vec::new();
    for pushed in pushed(10) {
        ready.push(full.ready(pushed.id(), &pushed.rows()).await.expect("it fits"));
    }
    let error = full.append_all(&ready, &|| Timestamp(0)).await.expect_err("it is full");
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    assert_eq!(read(&history(&healthy)).await.len(), 10);
}
