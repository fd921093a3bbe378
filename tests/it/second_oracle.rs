//! Another engine's answer to the same question: DuckDB's ASOF JOIN over the same history, in mode `event`, which is the one
//! that it knows.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::random::Random;
use crate::support::{Hitherto, python};

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
created_timestamp: created
ttl: 90s
features: {place: int64, v: float64, note: string}
---
kind: feature_view
name: limits
entity: thing
source_delay: 30s
features: {place: int64, most: int64}
---
kind: feature_set
name: both
features: ['readings:*', 'limits:*']
";

const HISTORY_ROWS: usize = 6_000;
const SPINE_ROWS: usize = 4_000;
/// Keys of history; the spine asks for a few more.
const KEYS: u64 = 70;
/// Seconds that events are spread over: at many of them a key has several rows.
const SECONDS: u64 = 600;

fn time(second: u64) -> String {
    format!("2024-01-01T00:{:02}:{:02}Z", second / 60, second % 60)
}

/// A history in three batches, ingested one after the other, and as one file, `VIEW.csv`.
fn ingest(place: &Hitherto, random: &mut Random, view: &str, head: &str, rest: impl Fn(&mut Random, u64) -> String) {
    let mut all = format!("{head}\n");
    for batch in 0..3 {
        let mut part = format!("{head}\n");
        for row in 0..HISTORY_ROWS / 3 {
            let (k, event) = (random.below(KEYS), random.below(SECONDS));
            let at = batch * (HISTORY_ROWS / 3) + row;
            let line = format!("{k},{},{at},{}", time(event), rest(random, event));
            writeln!(part, "{line}").expect("memory");
            writeln!(all, "{line}").expect("memory");
        }
        place.write("part.csv", part);
        place.ok(&format!("ingest {view} part.csv"));
    }
    place.write(&format!("{view}.csv"), all);
}

#[test]
fn duckdb_answers_every_row_of_a_random_history_alike() {
    let random = &mut Random::new(0xd0c);
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    ingest(&place, random, "readings", "k,event_timestamp,place,created,_deleted,v,note", |random, event| {
        let created = time(event + random.below(50));
        let v = if random.percent(10) { String::new() } else { format!("{}.5", random.below(1_000)) };
        format!("{created},{},{v},n{}", random.percent(8), random.below(9))
    });
    ingest(&place, random, "limits", "k,event_timestamp,place,_deleted,most", |random, _| {
        format!("{},{}", random.percent(8), random.below(1_000))
    });
    let mut spine = "id,k,event_timestamp,label\n".to_owned();
    for id in 0..SPINE_ROWS {
        let (k, at) = (random.below(KEYS + 3), random.below(SECONDS + 300));
        writeln!(spine, "{id},{k},{},{}", time(at), random.below(2)).expect("memory");
    }
    place.write("spine.csv", spine);
    for layout in ["ingest leaves it", "compaction leaves it"] {
        place.ok("training-set --feature-set both --mode event --spine spine.csv --out ours.parquet --fresh");
        for (view, ttl, features) in
            [("readings", "90", ["place", "v", "note"].as_slice()), ("limits", "0", ["place", "most"].as_slice())]
        {
            let file = |name: &str| place.path(name).display().to_string();
            let (history, spine, ours) = (file(&format!("{view}.csv")), file("spine.csv"), file("ours.parquet"));
            let arguments: Vec<&str> =
                [history.as_str(), &spine, &ours, view, ttl].into_iter().chain(features.iter().copied()).collect();
            let found = python("asof_duckdb.py", &arguments);
            let of = |name: &str| found[name].as_u64().unwrap_or_else(|| panic!("no {name} in {found}"));
            let differing = (&found["only_ours"], &found["only_theirs"]);
            assert_eq!(differing, (&Value::from(0), &Value::from(0)), "{view} as {layout}: {found}");
            assert_eq!(of("rows"), SPINE_ROWS as u64);
            // neither all nor none: what is withheld and what is not were both compared
            assert!((1_000..SPINE_ROWS as u64 - 200).contains(&of("with_values")), "{view}: {found}");
        }
        place.ok("compact --full");
    }
}
