use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use hitherto_core::{KeyValue, Kind, NewTables};
use hitherto_offline::OfflineStore;
use hitherto_online::{Advance, Group, Marks};
use tempfile::TempDir;

use super::*;
use crate::Destination;

const DEFINITIONS: &str = "kind: entity\nname: thing\njoin_keys: {k: int64}\n---\nkind: feature_view\nname: readings\nentity: thing\n\
                           features: {v: int64}\n";
const KEYS: i64 = 2500;
/// Later than a minute from now.
const LATER_US: i64 = 120_000_000;

/// An engine with a row of each key in history and online.
async fn filled() -> (Engine, Reading, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let (place, project) = (folder.path().display(), "default".parse().expect("a name"));
    let registry = hitherto_registry::open(&format!("sqlite://{place}/registry.db"), &project).await;
    let offline = OfflineStore::open(&format!("file://{place}/offline"), [("", ""); 0]).expect("a store");
    let online = hitherto_online::open(&format!("embedded://{place}/online"), &project).expect("a store");
    let engine = Engine::new(project, registry.expect("a registry"), offline, Some(online), Clock::System);
    engine.apply(&[("d.yaml".to_owned(), DEFINITIONS.to_owned())], NewTables::Refuse).await.expect("it applies");
    push(&engine, 0..KEYS, 1).await;
    let known = engine.definitions().await.expect("definitions");
    let reading = every_reading(&known.catalog).pop().expect("a reading").id;
    (engine, reading, folder)
}

/// Each of these keys gets the value `v`.
async fn push(engine: &Engine, keys: std::ops::Range<i64>, v: i64) {
    let times = TimestampMicrosecondArray::from_iter_values(keys.clone().map(|_| v)).with_timezone("UTC");
    let values = Int64Array::from_iter_values(keys.clone().map(|_| v));
    let columns: [(&str, ArrayRef); 3] = [
        ("k", Arc::new(Int64Array::from_iter_values(keys))),
        ("event_timestamp", Arc::new(times)),
        ("v", Arc::new(values)),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("a batch");
    engine.push(&view(), &rows, None, Destination::Both).await.expect("it is pushed");
}

fn view() -> Name {
    "readings".parse().expect("a name")
}

fn bytes(k: i64) -> Vec<u8> {
    hitherto_core::EntityKey(vec![KeyValue::Int(k)]).to_bytes()
}

/// The event times of the rows of these keys.
async fn held(engine: &Engine, reading: &Reading, keys: &[i64]) -> Vec<Option<i64>> {
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| bytes(*key)).collect();
    let online = engine.online().expect("a store");
    let mut answers = online.read(&[Group { reading, keys: &keys }]).await.expect("a read");
    answers.remove(0).rows.into_iter().map(|row| Some(row?.version.event.0)).collect()
}

fn later() -> Timestamp {
    Timestamp(Clock::System.now().0 + LATER_US)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_brings_what_was_lost_and_what_is_left_is_dropped_once() {
    let (engine, reading, _folder) = filled().await;
    let online = engine.online().expect("a store");
    online.erase(&reading, &bytes(7)).await.expect("it is lost");
    engine.materialize(&[]).await.expect("it runs");
    assert_eq!(held(&engine, &reading, &[6, 7]).await, [Some(1), None]);

    let seen = std::sync::atomic::AtomicU64::new(0);
    let told = |rows| seen.store(rows, std::sync::atomic::Ordering::Relaxed);
    let done = engine.rebuild_online(&[view()], &told).await.expect("it is rebuilt");
    let rows = KEYS as u64;
    assert_eq!((done[0].rows, done[0].written, seen.into_inner()), (rows, rows, rows));
    assert_eq!(held(&engine, &reading, &[6, 7]).await, [Some(1), Some(1)]);
    push(&engine, 0..10, 2).await;
    assert_eq!(held(&engine, &reading, &[6, 7, 10]).await, [Some(2), Some(2), Some(1)]);

    let rate = NonZeroU32::MAX;
    assert_eq!(engine.drop_generations(&[], Clock::System.now(), rate).await.expect("an answer"), []);
    let dropped = engine.drop_generations(&[view()], later(), rate).await.expect("it is dropped");
    let rows = rows - 1;
    assert_eq!(
        dropped,
        [DroppedGeneration { view: view(), reading: reading.clone(), generation: Generation::FIRST, rows }]
    );
    assert_eq!(engine.drop_generations(&[], later(), rate).await.expect("an answer"), []);
    assert_eq!(held(&engine, &reading, &[6, 7, 10]).await, [Some(2), Some(2), Some(1)]);
    let unknown = engine.drop_generations(&["other".parse().expect("a name")], later(), rate).await;
    assert_eq!(unknown.expect_err("there is no such view").kind(), Kind::NotFound);
}

#[tokio::test]
async fn what_another_process_drops_is_left_to_it() {
    let (engine, reading, _folder) = filled().await;
    engine.rebuild_online(&[], &|_| ()).await.expect("it is rebuilt");
    let online = engine.online().expect("a store");
    let old = online.generations(&reading).await.expect("generations").old.remove(0);
    assert!(online.postpone(&reading, old, Timestamp(later().0 + HELD_US)).await.expect("an answer"));
    let rate = NonZeroU32::MAX;
    assert_eq!(engine.drop_generations(&[], later(), rate).await.expect("an answer"), []);
    // it was killed
    let much_later = Timestamp(later().0 + 2 * HELD_US);
    let dropped = engine.drop_generations(&[], much_later, rate).await.expect("it is dropped");
    assert_eq!(dropped.iter().map(|dropped| dropped.rows).collect::<Vec<_>>(), [KEYS as u64]);
}

#[tokio::test]
async fn keys_are_dropped_at_the_rate_that_was_given() {
    let (engine, _reading, _folder) = filled().await;
    engine.rebuild_online(&[], &|_| ()).await.expect("it is rebuilt");
    let begun = Instant::now();
    let rate = NonZeroU32::new(10_000).expect("it is not zero");
    engine.drop_generations(&[], later(), rate).await.expect("it is dropped");
    let least = Duration::from_secs_f64(KEYS as f64 / 10_000.0);
    assert!(begun.elapsed() >= least, "{:?}, not {least:?}", begun.elapsed());
}

#[tokio::test]
async fn a_rebuild_that_says_nothing_is_given_up_and_one_that_does_is_not() {
    let (engine, reading, _folder) = filled().await;
    let online = engine.online().expect("a store");
    let generation = online.start_generation(&reading, None, due()).await.expect("an answer").expect("it begins");
    let next = async || online.generations(&reading).await.expect("generations").next.map(|next| next.generation);
    let mut silent = HashMap::new();
    for _ in 0..2 * LOOKS_MAX {
        online.beat(&reading).await.expect("a beat");
        engine.abandon_silent(&mut silent).await.expect("a look");
    }
    assert_eq!(next().await, Some(generation));
    for _ in 0..LOOKS_MAX {
        assert_eq!(next().await, Some(generation));
        engine.abandon_silent(&mut silent).await.expect("a look");
    }
    assert_eq!(next().await, None);
    engine.abandon_silent(&mut silent).await.expect("a look");
    assert!(silent.is_empty());
    assert_eq!(held(&engine, &reading, &[7]).await, [Some(1)], "what is read is read on");
}

#[tokio::test]
async fn a_rebuild_at_an_earlier_clock_than_what_is_read_is_refused_before_it_begins() {
    let (engine, reading, _folder) = filled().await;
    let early = engine.with_clock(Clock::Frozen(Timestamp(5)));
    let error = early.rebuild_online(&[], &|_| ()).await.expect_err("time does not run back");
    assert!(error.to_string().contains("time does not run back"), "{error}");
    let found = engine.online().expect("a store").generations(&reading).await.expect("generations");
    assert_eq!(found, hitherto_online::Generations::default());
}

/// Moves the marks as a machine would whose clock is so far ahead; where they are then.
async fn brought_ahead(engine: &Engine, reading: &Reading, ahead_us: i64) -> Marks {
    let online = engine.online().expect("a store");
    let run = online.begin(reading).await.expect("a run");
    let clock = Timestamp(Clock::System.now().0 + ahead_us);
    let to = Marks { clock, ..run.marks().expect("it was filled") };
    assert_eq!(online.advance(reading, &run, to).await.expect("an answer"), Advance::Done);
    to
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_a_little_behind_another_clock_goes_by_that_and_who_is_far_behind_tries_again() {
    let (engine, reading, _folder) = filled().await;
    let marks =
        async || engine.online().expect("a store").marks(std::slice::from_ref(&reading)).await.expect("marks")[0];
    let ahead = brought_ahead(&engine, &reading, 4_000_000).await;
    push(&engine, 0..10, 2).await;
    assert_eq!(held(&engine, &reading, &[9, 10]).await, [Some(2), Some(1)]);
    assert!(marks().await.is_some_and(|marks| marks.clock >= ahead.clock && marks.sequence == ahead.sequence + 10));
    let done = engine.materialize(&[]).await.expect("it runs");
    assert!(done[0].marks.clock >= ahead.clock, "{done:?}");
    engine.rebuild_online(&[], &|_| ()).await.expect("it is rebuilt");
    assert_eq!(held(&engine, &reading, &[9, 10]).await, [Some(2), Some(1)]);

    let far = brought_ahead(&engine, &reading, 3_600_000_000).await;
    let error = engine.materialize(&[]).await.expect_err("that is no skew");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.to_string().contains("than the 5 s that clocks may differ by; set the clocks of both"), "{error}");
    engine.rebuild_online(&[], &|_| ()).await.expect_err("nor is this");
    assert_eq!(marks().await, Some(far));
    // a pretended clock says what it means
    let frozen = |before_us| engine.with_clock(Clock::Frozen(Timestamp(far.clock.0 - before_us)));
    let error = frozen(1).materialize(&[]).await.expect_err("it is earlier");
    assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    frozen(0).materialize(&[]).await.expect("it is the same moment");
}

#[tokio::test]
async fn rebuilds_in_a_row_leave_no_more_than_a_few_generations() {
    let (engine, reading, _folder) = filled().await;
    let online = engine.online().expect("a store");
    let old = async || online.generations(&reading).await.expect("generations").old;
    for _ in 0..3 {
        engine.rebuild_online(&[], &|_| ()).await.expect("it is rebuilt");
    }
    let error = engine.rebuild_online(&[], &|_| ()).await.expect_err("readers may be in flight");
    assert_eq!(error.kind(), Kind::Exhausted, "{error}");
    let first = old().await[0];
    let told = format!("could not rebuild readings: 3 earlier generations of it are in {} still", online.describe());
    assert!(error.to_string().starts_with(&told), "{error}");
    assert!(error.to_string().ends_with(&format!("try again after {}, when the first of them may go", first.due)));
    // its minute is over
    assert!(online.postpone(&reading, first, Timestamp(Clock::System.now().0 - 1)).await.expect("an answer"));
    engine.rebuild_online(&[], &|_| ()).await.expect("it has dropped that one itself");
    let left: Vec<u32> = old().await.iter().map(|old| old.generation.0).collect();
    assert_eq!(left, [1, 2, 3]);
    assert_eq!(held(&engine, &reading, &[7]).await, [Some(1)]);
}

#[tokio::test]
async fn a_drop_that_takes_long_keeps_no_killed_rebuild_alive() {
    let (engine, reading, _folder) = filled().await;
    let online = engine.online().expect("a store");
    engine.rebuild_online(&[], &|_| ()).await.expect("it is rebuilt");
    let old = online.generations(&reading).await.expect("generations").old.remove(0);
    assert!(online.postpone(&reading, old, Timestamp(0)).await.expect("an answer"));
    online.start_generation(&reading, None, due()).await.expect("an answer").expect("it begins");
    let is_given_up = async {
        let mut ticks = interval_at(Instant::now(), Duration::from_millis(10));
        while online.generations(&reading).await.expect("generations").next.is_some() {
            ticks.tick().await;
        }
    };
    // the first thousand keys take a quarter of an hour
    let rate = NonZeroU32::MIN;
    tokio::select! {
        never = engine.tend_generations(Duration::from_millis(10), rate) => match never {},
        given_up = tokio::time::timeout(Duration::from_secs(20), is_given_up) => given_up.expect("within 20 s"),
    }
    let found = online.generations(&reading).await.expect("generations").old;
    assert!(found.iter().any(|left| left.generation == old.generation), "it is being dropped still: {found:?}");
}
