//! A training set of a spine that pyarrow uploads is what `hitherto training-set` makes of the same rows.

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use serde_json::{Value, json};

use crate::support::process::{Served, until};
use crate::support::{Hitherto, python};

const DEFINITIONS: &str = "
kind: entity
name: airport
join_keys: {airport: string}
---
kind: feature_view
name: weather
entity: airport
ttl: 2h
features: {wind_gust: float64, visibility: float64}
---
kind: feature_set
name: outlook
features: [{ref: 'weather:wind_gust', as: gust}, 'weather:visibility']
request: {prepaid: float64}
transforms:
  - {name: is_gusty, expr: 'gust > 25'}
";

const WEATHER: &str = "\
airport,event_timestamp,wind_gust,visibility
JFK,2013-01-01T11:00:00Z,31,10
EWR,2013-01-01T11:00:00Z,,10
JFK,2013-01-01T12:30:00Z,9,2
";

/// Where the store has what clients have asked for.
const FILES: &str = ".hitherto/offline/_training_sets/default";

/// History, and a spine of so many rows: every ten seconds one, its airports in turn.
fn laid_out(rows: i64) -> Hitherto {
    let place = Hitherto::new();
    place.write("features.yaml", DEFINITIONS).write("weather.csv", WEATHER).write("tmp/kept", "");
    place.ok("apply -f features.yaml");
    place.ok("ingest weather weather.csv");
    // from 2013-01-01T10:00:00Z
    let times = (0..rows).map(|row| 1_357_034_400_000_000 + row * 10_000_000);
    let airports: StringArray =
        (0..rows).map(|row| Some(["JFK", "EWR", "LGA"][usize::try_from(row % 3).expect("a place")])).collect();
    let spine = RecordBatch::try_from_iter([
        ("airport", Arc::new(airports) as ArrayRef),
        ("event_timestamp", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))),
        ("prepaid", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64)))),
    ]);
    place.write_parquet("spine.parquet", &spine.expect("a spine"));
    place
}

/// A server whose temporary files are in a folder of the test's.
fn serve(place: &Hitherto) -> Served {
    let folder = place.path("tmp").display().to_string();
    place.serve_with("", &[("TMPDIR", &folder)])
}

/// What pyarrow got for `command` and a spine, written to `out`.
fn exchange(place: &Hitherto, server: &Served, command: &Value, spine: &str, out: &str) -> Value {
    let at = |name: &str| if name == "-" { name.to_owned() } else { place.path(name).display().to_string() };
    let asked = json!({"training_set": command}).to_string();
    python("flight_training_set.py", &["exchange", &server.grpc, &asked, &at(spine), &at(out)])
}

/// The names of the files in `folder`.
fn names(place: &Hitherto, folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(place.path(folder)) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn its_bytes_and_its_id_are_those_of_the_command_line() {
    let place = laid_out(2500);
    let server = serve(&place);
    let outlook = json!({"feature_set": "outlook"});
    let came = exchange(&place, &server, &outlook, "spine.parquet", "came.parquet");
    assert_eq!((&came["rows"], &came["progress"]), (&json!(2500), &json!(0)), "{came}");
    let [file]: [_; 1] = names(&place, FILES).try_into().expect("one file");
    let file = place.path(&format!("{FILES}/{file}"));
    let id = came["dataset"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(came["dataset"]["location"], file.display().to_string());
    let shown: Value = serde_json::from_str(&place.ok(&format!("dataset show {id} --output json"))).expect("JSON");
    assert_eq!(came["dataset"], shown, "what comes last is the manifest");
    let fingerprint = shown["spine_fingerprint"].as_str().expect("a fingerprint");
    assert_eq!(shown["spine"], format!("uploaded rows {}", &fingerprint[..12]));
    place.ok(&format!("dataset verify {id}"));
    let rebuilt = place.run(&format!("dataset rebuild {id} --out again.parquet")).expect_code(0);
    assert_eq!(rebuilt.stdout.trim_end(), id);
    assert!(rebuilt.stderr.contains("byte for byte"), "{}", rebuilt.stderr);

    let built = place.ok("training-set --feature-set outlook --spine spine.parquet --out t.parquet");
    assert_eq!(built.trim_end(), id);
    let bytes = |path| fs::read(path).expect("a file");
    assert_eq!(bytes(place.path("t.parquet")), bytes(file.clone()));
    assert_eq!(place.read_parquet("came.parquet").columns(), place.read_parquet("t.parquet").columns());

    // the dataset lies where it was built last, and is the answer from there
    let again = exchange(&place, &server, &outlook, "spine.parquet", "came-again.parquet");
    assert_eq!(again["dataset"]["location"], place.path("t.parquet").display().to_string());
    assert_eq!(bytes(place.path("came-again.parquet")), bytes(place.path("came.parquet")));
    assert_eq!(names(&place, FILES).len(), 1);
    let out = place.path("fetched.parquet").display().to_string();
    let fetched = python("flight_training_set.py", &["fetch", &server.grpc, &id[..10], &out]);
    assert_eq!(fetched["dataset"], again["dataset"]);
    assert_eq!(place.read_parquet("fetched.parquet").columns(), place.read_parquet("t.parquet").columns());
    assert_eq!(names(&place, "tmp"), ["kept"], "nothing stays of the spine");
}

#[test]
fn types_come_back_as_they_went() {
    let place = laid_out(1);
    let server = serve(&place);
    let asked = json!({"training_set": {"feature_set": "outlook"}}).to_string();
    let came = python("flight_training_set.py", &["types", &server.grpc, &asked]);
    let expected = json!({
        "lost": [], "metadata": true, "added": ["gust", "weather__visibility", "is_gusty"], "gust": [31.0, null, null],
    });
    assert_eq!(came, expected);
}

#[test]
fn a_spine_without_rows_gives_a_training_set_without_rows() {
    let place = laid_out(0);
    let server = serve(&place);
    let came = exchange(&place, &server, &json!({"feature_set": "outlook"}), "spine.parquet", "came.parquet");
    assert_eq!((&came["rows"], &came["dataset"]["rows"]), (&json!(0), &json!(0)), "{came}");
    let columns = ["airport", "event_timestamp", "prepaid", "gust", "weather__visibility", "is_gusty"];
    assert_eq!(came["columns"], json!(columns));
}

#[test]
fn a_model_a_query_and_progress() {
    let place = laid_out(2500);
    place.ok("training-set --feature-set outlook --spine spine.parquet --out t.parquet --name first");
    place.ok("model register late --dataset first");
    let server = serve(&place);
    let asked = json!({"model": "late@1", "progress": true, "evidence": true});
    let came = exchange(&place, &server, &asked, "spine.parquet", "came.parquet");
    assert_eq!(came["dataset"]["feature_set"], json!({"name": "outlook", "version": 1}), "{came}");
    assert!(came["progress"].as_u64().expect("a number") > 0, "{came}");
    let query = "SELECT airport, event_timestamp, 1.0 AS prepaid FROM weather ORDER BY _sequence";
    let came = exchange(&place, &server, &json!({"feature_set": "outlook", "spine_sql": query}), "-", "sql.parquet");
    assert_eq!((&came["rows"], &came["dataset"]["spine"]), (&json!(3), &json!(query)), "{came}");
}

#[test]
fn refusals_say_what_is_wrong_and_leave_nothing() {
    let place = laid_out(5);
    let server = serve(&place);
    let refused = |command: Value| {
        let came = exchange(&place, &server, &command, "spine.parquet", "came.parquet");
        came["error"].as_str().unwrap_or_else(|| panic!("it is not refused: {came}")).to_owned()
    };
    let unknown = refused(json!({"feature_set": "outlok"}));
    assert!(unknown.contains("no feature set 'outlok' (did you mean 'outlook'?)"), "{unknown}");
    let lacking = refused(json!({"feature_set": "outlook", "event_timestamp": "event_time"}));
    assert!(lacking.contains("the spine has no column 'event_time'"), "{lacking}");
    assert!(lacking.contains("did you mean 'event_timestamp'?"), "{lacking}");
    let misspelt = refused(json!({"feature_set": "outlook", "mod": "event"}));
    assert!(misspelt.contains("unknown field `mod`"), "{misspelt}");
    let model = refused(json!({"model": "late"}));
    assert!(model.contains("late"), "{model}");
    let file = place.path("spine.parquet").display().to_string();
    let unallowed = refused(json!({"feature_set": "outlook", "spine_url": file}));
    assert!(unallowed.contains("server.allowed_urls"), "{unallowed}");
    let not_json = python(
        "flight_training_set.py",
        &["exchange", &server.grpc, "outlook", &file, &place.path("came.parquet").display().to_string()],
    );
    assert!(not_json["error"].as_str().expect("an error").contains("must be JSON"), "{not_json}");
    assert_eq!((names(&place, FILES), names(&place, "tmp")), (Vec::new(), vec!["kept".to_owned()]));
    assert_eq!(place.ok("dataset list --output json").trim_end(), "[]");
}

#[test]
fn a_client_that_leaves_leaves_no_file_behind() {
    let place = laid_out(200_000);
    let server = serve(&place);
    let spine = place.path("spine.parquet").display().to_string();
    let asked = json!({"training_set": {"feature_set": "outlook", "progress": true}}).to_string();
    let leave = |phase| python("flight_training_set.py", &["leave", &server.grpc, &asked, phase, &spine]);
    let is_tidy = || names(&place, "tmp") == ["kept"];

    assert_eq!(leave("receiving"), json!({"left": true}));
    until("the upload is given up", || {
        let page = server.page("/metrics").1;
        page.lines().any(|line| line.contains("Flight/DoExchange") && line.contains("Cancelled")).then_some(())
    });
    until("nothing stays of the upload", || is_tidy().then_some(()));
    assert_eq!(names(&place, FILES), Vec::<String>::new());

    // whether it leaves before the last row is written or after: a file that is there has a dataset
    assert_eq!(leave("reading"), json!({"left": true}));
    until("no file is there but of datasets", || {
        let listed = place.ok("dataset list --output json");
        let is_listed = |name: &String| name.ends_with(".parquet") && listed.contains(name.as_str());
        (is_tidy() && names(&place, FILES).iter().all(is_listed)).then_some(())
    });
}
