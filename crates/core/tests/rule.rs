//! The rule against the conformance cases and against the worked example of the contract.

use std::collections::BTreeMap;

use hitherto_core::{Mode, Outcome, Reading, Row, Span, Timestamp, answer, winner};
use serde_json::Value;

const MODES: [(Mode, &str); 2] = [(Mode::Knowledge, "knowledge"), (Mode::Event, "event")];

/// Rows of one case with their keys and values, in the order in which they were ingested.
struct History {
    keys: Vec<Vec<Value>>,
    rows: Vec<Row>,
    values: Vec<Value>,
}

impl History {
    fn of(case: &Value, key_columns: &[String]) -> Self {
        let mut history = Self { keys: Vec::new(), rows: Vec::new(), values: Vec::new() };
        for row in case["batches"].as_array().expect("batches").iter().flat_map(|b| b.as_array().expect("a batch")) {
            let created = case["view"]["created_timestamp"].as_bool().expect("whether there is a created time");
            history.keys.push(key_of(row, key_columns));
            history.rows.push(Row {
                event: time(&row["event_timestamp"]),
                created: created.then(|| time(&row["created_timestamp"])),
                sequence: history.rows.len() as i64,
                deleted: row["_deleted"].as_bool().unwrap_or(false),
            });
            history.values.push(row["f"].clone());
        }
        history
    }

    fn answer(&self, key: &[Value], reading: Reading, t: Timestamp, mode: Mode) -> Value {
        if key.contains(&Value::Null) {
            return Value::Null;
        }
        let same: Vec<usize> = (0..self.rows.len()).filter(|index| self.keys[*index] == key).collect();
        let rows: Vec<Row> = same.iter().map(|index| self.rows[*index]).collect();
        match answer(&rows, reading, t, mode) {
            Outcome::Row(index) => self.values[same[index]].clone(),
            Outcome::NoRow | Outcome::Deleted | Outcome::Expired => Value::Null,
        }
    }
}

fn key_of(row: &Value, key_columns: &[String]) -> Vec<Value> {
    key_columns.iter().map(|column| row[column.as_str()].clone()).collect()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().expect("a time").parse().expect("a time")
}

fn span(value: &Value) -> Option<Span> {
    value.as_i64().map(|micros| Span::from_micros(micros).expect("no negative span"))
}

#[test]
fn every_conformance_case_has_its_answers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance/cases.json");
    let text = std::fs::read_to_string(path).expect("the cases");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(cases.len(), 24);
    for case in &cases {
        let view = &case["view"];
        let keys: BTreeMap<String, String> = serde_json::from_value(view["join_keys"].clone()).expect("keys");
        let keys: Vec<String> = keys.into_keys().collect();
        let history = History::of(case, &keys);
        let source_delay = span(&view["source_delay_us"]).expect("a delay");
        let reading = Reading { source_delay, ttl: span(&view["ttl_us"]) };
        for (mode, name) in MODES {
            let spine = case["spine"].as_array().expect("a spine").iter();
            let answers: Vec<Value> = spine
                .map(|row| history.answer(&key_of(row, &keys), reading, time(&row["event_timestamp"]), mode))
                .collect();
            assert_eq!(Value::Array(answers), case["expect"][name], "case {} in mode {name}", case["name"]);
        }
    }
}

#[test]
fn the_worked_example_of_the_contract() {
    let row = |event, created, sequence| Row { event: s(event), created: Some(s(created)), sequence, deleted: false };
    let rows = [row(0.0, 0.0, 0), row(5.0, 8.0, 1), row(5.0, 12.0, 2), row(3.0, 20.0, 3)];
    let reading = Reading { source_delay: Span::ZERO, ttl: Some("10s".parse().expect("a duration")) };
    let (a, b, c, d) = (Outcome::Row(0), Outcome::Row(1), Outcome::Row(2), Outcome::Row(3));
    for (t, knowledge, event) in [
        (4.0, a, d),
        (7.0, a, c),
        (8.0, b, c),
        (12.0, c, c),
        (15.0, c, c),
        (15.000_001, Outcome::Expired, Outcome::Expired),
        (20.0, Outcome::Expired, Outcome::Expired),
    ] {
        assert_eq!(answer(&rows, reading, s(t), Mode::Knowledge), knowledge, "knowledge at {t} s");
        assert_eq!(answer(&rows, reading, s(t), Mode::Event), event, "event at {t} s");
    }
}

#[test]
fn the_edges_of_time_saturate() {
    let row = |event| Row { event, created: None, sequence: 0, deleted: false };
    let day: Span = "1d".parse().expect("a duration");
    let reading = Reading { source_delay: day, ttl: Some(day) };
    // never available sooner than the last moment, and not wrapped around to the first
    let latest = [row(Timestamp::MAX)];
    assert_eq!(winner(&latest, reading, Timestamp(0), Mode::Knowledge), None);
    assert_eq!(winner(&latest, reading, Timestamp::MAX, Mode::Knowledge), Some(0));
    let earliest = [row(Timestamp::MIN)];
    let at = |t| answer(&earliest, Reading { source_delay: Span::ZERO, ..reading }, t, Mode::Knowledge);
    assert_eq!(at(Timestamp::MIN), Outcome::Row(0));
    assert_eq!(at(Timestamp(0)), Outcome::Expired);
}

#[test]
fn a_tombstone_hides_and_the_order_of_rows_does_not_matter() {
    let row = |event, sequence, deleted| Row { event: s(event), created: None, sequence, deleted };
    let mut rows = [row(0.0, 0, false), row(4.0, 1, true), row(4.0, 2, false), row(2.0, 3, false)];
    let reading = Reading::default();
    assert_eq!(answer(&rows[..2], reading, s(4.0), Mode::Knowledge), Outcome::Deleted);
    assert_eq!(answer(&rows, reading, s(9.0), Mode::Knowledge), Outcome::Row(2));
    rows.reverse();
    assert_eq!(answer(&rows, reading, s(9.0), Mode::Knowledge), Outcome::Row(1));
    assert_eq!(answer(&[], reading, s(9.0), Mode::Knowledge), Outcome::NoRow);
}

fn s(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1e6).round() as i64)
}
