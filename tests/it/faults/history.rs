//! A view whose history cannot be read holds no other back.

use std::fs;

use hitherto_online::fixture::RedisServer;
use serde_json::Value;

use super::{KEYS, filled};
use crate::support::Hitherto;

/// A row of the key 7, of a later moment than its first.
const LATER: &str = "k,event_timestamp,version,digest,text\n7,2024-01-02T00:00:00Z,99,1,later\n";

fn versions(place: &Hitherto) -> [Value; 2] {
    let ran = place.ok("--output json get --feature-set one_way --entity k=7");
    let answer: Value = serde_json::from_str(&ran).expect("JSON");
    ["near__version", "far__version"].map(|name| answer["rows"][0]["features"][name]["value"].clone())
}

#[test]
fn a_view_whose_files_are_gone_holds_no_other_back() {
    let redis = RedisServer::start();
    let place = filled(&redis.url(), "1s", KEYS);
    place.write("later.csv", LATER);
    for view in ["near", "far"] {
        place.ok(&format!("ingest {view} later.csv"));
    }
    // by its name it comes first
    let (files, elsewhere) = (place.path(".hitherto/offline/far/far-1/data"), place.path("elsewhere"));
    fs::rename(&files, &elsewhere).expect("there are files");
    let message = place.fails("materialize");
    assert!(message.contains("far-1"), "{message}");
    assert_eq!(versions(&place), [99, 2].map(Value::from));
    fs::rename(&elsewhere, &files).expect("there are files");
    place.ok("materialize");
    assert_eq!(versions(&place), [99, 99].map(Value::from));
}
