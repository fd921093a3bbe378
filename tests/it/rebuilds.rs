//! `materialize --rebuild`: what is wrong online is mended while it is read and pushed to; one that fails or is killed leaves it
//! as it was.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use hitherto_core::{EntityKey, KeyValue, Span, Timestamp};
use hitherto_engine::Clock;
use hitherto_online::fixture::{RedisServer, Wrapper};
use hitherto_online::{Error, Generation, OnlineStore, Reading, Result, Run, Write, Written};
use serde_json::Value;
use tokio::sync::Notify;

use crate::support::Hitherto;
use crate::support::gate::Gate;
use crate::support::readings::READINGS;

/// A row's keys in Redis begin so, in the first generation and in the next.
const ROWS: [&str; 2] = ["hitherto:default:r:readings-1:0:", "hitherto:default:r1:readings-1:0:"];

/// A folder with ten rows of value 1 in history and in the online store at `url`, or the embedded one.
fn filled(url: Option<&str>) -> Hitherto {
    let place = Hitherto::new();
    if let Some(url) = url {
        place.write("hitherto.toml", format!("[online]\nurl = \"{url}\"\nfollow = \"50ms\"\n"));
    }
    place.write("definitions.yaml", READINGS);
    place.ok("apply -f definitions.yaml");
    ingest(&place, 1);
    place
}

/// Ten keys get the value `v`.
fn ingest(place: &Hitherto, v: i64) {
    let rows = (0..10).map(|k| format!("{k},2024-01-01T00:00:{v:02}Z,{v}\n"));
    place.write("rows.csv", format!("k,event_timestamp,v\n{}", rows.collect::<String>()));
    place.ok("ingest readings rows.csv --to both");
}

fn key(k: i64) -> Vec<u8> {
    EntityKey(vec![KeyValue::Int(k)]).to_bytes()
}

fn reading() -> Reading {
    Reading::new("readings-1", Span::ZERO)
}

/// Value and status of key 3.
fn get(place: &Hitherto, flags: &str) -> (Value, String) {
    let ran = place.ok(&format!("--output json get --feature-set latest --entity k=3 {flags}"));
    let answer: Value = serde_json::from_str(&ran).expect("JSON");
    let cell = &answer["rows"][0]["features"]["readings__v"];
    (cell["value"].clone(), cell["status"].as_str().expect("a status").to_owned())
}

fn present(v: i64) -> (Value, String) {
    (v.into(), "PRESENT".to_owned())
}

fn not_found() -> (Value, String) {
    (Value::Null, "NOT_FOUND".to_owned())
}

/// How many of Redis' keys begin with `prefix` and end with the entity key.
fn exists(server: &RedisServer, prefix: &str, k: i64) -> u64 {
    let mut connection = redis::Client::open(server.url()).and_then(|client| client.get_connection()).expect("redis");
    let key = [prefix.as_bytes(), &key(k)].concat();
    redis::cmd("EXISTS").arg(key).query(&mut connection).expect("an answer")
}

/// Drops what is left as if two minutes had passed; how many rows that were, and the keys that Redis has then.
async fn dropped(place: &Hitherto, server: &RedisServer) -> (u64, u64) {
    let engine = place.engine(Some(place.online(Some(&server.url()))), Clock::System).await;
    let early = engine.drop_generations(&[], Clock::System.now(), NonZeroU32::MAX).await.expect("an answer");
    assert_eq!(early, [], "readers may be in flight for a minute");
    let later = Timestamp(Clock::System.now().0 + 120_000_000);
    let dropped = engine.drop_generations(&[], later, NonZeroU32::MAX).await.expect("they are dropped");
    let again = engine.drop_generations(&[], later, NonZeroU32::MAX).await.expect("an answer");
    assert_eq!(again, [], "once");
    (dropped.iter().map(|dropped| dropped.rows).sum(), server.command(&["DBSIZE"]))
}

#[test]
fn a_key_that_was_lost_is_brought_again_by_a_rebuild_alone() {
    let server = RedisServer::start();
    for url in [None, Some(server.url())] {
        let place = filled(url.as_deref());
        assert_eq!(get(&place, ""), present(1));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let store = place.online(url.as_deref());
        assert!(runtime.block_on(store.erase(&reading(), &key(3))).expect("it was there"));
        place.ok("materialize");
        assert_eq!(get(&place, ""), not_found(), "nothing of it is new");

        let served = place.serve("");
        let remote = format!("--server {}", served.grpc);
        assert_eq!(get(&place, &remote), not_found());
        let done: Value =
            serde_json::from_str(&place.ok("--output json materialize --rebuild readings")).expect("JSON");
        let told = ["view", "rows", "written", "up_to_sequence"].map(|name| done[0][name].as_str().unwrap_or_default());
        assert_eq!(told[..3], ["readings", "10", "10"], "{done}");
        // who has read the generation before asks again by himself
        for remote in ["", &remote] {
            assert_eq!(get(&place, remote), present(1));
        }
        ingest(&place, 2);
        for remote in ["", &remote] {
            assert_eq!(get(&place, remote), present(2));
        }
        let found = runtime.block_on(store.generations(&reading())).expect("generations");
        assert_eq!((found.current, found.next), (Generation(1), None));
        let said = place.fails("materialize --rebuild reading");
        assert!(said.contains("no feature view 'reading' (did you mean 'readings'?)"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_killed_leaves_what_was_read_and_the_next_one_completes() {
    let server = RedisServer::start();
    let gate = Gate::before(server.port());
    let place = filled(Some(&format!("redis://127.0.0.1:{}", gate.port())));
    place.write("hitherto.toml", format!("[online]\nurl = \"redis://127.0.0.1:{}\"\n", gate.port()));
    gate.close("r1:readings-1");
    let rebuilding = place.start("materialize --rebuild");
    gate.wait();
    assert_eq!(rebuilding.kill().code, -1);
    gate.open();
    assert_eq!(get(&place, ""), present(1));
    // nobody is at work on the other, and still rows go to both
    ingest(&place, 2);
    assert_eq!(get(&place, ""), present(2));
    assert_eq!(ROWS.map(|prefix| exists(&server, prefix, 3)), [1, 1]);
    let store = place.online(Some(&server.url()));
    let found = store.generations(&reading()).await.expect("generations");
    assert_eq!((found.current, found.next.map(|next| next.generation)), (Generation::FIRST, Some(Generation(1))));

    let done: Value = serde_json::from_str(&place.ok("--output json materialize --rebuild")).expect("JSON");
    assert_eq!(done[0]["rows"], "20", "all of it again: {done}");
    assert_eq!(get(&place, ""), present(2));
    let found = store.generations(&reading()).await.expect("generations");
    assert_eq!((found.current, found.next), (Generation(2), None));
    // ten rows each of what was read before and of what was left behind; the entry and the last beat beside ten rows stay
    assert_eq!(dropped(&place, &server).await, (20, 12));
    assert_eq!(get(&place, ""), present(2));
}

/// A store whose next write to a generation beside what is read waits, or whose writes fail.
#[derive(Debug)]
struct Held {
    inner: Arc<dyn OnlineStore>,
    holds: AtomicBool,
    fails: AtomicBool,
    arrived: Notify,
    open: Notify,
}

impl Held {
    fn before(inner: Arc<dyn OnlineStore>, holds: bool) -> Arc<Self> {
        let (arrived, open) = (Notify::new(), Notify::new());
        Arc::new(Self { inner, holds: AtomicBool::new(holds), fails: AtomicBool::new(!holds), arrived, open })
    }
}

#[async_trait]
impl Wrapper for Held {
    fn inner(&self) -> &Arc<dyn OnlineStore> {
        &self.inner
    }

    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> Result<Written> {
        if self.fails.load(Ordering::Relaxed) {
            // half of it has been done
            self.inner.write(reading, run, &writes[..writes.len() / 2]).await?;
            return Err(Error::Corrupt {
                what: "a call".to_owned(),
                store: "the store".to_owned(),
                problem: "it broke",
            });
        }
        // a run on what is read knows of the one beside it
        if run.beside().is_none() && self.holds.swap(false, Ordering::Relaxed) {
            self.arrived.notify_one();
            self.open.notified().await;
        }
        self.inner.write(reading, run, writes).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_during_a_rebuild_is_read_at_once_and_afterwards_and_no_key_stays_behind() {
    let server = RedisServer::start();
    let place = filled(Some(&server.url()));
    let store = place.online(Some(&server.url()));
    let held = Held::before(Arc::clone(&store), true);
    let engine = place.engine(Some(Arc::clone(&held) as Arc<dyn OnlineStore>), Clock::System).await;
    let rebuilding = tokio::spawn(async move { engine.rebuild_online(&[], &|_| ()).await });
    held.arrived.notified().await;

    let said = place.fails("materialize --rebuild readings");
    assert!(said.contains("could not rebuild readings: another rebuild of it is at work in redis at"), "{said}");
    assert_eq!(get(&place, ""), present(1));
    ingest(&place, 2);
    assert_eq!(get(&place, ""), present(2));
    assert_eq!(ROWS.map(|prefix| exists(&server, prefix, 3)), [1, 1], "it is in both");
    let found = store.generations(&reading()).await.expect("generations");
    assert_eq!(found.current, Generation::FIRST);
    held.open.notify_one();

    let done = rebuilding.await.expect("no panic").expect("it is rebuilt");
    assert_eq!((done.len(), done[0].rows, done[0].marks.sequence), (1, 10, 19));
    assert_eq!(get(&place, ""), present(2));
    let marks = store.marks(&[reading()]).await.expect("marks");
    assert!(marks[0].is_some_and(|marks| marks.have_reached(done[0].marks)), "{marks:?}");
    assert_eq!(dropped(&place, &server).await, (10, 12));
    assert_eq!(ROWS.map(|prefix| exists(&server, prefix, 3)), [0, 1]);
    ingest(&place, 3);
    assert_eq!(get(&place, ""), present(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_a_row_that_the_next_generation_lacks() {
    let server = RedisServer::start();
    let place = filled(Some(&server.url()));
    let store = place.online(Some(&server.url()));
    let started = store.start_generation(&reading(), None, Timestamp(0)).await.expect("an answer");
    let held = Held::before(Arc::clone(&store), true);
    let engine = place.engine(Some(Arc::clone(&held) as Arc<dyn OnlineStore>), Clock::System).await;
    place.write("rows.csv", "k,event_timestamp,v\n3,2024-01-01T00:00:02Z,2\n");
    place.ok("ingest readings rows.csv --to offline");
    let run = tokio::spawn(async move { engine.materialize(&[]).await });
    held.arrived.notified().await;
    for _ in 0..3 {
        assert_eq!(get(&place, ""), present(1), "a switch now would take it back");
    }
    held.open.notify_one();
    let done = run.await.expect("no panic").expect("it is materialized");
    assert_eq!((done[0].written, done[0].beside), (1, started));
    assert_eq!(get(&place, ""), present(2));
    assert_eq!(ROWS.map(|prefix| exists(&server, prefix, 3)), [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_fails_leaves_what_was_read() {
    let server = RedisServer::start();
    let place = filled(Some(&server.url()));
    let store = place.online(Some(&server.url()));
    let held = Held::before(Arc::clone(&store), false);
    let engine = place.engine(Some(Arc::clone(&held) as Arc<dyn OnlineStore>), Clock::System).await;
    let error = engine.rebuild_online(&[], &|_| ()).await.expect_err("its writes fail");
    assert!(error.to_string().contains("it broke"), "{error}");
    assert_eq!(get(&place, ""), present(1));
    let found = store.generations(&reading()).await.expect("generations");
    let old: Vec<Generation> = found.old.iter().map(|old| old.generation).collect();
    assert_eq!((found.current, found.next, old), (Generation::FIRST, None, vec![Generation(1)]));

    held.fails.store(false, Ordering::Relaxed);
    // nothing is under way, so nobody is waited for
    let done = engine.rebuild_online(&["readings".parse().expect("a name")], &|_| ()).await.expect("it is rebuilt");
    assert_eq!((done[0].rows, done[0].written), (10, 10));
    let found = store.generations(&reading()).await.expect("generations");
    assert_eq!((found.current, found.next), (Generation(2), None));
    assert_eq!(get(&place, ""), present(1));
    // ten of the first, five of the one that failed
    assert_eq!(dropped(&place, &server).await, (15, 12));
}
