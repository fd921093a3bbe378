//! Where an erased key could still be read: not in the audit log, not in profiles, and in the registry only as the text of a
//! query, until its training set is forgotten.

use std::fs;

use serde_json::Value as Json;

use super::{SECRET, holding, json, trained};
use crate::support::{Hitherto, python};

/// The tables of the registry that have the key in some row.
fn naming(place: &Hitherto) -> Vec<String> {
    let file = place.path(".hitherto/registry.db").display().to_string();
    let names = python("run_sql.py", &[&file, "select name from sqlite_master where type = 'table' order by name"]);
    let names = names.as_array().expect("rows").iter().map(|row| row[0].as_str().expect("a name").to_owned());
    let names: Vec<String> = names.filter(|name| name != "_sqlx_migrations").collect();
    assert!(["audit", "datasets", "verdicts"].iter().all(|name| names.iter().any(|found| found == name)), "{names:?}");
    let has_key = |name: &String| {
        python("run_sql.py", &[&file, &format!("select * from \"{name}\"")]).to_string().contains(SECRET)
    };
    names.into_iter().filter(has_key).collect()
}

/// The registry's files that have these bytes, free pages and the write-ahead log included.
fn files(place: &Hitherto) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    let entries = fs::read_dir(place.path(".hitherto")).expect("a folder").map(|entry| entry.expect("an entry"));
    let of_registry = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("registry.db"));
    let with_key = of_registry.filter(|entry| has(&fs::read(entry.path()).expect("a file")));
    with_key.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn profiles(place: &Hitherto) -> Vec<Json> {
    let ids = json(place, "dataset list");
    let ids = ids.as_array().expect("training sets").iter().map(|set| set["id"].as_str());
    let ids = ids.map(|id| id.expect("an id").to_owned());
    ids.map(|id| json(place, &format!("dataset show {id}"))["build"]["profiles"].clone()).collect()
}

#[test]
fn no_row_of_audit_log_manifests_and_verdicts_has_the_key() {
    let place = trained();
    place.ok("dataset verify set_with");
    place.ok(&format!("erase legs --entity tailnum={SECRET} --delay 0s --yes"));
    // what it says then has rows, columns and values, and no keys
    let said = place.run("dataset verify set_with").expect_code(1).stdout;
    assert!(said.contains("an erasure of 20"), "{said}");
    place.ok("training-set --feature-set late --spine without.csv --out after.parquet --name set_after");
    assert_eq!(naming(&place), Vec::<String>::new());
    assert_eq!(files(&place), Vec::<String>::new());
    let profiles = profiles(&place);
    assert_eq!(profiles.len(), 4);
    for profile in &profiles {
        assert_eq!(profile[0]["column"], "legs__arr_delay", "no column of the spine has a profile");
        assert!(!profile.to_string().contains(SECRET), "{profile}");
    }
    assert!(!place.ok("audit list --output json").contains(SECRET));
    assert!(holding(&place, SECRET).iter().all(|path| path.contains("/checks/")));
}

#[test]
fn the_text_of_a_query_stays_until_its_training_set_is_forgotten() {
    let place = trained();
    let query = format!("select tailnum, event_timestamp from legs where tailnum = '{SECRET}' order by _sequence");
    place.ok(&format!("training-set --feature-set late --spine-sql \"{query}\" --out q.parquet --name queried"));
    let erased = json(&place, &format!("erase legs --entity tailnum={SECRET} --delay 0s --yes"));
    let id = json(&place, "dataset show queried")["id"].clone();
    let told = erased["datasets"].as_array().expect("training sets").iter().any(|set| set["dataset"] == id);
    assert!(told, "the one whose entry is to be forgotten is named: {erased:#}");
    assert_eq!(naming(&place), ["datasets"], "its manifest says what was asked");
    assert!(!place.ok("audit list --output json").contains(SECRET), "and the audit log does not");
    place.ok("dataset forget queried");
    assert_eq!(naming(&place), Vec::<String>::new());
    place.ok("audit verify");
}
