//! Kills of `ingest`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hitherto_engine::{Clock, Engine};

use super::listing::{Listing, STAGES, table_folder};
use super::{Tally, kill_at, kills, moment, tell};
use crate::support::random::Random;
use crate::support::stores::{integers, moment as at};
use crate::support::{Hitherto, Ran};

/// Rows of one record batch, at most.
const FEW: u64 = 2_000;
/// Rows of more than one.
const MANY: u64 = 12_000;

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {row: int64}
---
kind: feature_view
name: readings
entity: thing
features: {batch: int64, note: string}
";

/// A batch as a reader finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    rows: i64,
    first: i64,
    last: i64,
}

/// What is known of each batch: its rows, and where it is in the order since somebody saw it there.
#[derive(Debug, Default)]
struct Oracle {
    rows: BTreeMap<i64, i64>,
    seen: BTreeMap<i64, Found>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_ingest_leaves_all_of_its_batch_or_nothing() {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    let engine = place.engine(None, Clock::Frozen(at(0))).await;
    let random = &mut Random::new(0x1e57);
    let mut oracle = Oracle::default();
    let mut batch = 0;
    // few rows, then many: what is killed should be at work
    let mut usual = Vec::new();
    for rows in [FEW, MANY] {
        write_batch(&place, &mut oracle, batch, rows);
        let begun = Instant::now();
        let ran = place.run(&line(batch));
        usual.push(begun.elapsed());
        oracle.check(&engine, batch, true, &ran).await;
        batch += 1;
    }

    let mut tally = Tally::default();
    while tally.kills() < kills(200) {
        batch += 1;
        let (rows, usual) = if random.percent(25) { (MANY, usual[1]) } else { (1 + random.below(FEW), usual[0]) };
        write_batch(&place, &mut oracle, batch, rows);
        kill_until_done(&place, &engine, &mut oracle, random, (batch, usual), &mut tally).await;
    }
    // a process that knows nothing yet, checkpoints and all, reads the same
    let counted = place.ok("--output json sql 'select count(*) as n from readings'");
    let rows: i64 = oracle.rows.values().sum();
    assert_eq!(counted.trim(), format!("{{\"n\":{rows}}}"));
    assert!(tally.inside >= kills(200) / 10, "too few kills fell inside an ingest: {tally:?}");
    tell(&format!("ingest: {tally:?} in {batch} batches, which take {usual:?}"));
}

/// Kill the ingest of one batch, perhaps again and again, then let it finish.
async fn kill_until_done(
    place: &Hitherto,
    engine: &Engine,
    oracle: &mut Oracle,
    random: &mut Random,
    (batch, usual): (i64, Duration),
    tally: &mut Tally,
) {
    loop {
        let moment = moment(random, &STAGES, usual);
        let table = table_folder(place, "readings");
        let before = Listing::of(&table);
        let was_there = oracle.seen.contains_key(&batch);
        let ran = kill_at(place, &line(batch), moment, |stage| Listing::of(&table).shows(stage, &before));
        let is_there = oracle.check(engine, batch, was_there || ran.code == 0, &ran).await;
        if ran.code == 0 {
            tally.ended += 1;
            return;
        }
        assert_eq!(ran.code, -1, "{moment:?}: it was killed, or did it fail? {}", ran.stderr);
        match (is_there && !was_there, Listing::of(&table) == before) {
            (true, _) => tally.after += 1,
            (false, true) => tally.before += 1,
            (false, false) => tally.inside += 1,
        }
        if random.percent(60) {
            break;
        }
    }
    // its outcome is unknown to whoever started it, so the same is tried again
    let was_there = oracle.seen.contains_key(&batch);
    let ran = place.run(&line(batch)).expect_code(0);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(said["already_ingested"], was_there, "{}", ran.stdout);
    oracle.check(engine, batch, true, &ran).await;
}

impl Oracle {
    /// Reads the table. Every batch is whole and once, in one place for good, and after those seen before; `batch` may be
    /// missing unless it was `promised`. Whether it is there.
    async fn check(&mut self, engine: &Engine, batch: i64, promised: bool, ran: &Ran) -> bool {
        let query = "select batch, count(*), sum(row), min(_sequence), max(_sequence), min(_sequence - row), \
                     max(_sequence - row) from readings group by batch order by 4";
        let mut end = -1;
        let mut found = BTreeMap::new();
        for row in integers(engine, query).await {
            let [batch, rows, sum, first, last, least, greatest] = row[..] else { panic!("seven columns") };
            let whole = self.rows[&batch];
            assert_eq!((rows, sum), (whole, whole * (whole - 1) / 2), "batch {batch} is there whole and once");
            assert_eq!(
                (last - first + 1, least, greatest),
                (rows, first, first),
                "batch {batch} is dense, in its order"
            );
            assert!(first > end, "batch {batch} begins at {first}, another ends at {end}");
            end = last;
            found.insert(batch, Found { rows, first, last });
        }
        for (batch, seen) in &self.seen {
            assert_eq!(found.get(batch), Some(seen), "batch {batch} stays where it was");
        }
        let last_seen = self.seen.values().map(|seen| seen.last).max().unwrap_or(-1);
        for (new, found) in found.iter().filter(|(new, _)| !self.seen.contains_key(new)) {
            assert_eq!(*new, batch, "nobody else wrote");
            assert!(found.first > last_seen, "batch {new} came later and is at {}, before {last_seen}", found.first);
        }
        let is_there = found.contains_key(&batch);
        assert!(is_there || !promised, "batch {batch} was acknowledged: {}", ran.stdout);
        self.seen = found;
        is_there
    }
}

fn line(batch: i64) -> String {
    format!("--output json ingest readings batch-{batch}.csv --batch-id batch-{batch}")
}

fn write_batch(place: &Hitherto, oracle: &mut Oracle, batch: i64, rows: u64) {
    let mut text = "row,event_timestamp,batch,note\n".to_owned();
    for row in 0..rows {
        writeln!(text, "{row},2024-01-01T00:00:{:02}Z,{batch},row {row} of {batch}", row % 60).expect("memory");
    }
    place.write(&format!("batch-{batch}.csv"), text);
    oracle.rows.insert(batch, rows as i64);
}
