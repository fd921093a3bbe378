//! Kills of `compact`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use hitherto_core::Timestamp;
use hitherto_engine::{Clock, Destination, Engine};

use super::listing::{Listing, STAGES, table_folder};
use super::{Tally, kill_at, kills, moment, tell};
use crate::support::Hitherto;
use crate::support::random::Random;
use crate::support::stores::{integers, moment as at};

const KILLS: usize = 200;
/// Small files a round.
const BATCHES: u64 = 5;
/// Rows of a small file, at most.
const ROWS: u64 = 200;
/// How often a vacuum follows: once in so many rounds.
const ROUNDS: usize = 8;

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
features: {row: int64, twice: int64, ingested: int64, note: string}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_compact_changes_no_row_and_the_next_one_cleans_up() {
    let kills = kills(KILLS);
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    let engine = place.engine(None, Clock::Frozen(at(0))).await;
    let random = &mut Random::new(0xc0a1);
    let mut tally = Tally::default();
    let (mut rows, mut round, mut usual) = (0, 0, Duration::ZERO);
    while tally.kills() < kills {
        round += 1;
        let engine = engine.with_clock(Clock::Frozen(at(60 * round as i64)));
        for _ in 0..BATCHES {
            let more = if random.percent(10) { 20 * ROWS } else { 1 + random.below(ROWS) };
            rows = append(&engine, random, rows, more).await;
        }
        check(&engine, rows).await;
        if round > 1 {
            kill_until_done(&place, &engine, rows, (random, usual), &mut tally).await;
        }
        let begun = Instant::now();
        let said: serde_json::Value = serde_json::from_str(&place.ok("--output json compact")).expect("JSON");
        if round == 1 {
            usual = begun.elapsed();
            assert_eq!((&said[0]["outcome"], &said[0]["rows"]), (&"compacted".into(), &rows.into()));
        }
        check(&engine, rows).await;
        let again: serde_json::Value = serde_json::from_str(&place.ok("--output json compact")).expect("JSON");
        assert_eq!(again[0]["outcome"], "nothing", "{again}");
        if round % ROUNDS == 0 {
            clean_up(&place, &again);
            check(&engine, rows).await;
        }
    }
    // a process that knows nothing yet, checkpoints and all, reads the same
    check(&place.engine(None, Clock::Frozen(at(0))).await, rows).await;
    assert!(tally.inside >= kills / 10, "too few kills fell inside a compaction: {tally:?}");
    tell(&format!("compact: {tally:?} in {round} rounds with {rows} rows, the first of which takes {usual:?}"));
}

/// Kill compactions, each beginning on what the last left, until chance lets go or one comes to its end.
async fn kill_until_done(
    place: &Hitherto,
    engine: &Engine,
    rows: i64,
    (random, usual): (&mut Random, Duration),
    tally: &mut Tally,
) {
    let table = table_folder(place, "readings");
    loop {
        let moment = moment(random, &STAGES, usual);
        let before = Listing::of(&table);
        let ran = kill_at(place, "compact", moment, |stage| Listing::of(&table).shows(stage, &before));
        check(engine, rows).await;
        if ran.code == 0 {
            tally.ended += 1;
            return;
        }
        assert_eq!(ran.code, -1, "{moment:?}: it was killed, or did it fail? {}", ran.stderr);
        let after = Listing::of(&table);
        if after.entries > before.entries {
            tally.after += 1;
        } else if after == before {
            tally.before += 1;
        } else {
            tally.inside += 1;
        }
        if random.percent(60) {
            return;
        }
    }
}

/// After a vacuum there is what history needs, and nothing else.
fn clean_up(place: &Hitherto, compacted: &serde_json::Value) {
    place.ok("vacuum --retention 0s");
    let listing = Listing::of(&table_folder(place, "readings"));
    assert_eq!((listing.files_staged, listing.entries_staged), (0, 0), "{listing:?}");
    assert_eq!(compacted[0]["files_after"], listing.files, "{listing:?}");
}

/// Every row is there once, at its place, with its commit's time: `row` counts them, as `_sequence` does.
async fn check(engine: &Engine, rows: i64) {
    // a number that is missing and another that comes twice would change the sum, or that of the squares
    let query = "select count(*), sum(_sequence), sum(_sequence * _sequence), min(_sequence), max(abs(_sequence - row)), \
                 max(abs(twice - 2 * row)), max(abs(cast(_ingested_at as bigint) - ingested)), \
                 sum(case when note = 'row ' || row then 1 else 0 end) from readings";
    let last = rows - 1;
    let (sum, squares) = (last * rows / 2, last * rows * (2 * last + 1) / 6);
    assert_eq!(integers(engine, query).await, [[rows, sum, squares, 0, 0, 0, 0, rows]]);
}

/// Appends rows from number `from` on; the number of the next.
async fn append(engine: &Engine, random: &mut Random, from: i64, count: u64) -> i64 {
    let to = from + count as i64;
    let Timestamp(now) = engine.clock().now();
    let numbers = |number: &mut dyn FnMut(i64) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((from..to).map(number)))
    };
    let events = (from..to).map(|_| at(random.below(3600) as i64).0);
    let events: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(events).with_timezone("UTC"));
    let notes: ArrayRef = Arc::new((from..to).map(|row| Some(format!("row {row}"))).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter([
        ("k", numbers(&mut |_| random.below(50) as i64)),
        ("event_timestamp", events),
        ("row", numbers(&mut |row| row)),
        ("twice", numbers(&mut |row| 2 * row)),
        ("ingested", numbers(&mut |_| now)),
        ("note", notes),
    ]);
    let view = "readings".parse().expect("a name");
    engine.push(&view, &batch.expect("one length"), None, Destination::Offline).await.expect("rows are appended");
    to
}
