//! Two requests differ in what decides values if and only if their ids differ; nothing else changes an id.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use super::{LIMITS, READINGS, SPINE, built, laid_out};
use crate::support::random::Random;
use crate::support::{Hitherto, Ran};

const REQUESTS: usize = 96;

/// What decides values, each a choice of flags; the first is the usual.
const DECIDING: [&[&str]; 5] = [
    &["both", "both_in_short", "both_later", "both_asking", "both_aged", "both_ageless", "both_delayed"],
    &["", "--mode event"],
    &["", "--evidence"],
    &[
        "",
        "--split-keys train=8,validation=1,test=1",
        "--split-keys train=7,validation=2,test=1",
        "--split-keys train=8,validation=1,test=1 --split-by label",
        "--split-time 2024-01-01T00:00:40Z",
        "--split-time 2024-01-01T00:00:40Z --split-gap 1s",
        "--split-time 2024-01-01T00:00:40Z,2024-01-01T00:00:45Z",
    ],
    &["", "--event-timestamp label_time"],
];

/// The rows of spines, each in several files: which file is read decides nothing, which rows are in it does.
const SPINES: [&[&str]; 5] = [
    &["--spine spine.csv", "--spine spine.ndjson", "--spine spine.parquet"],
    &["--spine turned.csv"],
    &["--spine relabelled.csv"],
    &["--spine renamed.csv"],
    &["--spine twice.csv"],
];

/// What decides nothing.
const BESIDES: [&[&str]; 4] = [
    &["", "--name first", "--name second"],
    &["", "--tag run=1", "--tag run=2 --tag code=x"],
    &["", "--memory-limit 512MiB"],
    &["--out t.parquet", "--out u.parquet", "--out t.parquet --fresh"],
];

const MORE_SETS: &str = "
---
kind: feature_set
name: both_in_short
features: ['readings:*', 'limits:most']
---
kind: feature_set
name: same_as_both
features: ['readings:*', 'limits:most']
transforms:
  - {name: share, expr: 'readings__v / limits__most'}
---
kind: feature_set
name: both_later
features: ['readings:*', 'limits:most']
transforms:
  - {name: share, expr: 'readings__v / (limits__most + 0)'}
---
kind: feature_set
name: both_asking
features: ['readings:*', 'limits:most']
request: {label: int64}
transforms:
  - {name: share, expr: 'readings__v / limits__most'}
";

/// Later versions of the same views, each over the table that its first version has; what was applied stays as it is.
const MORE_VIEWS: [&str; 3] = [
    "
kind: feature_view
name: readings
entity: thing
created_timestamp: created
ttl: 41s
features: {v: float64, note: string}
---
kind: feature_view
name: limits
entity: thing
source_delay: 6s
features: {most: int64}
---
kind: feature_set
name: both_aged
features: ['readings@2:*', 'limits@1:most']
transforms:
  - {name: share, expr: 'readings__v / limits__most'}
---
kind: feature_set
name: both_delayed
features: ['readings@1:*', 'limits@2:most']
transforms:
  - {name: share, expr: 'readings__v / limits__most'}
",
    "
kind: feature_view
name: readings
entity: thing
created_timestamp: created
features: {v: float64, note: string}
---
kind: feature_set
name: both_ageless
features: ['readings@3:*', 'limits@1:most']
transforms:
  - {name: share, expr: 'readings__v / limits__most'}
",
    // as the first version reads its table: which version it is decides nothing
    "
kind: feature_view
name: readings
description: in other words, too
entity: thing
created_timestamp: created
ttl: 40s
features: {v: float64, note: string}
---
kind: feature_set
name: both_again
description: a set that is read as the first one
features: ['readings@4:*', 'limits@1:most']
transforms:
  - {name: share, expr: 'readings__v / limits__most'}
",
];

fn prepared() -> Hitherto {
    let place = laid_out();
    place.write("more.yaml", format!("{}{MORE_SETS}", super::DEFINITIONS));
    place.ok("apply -f more.yaml");
    for more in MORE_VIEWS {
        place.write("more.yaml", more);
        place.ok("apply -f more.yaml");
    }
    let mut rows: Vec<String> = SPINE.lines().skip(1).map(|row| format!("{row},2024-01-01T00:00:45Z")).collect();
    let head = "k,event_timestamp,label,label_time";
    let text = |head: &str, rows: &[String]| format!("{head}\n{}\n", rows.join("\n"));
    place.write("spine.csv", text(head, &rows));
    place.write(
        "renamed.csv",
        text("k,event_timestamp,labels,label_time", &rows)
            .replace("labels", "label2,label")
            .replace("Z,0,", "Z,0,0,")
            .replace("Z,1,", "Z,1,1,"),
    );
    place.write("twice.csv", text(head, &[rows.clone(), rows.clone()].concat()));
    let mut lines = String::new();
    for row in &rows {
        let cells: Vec<&str> = row.split(',').collect();
        let [k, t, label, later] = cells[..] else { panic!("four cells: {row}") };
        writeln!(lines, r#"{{"k": {k}, "event_timestamp": "{t}", "label": {label}, "label_time": "{later}"}}"#)
            .expect("memory");
    }
    place.write("spine.ndjson", lines);
    rows[4] = rows[4].replace("Z,1,", "Z,0,");
    place.write("relabelled.csv", text(head, &rows));
    rows[4] = rows[4].replace("Z,0,", "Z,1,");
    rows.swap(0, 1);
    place.write("turned.csv", text(head, &rows));
    // the same rows as Parquet: as a training set's own first columns are written
    built(&place, "--spine spine.csv --out whole.parquet");
    let whole = place.read_parquet("whole.parquet").project(&[0, 1, 2, 3]).expect("the spine's columns");
    place.write_parquet("spine.parquet", &whole);
    place
}

#[test]
fn ids_differ_if_and_only_if_what_decides_values_differs() {
    let place = prepared();
    let random = &mut Random::new(0x1d);
    let mut ids: BTreeMap<Vec<usize>, String> = BTreeMap::new();
    for history in 0..3 {
        for _ in 0..REQUESTS / 3 {
            let (mut deciding, mut flags) = (vec![history], String::new());
            let mut set = "both";
            for (place, choices) in DECIDING.iter().enumerate() {
                // most often the usual, so that requests meet
                let choice = if random.percent(60) { 0 } else { random.below(choices.len() as u64) as usize };
                deciding.push(choice);
                match place {
                    0 => set = choices[choice],
                    _ => write!(flags, " {}", choices[choice]).expect("memory"),
                }
            }
            let spine = if random.percent(60) { 0 } else { random.below(SPINES.len() as u64) as usize };
            deciding.push(spine);
            write!(flags, " {}", random.pick(SPINES[spine])).expect("memory");
            for choices in BESIDES {
                write!(flags, " {}", random.pick(choices)).expect("memory");
            }
            // a set by another name, but with the same hash
            let set = if set == "both" { random.pick(&["both", "both@1", "same_as_both", "both_again"]) } else { set };
            let mut run = place.command(&format!("training-set --feature-set {set}{flags}"));
            let run = run.env("TOKIO_WORKER_THREADS", random.pick(&["1", "2", "5"])).output().expect("it runs");
            let id = Ran::of(&format!("training-set --feature-set {set}{flags}"), run).expect_code(0).stdout;
            let known = ids.entry(deciding.clone()).or_insert_with(|| id.clone());
            assert_eq!(*known, id, "{deciding:?}: --feature-set {set}{flags}");
        }
        let once = built(&place, "--spine spine.csv --out t.parquet");
        place.ok("compact --full");
        assert_eq!(built(&place, "--spine spine.csv --out t.parquet --fresh"), once, "compaction changes no id");
        place.ok("vacuum --retention 0s");
        place
            .write("more.yaml", MORE_VIEWS[2].replace("in other words, too", &format!("told for the {history}. time")));
        place.ok("apply -f more.yaml");
        let told = place.ok("training-set --feature-set both_again --spine spine.csv --out t.parquet --fresh");
        assert_eq!(told.trim_end(), once, "what is said of a view changes no id");
        let (view, rows) = if history == 0 { ("readings", READINGS) } else { ("limits", LIMITS) };
        place.write("again.csv", rows);
        place.ok(&format!("ingest {view} again.csv --batch-id {history}"));
    }
    let mut requests: HashMap<&str, &Vec<usize>> = HashMap::new();
    for (deciding, id) in &ids {
        if let Some(other) = requests.insert(id, deciding) {
            panic!("{deciding:?} and {other:?} have the same id {id}");
        }
    }
    assert!(ids.len() > 25 && ids.len() < REQUESTS, "requests differ, and some meet: {}", ids.len());
}
