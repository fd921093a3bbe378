//! What others make of us: our tables read by their readers, history in an S3 server, and one table from three formats.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use serde_json::{Value, json};

use crate::support::{Hitherto, Ran, S3, python};

const VIEW: &str = "
kind: entity
name: aircraft
join_keys: {tailnum: string, leg: int64}
---
kind: feature_view
name: delays
entity: aircraft
created_timestamp: landed
features: {minutes: float64, note: string, diverted: bool}
---
kind: feature_set
name: arrival
features: ['delays:*']
";

const COLUMNS: [&str; 7] = ["tailnum", "leg", "event_timestamp", "created_timestamp", "minutes", "note", "diverted"];

/// Five legs: a null in every nullable place, text that needs quoting, times before 1970 and to the microsecond.
fn legs() -> RecordBatch {
    let times =
        |values: Vec<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) };
    let tailnums = vec![Some("N1"), Some("N1"), Some("a,\"b\"\nc"), Some("é"), Some("N2")];
    let notes = vec![Some("ok"), None, Some("x, \"y\""), Some("ünd"), Some(" ")];
    let columns: [(&str, ArrayRef); 7] = [
        ("tailnum", Arc::new(StringArray::from(tailnums))),
        ("leg", Arc::new(Int64Array::from(vec![1, 2, 1, i64::MAX, -7]))),
        ("event_timestamp", times(vec![0, 1, 1_372_680_000_000_000, -1, 1_372_680_000_000_000])),
        ("landed", times(vec![8, 1, 1_372_680_000_000_001, 5_000_000, 1_372_680_000_000_000])),
        ("minutes", Arc::new(Float64Array::from(vec![Some(-33.5), Some(0.1), None, Some(1e300), Some(0.0)]))),
        ("note", Arc::new(StringArray::from(notes))),
        ("diverted", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).expect("one length")
}

/// What stands in the table for row `row` of the legs.
fn expected(row: usize, sequence: i64) -> Value {
    let rows = [
        json!({"tailnum": "N1", "leg": 1, "event_timestamp": 0, "created_timestamp": 8, "minutes": -33.5, "note": "ok",
               "diverted": true}),
        json!({"tailnum": "N1", "leg": 2, "event_timestamp": 1, "created_timestamp": 1, "minutes": 0.1, "note": null,
               "diverted": null}),
        json!({"tailnum": "a,\"b\"\nc", "leg": 1, "event_timestamp": 1_372_680_000_000_000_i64,
               "created_timestamp": 1_372_680_000_000_001_i64, "minutes": null, "note": "x, \"y\"", "diverted": false}),
        json!({"tailnum": "é", "leg": i64::MAX, "event_timestamp": -1, "created_timestamp": 5_000_000, "minutes": 1e300,
               "note": "ünd", "diverted": true}),
        json!({"tailnum": "N2", "leg": -7, "event_timestamp": 1_372_680_000_000_000_i64,
               "created_timestamp": 1_372_680_000_000_000_i64, "minutes": 0.0, "note": " ", "diverted": null}),
    ];
    let mut expected = rows[row].clone();
    expected["_sequence"] = sequence.into();
    expected
}

fn csv() -> String {
    "tailnum,leg,event_timestamp,landed,minutes,note,diverted\n\
     N1,1,1970-01-01T00:00:00Z,1970-01-01T00:00:00.000008Z,-33.5,ok,true\n\
     N1,2,1970-01-01T00:00:00.000001Z,1970-01-01T00:00:00.000001Z,0.1,,\n\
     \"a,\"\"b\"\"\nc\",1,2013-07-01T12:00:00Z,2013-07-01T12:00:00.000001Z,,\"x, \"\"y\"\"\",false\n\
     é,9223372036854775807,1969-12-31T23:59:59.999999Z,1970-01-01T00:00:05Z,1e300,ünd,true\n\
     N2,-7,2013-07-01T12:00:00Z,2013-07-01T12:00:00Z,0,\" \",\n"
        .to_owned()
}

fn ndjson() -> String {
    [
        r#"{"tailnum": "N1", "leg": 1, "event_timestamp": "1970-01-01T00:00:00Z", "landed": "1970-01-01T00:00:00.000008Z", "minutes": -33.5, "note": "ok", "diverted": true}"#,
        r#"{"tailnum": "N1", "leg": 2, "event_timestamp": "1970-01-01T00:00:00.000001Z", "landed": "1970-01-01T00:00:00.000001Z", "minutes": 0.1}"#,
        r#"{"tailnum": "a,\"b\"\nc", "leg": 1, "event_timestamp": "2013-07-01T12:00:00Z", "landed": "2013-07-01T12:00:00.000001Z", "minutes": null, "note": "x, \"y\"", "diverted": false}"#,
        r#"{"tailnum": "\u00e9", "leg": 9223372036854775807, "event_timestamp": "1969-12-31T23:59:59.999999Z", "landed": "1970-01-01T00:00:05Z", "minutes": 1e300, "note": "ünd", "diverted": true}"#,
        r#"{"diverted": null, "note": " ", "minutes": 0.0, "landed": "2013-07-01T12:00:00Z", "event_timestamp": "2013-07-01T12:00:00Z", "leg": -7, "tailnum": "N2"}"#,
    ]
    .join("\n")
}

/// A folder with the definitions applied.
fn applied() -> Hitherto {
    let hitherto = Hitherto::new();
    hitherto.write("views.yaml", VIEW);
    hitherto.ok("apply -f views.yaml");
    hitherto
}

fn table_of(hitherto: &Hitherto, view: &str) -> String {
    hitherto.path(&format!(".hitherto/offline/{view}/{view}-1")).display().to_string()
}

#[test]
fn deltalake_and_duckdb_read_the_rows_that_were_ingested() {
    let hitherto = applied();
    hitherto.write_parquet("first.parquet", &legs().slice(0, 3)).write_parquet("second.parquet", &legs().slice(3, 2));
    hitherto.ok("ingest delays first.parquet");
    hitherto.ok("ingest delays second.parquet");
    let table = table_of(&hitherto, "delays");
    let rows: Vec<Value> = (0..5).map(|row| expected(row, row as i64)).collect();
    for reader in ["deltalake", "duckdb"] {
        let arguments: Vec<&str> = [reader, &table].into_iter().chain(COLUMNS).collect();
        let found = python("read_table.py", &arguments);
        assert_eq!(found["rows"], Value::Array(rows.clone()), "{reader}");
        assert_eq!(found["schema"]["_commit_sequence"], "int64", "{reader}");
        assert_eq!(found["schema"]["event_timestamp"], "timestamp[us, tz=UTC]", "{reader}");
    }
    // the place in history that the documents let others work out is the one that we give
    let ours = hitherto.ok("sql 'select leg, _sequence from delays order by _sequence' --format csv");
    assert_eq!(ours, "leg,_sequence\n1,0\n2,1\n1,2\n9223372036854775807,3\n-7,4\n");
}

#[test]
fn deltalake_and_duckdb_read_what_was_compacted() {
    let hitherto = applied();
    hitherto.write_parquet("first.parquet", &legs().slice(0, 3)).write_parquet("second.parquet", &legs().slice(3, 2));
    let table = table_of(&hitherto, "delays");
    let rows: Vec<Value> = (0..5).map(|row| expected(row, row as i64)).collect();
    // compacted; compacted and fresh together; all compacted, in two runs or one
    for (step, seen) in [
        ("ingest delays first.parquet", 3),
        ("compact", 3),
        ("ingest delays second.parquet", 5),
        ("compact", 5),
        ("compact --full", 5),
    ] {
        hitherto.ok(step);
        for reader in ["deltalake", "duckdb"] {
            let arguments: Vec<&str> = [reader, &table].into_iter().chain(COLUMNS).collect();
            let found = python("read_table.py", &arguments);
            assert_eq!(found["rows"], Value::Array(rows[..seen].to_vec()), "{reader} after {step}");
        }
    }
}

#[test]
fn deltalake_and_duckdb_read_a_year_of_legs() {
    let hitherto = Hitherto::new();
    flights(&hitherto, &[]);
    let compared = python(
        "compare_flights.py",
        &[&table_of(&hitherto, "aircraft_last_leg"), &flight_file("aircraft_last_leg.parquet")],
    );
    let rows = 327_346;
    let all = json!({"deltalake": rows, "duckdb": rows, "source": rows, "only_ours": 0, "only_theirs": 0});
    assert_eq!(compared, all);
}

#[test]
fn the_same_rows_as_csv_ndjson_and_parquet_are_the_same_batch_and_table() {
    let files = ["legs.parquet", "legs.csv", "legs.ndjson"];
    let lay_out = |hitherto: &Hitherto| {
        hitherto.write_parquet(files[0], &legs()).write(files[1], csv()).write(files[2], ndjson());
    };
    let query = "sql 'select tailnum, leg, event_timestamp, created_timestamp, available_at, minutes, note, diverted, \
                 _deleted, _sequence from delays order by _sequence' --format json";
    let tables = files.map(|file| {
        let hitherto = applied();
        lay_out(&hitherto);
        let said = hitherto.ok(&format!("ingest delays {file}"));
        assert_eq!(said, "delays: 5 rows, _sequence 0 to 4\n", "{file}");
        for same in files {
            let said = hitherto.ok(&format!("ingest delays {same}"));
            assert!(said.starts_with("delays: nothing changed, batch "), "{same} after {file}: {said}");
        }
        hitherto.ok(query)
    });
    assert_eq!(tables[0].lines().count(), 5);
    assert_eq!(
        tables[0].lines().next(),
        Some(
            r#"{"tailnum":"N1","leg":1,"event_timestamp":"1970-01-01T00:00:00Z","created_timestamp":"1970-01-01T00:00:00.000008Z","available_at":"1970-01-01T00:00:00.000008Z","minutes":-33.5,"note":"ok","diverted":true,"_sequence":0}"#
        )
    );
    assert_eq!(tables[1], tables[0], "csv");
    assert_eq!(tables[2], tables[0], "ndjson");
}

#[test]
fn history_in_s3_gives_the_training_set_that_a_folder_gives() {
    let s3 = S3::start();
    let (folder, bucket) = (Hitherto::new(), Hitherto::new());
    flights(&folder, &[]);
    flights(&bucket, &s3.environment());
    assert!(!bucket.path(".hitherto/offline").exists(), "history is in the bucket, and only there");

    let again = on(&bucket, &s3.environment(), &format!("ingest weather {}", flight_file("weather.parquet")));
    assert!(again.stdout.starts_with("weather: nothing changed, batch "), "{}", again.stdout);
    let build = format!(
        "training-set --feature-set late_arrival --spine {} --out training.parquet --name flights",
        flight_file("spine.parquet")
    );
    let (ours, theirs) = (folder.ok(&build), on(&bucket, &s3.environment(), &build).stdout);
    assert_eq!(theirs, ours, "one dataset has one id");
    let bytes = std::fs::read(folder.path("training.parquet")).expect("the training set of the folder");
    assert_eq!(std::fs::read(bucket.path("training.parquet")).expect("the training set of the bucket"), bytes);

    // rows that come later change the view, and not the dataset
    let late = "origin,event_timestamp,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib\n\
                EWR,2013-01-01T06:00:01Z,,,,,99,99,99,,99\nJFK,2013-06-01T00:00:00Z,,,,,99,99,99,,99\n";
    bucket.write("late.csv", late);
    let ingested = on(&bucket, &s3.environment(), "ingest weather late.csv");
    assert_eq!(ingested.stdout, "weather: 2 rows, _sequence 26115 to 26116\n");
    on(&bucket, &s3.environment(), "dataset rebuild flights --out rebuilt.parquet");
    assert_eq!(std::fs::read(bucket.path("rebuilt.parquet")).expect("the rebuilt training set"), bytes);
    on(&bucket, &s3.environment(), "compact");
    let vacuumed = on(&bucket, &s3.environment(), "vacuum weather --retention 0s --output json");
    let vacuumed: Value = serde_json::from_str(&vacuumed.stdout).expect("JSON");
    assert_eq!(vacuumed[0]["deleted_files"], 2);
    on(&bucket, &s3.environment(), "dataset rebuild flights --out rebuilt.parquet");
    assert_eq!(std::fs::read(bucket.path("rebuilt.parquet")).expect("the training set, rebuilt again"), bytes);
    on(&bucket, &s3.environment(), &build.replace("training.parquet", "later.parquet").replace(" --name flights", ""));
    assert_ne!(std::fs::read(bucket.path("later.parquet")).expect("a training set of today"), bytes);
    let counted = on(&bucket, &s3.environment(), "sql 'select count(*) as n from weather' --format csv");
    assert_eq!(counted.stdout, "n\n26117\n");
}

#[test]
fn processes_that_ingest_into_s3_at_once_make_one_order() {
    let s3 = S3::start();
    let environment = s3.environment();
    let hitherto = Hitherto::new();
    hitherto.write("views.yaml", VIEW);
    on(&hitherto, &environment, "apply -f views.yaml");
    let batches = 3;
    for batch in 0..batches {
        let row = |leg: i32| format!("N{batch},{leg},2013-07-01T12:00:00Z,2013-07-01T12:00:00Z,1,,");
        let heading = "tailnum,leg,event_timestamp,landed,minutes,note,diverted".to_owned();
        let lines: Vec<String> = std::iter::once(heading).chain((0..4).map(row)).collect();
        hitherto.write(&format!("{batch}.csv"), lines.join("\n"));
    }
    // every batch twice at once: one of the two finds it there
    let running: Vec<_> = (0..2 * batches)
        .map(|writer| {
            let mut command = hitherto.command(&format!("ingest delays {}.csv", writer / 2));
            command.envs(environment).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the binary can be started")
        })
        .collect();
    let said: Vec<String> = running
        .into_iter()
        .map(|child| Ran::of("ingest", child.wait_with_output().expect("it ends")).expect_code(0).stdout)
        .collect();
    for pair in said.chunks(2) {
        let unchanged = pair.iter().filter(|said| said.contains("nothing changed")).count();
        assert_eq!(unchanged, 1, "{said:?}");
    }
    let query = "sql 'select tailnum, leg, _sequence from delays order by _sequence' --format csv";
    let rows = on(&hitherto, &environment, query).stdout;
    let rows: Vec<Vec<&str>> = rows.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let sequences: Vec<i64> = rows.iter().map(|row| row[2].parse().expect("a number")).collect();
    assert_eq!(sequences, (0..4 * batches).collect::<Vec<i64>>());
    // a batch's rows stand together, in their order
    for batch in rows.chunks(4) {
        let legs: Vec<(&str, &str)> = batch.iter().map(|row| (row[0], row[1])).collect();
        assert_eq!(legs, ["0", "1", "2", "3"].map(|leg| (batch[0][0], leg)));
    }
    assert_eq!(rows.iter().map(|row| row[0]).collect::<BTreeSet<_>>().len(), 3);
}

/// Run with more in the environment; it must succeed.
fn on(hitherto: &Hitherto, environment: &[(&str, &str)], line: &str) -> Ran {
    let output = hitherto.command(line).envs(environment.iter().copied()).output().expect("the binary can be started");
    Ran::of(line, output).expect_code(0)
}

/// The flights, applied and ingested.
fn flights(hitherto: &Hitherto, environment: &[(&str, &str)]) {
    on(hitherto, environment, &format!("apply -f {}", flight_file("definitions.yaml")));
    let rows = [("aircraft_last_leg", 327_346), ("origin_hour", 21_105), ("carrier_day", 5_432), ("weather", 26_115)];
    for (view, rows) in rows {
        let line = format!("ingest {view} {} --output json", flight_file(&format!("{view}.parquet")));
        let said: Value = serde_json::from_str(&on(hitherto, environment, &line).stdout).expect("JSON");
        assert_eq!(said["rows"], rows, "{view}");
    }
}

fn flight_file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/flights").join(name).display().to_string()
}
