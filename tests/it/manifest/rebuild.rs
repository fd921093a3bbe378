//! A training set built again: the same rows whatever happened since, or the name of what is gone.

use std::fs;

use serde_json::Value;

use super::{built, laid_out, manifest};
use crate::support::Hitherto;

/// Late rows, a correction, a tombstone, and all of it rewritten.
fn go_on(place: &Hitherto) {
    place.write(
        "later.csv",
        "k,event_timestamp,created,v,note,_deleted\n\
         1,2024-01-01T00:00:00Z,2024-01-01T00:00:03Z,9,late,false\n\
         1,2024-01-01T00:00:30Z,2024-01-01T00:00:35Z,9,corrected,false\n\
         2,2024-01-01T00:00:10Z,2024-01-01T00:00:50Z,,,true\n",
    );
    place.write("limits.csv", "k,event_timestamp,most\n1,2024-01-01T00:00:10Z,11\n3,2024-01-01T00:00:00Z,30\n");
    place.ok("ingest readings later.csv");
    place.ok("ingest limits limits.csv");
    place.ok("compact --full");
    place.ok("vacuum --retention 0s");
}

/// Rebuild `id`; what is said on stderr.
fn rebuilt(place: &Hitherto, id: &str, flags: &str) -> String {
    let ran = place.run(&format!("dataset rebuild {id} --out again.parquet {flags}")).expect_code(0);
    assert_eq!(ran.stdout.trim_end(), manifest(place, id)["id"], "the same id");
    ran.stderr
}

#[test]
fn it_has_the_same_rows_after_compaction_corrections_and_late_data() {
    let place = laid_out();
    let id = built(&place, "--spine spine.csv --out t.parquet --evidence --name first");
    let first = fs::read(place.path("t.parquet")).expect("the file");
    go_on(&place);
    assert_ne!(built(&place, "--spine spine.csv --out now.parquet --evidence"), id);
    assert_ne!(place.read_parquet("now.parquet"), place.read_parquet("t.parquet"), "today it would be another");
    let said = rebuilt(&place, "first", "");
    assert!(said.starts_with("again.parquet is byte for byte what was built at 20"), "{said}");
    assert_eq!(fs::read(place.path("again.parquet")).expect("the file"), first);
    let again: Value =
        serde_json::from_str(&place.ok("dataset rebuild first --out again.parquet --output json")).expect("JSON");
    let before = manifest(&place, "first");
    assert_eq!(again["build"]["result_fingerprint"], before["build"]["result_fingerprint"]);
    assert_eq!(manifest(&place, "first"), before, "a rebuild leaves the manifest as it was");
}

#[test]
fn a_spine_that_is_gone_or_changed_is_taken_from_the_file_itself() {
    let place = laid_out();
    let line = "--spine spine.csv --out t.parquet --split-keys train=1,test=1 --evidence";
    let id = built(&place, line);
    let queried = built(
        &place,
        "--spine-sql 'select k, event_timestamp, v as before, note from readings order by _sequence' --out q.parquet",
    );
    go_on(&place);
    place.write("spine.csv", "k,event_timestamp,label\n1,2024-01-01T00:00:20Z,7\n");
    let from_itself = |file: &str| format!("the spine's rows were taken from {}\n", place.path(file).display());
    let said = rebuilt(&place, &id, "");
    assert!(said.starts_with(&from_itself("t.parquet")) && said.contains("byte for byte"), "{said}");
    fs::remove_file(place.path("spine.csv")).expect("removed");
    assert!(rebuilt(&place, &id, "").starts_with(&from_itself("t.parquet")));
    // the query gives more rows now than it did: it is asked of those that were there then
    assert!(rebuilt(&place, &queried, "").starts_with("again.parquet is byte for byte what was built"));

    let short = &id[..12];
    place.write("other.csv", "k,event_timestamp,label\n1,2024-01-01T00:00:20Z,7\n");
    let said = place.fails(&format!("dataset rebuild {id} --out none.parquet --spine other.csv"));
    let beginning = format!("error: the spine that dataset {short} was built from is gone (");
    assert!(said.starts_with(&beginning) && said.contains("other.csv: its rows hash to "), "{said}");
    fs::remove_file(place.path("t.parquet")).expect("removed");
    let said = place.fails(&format!("dataset rebuild {id} --out none.parquet"));
    assert!(said.starts_with(&beginning), "{said}");
    for part in ["spine.csv", "t.parquet", "give it with --spine"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!place.path("none.parquet").exists());
    place.write("original.csv", super::SPINE);
    assert!(rebuilt(&place, &id, "--spine original.csv").contains("byte for byte"));
}

#[test]
fn a_query_is_asked_again_of_what_it_saw() {
    let place = laid_out();
    let queries = [
        "select k, event_timestamp, v as before, note from readings order by _sequence",
        "select k, now() as event_timestamp, v as before, note from latest.readings order by k",
        "select k, event_timestamp, most as before from limits for system_time as of now() order by k",
    ];
    let of = |(index, query): (usize, &&str)| {
        let id = built(&place, &format!("--spine-sql \"{query}\" --out q{index}.parquet"));
        (id, fs::read(place.path(&format!("q{index}.parquet"))).expect("the file"))
    };
    let before: Vec<(String, Vec<u8>)> = queries.iter().enumerate().map(of).collect();
    assert_eq!(manifest(&place, &before[0].0)["build"]["spine_views"], serde_json::json!({"readings": 1}));
    go_on(&place);
    // and the view's latest version has no such feature any more
    let readings =
        "kind: feature_view\nname: readings\nentity: thing\ncreated_timestamp: created\nfeatures: {v: float64}\n";
    place.write("less.yaml", readings);
    place.ok("apply -f less.yaml");
    for (index, (id, bytes)) in before.iter().enumerate() {
        fs::remove_file(place.path(&format!("q{index}.parquet"))).expect("removed");
        let said = rebuilt(&place, id, "");
        assert!(said.starts_with("again.parquet is byte for byte what was built at 20"), "{index}: {said}");
        assert_eq!(fs::read(place.path("again.parquet")).expect("the file"), *bytes, "{index}");
    }
    // what it saw and is gone is named
    place.ok("erase readings --entity k=1 --yes");
    let said = place.fails(&format!("dataset rebuild {} --out none.parquet", before[0].0));
    for part in ["its rows hash to ", "an erasure of ", " rows of table readings-1", "give it with --spine"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!place.path("none.parquet").exists());
}

#[test]
fn a_table_that_is_gone_is_named() {
    let place = laid_out();
    let id = built(&place, "--spine spine.csv --out t.parquet");
    fs::remove_dir_all(place.path(".hitherto/offline/limits")).expect("removed");
    assert_eq!(
        place.fails(&format!("dataset rebuild {id} --out none.parquet")),
        format!(
            "error: could not read what dataset {} was built from: table 'limits-1' of limits@1 has no row with _sequence 1 any \
             more: its history was dropped or cut\n",
            &id[..12]
        )
    );
    assert!(!place.path("none.parquet").exists());
}

#[test]
fn rows_that_were_changed_under_it_are_noticed() {
    let place = laid_out();
    let id = built(&place, "--spine spine.csv --out t.parquet");
    // another history of as many rows takes the place of the one that was seen
    fs::remove_dir_all(place.path(".hitherto/offline/limits")).expect("removed");
    place.write("limits.csv", super::LIMITS.replace(",10\n", ",11\n"));
    place.ok("ingest limits limits.csv");
    let ran = place.run(&format!("dataset rebuild {id} --out again.parquet")).expect_code(1);
    assert!(ran.stderr.contains("again.parquet differs from what was built: its fingerprint is "), "{}", ran.stderr);
    assert!(ran.stderr.contains("rows of that history were changed"), "{}", ran.stderr);
}
