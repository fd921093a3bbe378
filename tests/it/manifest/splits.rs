//! Splits: by time with a gap, by key, recorded, and the same every time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use serde_json::json;

use super::{built, laid_out, manifest};
use crate::support::Hitherto;

fn parts(built: &RecordBatch) -> Vec<Option<String>> {
    let last = built.schema().fields().last().expect("columns").name().clone();
    assert_eq!(last, "split", "it is the last column");
    let parts = built.column_by_name("split").expect("the split").as_string::<i32>();
    parts.iter().map(|part| part.map(str::to_owned)).collect()
}

fn split_of(place: &Hitherto, flags: &str) -> (String, Vec<Option<String>>) {
    let id = built(place, &format!("--spine spine.csv --out t.parquet {flags}"));
    (id, parts(&place.read_parquet("t.parquet")))
}

#[test]
fn by_time_rows_fall_before_between_after_or_into_the_gap() {
    let place = laid_out();
    // moments at 20, 40, 40, 50, 50
    let named = |parts: &[Option<String>]| {
        parts.iter().map(|part| part.clone().unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(" ")
    };
    let (id, found) = split_of(&place, "--split-time 2024-01-01T00:00:40Z");
    assert_eq!(named(&found), "train test test test test");
    let (other, found) = split_of(&place, "--split-time 2024-01-01T00:00:21Z,2024-01-01T00:00:45Z --split-gap 5s");
    assert_eq!(named(&found), "train validation validation test test");
    assert_ne!(id, other);
    let (gap, found) = split_of(&place, "--split-time 2024-01-01T00:00:21Z,2024-01-01T00:00:45Z --split-gap 6s");
    assert_eq!(named(&found), "train validation validation - -", "a gap is left out after each end");
    assert_eq!(
        manifest(&place, &gap)["split"],
        json!({"by": "time", "train_end": 1_704_067_221_000_000_i64, "validation_end": 1_704_067_245_000_000_i64, "gap": 6_000_000})
    );
    let told = place.ok(&format!("dataset show {gap}"));
    let line = "split             train before 2024-01-01T00:00:21Z, validation before 2024-01-01T00:00:45Z, then test, 6s left \
                out after each end";
    assert!(told.lines().any(|found| found == line), "{told}");
}

#[test]
fn by_key_all_rows_of_a_key_are_in_one_part() {
    let place = laid_out();
    let mut spine = "k,event_timestamp,label\n".to_owned();
    for row in 0..3000 {
        writeln!(spine, "{},2024-01-01T00:00:{:02}Z,{row}", row % 1000, row % 60).expect("memory");
    }
    place.write("spine.csv", spine);
    let (id, found) = split_of(&place, "--split-keys train=80,validation=10,test=10");
    let keys = place.read_parquet("t.parquet");
    let keys = keys.column_by_name("k").expect("the key").as_primitive::<Int64Type>().clone();
    let mut part_of: BTreeMap<i64, &str> = BTreeMap::new();
    for (row, part) in found.iter().enumerate() {
        let part = part.as_deref().expect("every key is in a part");
        assert_eq!(*part_of.entry(keys.value(row)).or_insert(part), part, "key {}", keys.value(row));
    }
    let share = |part: &str| part_of.values().filter(|found| **found == part).count();
    assert_eq!(share("train") + share("validation") + share("test"), 1000);
    assert!(share("train").abs_diff(800) < 40 && share("test").abs_diff(100) < 30, "{}", share("train"));
    assert_eq!(
        manifest(&place, &id)["split"],
        json!({"by": "key", "columns": ["k"], "weights": [80, 10, 10]}),
        "the key that all views share"
    );
    assert_eq!(split_of(&place, "--split-keys train=80,validation=10,test=10 --fresh"), (id.clone(), found.clone()));
    assert_eq!(split_of(&place, "--split-keys test=10,train=80,validation=10 --split-by k"), (id.clone(), found));
    assert_ne!(split_of(&place, "--split-keys train=80,validation=10,test=10 --split-by label").0, id);
    place.ok(&format!("dataset rebuild {id} --out again.parquet"));
    assert_eq!(
        parts(&place.read_parquet("again.parquet")),
        split_of(&place, "--split-keys train=80,validation=10,test=10").1
    );
}

#[test]
fn what_cannot_be_split_is_refused() {
    let place = laid_out();
    let line = "training-set --feature-set both --spine spine.csv --out t.parquet";
    for (flags, reason) in [
        (
            "--split-keys train=1 --split-by lable",
            "the spine has no column 'lable' to split by (did you mean 'label'?)",
        ),
        ("--split-keys train=0", "a split needs shares that are not all 0, like 80,10,10"),
        (
            "--split-time 2024-01-02,2024-01-01",
            "the split's validation would end at 2024-01-01T00:00:00Z, no later than train at 2024-01-02T00:00:00Z: give the \
             earlier end first",
        ),
        (
            "--split-time 2024-01-01,2024-01-02,2024-01-03",
            "--split-time takes one or two times, where train and validation end, not 3",
        ),
    ] {
        assert_eq!(place.fails(&format!("{line} {flags}")), format!("error: {reason}\n"), "{flags}");
    }
    let both = place.run(&format!("{line} --split-keys train=1 --split-time 2024-01-01")).expect_code(2);
    assert!(both.stderr.contains("cannot be used with"), "{}", both.stderr);
    let alone = place.run(&format!("{line} --split-gap 1h")).expect_code(2);
    assert!(alone.stderr.contains("--split-time"), "{}", alone.stderr);
    assert!(!place.path("t.parquet").exists());
}
