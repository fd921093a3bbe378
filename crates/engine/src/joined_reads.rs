//! Reads of a remote store that come while others are under way, joined into one round trip.
//!
//! A read joins only a round trip that has not been sent. So no answer is older than the moment at which it was asked for,
//! whoever else is answered by it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hitherto_core::Kind;
use hitherto_online::{Answer, Group, OnlineStore};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::merged_reads::{Merged, OwnGroup, Shares};
use crate::{Error, Result};

/// So many round trips are under way before reads wait to be joined, unless it is set.
const ROUND_TRIPS_MAX: usize = 4;
/// A read of more keys goes by itself, at once: it has little to gain, and others would wait for it.
const KEYS_MAX: usize = 64;
/// So many reads share one round trip at most: a bound on what the store does in one go.
const READS_MAX: usize = 64;

/// How reads of the online store were sent since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Reads that were a round trip of their own.
    pub alone: u64,
    /// Reads that shared one.
    pub joined: u64,
    /// The round trips that they shared.
    pub shared_round_trips: u64,
}

/// The reads that are under way and that wait. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct JoinedReads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// None: every read goes at once.
    round_trips_max: usize,
    state: Mutex<State>,
    alone: AtomicU64,
    joined: AtomicU64,
    round_trips: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    waiting: VecDeque<Waiting>,
}

/// A read that waits for a round trip.
#[derive(Debug)]
struct Waiting {
    groups: Vec<OwnGroup>,
    tell: oneshot::Sender<Told>,
}

/// What became of a shared round trip, for one of its reads.
#[derive(Debug)]
enum Told {
    Answers(Vec<Answer>),
    /// The store does not answer, whoever asks.
    Unavailable(Arc<str>),
    /// It failed, and that may be another read's fault: asked alone, each hears what is its own.
    AskAlone,
}

/// Whether a read goes now or waits.
enum Turn {
    Now(UnderWay),
    Wait(oneshot::Receiver<Told>),
}

/// One of the round trips that may be under way. Whoever waits goes when it is dropped, be it because it was cut off.
struct UnderWay {
    reads: JoinedReads,
    store: Arc<dyn OnlineStore>,
}

impl Default for JoinedReads {
    fn default() -> Self {
        Self::new(ROUND_TRIPS_MAX)
    }
}

impl JoinedReads {
    /// Reads are joined once so many round trips are under way; 0 for never.
    pub(crate) fn new(round_trips_max: usize) -> Self {
        let (state, count) = (Mutex::default(), AtomicU64::default);
        Self(Arc::new(Shared { round_trips_max, state, alone: count(), joined: count(), round_trips: count() }))
    }

    /// How reads were sent so far.
    pub(crate) fn counts(&self) -> ReadCounts {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let Shared { alone, joined, round_trips, .. } = &*self.0;
        ReadCounts { alone: count(alone), joined: count(joined), shared_round_trips: count(round_trips) }
    }

    /// What `store` says to `groups`, as [`OnlineStore::read`].
    pub(crate) async fn read(&self, store: &Arc<dyn OnlineStore>, groups: &[Group<'_>]) -> Result<Vec<Answer>> {
        let keys: usize = groups.iter().map(|group| group.keys.len()).sum();
        if self.0.round_trips_max == 0 || keys > KEYS_MAX || !store.is_remote() {
            return self.read_alone(store, groups).await;
        }
        match self.turn(store, groups) {
            Turn::Now(under_way) => {
                let answers = self.read_alone(store, groups).await;
                drop(under_way);
                answers
            }
            Turn::Wait(told) => match told.await {
                Ok(Told::Answers(answers)) => Ok(answers),
                Ok(Told::Unavailable(reason)) => Err(Error::Unavailable(reason.to_string())),
                // nobody tells where the round trip's task was cut off
                Ok(Told::AskAlone) | Err(_) => self.read_alone(store, groups).await,
            },
        }
    }

    async fn read_alone(&self, store: &Arc<dyn OnlineStore>, groups: &[Group<'_>]) -> Result<Vec<Answer>> {
        self.0.alone.fetch_add(1, Ordering::Relaxed);
        Ok(store.read(groups).await?)
    }

    fn turn(&self, store: &Arc<dyn OnlineStore>, groups: &[Group<'_>]) -> Turn {
        let mut state = self.state();
        if state.under_way < self.0.round_trips_max {
            state.under_way += 1;
            return Turn::Now(UnderWay { reads: self.clone(), store: Arc::clone(store) });
        }
        let (tell, told) = oneshot::channel();
        let own = |group: &Group<'_>| OwnGroup { reading: group.reading.clone(), keys: group.keys.to_vec() };
        state.waiting.push_back(Waiting { groups: groups.iter().map(own).collect(), tell });
        Turn::Wait(told)
    }

    /// Those who go together next; the place that was left is free where there are none.
    fn take_next(&self) -> Vec<Waiting> {
        let mut state = self.state();
        let mut next = Vec::new();
        while next.len() < READS_MAX
            && let Some(waiting) = state.waiting.pop_front()
        {
            // who has left is not asked for
            if !waiting.tell.is_closed() {
                next.push(waiting);
            }
        }
        if next.is_empty() {
            state.under_way -= 1;
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let next = self.reads.take_next();
        if next.is_empty() {
            return;
        }
        // not within the read that has ended: that one has its answer, and may be dropped at any time
        match Handle::try_current() {
            Ok(runtime) => {
                let under_way = Self { reads: self.reads.clone(), store: Arc::clone(&self.store) };
                runtime.spawn(read_together(under_way, next));
            }
            // the runtime is gone, and with it whoever waits
            Err(_) => self.reads.state().under_way -= 1,
        }
    }
}

/// One round trip for all of `waiting`.
async fn read_together(under_way: UnderWay, waiting: Vec<Waiting>) {
    let Merged { groups, asked_for, places } = Merged::of(waiting.iter().map(|waiting| waiting.groups.as_slice()));
    let asked: Vec<Group<'_>> =
        groups.iter().map(|group| Group { reading: &group.reading, keys: &group.keys }).collect();
    let read = under_way.store.read(&asked).await;
    let Shared { joined, round_trips, .. } = &*under_way.reads.0;
    joined.fetch_add(waiting.len() as u64, Ordering::Relaxed);
    round_trips.fetch_add(1, Ordering::Relaxed);
    // the next need not wait until these have been told
    drop(under_way);
    let reason: Option<Arc<str>> = match &read {
        Err(error) if error.kind() == Kind::Unavailable => Some(error.to_string().into()),
        _ => None,
    };
    let mut shares = read.ok().map(|answers| Shares::new(answers, asked_for));
    for (waiting, places) in waiting.into_iter().zip(places) {
        let told = match (&mut shares, &reason) {
            (Some(shares), _) => Told::Answers(places.iter().map(|place| shares.of(place)).collect()),
            (None, Some(reason)) => Told::Unavailable(Arc::clone(reason)),
            (None, None) => Told::AskAlone,
        };
        // who has left meanwhile hears nothing
        let _ = waiting.tell.send(told);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use async_trait::async_trait;
    use bytes::Bytes;
    use hitherto_core::{Span, Timestamp};
    use hitherto_online::Reading;
    use hitherto_online::{Advance, Marks, OnlineRow, RowVersion, Run, Write, Written};
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
            let answer = |group: &Group<'_>| Answer {
                marks,
                is_stale: false,
                rows: group.keys.iter().map(row).map(Some).collect(),
            };
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
        for (store, reads) in
            [(Clockwork::new(false), JoinedReads::new(1)), (Clockwork::new(true), JoinedReads::new(0))]
        {
            let both = [begin(&reads, &store, &["x"]).await, begin(&reads, &store, &["y"]).await];
            assert_eq!(store.asked().len(), 2);
            store.let_through.add_permits(2);
            for read in both {
                read.await.expect("no panic").expect("answers");
            }
        }
    }
}
