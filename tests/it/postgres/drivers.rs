//! Drivers of Python: ADBC's, which copies every answer as binary, psycopg, asyncpg.

use serde_json::{Value, json};

use super::{place, serve};
use crate::support::python;

const SCRIPT: &str = "postgres.py";

fn ask(driver: &str, address: &str, query: &str, values: Value) -> Value {
    python(SCRIPT, &[driver, address, query, &values.to_string()])
}

#[test]
fn adbc_reads_rows_as_arrow() {
    let place = place();
    let (_server, at) = serve(&place);
    let all =
        ask("adbc", &at, "select tailnum, event_timestamp, delay, crew, diverted from legs order by crew", json!([]));
    let columns = json!([
        ["tailnum", "string"],
        ["event_timestamp", "timestamp[us, tz=UTC]"],
        ["delay", "double"],
        ["crew", "int32"],
        ["diverted", "bool"]
    ]);
    assert_eq!(all["columns"], columns);
    let rows = json!([
        ["N1", "2013-01-01 00:00:00+00:00", -3.5, 4, false],
        ["N2", "2013-01-01 01:00:00+00:00", 12.0, 5, true],
        ["N1", "2013-01-01 02:00:00+00:00", null, 6, null]
    ]);
    assert_eq!(all["rows"], rows);
    assert_eq!(ask("adbc", &at, "select crew from legs where crew > 100", json!([]))["rows"], json!([]));
    let some = ask("adbc", &at, "select crew from legs where tailnum = $1 order by crew", json!(["N1"]));
    assert_eq!(some["rows"], json!([[4], [6]]), "{some}");
    let own = ask("adbc", &at, "select $1 as v", json!([5]));
    assert_eq!(own["rows"], json!([[5]]), "a value that is the answer: {own}");
    let refused = ask("adbc", &at, "delete from legs", json!([]));
    assert_eq!(refused["state"], "25006", "{refused}");
}

#[test]
fn adbc_shows_tables_with_types_and_comments() {
    let place = place();
    let (_server, at) = serve(&place);
    let said = python(SCRIPT, &["objects", &at]);
    let tables = said["tables"].as_array().expect("tables");
    let legs = tables.iter().find(|table| table["schema"] == "public" && table["name"] == "legs");
    let legs = legs.unwrap_or_else(|| panic!("public.legs is not among {said}"));
    assert_eq!(legs["type"], "table");
    let columns = legs["columns"].as_array().expect("columns");
    assert_eq!(columns[0], json!(["tailnum", "join key of aircraft"]));
    assert_eq!(columns[2], json!(["delay", "minutes late at the gate"]));
    assert_eq!(said["schema"]["crew"], "int32", "{said}");
}

#[test]
fn psycopg_binds_values_of_every_type() {
    let place = place();
    let (_server, at) = serve(&place);
    for (condition, values, crews) in [
        ("tailnum = %s", json!(["N1"]), json!([[4], [6]])),
        ("crew > %s and tailnum <> %s", json!([4, "N2"]), json!([[6]])),
        ("delay < %s or delay > %s", json!([0.5, 11.5]), json!([[4], [5]])),
        ("diverted = %s", json!([true]), json!([[5]])),
        ("event_timestamp >= %s", json!([{"time": "2013-01-01T01:00:00+00:00"}]), json!([[5], [6]])),
        ("event_timestamp < %s", json!([{"time": "2013-01-01T02:00:00+02:00"}]), json!([])),
        ("tailnum = %s", json!(["N1' or 'a' = 'a"]), json!([])),
        ("tailnum = %s", json!([null]), json!([])),
        ("delay > %s", json!([{"decimal": "1E-7"}]), json!([[5]])),
        ("crew = any(%s)", json!([[4, 6]]), json!([[4], [6]])),
    ] {
        let query = format!("select crew from legs where {condition} order by crew");
        let said = ask("psycopg", &at, &query, values);
        assert_eq!(said["rows"], crews, "{query}: {said}");
        assert_eq!(said["binary"], crews, "{query}: {said}");
    }
    for (query, values, rows) in [
        ("select %s as v", json!([5]), json!([[5]])),
        ("select %s as v, crew from legs where tailnum = 'N2'", json!([2.5]), json!([[2.5, 5]])),
        ("select %s + 1 as v", json!([5]), json!([[6]])),
    ] {
        let said = ask("psycopg", &at, query, values);
        assert_eq!((&said["rows"], &said["binary"]), (&rows, &rows), "{query}: {said}");
    }
    let prepared = ask("prepared", &at, "select crew from legs where tailnum = %s order by crew", json!(["N2"]));
    assert_eq!(prepared["rows"], json!([[5], [5], [5]]), "the same statement three times: {prepared}");
    let refused = ask("psycopg", &at, "select crew from legs where crew = %s", json!(["many"]));
    assert_eq!(refused["state"], "22P02", "{refused}");
}

#[test]
fn what_is_prepared_is_bounded_in_number_and_bytes() {
    let place = place();
    let (_server, at) = serve(&place);
    for (count, bytes, prepared) in [("400", "1", 300), ("40", "60000", 17)] {
        let said = python(SCRIPT, &["many", &at, count, bytes]);
        assert_eq!(said, json!({"prepared": prepared, "state": "54000", "after": [[1]]}));
    }
    assert_eq!(python(SCRIPT, &["many", &at, "200", "1"]), json!({"prepared": 200}));
}

#[test]
fn asyncpg_connects_and_fetches() {
    let place = place();
    let (_server, at) = serve(&place);
    let some = ask("asyncpg", &at, "select crew, delay from legs where tailnum = $1 order by crew", json!(["N1"]));
    assert_eq!(some["rows"], json!([[4, -3.5], [6, null]]), "{some}");
    let number = ask("asyncpg", &at, "select cast(1234.5 as decimal(38, 2)) as n from legs where crew = 4", json!([]));
    assert_eq!(number["rows"], json!([["1234.50"]]), "{number}");
    let refused = ask("asyncpg", &at, "select * from leg", json!([]));
    assert_eq!(refused["state"], "42P01", "{refused}");
}
