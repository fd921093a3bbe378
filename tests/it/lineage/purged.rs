//! A log that was shortened, because an erasure was purged: what is gone is said, and nothing is claimed in its place.

use serde_json::json;

use super::{attributes, edges, id_of, ingest, legs, lineage, names, ok, trained};

const GONE: &str = "before version 4 the log is gone (an erasure was purged)";

#[test]
fn what_came_before_a_purge_is_not_told_and_said_to_be_gone() {
    let place = trained();
    // at version 3 the rows go, at version 4 they are forgotten
    place.ok("erase legs --entity tailnum=N1 --delay 0s --yes");
    let early = lineage(&place, "first --up");
    assert_eq!(names(&early, "batch"), ["weather-1/0"]);
    let files = names(&early, "data_file");
    assert!(files.len() == 1 && files[0].starts_with("weather/"), "the file of today is none that it read: {files:?}");
    assert_eq!(*attributes(&early, "table", "legs-1"), json!({"view": "legs", "log_begins_at": 4, "gone": GONE}));
    assert_eq!(*attributes(&early, "table", "weather-1"), json!({"view": "weather"}));
    let said = place.fails("lineage monday");
    assert_eq!(said, format!("error: nothing is called 'monday'; of table legs-1, {GONE}\n"));
    let told = ok(&place, "lineage m@1 --up");
    let expected = format!("\n      table legs-1, up to _sequence 2, {GONE}\n");
    assert!(told.contains(&expected), "{told}");

    // what comes after it is told as ever, through a compaction that removes a file nobody knows the origin of
    ingest(&place, "legs", "thursday", &legs(&["N3,2013-01-02T12:00:00Z,9,64"]));
    ok(&place, "training-set --feature-set late --spine spine.csv --out u.parquet --name second");
    place.ok("compact legs --full");
    let second = id_of(&place, "second");
    let late = lineage(&place, "second --up");
    assert_eq!(names(&late, "batch"), ["legs-1/5", "weather-1/0"]);
    let read: Vec<String> = edges(&late, "read_for").into_iter().filter(|edge| edge.starts_with("legs/")).collect();
    assert_eq!(read.len(), 3, "two that the erasure left, and thursday's: {read:?}");
    let old: Vec<String> = names(&late, "data_file")
        .into_iter()
        .filter(|file| attributes(&late, "data_file", file)["is_origin_known"] == false)
        .collect();
    assert_eq!(old.len(), 2);
    for file in &old {
        assert!(read.contains(&format!("{file} > {second}")), "{read:?}");
        assert_eq!(attributes(&late, "data_file", file)["is_current"], false);
    }
    let now = lineage(&place, "legs-1 --up");
    assert_eq!(edges(&now, "part_of").len(), 1);
    assert_eq!(edges(&now, "rewritten_as").len(), 3, "{now:#}");
}
