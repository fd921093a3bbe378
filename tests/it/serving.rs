//! What a server's settings do to its requests, through the binary.

use serde_json::Value;

use crate::support::Hitherto;

const DEFINITIONS: &str = "
kind: entity
name: person
join_keys: {person: string}
---
kind: feature_view
name: visits
entity: person
features: {count: int64}
---
kind: feature_set
name: latest
features: ['visits:*']
";

/// Nobody but those who ask may read that.
const KEY: &str = "ada.lovelace";

fn filled(settings: &str) -> Hitherto {
    let place = Hitherto::new();
    place.write("hitherto.toml", format!("[server]\n{settings}\n")).write("definitions.yaml", DEFINITIONS);
    place.write("visits.csv", format!("person,event_timestamp,count\n{KEY},2024-01-01T00:00:00Z,7\n"));
    place.ok("apply -f definitions.yaml");
    place.ok("ingest visits visits.csv --to both");
    place
}

fn count(place: &Hitherto, server: &str) -> Value {
    let ran = place.ok(&format!("--output json get --feature-set latest --entity person={KEY} --server {server}"));
    let answer: Value = serde_json::from_str(&ran).expect("JSON");
    answer["rows"][0]["features"]["visits__count"]["value"].clone()
}

#[test]
fn slow_requests_are_logged_with_where_their_time_went_and_without_keys() {
    let place = filled("slow_request = \"1us\"");
    let server = place.serve("");
    assert_eq!(count(&place, &server.grpc), 7);
    server.terminate();
    let (code, said) = server.end();
    assert_eq!(code, Some(0));
    let line = said.lines().find(|line| line.contains("slow request: ")).unwrap_or_else(|| panic!("none in {said}"));
    for part in [
        "method=\"OnlineFeatures/GetFeatures\"",
        "code=Ok",
        "consumer=\"feature set latest\"",
        "feature_set=\"latest@1\"",
        "rows=1",
        "queue_us=0",
        "own_us=",
        "store_us=",
    ] {
        assert!(line.contains(part), "no {part} in: {line}");
    }
    assert!(!said.contains(KEY), "{said}");
    // without the setting there is no such line
    let place = filled("");
    let server = place.serve("");
    assert_eq!(count(&place, &server.grpc), 7);
    server.terminate();
    let (_, said) = server.end();
    assert!(!said.contains("slow request"), "{said}");
}
