//! Kills of `materialize`, on both kinds of online store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use hitherto_core::{EntityKey, KeyValue, Name, Timestamp};
use hitherto_engine::{Clock, Destination, Engine};
use hitherto_online::fixture::RedisServer;
use hitherto_online::{Group, Marks, OnlineRow, OnlineStore, Reading};

use super::{Tally, kill_at, moment, tell};
use crate::support::Hitherto;
use crate::support::random::Random;
use crate::support::stores::moment as at;

const KILLS: usize = 50;
/// More than one transaction of the embedded store, and several round trips to Redis.
const KEYS: i64 = 7000;
const ROWS: u64 = 5000;
/// Keys that are looked at again and again while a run is at work.
const PROBES: usize = 40;

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: prompt
entity: thing
features: {v: int64}
---
kind: feature_view
name: slow
entity: thing
created_timestamp: created
source_delay: 30s
features: {v: int64}
";

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The first of the probed keys has its new row.
    Begun,
    /// Half of all that is to change has.
    Half,
    /// The marks of one of the views have moved.
    OneView,
    /// The marks of both have.
    Done,
}

/// After the last of them a process is soon gone by itself, so it is not waited for as often.
const STAGES: [Stage; 6] = [Stage::Begun, Stage::Half, Stage::OneView, Stage::Begun, Stage::Half, Stage::Done];

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_materialize_is_made_good_by_the_next_in_the_embedded_store() {
    let place = Hitherto::new();
    kill_many(&place, place.online(None), 0xe3b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_materialize_is_made_good_by_the_next_in_redis() {
    let redis = RedisServer::start();
    let place = Hitherto::new();
    place.write("hitherto.toml", format!("online.url = \"{}\"\n", redis.url()));
    kill_many(&place, place.online(Some(&redis.url())), 0x12ed).await;
}

/// The store under test, and another one that no run was ever killed in.
struct Pair {
    tested: Arc<dyn OnlineStore>,
    sound: Arc<dyn OnlineStore>,
    readings: Vec<Reading>,
    keys: Vec<Vec<u8>>,
}

/// Marks and rows of one reading.
type State = (Option<Marks>, Vec<Option<OnlineRow>>);

async fn kill_many(place: &Hitherto, tested: Arc<dyn OnlineStore>, seed: u64) {
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.expect("a temporary folder");
    let sound = place.online(Some(&format!("embedded://{}", folder.path().display())));
    let engine = place.engine(Some(Arc::clone(&sound)), Clock::Frozen(at(0))).await;
    let random = &mut Random::new(seed);
    let done = engine.materialize(&[]).await.expect("it runs");
    let readings = done.into_iter().map(|view| view.reading).collect();
    let key = |k| EntityKey(vec![KeyValue::Int(k)]).to_bytes();
    let pair = Pair { tested, sound, readings, keys: (0..KEYS).map(key).collect() };

    let (mut tally, mut round, mut usual) = (Tally::default(), 0, Duration::ZERO);
    while tally.kills() < KILLS {
        round += 1;
        let before = pair.states(&pair.sound, &pair.keys).await;
        let engine = engine.with_clock(Clock::Frozen(at(60 * round)));
        append(&engine, random, round).await;
        engine.materialize(&[]).await.expect("it runs");
        let after = pair.states(&pair.sound, &pair.keys).await;
        let line = format!("--clock {} materialize", engine.clock().now());
        if round > 1 {
            kill_until_done(place, &pair, (&before, &after), (random, usual), &line, &mut tally).await;
        }
        let started = Instant::now();
        place.ok(&line);
        if round == 1 {
            // later the last kill may have left little to do
            usual = started.elapsed();
        }
        assert!(pair.states(&pair.tested, &pair.keys).await == after, "round {round}: as if no run had been killed");
    }
    assert!(tally.inside >= KILLS / 4, "too few kills fell inside a run: {tally:?}");
    tell(&format!("materialize: {tally:?} in {round} rounds, one of which takes {usual:?}"));
}

/// Kill runs of one round, each beginning on what the last left, until chance lets go or one comes to its end.
async fn kill_until_done(
    place: &Hitherto,
    pair: &Pair,
    (before, after): (&[State], &[State]),
    (random, usual): (&mut Random, Duration),
    line: &str,
    tally: &mut Tally,
) {
    let probes = pair.probes(before, after);
    let runtime = tokio::runtime::Handle::current();
    loop {
        let moment = moment(random, &STAGES, usual);
        let ran = tokio::task::block_in_place(|| {
            kill_at(place, line, moment, |stage| {
                let now = runtime.block_on(pair.states(&pair.tested, &probes.keys));
                check(&now, &probes.before, &probes.after);
                shows(stage, &now, &probes)
            })
        });
        let now = pair.states(&pair.tested, &pair.keys).await;
        check(&now, before, after);
        if ran.code == 0 {
            tally.ended += 1;
            assert!(now == after, "it said that it was done");
            return;
        }
        assert_eq!(ran.code, -1, "{moment:?}: it was killed, or did it fail? {}", ran.stderr);
        if now == after {
            tally.after += 1;
        } else if now == before {
            tally.before += 1;
        } else {
            tally.inside += 1;
        }
        if random.percent(60) {
            return;
        }
    }
}

/// Marks are those of before or of after, no row is older than they say, and none is newer than history.
fn check(now: &[State], before: &[State], after: &[State]) {
    for ((now, before), after) in now.iter().zip(before).zip(after) {
        assert!(now.0 == before.0 || now.0 == after.0, "marks {:?}, not {:?} or {:?}", now.0, before.0, after.0);
        let promised = if now.0 == after.0 { after } else { before };
        let version = |row: &Option<OnlineRow>| row.as_ref().map(|row| row.version);
        for ((now, least), most) in now.1.iter().zip(&promised.1).zip(&after.1) {
            assert!(version(now) >= version(least), "a row is older than its marks: {now:?}, not {least:?}");
            assert!(version(now) <= version(most), "a row from nowhere: {now:?}, at most {most:?}");
        }
    }
}

fn shows(stage: Stage, now: &[State], probes: &Probes) -> bool {
    let changed =
        |now: &State, before: &State| now.1.iter().zip(&before.1).filter(|(now, before)| now != before).count();
    let changed: usize = now.iter().zip(&probes.before).map(|(now, before)| changed(now, before)).sum();
    match stage {
        Stage::Begun => changed > 0,
        Stage::Half => changed * 2 > probes.to_change,
        Stage::OneView => now.iter().zip(&probes.after).any(|(now, after)| now.0 == after.0),
        Stage::Done => now.iter().zip(&probes.after).all(|(now, after)| now.0 == after.0),
    }
}

/// Some of the keys, and what becomes of them.
struct Probes {
    keys: Vec<Vec<u8>>,
    before: Vec<State>,
    after: Vec<State>,
    to_change: usize,
}

impl Pair {
    async fn states(&self, store: &Arc<dyn OnlineStore>, keys: &[Vec<u8>]) -> Vec<State> {
        let groups: Vec<Group<'_>> = self.readings.iter().map(|reading| Group { reading, keys }).collect();
        let answers = store.read(&groups).await.expect("the store answers");
        answers.into_iter().map(|answer| (answer.marks, answer.rows)).collect()
    }

    fn probes(&self, before: &[State], after: &[State]) -> Probes {
        let chosen: BTreeSet<usize> = (0..PROBES).map(|probe| probe * self.keys.len() / PROBES).collect();
        let few = |states: &[State]| -> Vec<State> {
            let few = |rows: &[Option<OnlineRow>]| chosen.iter().map(|&key| rows[key].clone()).collect();
            states.iter().map(|(marks, rows)| (*marks, few(rows))).collect()
        };
        let keys = chosen.iter().map(|&key| self.keys[key].clone()).collect();
        let (before, after) = (few(before), few(after));
        let rows = |states: &[State]| -> Vec<Option<OnlineRow>> { states.iter().flat_map(|s| s.1.clone()).collect() };
        let to_change = rows(&before).iter().zip(&rows(&after)).filter(|(before, after)| before != after).count();
        Probes { keys, before, after, to_change }
    }
}

/// A minute's rows of both views: some old, some of one event time, some not yet available.
async fn append(engine: &Engine, random: &mut Random, round: i64) {
    for (view, is_created) in [("prompt", false), ("slow", true)] {
        let second =
            |random: &mut Random, from: i64, to: i64| at(60 * round + from + random.below((to - from) as u64) as i64);
        let mut columns = BTreeMap::from([("k", Vec::new()), ("v", Vec::new())]);
        let mut times: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
        for _ in 0..ROWS {
            columns.entry("k").or_default().push(random.below(KEYS as u64) as i64);
            columns.entry("v").or_default().push(random.next() as i64);
            times.entry("event_timestamp").or_default().push(second(random, -120, 40));
            if is_created {
                times.entry("created").or_default().push(second(random, -60, 80));
            }
        }
        let rows = rows(columns, times);
        let view: Name = view.parse().expect("a name");
        engine.push(&view, &rows, None, Destination::Offline).await.expect("rows are appended");
    }
}

fn rows(columns: BTreeMap<&str, Vec<i64>>, times: BTreeMap<&str, Vec<Timestamp>>) -> RecordBatch {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = columns.keys().map(|name| Field::new(*name, DataType::Int64, false));
    let fields = fields.chain(times.keys().map(|name| Field::new(*name, time.clone(), false)));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let mut arrays: Vec<arrow::array::ArrayRef> = Vec::new();
    for column in columns.into_values() {
        arrays.push(Arc::new(Int64Array::from(column)));
    }
    for column in times.into_values() {
        let micros: Vec<i64> = column.into_iter().map(|time| time.0).collect();
        arrays.push(Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC")));
    }
    RecordBatch::try_new(schema.into(), arrays).expect("columns of one length")
}
