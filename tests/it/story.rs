//! A model's life on the flights out of New York, told once from end to end: first training set, champion, late data, a
//! challenger, a canary, another champion, and an aircraft that is forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use hitherto_client::{Client, Column, Consumer, GetFeatures};
use hitherto_core::{Status, Value, ValueType};
use serde_json::Value as Json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::process::until;
use crate::support::{Hitherto, read_parquet, workspace};

const GATE: &str = "\
kind: gate
name: careful
model: late_flights
alias: champion
dataset: verified
online: {max_lag: 1h}
metrics:
- {metric: auc, min: 0.7}
- {metric: auc, against: champion, min_change: -0.05}
";
/// It flew eleven times in the first fortnight of the spine.
const AIRCRAFT: &str = "N14228";
/// 2013-01-15T00:00:00Z.
const FORTNIGHT: i64 = 1_358_208_000_000_000;
const TRAINING_SET: &str = "training-set --feature-set late_arrival --spine spine.parquet";

fn json(place: &Hitherto, line: &str) -> Json {
    let text = place.ok(&format!("{line} --output json"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: no JSON: {error}\n{text}"))
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_else(|| panic!("no text: {json}"))
}

/// The year's history, and the flights of its first fortnight to be predicted.
fn flights() -> Hitherto {
    let data = workspace::root().join("data/flights");
    let place = Hitherto::new();
    place.write("gate.yaml", GATE);
    place.ok(&format!("apply -f {} -f gate.yaml", data.join("definitions.yaml").display()));
    for view in ["aircraft_last_leg", "origin_hour", "carrier_day", "weather"] {
        place.ok(&format!("ingest {view} {}", data.join(format!("{view}.parquet")).display()));
    }
    place.write_parquet("spine.parquet", &first_fortnight(&read_parquet(&data.join("spine.parquet"))));
    place
}

fn first_fortnight(spine: &RecordBatch) -> RecordBatch {
    let times = spine.column_by_name("event_timestamp").expect("times of prediction");
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let within: BooleanArray = times.iter().map(|time| time.map(|time| time < FORTNIGHT)).collect();
    filter_record_batch(spine, &within).expect("rows of the spine")
}

#[test]
fn from_a_first_training_set_to_an_aircraft_that_is_forgotten() {
    let place = flights();
    let first = a_champion_is_trained_proven_and_moved(&place);
    let second = late_data_change_a_new_set_and_not_the_old_one(&place, &first);
    a_challenger_fails_its_gate_and_passes_when_mended(&place);
    traffic_is_shared_and_the_champion_changes_under_load(&place);
    an_aircraft_is_forgotten(&place, &first, &second);
    tampering_is_found_and_named(&place);
}

fn a_champion_is_trained_proven_and_moved(place: &Hitherto) -> Json {
    place.ok(&format!("{TRAINING_SET} --out first.parquet --name first --tag run=1"));
    let proven = place.ok("dataset verify first");
    assert!(proven.ends_with("and each cell is what was known then\n"), "{proven}");
    place.ok("model register late_flights --dataset first --run mlflow=a1 --code-version 1f2e3d");
    place.ok("model evaluate late_flights@1 --metric auc=0.71 --dataset first --grader code:eval@1");
    place.ok("materialize");
    assert_eq!(place.ok("model alias late_flights@1 champion"), "late_flights@champion -> late_flights@1\n");
    json(place, "dataset show first")
}

fn late_data_change_a_new_set_and_not_the_old_one(place: &Hitherto, first: &Json) -> Json {
    let heading = "tailnum,event_timestamp,created_timestamp,dep_delay,arr_delay,air_time,distance";
    // a leg that is told late, and a correction of one that was known
    let last = place.ok(&format!(
        "sql \"select cast(event_timestamp as varchar) as t from aircraft_last_leg where tailnum = '{AIRCRAFT}' \
         and event_timestamp < timestamp '2013-01-08' order by event_timestamp desc limit 1\" --format csv"
    ));
    let event = last.lines().nth(1).expect("it flew").trim_matches('"');
    let event = if event.ends_with('Z') { event.to_owned() } else { format!("{event}Z") };
    place.write(
        "late.csv",
        format!(
            "{heading}\n{AIRCRAFT},2013-01-02T00:00:00Z,2013-01-02T03:00:00Z,999,999,1,1\n\
             {AIRCRAFT},{event},2013-01-08T12:00:00Z,-7,-77,1,1\n"
        ),
    );
    let late = place.run("ingest aircraft_last_leg late.csv").expect_code(0);
    assert!(late.stderr.contains("2 rows were available before now"), "{}", late.stderr);

    place.ok("dataset rebuild first --out rebuilt.parquet");
    let bytes = |name: &str| fs::read(place.path(name)).expect("a file");
    assert!(bytes("rebuilt.parquet") == bytes("first.parquet"), "the old set is what it was");
    place.ok(&format!("{TRAINING_SET} --out second.parquet --name second"));
    let second = json(place, "dataset show second");
    assert_ne!(second["id"], first["id"]);
    assert_ne!(second["build"]["result_fingerprint"], first["build"]["result_fingerprint"]);
    assert_eq!(second["spine_fingerprint"], first["spine_fingerprint"]);
    second
}

fn a_challenger_fails_its_gate_and_passes_when_mended(place: &Hitherto) {
    place.ok("model register late_flights --dataset second");
    place.ok("model evaluate late_flights@2 --metric auc=0.705 --dataset second --grader code:eval@1");
    place.ok("model evaluate late_flights@2 --metric auc=0.69 --dataset second --grader code:eval@2");
    place.ok("materialize");
    let refused = place.fails("model alias late_flights@2 challenger --expected 9");
    assert!(refused.contains("challenger"), "{refused}");
    let refused = place.fails("model alias late_flights@2 champion");
    assert!(refused.contains("\n  the dataset is verified: nobody has verified the file of dataset "), "{refused}");
    assert!(refused.contains("\n  auc is at least 0.7: 0.69\n"), "{refused}");
    let reasons = refused.lines().filter(|line| line.starts_with("  ")).count();
    assert_eq!(reasons, 2, "{refused}");
    // another grader had it wrong; and somebody looks at the file
    place.ok("model evaluate late_flights@2 --metric auc=0.704 --dataset second --grader human:ada");
    let refused = place.fails("model traffic late_flights champion --split 1=90,2=10");
    assert!(refused.contains("nobody has verified the file of dataset "), "{refused}");
    place.ok("dataset verify second");
    place.ok("model check late_flights@2 --alias champion");
    place.ok("model alias late_flights@2 challenger");
}

fn traffic_is_shared_and_the_champion_changes_under_load(place: &Hitherto) {
    place.ok("model traffic late_flights champion --split 1=90,2=10");
    let served = place.serve("");
    let runtime = Runtime::new().expect("a runtime");
    let client = runtime.block_on(Client::connect(&served.grpc)).expect("it answers");
    let taken = runtime.block_on(answered(&client, 20_000));
    let share = f64::from(taken[&2]) / 20_000.0;
    assert!((share - 0.1).abs() < 0.01 && taken[&1] + taken[&2] == 20_000, "{taken:?}");

    let (next, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let loads: Vec<_> = (0..4)
        .map(|_| {
            let (client, next, stop) = (client.clone(), Arc::clone(&next), Arc::clone(&stop));
            runtime.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    ask(&client, &format!("session {}", next.fetch_add(1, Ordering::Relaxed))).await;
                }
            })
        })
        .collect();
    place.ok("model alias late_flights@2 champion");
    until("all are answered by the new champion", || {
        let found = runtime.block_on(answered(&client, 50));
        (found.get(&2) == Some(&50)).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        runtime.block_on(load).expect("no request fails");
    }
    assert!(next.load(Ordering::Relaxed) > 100, "there was a load");
    served.terminate();
    assert_eq!(served.end().0, Some(0));
}

/// How many of so many sessions each version answers.
async fn answered(client: &Client, sessions: u32) -> BTreeMap<u32, u32> {
    let mut asking = JoinSet::new();
    for part in 0..8 {
        let client = client.clone();
        asking.spawn(async move {
            let mut versions = Vec::new();
            for session in (part..sessions).step_by(8) {
                versions.push(ask(&client, &format!("N{session}")).await);
            }
            versions
        });
    }
    let mut answered = BTreeMap::new();
    for version in asking.join_all().await.into_iter().flatten() {
        *answered.entry(version).or_default() += 1;
    }
    answered
}

/// The version that answered, whose answer has the columns that it was trained on.
async fn ask(client: &Client, session: &str) -> u32 {
    let key = |name: &str, value: &str| Column::new(name, ValueType::String, vec![Value::String(value.to_owned())]);
    let entity = vec![key("tailnum", AIRCRAFT), key("origin", "EWR"), key("carrier", "UA")];
    let model = Consumer::Model("late_flights@champion".parse().expect("a selector"));
    let wanted = GetFeatures { routing_key: Some(session.to_owned()), ..GetFeatures::new(model, entity) };
    let found = client.get_features(wanted).await.expect("no request fails");
    assert_eq!(found.columns.len(), 14);
    assert_eq!(found.columns[0].name, "aircraft_last_leg__arr_delay");
    assert_eq!(found.columns[0].statuses, [Status::Present]);
    found.model.expect("a model answered").version.version
}

fn an_aircraft_is_forgotten(place: &Hitherto, first: &Json, second: &Json) {
    let erased = json(place, &format!("erase aircraft_last_leg --entity tailnum={AIRCRAFT} --yes --delay 0s"));
    let told = erased["datasets"].as_array().expect("training sets");
    let expected = [(first, "late_flights@1"), (second, "late_flights@2")];
    assert_eq!(told.len(), expected.len(), "{erased}");
    for (told, (dataset, model)) in told.iter().zip(expected) {
        assert_eq!((&told["dataset"], &told["models"][0]), (&dataset["id"], &Json::from(model)));
        assert!(told["rows"].as_u64() > Some(0) && told["rows_with_values"].as_u64() > Some(0), "{told}");
    }
    assert_eq!(erased["online"][0]["held"], true);
    let served = place.serve("");
    let line = "get --model late_flights@champion --entity";
    let ask = format!("{line} tailnum={AIRCRAFT},origin=EWR,carrier=UA --server {}", served.grpc);
    let found = json(place, &ask);
    assert_eq!(found["rows"][0]["features"]["aircraft_last_leg__arr_delay"]["status"], "NOT_FOUND");
    assert_eq!(found["model"], "late_flights@2");
    // what held it can be built no more, and says why
    let gone = place.fails("dataset rebuild first --out gone.parquet");
    assert!(gone.contains("an erasure of 20") && gone.contains("of table aircraft_last_leg-1"), "{gone}");
    // whoever asks now gets a set without it, which is proven like any other
    place.ok(&format!("{TRAINING_SET} --out third.parquet --name third"));
    let third = json(place, "dataset show third");
    assert_eq!(third["erasures"]["aircraft_last_leg-1"][0], erased["id"]);
    place.ok("dataset verify third");
    place.ok("audit verify --history");
    assert!(!place.ok("audit list --output json").contains(AIRCRAFT));
}

/// One byte of a training set, and of a file of history.
fn tampering_is_found_and_named(place: &Hitherto) {
    let flip = |path: &std::path::Path| {
        let mut bytes = fs::read(path).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("a file");
    };
    flip(&place.path("third.parquet"));
    let said = place.run("dataset verify third").expect_code(1).stdout;
    assert!(said.contains("fault: the file is not the one that was written"), "{said}");
    let id = json(place, "dataset show third");
    let folder = place.path(".hitherto/offline/aircraft_last_leg/aircraft_last_leg-1/data");
    let file = fs::read_dir(&folder).expect("files").next().expect("one").expect("an entry").path();
    flip(&file);
    let said = place.run("audit verify --history").expect_code(1);
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let all = format!("{}{}", said.stdout, said.stderr);
    assert!(all.contains(&name) && all.contains("was changed"), "{} {all}", text(&id["id"]));
}
