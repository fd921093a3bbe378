//! An alias's traffic as a running server shares it: by weight, sticky, named in the answer, changed without a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use hitherto_client::{Client, Column, Consumer, Features, GetFeatures};
use hitherto_core::{Alias, Name, Share, Timestamp, Value, ValueType};
use serde_json::Value as Json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::support::Hitherto;
use crate::support::process::{Served, until};

const DEFINITIONS: &str = "\
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: feature_view
name: legs
entity: aircraft
features: {arr_delay: float32, legs_flown: int64}
---
kind: feature_set
name: late
features: [{ref: 'legs:arr_delay', as: late_by}]
---
kind: feature_set
name: tired
features: [legs:legs_flown, {ref: 'legs:legs_flown', as: late_by}]
---
kind: feature_set
name: needy
features: [legs:legs_flown]
request: {fare: float64}
";

/// Model versions `m@1` to `m@3`, which read late, tired and needy, and `m@champion` at the first.
fn trained() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS);
    place.write("legs.csv", "tailnum,event_timestamp,arr_delay,legs_flown\nN1,2013-01-01T10:00:00Z,5,7\n");
    place.ok("apply -f d.yaml");
    place.ok("ingest legs legs.csv --to both");
    for set in ["late", "tired", "needy"] {
        place.ok(&format!("model register m --feature-set {set}"));
    }
    place.ok("model alias m@1 champion");
    place
}

fn json_of(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON: {error}\n{text}"))
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// The champion as it stands with this split, for what it should choose.
fn champion(split: &[(u32, u32)]) -> Alias {
    let split = split.iter().map(|&(version, weight)| Share { version, weight }).collect();
    Alias { split, ..Alias::new(name("m"), name("champion"), 1, Timestamp(0)) }
}

fn wanted(routing_key: String) -> GetFeatures {
    let aircraft = Column::new("tailnum", ValueType::String, vec![Value::String("N1".to_owned())]);
    let model = Consumer::Model("m@champion".parse().expect("a selector"));
    GetFeatures { routing_key: Some(routing_key), ..GetFeatures::new(model, vec![aircraft]) }
}

/// The version that answered, whose columns and values these must be, and no other's.
fn version(found: &Features) -> u32 {
    let pin = found.model.as_ref().expect("a model answered");
    assert_eq!(pin.alias, Some(name("champion")));
    let columns: Vec<(&str, &Value)> =
        found.columns.iter().map(|column| (column.name.as_str(), &column.values[0])).collect();
    let (delay, flown) = (Value::Float32(5.0), Value::Int64(7));
    match pin.version.version {
        1 => assert_eq!(columns, [("late_by", &delay)]),
        2 => assert_eq!(columns, [("legs__legs_flown", &flown), ("late_by", &flown)]),
        other => panic!("version {other} answered"),
    }
    pin.version.version
}

/// Ask without a pause until it is told to stop; how many were answered by each version. A failed request is a panic.
async fn load(client: Client, next: Arc<AtomicU32>, stop: Arc<AtomicBool>) -> BTreeMap<u32, u32> {
    let mut answered = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let session = next.fetch_add(1, Ordering::Relaxed);
        let found = client.get_features(wanted(format!("session {session}"))).await.expect("no request fails");
        *answered.entry(version(&found)).or_default() += 1;
    }
    answered
}

/// Wait until the server shares by `alias`: every one of these keys is answered by the version that it chooses.
fn until_shared(runtime: &Runtime, client: &Client, alias: &Alias) {
    until("the server shares by the new weights", || {
        let follows = (0..40).all(|key| {
            let key = format!("session {key}");
            let chosen = alias.choose(key.as_bytes());
            version(&runtime.block_on(client.get_features(wanted(key))).expect("an answer")) == chosen
        });
        follows.then_some(())
    });
}

fn connect(runtime: &Runtime, served: &Served) -> Client {
    runtime.block_on(Client::connect(&served.grpc)).expect("it answers")
}

/// The metric whose line begins so; 0 where there is none.
fn metric(served: &Served, series: &str) -> u64 {
    let (_, metrics) = served.page("/metrics");
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0)
}

fn answered_by(served: &Served, version: u32) -> u64 {
    let labels = format!("{{model=\"m@{version}\",alias=\"champion\",outcome=\"answered\"}}");
    metric(served, &format!("hitherto_model_requests_total{labels}"))
}

#[test]
fn weights_and_the_champion_change_under_load_without_a_failed_request() {
    let place = trained();
    let served = place.serve("");
    let runtime = Runtime::new().expect("a runtime");
    let client = connect(&runtime, &served);
    let (next, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let loads: Vec<_> =
        (0..4).map(|_| runtime.spawn(load(client.clone(), Arc::clone(&next), Arc::clone(&stop)))).collect();
    for split in [&[(1, 90), (2, 10)][..], &[(1, 50), (2, 50)], &[(2, 100)]] {
        let shares: Vec<String> = split.iter().map(|(version, weight)| format!("{version}={weight}")).collect();
        place.ok(&format!("model traffic m champion --split {}", shares.join(",")));
        until_shared(&runtime, &client, &champion(split));
    }
    place.ok("model traffic m champion --clear");
    until_shared(&runtime, &client, &champion(&[]));
    place.ok("model alias m@2 champion");
    until_shared(&runtime, &client, &champion(&[(2, 1)]));
    stop.store(true, Ordering::Relaxed);
    let mut answered: BTreeMap<u32, u32> = BTreeMap::new();
    for load in loads {
        for (version, count) in runtime.block_on(load).expect("no request fails") {
            *answered.entry(version).or_default() += count;
        }
    }
    assert!(answered[&1] > 100 && answered[&2] > 100, "{answered:?}");
    assert_eq!(answered.len(), 2, "{answered:?}");
    served.terminate();
    assert_eq!(served.end().0, Some(0));
}

#[test]
fn a_canary_takes_a_tenth_of_twenty_thousand_keys() {
    const KEYS: u32 = 20_000;
    let place = trained();
    place.ok("model traffic m champion --split 1=90,2=10");
    let served = place.serve("");
    let runtime = Runtime::new().expect("a runtime");
    let client = connect(&runtime, &served);
    let taken = runtime.block_on(async {
        let mut asking = JoinSet::new();
        for part in 0..8 {
            let client = client.clone();
            asking.spawn(async move {
                let mut taken = 0;
                for key in (part..KEYS).step_by(8) {
                    let found = client.get_features(wanted(format!("N{key}"))).await.expect("an answer");
                    taken += u64::from(version(&found) == 2);
                }
                taken
            });
        }
        asking.join_all().await.into_iter().sum::<u64>()
    });
    assert!((taken as f64 / f64::from(KEYS) - 0.1).abs() < 0.01, "{taken} of {KEYS}");
    assert_eq!((answered_by(&served, 1), answered_by(&served, 2)), (u64::from(KEYS) - taken, taken));
}

#[test]
fn get_asks_by_a_routing_key_here_and_of_a_server() {
    let place = trained();
    place.ok("model traffic m champion --split 1=1,2=1 --shadow 3");
    let served = place.serve("");
    let alias = champion(&[(1, 1), (2, 1)]);
    let mut seen = Vec::new();
    for key in ["a", "b", "c", "d", "e"] {
        let line = format!("get --model m@champion --entity tailnum=N1 --routing-key {key} --output json");
        let found = json_of(&place.ok(&line));
        assert_eq!(found["model"], format!("m@{}", alias.choose(key.as_bytes())), "{key}");
        let remote = json_of(&place.ok(&format!("{line} --server {}", served.grpc)));
        assert_eq!((&remote["model"], &remote["rows"]), (&found["model"], &found["rows"]), "{key}");
        seen.push(alias.choose(key.as_bytes()));
    }
    assert!(seen.contains(&1) && seen.contains(&2), "{seen:?}");
    // without one, by the entity key: the same here and there, whatever else is typed
    for tailnum in ["N1", "N2", "N3", "N4"] {
        let line = format!("get --model m@champion --entity tailnum={tailnum},fare=3 --output json");
        let [found, remote] =
            [line.clone(), format!("{line} --server {}", served.grpc)].map(|line| json_of(&place.ok(&line)));
        let bytes = hitherto_core::EntityKey(vec![hitherto_core::KeyValue::String(tailnum.to_owned())]).to_bytes();
        assert_eq!(found["model"], format!("m@{}", alias.choose(&bytes)), "{tailnum}");
        assert_eq!(remote["model"], found["model"], "{tailnum}");
    }
    let said = place.run("get --model m@champion --entity tailnum=N1 --routing-key a").expect_code(0).stderr;
    assert!(said.starts_with(&format!("m@{}, ", alias.choose(b"a"))), "{said}");
    place.run("get --feature-set late --entity tailnum=N1 --routing-key a").expect_code(2);
    place.run("get --model m@champion --entity tailnum=N1 --routing-key ''").expect_code(2);
    let refused = place.fails("get --model m@champion --entity tailnum=N1,fair=3");
    assert!(refused.contains("'fair' is no entity key or request field of late@1; it has tailnum, fare"), "{refused}");
}

#[test]
fn a_shadow_is_counted_and_changes_no_answer() {
    let place = trained();
    let served = place.serve("");
    let runtime = Runtime::new().expect("a runtime");
    let client = connect(&runtime, &served);
    let ask = || version(&runtime.block_on(client.get_features(wanted("a".to_owned()))).expect("no request fails"));
    let shadows = |version: u32, outcome: &str| {
        let labels = format!("{{model=\"m@{version}\",alias=\"champion\",outcome=\"{outcome}\"}}");
        metric(&served, &format!("hitherto_shadow_requests_total{labels}"))
    };
    place.ok("model traffic m champion --shadow 2");
    until("the shadow reads", || {
        assert_eq!(ask(), 1);
        (shadows(2, "read") > 0).then_some(())
    });
    let values = "hitherto_shadow_values_total{model=\"m@2\",feature=\"late_by\",outcome=\"different\"}";
    until("its values are counted", || (metric(&served, values) == shadows(2, "read")).then_some(()));
    assert_eq!(answered_by(&served, 2), 0);
    // the third needs a field that is not sent
    place.ok("model traffic m champion --shadow 3");
    until("the shadow fails", || {
        assert_eq!(ask(), 1);
        (shadows(3, "failed") > 0).then_some(())
    });
    assert_eq!((shadows(3, "read"), shadows(2, "failed")), (0, 0));
}

#[test]
fn a_model_is_served_what_it_was_trained_on_after_its_view_has_gained_a_version() {
    let place = trained();
    place.write("spine.csv", "tailnum,event_timestamp\nN1,2013-01-02T10:00:00Z\n");
    place.write(
        "set.yaml",
        "kind: feature_set\nname: both\nfeatures: ['legs:*']\ntransforms:\n- {name: ratio, expr: 'legs__arr_delay / legs__legs_flown'}\n",
    );
    place.ok("apply -f set.yaml");
    place.ok("training-set --feature-set both --spine spine.csv --out t.parquet --name first");
    place.ok("model register n --dataset first");
    place.ok("model alias n@1 champion");
    let trained: Vec<(String, ValueType)> = vec![
        ("legs__arr_delay".to_owned(), ValueType::Float32),
        ("legs__legs_flown".to_owned(), ValueType::Int64),
        ("ratio".to_owned(), ValueType::Float32),
    ];
    let schema = place.read_parquet("t.parquet").schema();
    let names: Vec<&str> = schema.fields().iter().skip(2).map(|field| field.name().as_str()).collect();
    assert_eq!(names, trained.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>());

    let served = place.serve("");
    let runtime = Runtime::new().expect("a runtime");
    let client = connect(&runtime, &served);
    let get = || {
        let aircraft = Column::new("tailnum", ValueType::String, vec![Value::String("N1".to_owned())]);
        let model = Consumer::Model("n@champion".parse().expect("a selector"));
        runtime.block_on(client.get_features(GetFeatures::new(model, vec![aircraft]))).expect("an answer")
    };
    // another ttl, another feature in front: legs@2 and both@2
    let wider = DEFINITIONS.replace("features: {arr_delay", "ttl: 1d\nfeatures: {airborne: bool, arr_delay");
    place.write("d.yaml", wider);
    place.ok("apply -f d.yaml -f set.yaml");
    assert!(place.ok("describe feature-set both").contains("both@2"));
    place.write(
        "legs.csv",
        "tailnum,event_timestamp,airborne,arr_delay,legs_flown\nN1,2013-01-03T10:00:00Z,true,12,8\n",
    );
    place.ok("ingest legs legs.csv");
    let found = until("the new row is served", || {
        let found = get();
        (found.columns[0].values == [Value::Float32(12.0)]).then_some(found)
    });
    let columns: Vec<(String, ValueType)> =
        found.columns.iter().map(|column| (column.name.clone(), column.value_type.clone())).collect();
    assert_eq!(columns, trained);
    assert_eq!(found.views[0].view.to_string(), "legs@1");
    assert_eq!(found.feature_set.to_string(), "both@1");
    assert_eq!(found.columns[2].values, [Value::Float32(1.5)]);
}
