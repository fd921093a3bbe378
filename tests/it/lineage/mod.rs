//! Lineage as a user meets it: the command, the tables of SQL, the events of runs.

mod events;
mod graph;
mod purged;
mod tables;

use serde_json::Value;

use crate::support::Hitherto;

const DEFINITIONS: &str = "\
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: entity
name: airport
join_keys: {origin: string}
---
kind: feature_view
name: legs
entity: aircraft
description: the last leg
features: {arr_delay: float32, air_time: float32}
---
kind: feature_view
name: weather
entity: airport
source_delay: 10m
ttl: 6h
features:
  wind_gust: {type: float32, description: miles an hour}
  visib: float32
---
kind: feature_set
name: late
features:
  - legs:arr_delay
  - {ref: 'weather:wind_gust', as: gust}
transforms:
  - {name: is_gusty, expr: 'coalesce(gust, 0) > 25'}
---
kind: feature_set
name: clear
features: ['weather:visib']
---
kind: gate
name: careful
model: m
alias: champion
metrics:
- {metric: auc, min: 0.7}
";

const SPINE: &str = "\
tailnum,origin,event_timestamp,label
N1,EWR,2013-01-02T10:00:00Z,1
N2,JFK,2013-01-02T10:00:00Z,0
";

/// When batches are ingested and all else is done, unless a test says otherwise.
const NOON: &str = "2013-01-03T12:00:00Z";

/// Two batches of legs and one of weather; a dataset `first` of the feature set `late`; a third batch of legs; a model version
/// `m@1`, trained on the dataset, which its gate let become the champion.
fn trained() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS);
    place.write("spine.csv", SPINE);
    ok(&place, "apply -f d.yaml");
    ingest(&place, "legs", "monday", &legs(&["N1,2013-01-01T10:00:00Z,5,60"]));
    ingest(&place, "legs", "tuesday", &legs(&["N1,2013-01-01T11:00:00Z,6,61", "N2,2013-01-01T11:00:00Z,7,62"]));
    ingest(&place, "weather", "winter", &weather("EWR,2013-01-02T09:00:00Z,30,10"));
    ok(&place, "training-set --feature-set late --spine spine.csv --out t.parquet --name first");
    ingest(&place, "legs", "wednesday", &legs(&["N2,2013-01-02T11:00:00Z,8,63"]));
    ok(&place, "model register m --dataset first");
    ok(&place, "model evaluate m@1 --metric auc=0.75 --grader human:ada");
    ok(&place, "model evaluate m@1 --metric auc=0.7 --slice carrier=AA --grader human:ada");
    ok(&place, "materialize");
    ok(&place, "model alias m@1 champion");
    place
}

fn ingest(place: &Hitherto, view: &str, batch: &str, rows: &str) {
    place.write("rows.csv", rows);
    ok(place, &format!("ingest {view} rows.csv --batch-id {batch}"));
}

fn legs(rows: &[&str]) -> String {
    format!("tailnum,event_timestamp,arr_delay,air_time\n{}\n", rows.join("\n"))
}

fn weather(row: &str) -> String {
    format!("origin,event_timestamp,wind_gust,visib\n{row}\n")
}

/// Run a command at noon.
fn ok(place: &Hitherto, line: &str) -> String {
    place.ok(&format!("--clock {NOON} {line}"))
}

/// The graph of `lineage` as JSON.
fn lineage(place: &Hitherto, line: &str) -> Value {
    json_of(&place.ok(&format!("lineage {line} --output json")))
}

/// The nodes of one kind, by their names.
fn names(lineage: &Value, kind: &str) -> Vec<String> {
    let nodes = lineage["nodes"].as_array().expect("nodes");
    let nodes = nodes.iter().filter(|node| node["kind"] == kind);
    let mut names: Vec<String> = nodes.map(|node| node["name"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

/// What is told of the only node of a kind with this name.
fn attributes<'a>(lineage: &'a Value, kind: &str, name: &str) -> &'a Value {
    let nodes = lineage["nodes"].as_array().expect("nodes");
    let mut found = nodes.iter().filter(|node| node["kind"] == kind && node["name"] == name);
    let node = found.next().unwrap_or_else(|| panic!("no {kind} {name} in {lineage:#}"));
    assert_eq!(found.next(), None, "each node is told once");
    &node["attributes"]
}

/// The edges of one relation, as `from > to`.
fn edges(lineage: &Value, relation: &str) -> Vec<String> {
    let edges = lineage["edges"].as_array().expect("edges").iter().filter(|edge| edge["relation"] == relation);
    let told = |edge: &Value, end: &str| edge[end].as_str().expect("a name").to_owned();
    let mut told: Vec<String> =
        edges.map(|edge| format!("{} > {}", told(edge, "from_name"), told(edge, "to_name"))).collect();
    told.sort();
    told
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON: {error}\n{text}"))
}

/// The id of the dataset with this name.
fn id_of(place: &Hitherto, name: &str) -> String {
    let dataset = json_of(&place.ok(&format!("dataset show {name} --output json")));
    dataset["id"].as_str().expect("an id").to_owned()
}
