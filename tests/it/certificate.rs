//! The leakage certificate, as a user meets it: what it proves, what it finds, and whom it tells.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use serde_json::{Value, json};

use crate::manifest::{built, laid_out};
use crate::support::{Hitherto, Ran};

const TRAINING_SET: &str = "--spine spine.csv --out t.parquet --name first --split-keys train=1,test=1";

/// The certificate, whatever the verdict.
fn certificate(place: &Hitherto, flags: &str, code: i32) -> Value {
    let ran = place.run(&format!("dataset verify {flags} --output json")).expect_code(code);
    serde_json::from_str(&ran.stdout).expect("JSON")
}

/// A copy of the training set with one column changed, its name and metadata kept: what a stranger with an editor does.
fn changed(place: &Hitherto, column: &str, change: impl Fn(&ArrayRef) -> ArrayRef) {
    let whole = place.read_parquet("t.parquet");
    let index = whole.schema().index_of(column).expect("the column");
    let mut columns = whole.columns().to_vec();
    columns[index] = change(&columns[index]);
    place.write_parquet("changed.parquet", &RecordBatch::try_new(whole.schema(), columns).expect("a batch"));
}

fn with_first(value: f64) -> impl Fn(&ArrayRef) -> ArrayRef {
    move |column| {
        let values = column.as_primitive::<Float64Type>();
        let rest = values.iter().skip(1);
        Arc::new([Some(value)].into_iter().chain(rest).collect::<Float64Array>())
    }
}

/// The lines that name faults, of a check that must fail.
fn faults(ran: Ran) -> Vec<String> {
    let ran = ran.expect_code(1);
    ran.stdout.lines().filter_map(|line| line.strip_prefix("fault: ")).map(str::to_owned).collect()
}

#[test]
fn a_training_set_is_proven_row_for_row_whatever_came_later() {
    let place = laid_out();
    let id = built(&place, &format!("{TRAINING_SET} --evidence"));
    let proven = "proven: the file is the one that was written, and each cell is what was known then\n";
    assert!(place.ok("dataset verify first").ends_with(proven));
    // a correction of what key 1 had, and a late row
    place.write(
        "later.csv",
        "k,event_timestamp,created,v,note\n\
         1,2024-01-01T00:00:30Z,2024-01-01T00:00:35Z,9,corrected\n2,2024-01-01T00:00:20Z,2024-01-01T00:00:30Z,7,late\n",
    );
    place.ok("ingest readings later.csv");
    place.ok("compact --full");
    let found = certificate(&place, "t.parquet", 0);
    assert_eq!((&found["dataset"], &found["rows"], &found["faults"]), (&json!(id), &json!(5), &json!([])));
    let counts =
        |view: usize, names: [&str; 6]| names.map(|name| found["views"][view][name].as_u64().expect("a count"));
    let names = ["rows", "present", "no_row", "expired", "cells", "sampled"];
    assert_eq!(counts(0, names), [5, 3, 2, 0, 20, 5], "features and evidence; each row is asked again");
    assert_eq!(counts(1, names), [5, 4, 1, 0, 15, 5]);
    let computed = |name: &str| json!({"name": name, "rows": 5, "wrong_cells": 0, "first_wrong_row": null});
    assert_eq!(found["transforms"], json!([computed("share"), computed("split")]));
}

#[test]
fn a_changed_cell_is_found_and_named() {
    let place = laid_out();
    let id = built(&place, TRAINING_SET);
    // what was known eleven seconds later
    changed(&place, "readings__v", with_first(2.5));
    let ran = place.run("dataset verify first --file changed.parquet");
    let told = ran.stderr.clone();
    let found = faults(ran);
    assert!(found[0].starts_with("the file is not the one that was written: its SHA-256 is "), "{found:?}");
    let cell = "row 1 at 2024-01-01T00:00:20Z: readings__v is 2.5, and 1.5 was known; it leaks: that value was known only \
                from 2024-01-01T00:00:31Z on";
    assert_eq!(found[1], cell);
    assert_eq!(found[2], "share: 1 cells are not what the other columns give, the first in row 1");
    assert_eq!(found.len(), 3);
    let file = place.path("changed.parquet");
    assert_eq!(
        told,
        format!(
            "error: {} is not dataset {id}: 1 cells are not what was known at their row's time; `hitherto dataset rebuild {}` \
             builds it again\n",
            file.display(),
            &id[..12]
        )
    );

    changed(&place, "readings__v", with_first(77.0));
    let found = faults(place.run("dataset verify first --file changed.parquet"));
    assert!(
        found[1].ends_with("readings__v is 77.0, and 1.5 was known; no row of this key ever had that value"),
        "{found:?}"
    );

    changed(&place, "split", |column| {
        let parts = column.as_string::<i32>();
        let first = if parts.value(0) == "train" { "test" } else { "train" };
        Arc::new([Some(first)].into_iter().chain(parts.iter().skip(1)).collect::<StringArray>())
    });
    let found = faults(place.run("dataset verify first --file changed.parquet"));
    assert_eq!(found[1..], ["split: 1 cells are not what the other columns give, the first in row 1"]);

    let whole = place.read_parquet("t.parquet");
    place.write_parquet("changed.parquet", &whole.slice(1, 4));
    let found = faults(place.run("dataset verify first --file changed.parquet"));
    assert!(found[1].starts_with("its spine columns are not those of the spine that it was built from"), "{found:?}");
    assert_eq!(found[2], "it has 4 rows, and 5 were written");

    let mut bytes = fs::read(place.path("t.parquet")).expect("the file");
    bytes.truncate(bytes.len() / 2);
    place.write("changed.parquet", bytes);
    let found = faults(place.run("dataset verify first --file changed.parquet"));
    assert!(found[1].starts_with("it could not be read to its end: "), "{found:?}");
    assert!(place.ok("dataset verify first").contains("\nproven: "), "the file itself is as it was");
}

#[test]
fn what_cannot_be_checked_any_more_is_not_proven_any_more() {
    let place = laid_out();
    let id = built(&place, TRAINING_SET);
    // how many verdicts there are, and the last one: the one that gates take
    let verdicts = || {
        let log: Value = serde_json::from_str(&place.ok("audit list --output json")).expect("JSON");
        let entries = log.as_array().expect("entries").iter().filter(|entry| entry["verb"] == "record_verdict");
        let proven = |entry: &Value| -> bool {
            let after: Value = serde_json::from_str(entry["after"].as_str().expect("text")).expect("JSON");
            after["proven"].as_bool().expect("a verdict")
        };
        entries.map(proven).collect::<Vec<bool>>()
    };
    place.ok("dataset verify first");
    assert_eq!(verdicts(), [true]);

    // the file is gone, and comes back
    fs::rename(place.path("t.parquet"), place.path("away.parquet")).expect("renamed");
    assert!(place.fails("dataset verify first").contains("if its file was moved, name it with --file"));
    assert_eq!(verdicts(), [true, false]);
    place.ok("dataset verify first --file away.parquet");
    // a place that was mistyped says nothing of the file
    place.fails("dataset verify first --file nowhere.parquet");
    assert_eq!(verdicts(), [true, false, true]);
    fs::rename(place.path("away.parquet"), place.path("t.parquet")).expect("renamed");

    // a table is gone: nobody can tell what was known
    fs::remove_dir_all(place.path(".hitherto/offline/limits")).expect("removed");
    let said = place.fails("dataset verify first");
    assert!(said.contains("table 'limits-1' of limits@1 has no row with _sequence 1 any more"), "{said}");
    assert_eq!(verdicts(), [true, false, true, false]);
    let kept: Value = serde_json::from_str(&place.ok(&format!("dataset show {id} --json"))).expect("JSON");
    assert_eq!(kept["id"], id, "the manifest is as it was");
}

#[test]
fn a_file_that_was_built_elsewhere_is_held_against_history() {
    let place = laid_out();
    built(&place, "--spine spine.csv --out event.parquet --mode event");
    let ran = place.run("dataset verify event.parquet --audit --feature-set both").expect_code(1);
    let told = |column: &str, value: &str| {
        format!(
            "fault: row 3 at 2024-01-01T00:00:40Z: {column} is {value}, and null was known; it leaks: that value was known \
             only from 2024-01-01T00:00:50Z on\n"
        )
    };
    for fault in [told("readings__v", "4.0"), told("readings__note", "a")] {
        assert!(ran.stdout.contains(&fault), "{fault}{}", ran.stdout);
    }
    let file = place.path("event.parquet");
    assert_eq!(ran.stderr, format!("error: {}: 2 cells are not what was known at their row's time\n", file.display()));
    let said = place.ok("dataset verify event.parquet --audit --feature-set both --mode event");
    assert!(
        said.ends_with("proven: each cell is what mode event gives, which may be what nobody knew then\n"),
        "{said}"
    );

    // a CSV of a part of the features will do, and what is missing is found as well
    place.write(
        "elsewhere.csv",
        "k,at,readings__v\n1,2024-01-01T00:00:20Z,1.5\n1,2024-01-01T00:00:40Z,\n2,2024-01-01T00:00:50Z,4\n",
    );
    let flags = "elsewhere.csv --audit --feature-set both --event-timestamp at";
    let found = certificate(&place, flags, 1);
    assert_eq!((&found["dataset"], &found["rows"]), (&Value::Null, &json!(3)));
    let view = &found["views"][0];
    assert_eq!((&view["wrong_cells"], &view["missing"], &view["leaked"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(
        place.fails("dataset verify elsewhere.csv --audit --feature-set both"),
        "error: the file has no column 'event_timestamp' with the times of prediction: name it with --event-timestamp\n"
    );
    let refused = place.fails("dataset verify elsewhere.csv");
    assert!(refused.contains("a file that was built elsewhere is judged with --audit --feature-set NAME"), "{refused}");
}
