//! Flight SQL: statements, values for parameters, catalogs, refusals, snapshots, limits, clients that leave.

use serde_json::{Value, json};

use crate::support::process::{Served, until};
use crate::support::{Hitherto, python};

const SCRIPT: &str = "flight_sql.py";

const DEFINITIONS: &str = "
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: feature_view
name: legs
entity: aircraft
description: what each leg was like
ttl: 1d
features:
  delay: {type: float64, description: minutes late at the gate}
  crew: int32
  diverted: bool
";

const LEGS: &str = "\
tailnum,event_timestamp,delay,crew,diverted
N1,2013-01-01T00:00:00Z,-3.5,4,false
N2,2013-01-01T01:00:00Z,12,5,true
N1,2013-01-01T02:00:00Z,,6,
";

const MORE: &str = "\
tailnum,event_timestamp,delay,crew,diverted
N3,2013-01-01T03:00:00Z,1,1,false
";

/// Three legs in history, of a view in its second version.
fn place() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS).write("legs.csv", LEGS).write("more.csv", MORE);
    place.ok("apply -f d.yaml");
    place.ok("ingest legs legs.csv");
    place.write("d.yaml", DEFINITIONS.replace("ttl: 1d", "ttl: 2d"));
    place.ok("apply -f d.yaml");
    place
}

fn ask(server: &Served, query: &str, values: Value) -> Value {
    python(SCRIPT, &["query", &server.grpc, query, &values.to_string()])
}

/// What a query is refused with: ADBC's status, and the server's words among its own.
fn refused(server: &Served, query: &str, values: Value) -> (String, String) {
    let said = ask(server, query, values);
    let text = |name: &str| said[name].as_str().unwrap_or_else(|| panic!("{query}: {said}")).to_owned();
    assert!(text("details").contains("hitherto"), "google.rpc.ErrorInfo comes along: {said}");
    (text("refused"), text("message"))
}

#[test]
fn adbc_reads_rows_and_binds_values_of_every_type() {
    let place = place();
    let server = place.serve("");
    let all = ask(&server, "select tailnum, event_timestamp, delay, crew, diverted from legs order by crew", json!([]));
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
    for (condition, values, crews) in [
        ("tailnum = ?", json!(["N1"]), json!([[4], [6]])),
        ("crew > ? and tailnum <> ?", json!([4, "N2"]), json!([[6]])),
        ("delay < $1 or delay > $2", json!([0.5, 11.5]), json!([[4], [5]])),
        ("diverted = ?", json!([true]), json!([[5]])),
        ("event_timestamp >= ?", json!([{"time": "2013-01-01T01:00:00+00:00"}]), json!([[5], [6]])),
        ("event_timestamp < ?", json!([{"time": "2013-01-01T02:00:00+02:00"}]), json!([])),
        // a value is a value, whatever it looks like, and `?` in quotes is none
        ("tailnum = ? or tailnum = '?'", json!(["N1' or 'a' = 'a"]), json!([])),
        ("crew = ?", json!([4.5]), json!([])),
        ("tailnum = ?", json!([null]), json!([])),
    ] {
        let query = format!("select crew from legs where {condition} order by crew");
        let said = ask(&server, &query, values);
        assert_eq!(said["rows"], crews, "{query}: {said}");
    }
    let counted = ask(&server, "select count(*) as n from \"legs@1\"", json!([]));
    assert_eq!(counted["rows"], json!([[3]]));
}

#[test]
fn adbc_shows_tables_with_types_and_comments() {
    let place = place();
    let server = place.serve("");
    let said = python(SCRIPT, &["objects", &server.grpc]);
    assert_eq!(said["catalog"], "hitherto");
    let tables = said["tables"].as_array().expect("tables");
    let table = |schema: &str, name: &str| {
        let found = tables.iter().find(|table| table["schema"] == schema && table["name"] == name);
        found.unwrap_or_else(|| panic!("{schema}.{name} is not among {said}"))
    };
    let legs = table("public", "legs");
    assert_eq!(legs["type"], "TABLE");
    let columns = legs["columns"].as_array().expect("columns");
    assert_eq!(columns[0], json!(["tailnum", "join key of aircraft"]));
    assert_eq!(columns[1], json!(["event_timestamp", "when it was true in the world"]));
    assert_eq!(columns[2], json!(["delay", "minutes late at the gate"]));
    assert_eq!(columns[3], json!(["crew", ""]));
    for version in ["legs@1", "legs@2"] {
        assert_eq!(table("public", version)["columns"], legs["columns"]);
    }
    assert_eq!(table("registry", "datasets")["type"], "VIEW");

    let said = python(SCRIPT, &["abilities", &server.grpc]);
    assert_eq!(said["vendor"], "hitherto");
    assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["types"], json!(["TABLE", "VIEW"]));
}

#[test]
fn adbc_is_refused_whatever_writes_and_told_what_is_near() {
    let place = place();
    let server = place.serve("");
    for (statement, reason) in [
        ("insert into legs select * from legs", "could not plan the query: DML not supported: Insert Into"),
        ("delete from legs", "could not plan the query: DML not supported: Delete"),
        ("drop table legs", "could not plan the query: DDL not supported: DropTable"),
        ("set datafusion.execution.batch_size = 1", "could not plan the query: Statement not supported: SetVariable"),
        ("selec 1", "could not plan the query: "),
        ("select * from legs where crew = ?", "the query has parameters without a value ($1)"),
    ] {
        let (status, message) = refused(&server, statement, json!([]));
        assert_eq!(status, "INVALID_ARGUMENT", "{statement}: {message}");
        assert!(message.contains(reason), "{statement}: {message}");
    }
    let (status, message) = refused(&server, "select * from leg", json!([]));
    assert_eq!(status, "NOT_FOUND");
    assert!(message.contains("no feature view 'leg' (did you mean 'legs'?)"), "{message}");
    let counted = ask(&server, "select count(*) as n from legs", json!([]));
    assert_eq!(counted["rows"], json!([[3]]));
}

#[test]
fn rows_that_come_between_planning_and_fetching_change_nothing() {
    let place = place();
    let server = place.serve("");
    let ingest = place.command("ingest legs more.csv");
    let folder = place.folder().display().to_string();
    let mut command = vec![ingest.get_program().to_str().expect("a path")];
    command.extend(ingest.get_args().map(|word| word.to_str().expect("text")));
    let query = "select tailnum, count(*) as n from legs group by tailnum order by tailnum";
    let mut arguments = vec!["pinned", &server.grpc, &folder, query];
    arguments.extend(&command);
    let said = python(SCRIPT, &arguments);
    assert_eq!(said["same_schema"], true, "{said}");
    assert_eq!(said["before"], json!([["N1", 2], ["N2", 1]]), "{said}");
    assert_eq!(said["after"], json!([["N1", 2], ["N2", 1], ["N3", 1]]), "{said}");
}

#[test]
fn limits_are_named_with_their_remedy() {
    let place = place();
    place.write("hitherto.toml", "[sql]\nmax_rows = 2\n");
    let server = place.serve("");
    assert_eq!(ask(&server, "select crew from legs order by crew limit 2", json!([]))["rows"], json!([[4], [5]]));
    // where a driver puts an error among the rows is its own affair: its words are enough
    let message = ask(&server, "select crew from legs", json!([]))["message"].to_string();
    assert!(message.contains("the query has more than 2 rows, which is the limit (`sql.max_rows`)"), "{message}");
    drop(server);

    place.write("hitherto.toml", "[sql]\ntimeout = \"300ms\"\n");
    let server = place.serve("");
    let endless = "select max(value % 7) as m from range(0, 1000000000000)";
    let message = ask(&server, endless, json!([]))["message"].to_string();
    assert!(message.contains("took longer than 300ms, which is the limit (`sql.timeout`)"), "{message}");
    until("the query that took too long has ended", || {
        let (_, page) = server.page("/metrics");
        page.contains("hitherto_sql_queries_running 0").then_some(())
    });
}

#[test]
fn a_query_ends_when_its_client_leaves() {
    let place = place();
    let server = place.serve("");
    let page = format!("http://{}/metrics", server.http);
    let said = python(SCRIPT, &["leave", &server.grpc, &page, "select value from range(0, 1000000000000)"]);
    assert!(said["first"].as_i64() > Some(0), "{said}");
    let lines = said["lines"].as_array().expect("lines");
    assert!(lines.contains(&json!("hitherto_sql_queries_running 1")), "{said}");
    until("the query has ended", || {
        let (_, page) = server.page("/metrics");
        let ended = page.contains("hitherto_sql_queries_total{outcome=\"cancelled\"} 1");
        (ended && page.contains("hitherto_sql_queries_running 0")).then_some(())
    });
}
