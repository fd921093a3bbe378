//! Spines as other tools write them (dictionaries, views, times in any unit, rows in any order), and features that are lists
//! and vectors: the same answers, from files through the binary to the online store.

use std::fs;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, FixedSizeListArray, Float32Array, Int64Array, LargeStringArray,
    ListArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Int8Type, Int32Type, Int64Type};
use serde_json::Value;

use crate::support::Hitherto;

const TEXT_KEYS: &str = "
kind: entity
name: place
join_keys: {code: string}
---
kind: feature_view
name: gusts
entity: place
features: {v: int64}
---
kind: feature_set
name: windy
features: ['gusts:v']
";

/// Longer than what a view holds within itself.
const LONG: &str = "a-key-longer-than-twelve-bytes";

/// Rows in no order: key, nanoseconds after the first event, and what is known there of `v`. With a coarser unit the time is
/// cut, which changes none of the answers.
const ASKED: [(Option<&str>, i64, Option<i64>); 7] = [
    (Some(LONG), 7_000_000_000, Some(3)),
    // a nanosecond before the next microsecond, at which there is another row
    (Some("short"), 10_000_000_999, Some(1)),
    (Some("short"), 11_000_000_000, Some(2)),
    (None, 11_000_000_000, None),
    (Some("short"), 3_000_000_000, Some(1)),
    (Some("nobody"), 11_000_000_000, None),
    (Some(LONG), 4_999_999_999, None),
];

/// 2024-01-01T00:00:00Z in seconds.
const FIRST_S: i64 = 1_704_067_200;

fn keys() -> Vec<(&'static str, ArrayRef)> {
    let texts: Vec<Option<&str>> = ASKED.iter().map(|(key, ..)| *key).collect();
    vec![
        ("text", Arc::new(StringArray::from(texts.clone()))),
        ("large text", Arc::new(LargeStringArray::from(texts.clone()))),
        ("view", Arc::new(StringViewArray::from(texts.clone()))),
        ("dictionary", Arc::new(texts.iter().copied().collect::<DictionaryArray<Int32Type>>())),
        ("small dictionary", Arc::new(texts.iter().copied().collect::<DictionaryArray<Int8Type>>())),
    ]
}

fn times() -> Vec<(&'static str, ArrayRef)> {
    let times = |per_second: i64| -> Vec<i64> {
        let of = |(_, nanos, _): &(Option<&str>, i64, Option<i64>)| {
            FIRST_S * per_second + nanos / (1_000_000_000 / per_second)
        };
        ASKED.iter().map(of).collect()
    };
    vec![
        ("seconds", Arc::new(TimestampSecondArray::from(times(1)))),
        ("milliseconds", Arc::new(TimestampMillisecondArray::from(times(1_000)).with_timezone("UTC"))),
        ("microseconds", Arc::new(TimestampMicrosecondArray::from(times(1_000_000)))),
        ("nanoseconds", Arc::new(TimestampNanosecondArray::from(times(1_000_000_000)).with_timezone("UTC"))),
        ("naive nanoseconds", Arc::new(TimestampNanosecondArray::from(times(1_000_000_000)))),
    ]
}

#[test]
fn spines_of_any_layout_and_unit_get_the_same_answers() {
    let place = Hitherto::new();
    place.write("d.yaml", TEXT_KEYS);
    place.ok("apply -f d.yaml");
    place.write(
        "gusts.csv",
        format!(
            "code,event_timestamp,v\nshort,2024-01-01T00:00:10.000001Z,2\n{LONG},2024-01-01T00:00:05Z,3\n\
             short,2024-01-01T00:00:00Z,1\n"
        ),
    );
    place.ok("ingest gusts gusts.csv");
    let expected: Vec<Option<i64>> = ASKED.iter().map(|(.., known)| *known).collect();
    // others each time: with the same rows it would be the same training set
    let mut first = 0;
    for (layout, code) in keys() {
        for (unit, time) in times() {
            first += 100;
            let labels = first..first + ASKED.len() as i64;
            let label: ArrayRef = Arc::new(Int64Array::from_iter_values(labels.clone()));
            let columns = [("code", Arc::clone(&code)), ("event_timestamp", time), ("label", label)];
            let columns = columns.map(|(name, column)| (name, column, true));
            let spine = RecordBatch::try_from_iter_with_nullable(columns).expect("a spine");
            place.write_parquet("spine.parquet", &spine);
            place.ok("training-set --feature-set windy --spine spine.parquet --out t.parquet --fresh");
            let rows = place.read_parquet("t.parquet");
            let of = |name: &str| -> Vec<Option<i64>> {
                rows.column_by_name(name).expect("a column").as_primitive::<Int64Type>().iter().collect()
            };
            assert_eq!(of("gusts__v"), expected, "{layout} keys, {unit}");
            let in_order: Vec<Option<i64>> = labels.map(Some).collect();
            assert_eq!(of("label"), in_order, "rows stay where they were: {layout} keys, {unit}");
            assert!(place.ok("dataset verify t.parquet").contains("\nproven: "), "{layout} keys, {unit}");
        }
    }
}

const NESTED: &str = "
kind: entity
name: item
join_keys: {k: int64}
---
kind: feature_view
name: taste
entity: item
features: {embedding: 'vector<float32, 768>', recent: list<int64>}
---
kind: feature_set
name: liked
features: ['taste:*']
";

const LENGTH: i32 = 768;
const ROWS: i64 = 40;

/// Exactly a number of 32 bits, and another in each place of each row.
fn embedding(row: i64) -> Vec<f32> {
    (0..i64::from(LENGTH)).map(|place| (row * i64::from(LENGTH) + place) as f32 * 0.25 - 100.0).collect()
}

/// A list of another length in each row: some are empty, some have nulls, and every seventh is none at all.
fn recent(row: i64) -> Option<Vec<Option<i64>>> {
    (row % 7 != 6).then(|| (0..row % 5).map(|place| (place != 1).then_some(row * 10 + place)).collect())
}

/// Rows of ten keys, a second apart.
fn history() -> RecordBatch {
    let numbers: ArrayRef = Arc::new((0..ROWS).flat_map(embedding).map(Some).collect::<Float32Array>());
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let vectors: ArrayRef = Arc::new(FixedSizeListArray::new(item, LENGTH, numbers, None));
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>((0..ROWS).map(recent)));
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row % 10)));
    let times: Vec<i64> = (0..ROWS).map(|row| (FIRST_S + row) * 1_000_000).collect();
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
    let columns = [("k", keys), ("event_timestamp", times), ("embedding", vectors), ("recent", lists)];
    RecordBatch::try_from_iter(columns).expect("a history")
}

#[test]
fn vectors_and_lists_come_out_as_they_went_in() {
    let place = Hitherto::new();
    place.write("d.yaml", NESTED);
    place.ok("apply -f d.yaml");
    // in two files, so that winners lie in both
    let history = history();
    for (name, rows) in [("first.parquet", history.slice(0, 18)), ("second.parquet", history.slice(18, 22))] {
        place.write_parquet(name, &rows);
        place.ok(&format!("ingest taste {name}"));
    }
    let keys = [11, 3, 9, 0, 5, 10, 3];
    let rows: Vec<String> = keys.iter().map(|key| format!("{key},2024-01-01T00:00:25Z")).collect();
    place.write("spine.csv", format!("k,event_timestamp\n{}\n", rows.join("\n")));
    place.ok("training-set --feature-set liked --spine spine.csv --out t.parquet");
    let built = place.read_parquet("t.parquet");
    let vectors = built.column_by_name("taste__embedding").expect("a feature").as_fixed_size_list();
    let lists = built.column_by_name("taste__recent").expect("a feature").as_list::<i32>();
    assert_eq!((built.num_rows(), vectors.value_length()), (keys.len(), LENGTH));
    for (place, key) in keys.into_iter().enumerate() {
        if key > 9 {
            assert!(vectors.is_null(place) && lists.is_null(place), "nothing is known of {key}");
            continue;
        }
        // up to 25 s, and that second too
        let row = if key <= 5 { 20 + key } else { 10 + key };
        let found = vectors.value(place);
        assert_eq!(found.as_primitive::<Float32Type>().values().to_vec(), embedding(row), "key {key}");
        let found: Option<Vec<Option<i64>>> =
            lists.is_valid(place).then(|| lists.value(place).as_primitive::<Int64Type>().iter().collect());
        assert_eq!(found, recent(row), "key {key}");
    }
    assert!(place.ok("dataset verify t.parquet").contains("\nproven: "));

    let bytes = fs::read(place.path("t.parquet")).expect("the file");
    place.ok("compact --full");
    place.ok("training-set --feature-set liked --spine spine.csv --out t.parquet --fresh");
    assert!(fs::read(place.path("t.parquet")).expect("the file") == bytes, "compaction changes no byte");

    place.ok("materialize");
    for key in [0, 4, 6, 9] {
        let said = place.ok(&format!("get --feature-set liked --entity k={key} --output json"));
        let found: Value = serde_json::from_str(&said).expect("JSON");
        let row = 30 + key;
        let features = &found["rows"][0]["features"];
        let numbers: Vec<f32> = features["taste__embedding"]["value"]
            .as_array()
            .expect("a vector")
            .iter()
            .map(|number| number.as_f64().expect("a number") as f32)
            .collect();
        assert_eq!(numbers, embedding(row), "key {key}");
        assert_eq!(features["taste__recent"]["value"], serde_json::json!(recent(row)), "key {key}");
    }
}
