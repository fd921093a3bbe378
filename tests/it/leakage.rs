//! The leakage report: figures that can be counted by hand, figures that agree with both modes, and a plain warning.

use std::fmt::Write as _;

use arrow::array::{Array, RecordBatch};
use arrow::compute::kernels::cmp::distinct;
use serde_json::{Value, json};

use crate::support::Hitherto;
use crate::support::random::Random;

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
created_timestamp: created
ttl: 10s
features: {v: float64}
---
kind: feature_view
name: limits
entity: thing
source_delay: 5s
features: {most: int64}
---
kind: feature_set
name: both
features: ['readings:v', 'limits:most']
";

/// Key 1 is the contract's worked example; key 2 has a null and a tombstone; key 3 a row that is known late.
const READINGS: &str = "\
k,event_timestamp,created,v,_deleted
1,2024-01-01T00:00:00Z,2024-01-01T00:00:00Z,1,false
1,2024-01-01T00:00:05Z,2024-01-01T00:00:08Z,2,false
1,2024-01-01T00:00:05Z,2024-01-01T00:00:12Z,3,false
1,2024-01-01T00:00:03Z,2024-01-01T00:00:20Z,9,false
2,2024-01-01T00:00:00Z,2024-01-01T00:00:00Z,,false
2,2024-01-01T00:00:10Z,2024-01-01T00:00:10Z,5,true
3,2024-01-01T00:00:30Z,2024-01-01T00:00:31Z,7,false
";

const LIMITS: &str = "k,event_timestamp,most\n1,2024-01-01T00:00:00Z,10\n2,2024-01-01T00:00:00Z,20\n";

const SPINE: &str = "\
k,event_timestamp
1,2024-01-01T00:00:04Z
1,2024-01-01T00:00:07Z
1,2024-01-01T00:00:08Z
1,2024-01-01T00:00:12Z
1,2024-01-01T00:00:15Z
1,2024-01-01T00:00:15.000001Z
1,2024-01-01T00:00:20Z
2,2024-01-01T00:00:05Z
2,2024-01-01T00:00:12Z
3,2024-01-01T00:00:10Z
3,2024-01-01T00:00:30Z
3,2024-01-01T00:00:31Z
4,2024-01-01T00:00:05Z
";

const LINE: &str = "training-set --feature-set both --spine spine.csv --out t.parquet";

fn laid_out(readings: &str) -> Hitherto {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    place.write("readings.csv", readings).write("limits.csv", LIMITS).write("spine.csv", SPINE);
    place.ok("ingest readings readings.csv");
    place.ok("--clock 2024-01-01T00:00:03Z ingest limits limits.csv");
    place
}

fn report(place: &Hitherto, id: &str) -> Value {
    serde_json::from_str(&place.ok(&format!("dataset report {id} --json"))).expect("JSON")
}

#[test]
fn its_figures_can_be_counted_by_hand() {
    let place = laid_out(READINGS);
    let id = place.ok(LINE);
    let id = id.trim_end();
    let told = report(&place, id);
    assert_eq!((&told["dataset"], &told["rows"], &told["warnings"]), (&json!(id), &json!(13), &json!([])));
    let seconds = |p50: i64, p95: i64, p99: i64, max: i64| json!({"p50_us": p50 * 1_000_000, "p95_us": p95 * 1_000_000, "p99_us": p99 * 1_000_000, "max_us": max * 1_000_000});
    // at 4, d is read 16 s early; at 7 and 8, c 5 s and 4 s; and key 3's row 1 s
    assert_eq!(
        told["views"][0],
        json!({
            "alias": "readings", "view": {"name": "readings", "version": 1},
            "winners": 4, "cells": 4, "early": seconds(4, 16, 16, 16),
            "features": [{"column": "readings__v", "cells": 4, "nulls": 7}],
            "absent": {"rows": 6, "no_row": 2, "not_yet_available": 1, "expired": 2, "deleted": 1},
            "delay": {
                "declared_us": 0, "measured_by": "created_timestamp", "rows": 7, "measured": seconds(1, 17, 17, 17),
                "better_us": 17_000_000, "rows_changed": 7,
            },
            "backfilled": false,
        })
    );
    // without created times it is the time of the ingest that is measured: 3 s, where 5 s are declared
    assert_eq!(
        told["views"][1],
        json!({
            "alias": "limits", "view": {"name": "limits", "version": 1},
            "winners": 1, "cells": 1, "early": seconds(1, 1, 1, 1),
            "features": [{"column": "limits__most", "cells": 1, "nulls": 5}],
            "absent": {"rows": 5, "no_row": 4, "not_yet_available": 1, "expired": 0, "deleted": 0},
            "delay": {
                "declared_us": 5_000_000, "measured_by": "_ingested_at", "rows": 2, "measured": seconds(3, 3, 3, 3),
                "better_us": 3_000_000, "rows_changed": 1,
            },
            "backfilled": false,
        })
    );

    // what is ingested later, and what is rewritten, is no part of what the set saw
    place.write("later.csv", READINGS.replace(",2024-01-01T00:00:3", ",2024-01-01T00:00:1"));
    place.ok("ingest readings later.csv");
    place.ok("compact --full");
    assert_eq!(report(&place, id), told);
    std::fs::remove_file(place.path("spine.csv")).expect("removed");
    assert_eq!(report(&place, id), told, "the spine is in the training set's own file");
}

#[test]
fn it_is_told_in_words_when_the_set_is_built() {
    let place = laid_out(READINGS);
    let told = place.ok(&format!("{LINE} --report"));
    let lines: Vec<String> = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "readings 4 4 4s 16s 16s 16s",
        "readings 6 (46.2 %) 2 (15.4 %) 1 (7.7 %) 2 (15.4 %) 1 (7.7 %)",
        "readings 0s created_timestamp 1s 17s 17s 17s 17s 7 (53.8 %)",
        "limits 5s _ingested_at 3s 3s 3s 3s 3s 1 (7.7 %)",
        "readings__v 4 7 (53.8 %)",
    ] {
        assert!(lines.iter().any(|found| found == line), "no line {line:?} in:\n{told}");
    }
    let id = lines[0].clone();
    assert!(told.ends_with(&place.ok(&format!("dataset report {id}"))), "{told}");
    let both: Value = serde_json::from_str(&place.ok(&format!("{LINE} --report --output json"))).expect("JSON");
    assert_eq!((&both["dataset"]["id"], &both["report"]), (&json!(id), &report(&place, &id)));
}

#[test]
fn a_history_that_was_backfilled_is_called_so_with_its_remedy() {
    let place = laid_out(&READINGS.replace("Z,2024-", "Z,2025-"));
    place.ok("ingest limits limits.csv --batch-id today");
    let id = place.ok(LINE);
    let told = report(&place, id.trim_end());
    let readings = &told["views"][0];
    assert_eq!((&readings["backfilled"], &readings["absent"]["not_yet_available"]), (&json!(true), &json!(11)));
    assert_eq!((&readings["delay"]["measured"], &readings["delay"]["rows_changed"]), (&Value::Null, &Value::Null));
    // the key that is not there at all, and the moment before its first row
    assert_eq!(readings["absent"]["no_row"], 2);
    let warnings = told["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let warning = warnings[0].as_str().expect("a text");
    for part in [
        "readings was evidently backfilled: of its 7 rows with events up to 2024-01-01T00:00:31Z",
        "none was created before 2025-01-01T00:00:00Z",
        "ingest them with the time at which they were known as created_timestamp",
        "--allow-new-table",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
    let told = place.ok(&format!("dataset report {}", id.trim_end()));
    assert!(told.ends_with(&format!("warning: {warning}\n")), "{told}");
}

#[test]
fn it_agrees_with_the_training_sets_of_both_modes() {
    for seed in 0..4 {
        let random = &mut Random::new(seed);
        let second = |random: &mut Random| format!("2024-01-01T00:00:{:02}Z", random.below(50));
        let mut readings = "k,event_timestamp,created,v,_deleted\n".to_owned();
        for _ in 0..60 {
            let v = if random.percent(10) { String::new() } else { random.below(5).to_string() };
            let (k, event, created, deleted) = (random.below(5), second(random), second(random), random.percent(15));
            writeln!(readings, "{k},{event},{created},{v},{deleted}").expect("memory");
        }
        let place = laid_out(&readings);
        let mut spine = "k,event_timestamp\n".to_owned();
        (0..300).for_each(|_| writeln!(spine, "{},{}", random.below(6), second(random)).expect("memory"));
        place.write("spine.csv", spine);
        let id = place.ok(&format!("{LINE} --evidence"));
        place.ok(&format!("{LINE} --evidence --mode event --out event.parquet").replace("--out t.parquet ", ""));
        let (known, leaked) = (place.read_parquet("t.parquet"), place.read_parquet("event.parquet"));
        let told = report(&place, id.trim_end());
        for (view, alias, feature) in [(0, "readings", "readings__v"), (1, "limits", "limits__most")] {
            let told = &told["views"][view];
            let cells = differing(&known, &leaked, feature).len();
            assert_eq!(told["features"][0]["cells"], cells, "seed {seed}, {feature}");
            let nulls = known.column_by_name(feature).expect("the feature").null_count();
            assert_eq!(told["features"][0]["nulls"], nulls, "seed {seed}, {feature}");
            let event = format!("{alias}__event_timestamp");
            let absent = known.column_by_name(&event).expect("evidence").null_count();
            assert_eq!(told["absent"]["rows"], absent, "seed {seed}, {feature}");
            let causes = ["no_row", "not_yet_available", "expired", "deleted"];
            let causes: u64 = causes.iter().map(|cause| told["absent"][cause].as_u64().expect("a count")).sum();
            assert_eq!(causes, absent as u64, "every absence has one cause");
            // two rows of one event and one availability are told apart by their sequence alone, which no evidence shows
            let other = differing(&known, &leaked, &event).len();
            assert!(told["winners"].as_u64().expect("a count") >= other.max(cells) as u64, "seed {seed}, {feature}");
        }
    }
}

fn differing(a: &RecordBatch, b: &RecordBatch, column: &str) -> Vec<usize> {
    let [a, b] = [a, b].map(|batch| batch.column_by_name(column).expect("a column of that name"));
    let differs = distinct(a, b).expect("columns of one type");
    (0..differs.len()).filter(|row| differs.value(*row)).collect()
}
