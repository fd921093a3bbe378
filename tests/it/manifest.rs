//! Training sets with a manifest, as a user meets them: what it says, when a file is reused, what a rebuild promises.

mod identity;
mod rebuild;
mod splits;

use std::fs::{self, File};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::support::Hitherto;

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
created_timestamp: created
ttl: 40s
features: {v: float64, note: string}
---
kind: feature_view
name: limits
entity: thing
source_delay: 5s
features: {most: int64}
---
kind: feature_set
name: both
features: ['readings:*', 'limits:most']
transforms:
  - {name: share, expr: 'readings__v / limits__most'}
";

const READINGS: &str = "\
k,event_timestamp,created,v,note
1,2024-01-01T00:00:00Z,2024-01-01T00:00:02Z,1.5,a
1,2024-01-01T00:00:30Z,2024-01-01T00:00:31Z,2.5,b
2,2024-01-01T00:00:10Z,2024-01-01T00:00:50Z,4,a
";

const LIMITS: &str = "\
k,event_timestamp,most
1,2024-01-01T00:00:00Z,10
2,2024-01-01T00:00:00Z,20
";

const SPINE: &str = "\
k,event_timestamp,label
1,2024-01-01T00:00:20Z,0
1,2024-01-01T00:00:40Z,1
2,2024-01-01T00:00:40Z,0
2,2024-01-01T00:00:50Z,1
3,2024-01-01T00:00:50Z,1
";

/// Two views with rows, a feature set of both, and a spine.
pub(crate) fn laid_out() -> Hitherto {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    place.write("readings.csv", READINGS).write("limits.csv", LIMITS).write("spine.csv", SPINE);
    place.ok("ingest readings readings.csv");
    place.ok("ingest limits limits.csv");
    place
}

/// The id that `training-set` prints.
pub(crate) fn built(place: &Hitherto, flags: &str) -> String {
    place.ok(&format!("training-set --feature-set both {flags}")).trim_end().to_owned()
}

fn manifest(place: &Hitherto, id: &str) -> Value {
    serde_json::from_str(&place.ok(&format!("dataset show {id} --json"))).expect("JSON")
}

#[test]
fn a_manifest_says_what_decided_and_what_came_of_it() {
    let place = laid_out();
    let flags = "--spine spine.csv --out t.parquet --name first --evidence --tag run=7 --tag code=abc";
    let ran = place.command(&format!("training-set --feature-set both {flags}")).env("USER", "ada").output();
    let ran = crate::support::Ran::of("training-set", ran.expect("it runs")).expect_code(0);
    let id = ran.stdout.trim_end();
    let said = manifest(&place, "first");
    assert_eq!(said["id"], id);
    assert_eq!((&said["format"], &said["mode"], &said["evidence"]), (&json!(1), &json!("knowledge"), &json!(true)));
    let set = place.ok("describe feature-set both --output json");
    let set: Value = serde_json::from_str(&set).expect("JSON");
    assert_eq!(said["feature_set_hash"], set["hash"]);
    assert_eq!(
        said["views"],
        json!([
            {"alias": "readings", "view": {"name": "readings", "version": 1}, "table": "readings-1", "source_delay": 0, "ttl": 40_000_000},
            {"alias": "limits", "view": {"name": "limits", "version": 1}, "table": "limits-1", "source_delay": 5_000_000, "ttl": null},
        ])
    );
    assert_eq!(said["transforms"], json!([{"name": "share", "expr": "readings__v / limits__most"}]));
    assert_eq!((&said["tables"], &said["erasures"]), (&json!({"limits-1": 1, "readings-1": 2}), &json!({})));
    assert_eq!((&said["split"], &said["rows"]), (&Value::Null, &json!(5)));
    let build = &said["build"];
    assert_eq!((&build["actor"], &build["tags"]), (&json!("ada"), &json!({"run": "7", "code": "abc"})));
    assert_eq!(build["engine_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(build["delta_versions"], json!({"limits-1": 0, "readings-1": 0}));
    assert_eq!(build["file_bytes"], fs::metadata(place.path("t.parquet")).expect("the file").len());
    for hash in [&said["spine_fingerprint"], &said["file_hash"], &build["result_fingerprint"]] {
        assert!(hash.as_str().is_some_and(|hash| hash.len() == 64), "{hash}");
    }
    // at 20: v 1.5; at 40: v 2.5; key 2 is known from 50 on, exactly old enough; key 3 is not there
    let profiles = build["profiles"].as_array().expect("profiles");
    let columns: Vec<&str> = profiles.iter().map(|profile| profile["column"].as_str().expect("a name")).collect();
    assert_eq!(columns, ["readings__v", "readings__note", "limits__most", "share"]);
    let v = &profiles[0];
    assert_eq!((&v["count"], &v["nulls"], &v["value_type"]), (&json!(3), &json!(2), &json!("float64")));
    assert_eq!((&v["min"], &v["max"]), (&json!(1.5), &json!(4.0)));
    assert_eq!(v["mean"].as_f64().map(|mean| (mean * 3.0).round()), Some(8.0));
    assert_eq!(v["quantiles"][6], json!({"fraction": 0.5, "value": 2.5}));
    assert_eq!(profiles[1]["top"], json!([{"value": "a", "rows": 2}]));
    assert_eq!((&profiles[2]["nulls"], &profiles[3]["count"]), (&json!(1), &json!(3)));

    let told = place.ok("dataset show first");
    for line in [
        format!("dataset           {id}"),
        "view              readings@1, source delay 0s, ttl 40s, from readings-1".to_owned(),
        "view              limits@1, source delay 5s, no ttl, from limits-1".to_owned(),
        "transform         share = readings__v / limits__most".to_owned(),
        "read              readings-1 up to _sequence 2, 0 erasures".to_owned(),
        "tag               run=7".to_owned(),
        "readings__note  string   3      2                               a (2)".to_owned(),
    ] {
        assert!(told.lines().any(|found| found == line), "no line {line:?} in:\n{told}");
    }

    let footer = ParquetRecordBatchReaderBuilder::try_new(File::open(place.path("t.parquet")).expect("the file"));
    let footer = footer.expect("Parquet").metadata().file_metadata().key_value_metadata().expect("metadata").clone();
    let of = |key: &str| footer.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
    assert_eq!(of("hitherto.dataset").as_deref(), Some(id));
    let deciding: Value = serde_json::from_str(&of("hitherto.deciding").expect("what decides")).expect("JSON");
    assert_eq!(deciding[0], "hitherto dataset 1");
    assert!(deciding.as_array().expect("a list").contains(&said["spine_fingerprint"]), "{deciding}");
}

#[test]
fn the_same_request_gives_the_file_that_is_there() {
    let place = laid_out();
    let line = "training-set --feature-set both --spine spine.csv --out t.parquet";
    let first = place.run(line).expect_code(0);
    assert_eq!(first.stderr, "5 rows in t.parquet\n");
    let written = || fs::metadata(place.path("t.parquet")).expect("the file").modified().expect("a time");
    let (bytes, at) = (fs::read(place.path("t.parquet")).expect("the file"), written());
    let second = place.run(&format!("{line} --name mine --tag run=8")).expect_code(0);
    assert_eq!(second.stdout, first.stdout);
    assert!(second.stderr.starts_with("5 rows in t.parquet: reused as built at 20"), "{}", second.stderr);
    assert!(second.stderr.ends_with("the file is whole; --fresh builds it again\n"), "{}", second.stderr);
    assert_eq!(written(), at, "it was not written again");
    assert_eq!(manifest(&place, "mine")["id"], first.stdout.trim_end(), "but it has a name now");

    let fresh = place.run(&format!("{line} --fresh")).expect_code(0);
    assert_eq!((fresh.stdout, fresh.stderr.as_str()), (first.stdout.clone(), "5 rows in t.parquet\n"));
    assert_eq!(fs::read(place.path("t.parquet")).expect("the file"), bytes);
    // a file that is not whole is no answer, nor is one somewhere else
    for damage in [Some(&bytes[..bytes.len() - 1]), None] {
        match damage {
            Some(damaged) => fs::write(place.path("t.parquet"), damaged).expect("written"),
            None => fs::remove_file(place.path("t.parquet")).expect("removed"),
        }
        assert_eq!(place.run(line).expect_code(0).stderr, "5 rows in t.parquet\n");
        assert_eq!(fs::read(place.path("t.parquet")).expect("the file"), bytes);
    }
    let elsewhere = place.run(&line.replace("t.parquet", "u.parquet")).expect_code(0);
    assert_eq!((elsewhere.stdout, elsewhere.stderr.as_str()), (first.stdout, "5 rows in u.parquet\n"));
    // rows that came since make it another request
    place.write("more.csv", "k,event_timestamp,most\n9,2024-01-01T00:00:00Z,1\n");
    place.ok("ingest limits more.csv");
    assert_eq!(place.run(line).expect_code(0).stderr, "5 rows in t.parquet\n");
}
