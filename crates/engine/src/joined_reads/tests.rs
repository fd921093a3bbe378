use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use bytes::Bytes;
use hitherto_core::{Span, Timestamp};
use hitherto_online::{Advance, Marks, OnlineRow, RowVersion, Run, Write, Written};
use hitherto_online::{Generation, GenerationStore, Generations, OldGeneration, Reading, Switch};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use super::*;

/// A store whose rows are all of the moment at which it was asked, one later each time; reads wait until let through.
#[derive(Debug)]
struct Clockwork {
    /// The keys of each read, in order.
    asked: Mutex<Vec<Vec<String>>>,
    let_through: Semaphore,
    arrived: Notify,
    is_remote: bool,
    /// Whether a read that names `bad` fails: of the store as a whole, or because of that key.
    is_down: AtomicBool,
}

impl Clockwork {
    fn new(is_remote: bool) -> Arc<Self> {
        let (asked, let_through, arrived) = (Mutex::default(), Semaphore::new(0), Notify::new());
        Arc::new(Self { asked, let_through, arrived, is_remote, is_down: AtomicBool::new(false) })
    }

    fn asked(&self) -> Vec<Vec<String>> {
        self.asked.lock().expect("no panic").clone()
    }

    /// Waits until so many reads have come.
    async fn has_been_asked(&self, times: usize) {
        while self.asked().len() < times {
            self.arrived.notified().await;
        }
    }
}

#[async_trait]
impl OnlineStore for Clockwork {
    async fn read(&self, groups: &[Group<'_>]) -> hitherto_online::Result<Vec<Answer>> {
        let text = |key: &Vec<u8>| String::from_utf8(key.clone()).expect("text");
        let keys: Vec<String> = groups.iter().flat_map(|group| group.keys).map(text).collect();
        let moment = {
            let mut asked = self.asked.lock().expect("no panic");
            asked.push(keys.clone());
            asked.len() as i64
        };
        self.arrived.notify_one();
        self.let_through.acquire().await.expect("it is open").forget();
        if keys.iter().any(|key| key == "bad") {
            if !self.is_down.load(Ordering::Relaxed) {
                return Err(hitherto_online::Error::Url { problem: "bad".to_owned() });
            }
            let nowhere = hitherto_online::open("redis://127.0.0.1:1", &"p".parse().expect("a name"));
            return Err(nowhere.expect("a url").ping().await.expect_err("nothing listens"));
        }
        let version = RowVersion { event: Timestamp(moment), created: None, sequence: moment };
        let row = |key: &Vec<u8>| OnlineRow { version, deleted: false, values: Bytes::from(key.clone()) };
        let marks = Some(Marks { sequence: moment, clock: Timestamp(moment) });
        let answer =
            |group: &Group<'_>| Answer { marks, is_stale: false, rows: group.keys.iter().map(row).map(Some).collect() };
        Ok(groups.iter().map(answer).collect())
    }

    async fn write(&self, _: &Reading, _: &Run, _: &[Write]) -> hitherto_online::Result<Written> {
        Ok(Written::default())
    }

    async fn erase(&self, _: &Reading, _: &[u8]) -> hitherto_online::Result<bool> {
        Ok(false)
    }

    async fn marks(&self, readings: &[Reading]) -> hitherto_online::Result<Vec<Option<Marks>>> {
        Ok(vec![None; readings.len()])
    }

    async fn begin(&self, _: &Reading) -> hitherto_online::Result<Run> {
        Ok(Run::new(None, Bytes::new()))
    }

    async fn advance(&self, _: &Reading, _: &Run, _: Marks) -> hitherto_online::Result<Advance> {
        Ok(Advance::Done)
    }

    async fn ping(&self) -> hitherto_online::Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        "clockwork".to_owned()
    }

    fn is_remote(&self) -> bool {
        self.is_remote
    }
}

/// It has one generation, and no rebuild.
#[async_trait]
impl GenerationStore for Clockwork {
    async fn generations(&self, _: &Reading) -> hitherto_online::Result<Generations> {
        Ok(Generations::default())
    }

    async fn start_generation(
        &self,
        _: &Reading,
        _: Option<Generation>,
        _: Timestamp,
    ) -> hitherto_online::Result<Option<Generation>> {
        Ok(None)
    }

    async fn begin_beside(&self, _: &Reading, _: Generation) -> hitherto_online::Result<Option<Run>> {
        Ok(None)
    }

    async fn switch_generation(&self, _: &Reading, _: Generation, _: Timestamp) -> hitherto_online::Result<Switch> {
        Ok(Switch::Gone)
    }

    async fn abandon_generation(&self, _: &Reading, _: Generation, _: Timestamp) -> hitherto_online::Result<bool> {
        Ok(false)
    }

    async fn beat(&self, _: &Reading) -> hitherto_online::Result<()> {
        Ok(())
    }

    async fn postpone(&self, _: &Reading, _: OldGeneration, _: Timestamp) -> hitherto_online::Result<bool> {
        Ok(false)
    }

    async fn drop_rows(&self, _: &Reading, _: Generation, _: &[Vec<u8>]) -> hitherto_online::Result<u64> {
        Ok(0)
    }

    async fn forget_generation(&self, _: &Reading, _: Generation) -> hitherto_online::Result<()> {
        Ok(())
    }
}

fn reading(table: &str) -> Reading {
    Reading::new(table, Span::ZERO)
}

/// Reads these keys of the table `a`, and the first of them of `b`, in a task of its own that has begun to wait.
async fn begin(reads: &JoinedReads, store: &Arc<Clockwork>, keys: &[&str]) -> JoinHandle<Result<Vec<Answer>>> {
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
    let reads = reads.clone();
    let store = Arc::clone(store) as Arc<dyn OnlineStore>;
    let task = tokio::spawn(async move {
        let (a, b) = (reading("a"), reading("b"));
        let groups = [Group { reading: &a, keys: &keys }, Group { reading: &b, keys: &keys[..1] }];
        reads.read(&store, &groups).await
    });
    // one thread: it runs until it waits
    tokio::task::yield_now().await;
    task
}

/// The keys that were answered by group, all of one moment, and that moment.
fn told(answers: &[Answer]) -> (Vec<Vec<String>>, i64) {
    let moment = answers[0].marks.expect("marks").sequence;
    let mut all = Vec::new();
    for answer in answers {
        assert_eq!(answer.marks.map(|marks| marks.sequence), Some(moment));
        let rows = answer.rows.iter().map(|row| row.as_ref().expect("a row"));
        all.push(
            rows.map(|row| {
                assert_eq!(row.version.sequence, moment);
                String::from_utf8(row.values.to_vec()).expect("text")
            })
            .collect(),
        );
    }
    (all, moment)
}

#[tokio::test]
async fn reads_that_wait_share_the_next_round_trip_and_none_that_was_sent_before_them() {
    let (store, reads) = (Clockwork::new(true), JoinedReads::new(1));
    let first = begin(&reads, &store, &["x"]).await;
    let second = begin(&reads, &store, &["x", "y"]).await;
    let third = begin(&reads, &store, &["y", "z", "y"]).await;
    assert_eq!(store.asked(), [["x", "x"]], "two wait");
    store.let_through.add_permits(2);
    assert_eq!(told(&first.await.expect("no panic").expect("answers")).1, 1);
    let second = second.await.expect("no panic").expect("answers");
    // what the first was answered is older than the moment at which the second asked
    assert_eq!(told(&second), (vec![vec!["x".to_owned(), "y".to_owned()], vec!["x".to_owned()]], 2));
    let third = third.await.expect("no panic").expect("answers");
    let own = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    assert_eq!(told(&third), (vec![own(&["y", "z", "y"]), own(&["y"])], 2));
    assert_eq!(store.asked()[1], ["x", "y", "z", "x", "y"], "each key of each table once");
    assert_eq!(reads.counts(), ReadCounts { alone: 1, joined: 2, shared_round_trips: 1 });
}

#[tokio::test]
async fn who_leaves_is_not_asked_for_and_takes_nobody_along() {
    let (store, reads) = (Clockwork::new(true), JoinedReads::new(1));
    let first = begin(&reads, &store, &["x"]).await;
    let (left, stays) = (begin(&reads, &store, &["y"]).await, begin(&reads, &store, &["z"]).await);
    left.abort();
    assert!(left.await.expect_err("it is cut off").is_cancelled());
    // the one whose round trip is under way leaves, too
    first.abort();
    assert!(first.await.expect_err("it is cut off").is_cancelled());
    store.has_been_asked(2).await;
    assert_eq!(store.asked()[1], ["z", "z"]);
    store.let_through.add_permits(1);
    assert_eq!(told(&stays.await.expect("no panic").expect("answers")).1, 2);
    let last = begin(&reads, &store, &["x"]).await;
    assert_eq!(store.asked().len(), 3, "there is room again");
    store.let_through.add_permits(1);
    assert_eq!(told(&last.await.expect("no panic").expect("answers")).1, 3);
}

#[tokio::test]
async fn a_failure_is_of_whom_it_concerns_and_a_store_that_is_down_is_not_asked_again() {
    let (store, reads) = (Clockwork::new(true), JoinedReads::new(1));
    let first = begin(&reads, &store, &["x"]).await;
    let (bad, good) = (begin(&reads, &store, &["bad"]).await, begin(&reads, &store, &["y"]).await);
    store.let_through.add_permits(4);
    first.await.expect("no panic").expect("answers");
    let error = bad.await.expect("no panic").expect_err("it is bad");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    assert_eq!(told(&good.await.expect("no panic").expect("answers")).0[0], ["y"]);
    assert_eq!(store.asked().len(), 4, "the first, both, and each alone");

    store.is_down.store(true, Ordering::Relaxed);
    let first = begin(&reads, &store, &["x"]).await;
    let (bad, other) = (begin(&reads, &store, &["bad"]).await, begin(&reads, &store, &["y"]).await);
    store.let_through.add_permits(2);
    first.await.expect("no panic").expect("answers");
    for read in [bad, other] {
        let error = read.await.expect("no panic").expect_err("it is down");
        assert_eq!((error.kind(), error.to_string().contains("redis at")), (Kind::Unavailable, true), "{error}");
    }
    assert_eq!(store.asked().len(), 6);
}

#[tokio::test]
async fn large_reads_and_reads_of_a_store_nearby_go_at_once() {
    let (store, reads) = (Clockwork::new(true), JoinedReads::new(1));
    let first = begin(&reads, &store, &["x"]).await;
    let many: Vec<String> = (0..KEYS_MAX).map(|key| key.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let large = begin(&reads, &store, &many).await;
    assert_eq!(store.asked().len(), 2, "it does not wait");
    store.let_through.add_permits(2);
    first.await.expect("no panic").expect("answers");
    assert_eq!(told(&large.await.expect("no panic").expect("answers")).0[0].len(), KEYS_MAX);
    for (store, reads) in [(Clockwork::new(false), JoinedReads::new(1)), (Clockwork::new(true), JoinedReads::new(0))] {
        let both = [begin(&reads, &store, &["x"]).await, begin(&reads, &store, &["y"]).await];
        assert_eq!(store.asked().len(), 2);
        store.let_through.add_permits(2);
        for read in both {
            read.await.expect("no panic").expect("answers");
        }
    }
}
