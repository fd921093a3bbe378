//! SQL as an analyst meets it: what is there, questions about time, and that nothing can be written or read besides.

mod files;
mod logic;

use crate::support::Hitherto;

const DEFINITIONS: &str = "\
kind: entity
name: tank
join_keys: {k: int64}
---
kind: feature_view
name: gauge
entity: tank
created_timestamp: created_timestamp
ttl: 10s
description: what the gauge of a tank shows
features: {value: {type: int64, description: litres}}
---
kind: feature_set
name: seen
features: ['gauge:value']
request: {factor: int64}
transforms: [{name: twice, expr: 'gauge__value * factor'}]
";

/// The contract's example, as far as it was ingested at half a minute, and a second tank.
const FIRST: &str = "\
k,event_timestamp,created_timestamp,value,_deleted
7,2024-01-01T00:00:00Z,2024-01-01T00:00:00Z,1,false
7,2024-01-01T00:00:05Z,2024-01-01T00:00:08Z,2,false
8,2024-01-01T00:00:09Z,2024-01-01T00:00:09Z,5,false
";

/// A correction, a late row, a tombstone, and a row without a value: ingested at a minute.
const SECOND: &str = "\
k,event_timestamp,created_timestamp,value,_deleted
7,2024-01-01T00:00:05Z,2024-01-01T00:00:12Z,3,false
7,2024-01-01T00:00:03Z,2024-01-01T00:00:20Z,9,false
8,2024-01-01T00:00:11Z,2024-01-01T00:00:11Z,,true
9,2024-01-01T00:00:10Z,2024-01-01T00:00:10Z,,false
";

const SPINE: &str = "\
k,event_timestamp,factor,label
7,2024-01-01T00:00:08Z,2,a
8,2024-01-01T00:00:10Z,3,b
";

/// Two batches of a gauge, and a training set `first` of them in `t.parquet`.
fn gauged() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS).write("first.csv", FIRST).write("second.csv", SECOND).write("spine.csv", SPINE);
    place.ok("apply -f d.yaml");
    place.ok("--clock 2024-01-01T00:00:30Z ingest gauge first.csv");
    place.ok("--clock 2024-01-01T00:01:00Z ingest gauge second.csv");
    place.ok("training-set --feature-set seen --spine spine.csv --out t.parquet --name first");
    place
}
