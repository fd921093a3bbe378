//! An alias's traffic, shared among versions and with a shadow.

use std::sync::Arc;

use hitherto_client::{Consumer, Features, GetFeatures};
use hitherto_core::{EntityKey, KeyValue, Name, Provenance, Share, Timestamp, Traffic, Value, VersionedName};
use hitherto_engine::{Engine, OnRefusal, Registration};
use hitherto_online::{EmbeddedStore, OnlineStore};
use hitherto_registry::Expected;

use super::fixture::{DEFINITIONS, Running, engine, engine_over, eventually, of_airports, options, start};
use super::gate::Gated;

/// What later versions read: other values under a name of the first; and a field that nobody sends.
const LATER: &str = "
kind: feature_set
name: swapped
features: [{ref: 'weather:visibility', as: gust}]
---
kind: feature_set
name: needy
features: ['weather:wind_gust']
request: {fare: float64}
";

/// A server, and the engine that it serves from: `late@1` to `late@4` read outlook, swapped, needy and storm, which is not
/// online; `late@champion` is the first.
struct Served {
    server: Running,
    engine: Engine,
}

async fn served() -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    served_by(engine, folder).await
}

async fn served_by(engine: Engine, folder: tempfile::TempDir) -> Served {
    let server = start(folder, engine.clone(), options()).await;
    server.fill().await;
    server.apply(LATER).await.expect("it applies");
    server.apply(&DEFINITIONS.replace("weather", "wind").replace("outlook", "storm")).await.expect("it applies");
    for set in ["outlook", "swapped", "needy", "storm"] {
        let feature_set = Some(set.parse().expect("a selector"));
        let provenance = Provenance::default();
        let new = Registration { name: name("late"), feature_set, dataset: None, provenance, tags: [].into() };
        engine.register_model(new).await.expect("registers");
    }
    let first = VersionedName { name: name("late"), version: 1 };
    engine.move_alias_if(&first, &name("champion"), Expected::Anything, trial()).await.expect("moves");
    Served { server, engine }
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// Not every version is online.
fn trial() -> OnRefusal {
    OnRefusal::Override("a trial".to_owned())
}

fn champion(airports: &[&str], routing_key: Option<&str>) -> GetFeatures {
    let model = Consumer::Model("late@champion".parse().expect("a selector"));
    GetFeatures { routing_key: routing_key.map(str::to_owned), ..of_airports(model, airports) }
}

impl Served {
    /// Shares the champion's traffic, and waits until the server does as it is told.
    async fn share(&self, split: &[(u32, u32)], shadow: Option<u32>) {
        let split = split.iter().map(|&(version, weight)| Share { version, weight }).collect();
        let (model, alias, traffic) = (name("late"), name("champion"), Traffic { split, shadow });
        let shared = self.engine.set_traffic(&model, &alias, traffic, Expected::Anything, trial()).await;
        shared.expect("shares");
        let revision = self.engine.registry().revision().await.expect("a revision");
        eventually(async || {
            let (_, said) = self.server.page("/readyz").await;
            let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
            said["registry"]["revision"] == revision
        })
        .await;
    }

    async fn get(&self, airports: &[&str], routing_key: Option<&str>) -> Features {
        self.server.client.get_features(champion(airports, routing_key)).await.expect("features")
    }

    /// The metric whose line begins so; 0 where there is none.
    async fn metric(&self, series: &str) -> u64 {
        let (_, metrics) = self.server.page("/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        line.unwrap_or(0)
    }

    async fn shadow_requests(&self, version: u32, outcome: &str) -> u64 {
        let labels = format!("{{model=\"late@{version}\",alias=\"champion\",outcome=\"{outcome}\"}}");
        self.metric(&format!("hitherto_shadow_requests_total{labels}")).await
    }
}

fn version(found: &Features) -> u32 {
    let pin = found.model.as_ref().expect("a model answered");
    assert_eq!((pin.version.name.as_str(), pin.alias.as_ref().map(Name::as_str)), ("late", Some("champion")));
    pin.version.version
}

/// The answer's columns, which are those of one version's set alone.
fn columns(found: &Features) -> Vec<&str> {
    found.columns.iter().map(|column| column.name.as_str()).collect()
}

#[tokio::test]
async fn a_request_is_answered_whole_by_one_version_which_it_names() {
    let served = served().await;
    served.share(&[(1, 1), (2, 1)], None).await;
    let alias = served.engine.registry().aliases(&name("late")).await.expect("aliases").remove(0);
    let mut answered = [0; 2];
    for session in 0..20 {
        let key = format!("session {session}");
        for _ in 0..2 {
            // `prepaid` is sent with each: a caller cannot know which version answers
            let found = served.get(&["JFK", "EWR"], Some(&key)).await;
            assert_eq!(version(&found), alias.choose(key.as_bytes()), "{key}");
            let (set, names): (_, &[&str]) = match version(&found) {
                1 => ("outlook@1", &["gust", "weather__visibility", "is_gusty"]),
                _ => ("swapped@1", &["gust"]),
            };
            assert_eq!((found.feature_set.to_string().as_str(), &*columns(&found)), (set, names));
            let gust = if version(&found) == 1 {
                [Value::Float64(31.0), Value::Null]
            } else {
                [10.0, 10.0].map(Value::Float64)
            };
            assert_eq!(found.columns[0].values, gust);
            answered[version(&found) as usize - 1] += 1;
        }
    }
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
    for (version, count) in [1, 2].into_iter().zip(answered) {
        let labels = format!("{{model=\"late@{version}\",alias=\"champion\",outcome=\"answered\"}}");
        assert_eq!(served.metric(&format!("hitherto_model_requests_total{labels}")).await, count);
        let timed = format!("hitherto_model_read_seconds_count{{model=\"late@{version}\"}}");
        assert_eq!(served.metric(&timed).await, count);
    }
    served.server.end().await;
}

#[tokio::test]
async fn without_a_routing_key_the_first_rows_entity_key_decides() {
    let served = served().await;
    served.share(&[(1, 1), (2, 1)], None).await;
    let alias = served.engine.registry().aliases(&name("late")).await.expect("aliases").remove(0);
    for airport in ["JFK", "LGA", "EWR", "BOS", "ORD", "SFO"] {
        let bytes = EntityKey(vec![KeyValue::String(airport.to_owned())]).to_bytes();
        for others in ["JFK", "LGA"] {
            assert_eq!(version(&served.get(&[airport, others], None).await), alias.choose(&bytes), "{airport}");
        }
    }
    // what is wrong is refused as ever, whoever would have answered
    for key in ["a", "b", "c", "d", "e", "f"] {
        let mut misspelt = champion(&["JFK"], Some(key));
        misspelt.request_fields[0].name = "prepaird".to_owned();
        let error = served.server.client.get_features(misspelt).await.expect_err("no such field");
        assert!(error.to_string().contains("has no request field 'prepaird'"), "{error}");
    }
    served.server.end().await;
}

#[tokio::test]
async fn a_shadow_is_measured_and_not_returned() {
    let served = served().await;
    let before = served.get(&["JFK", "LGA", "EWR"], None).await;
    served.share(&[], Some(2)).await;
    let found = served.get(&["JFK", "LGA", "EWR"], None).await;
    assert_eq!(Features { clock: Timestamp(0), ..found }, Features { clock: Timestamp(0), ..before }, "as without");
    eventually(async || served.shadow_requests(2, "read").await == 1).await;
    let values = async |outcome: &str| {
        let labels = format!("{{model=\"late@2\",feature=\"gust\",outcome=\"{outcome}\"}}");
        served.metric(&format!("hitherto_shadow_values_total{labels}")).await
    };
    // JFK has 31.0 and 10.0, LGA is withheld in both, EWR has a null and 10.0
    assert_eq!((values("different").await, values("same").await), (2, 1));
    assert_eq!(served.metric("hitherto_shadow_read_seconds_count{model=\"late@2\"}").await, 1);
    let (_, metrics) = served.server.page("/metrics").await;
    assert!(!metrics.contains("feature=\"weather__visibility\""), "only what both have is compared");
    assert!(!metrics.contains("hitherto_model_requests_total{model=\"late@2\""), "it answered nobody");
    served.server.end().await;
}

#[tokio::test]
async fn a_shadow_that_fails_fails_nobody_else() {
    let served = served().await;
    served.share(&[(1, 1), (2, 1)], Some(3)).await;
    for key in ["a", "b", "c"] {
        served.get(&["JFK"], Some(key)).await;
    }
    eventually(async || served.shadow_requests(3, "failed").await == 3).await;
    assert_eq!(served.shadow_requests(3, "read").await, 0);
    let codes = "hitherto_grpc_requests_total{method=\"OnlineFeatures/GetFeatures\",code=\"Ok\"}";
    assert_eq!(served.metric(codes).await, 3);
    // an answer by the shadow's own version is not held against itself
    served.share(&[(2, 1)], Some(2)).await;
    assert_eq!(version(&served.get(&["JFK"], None).await), 2);
    served.server.end().await;
}

#[tokio::test]
async fn a_shadow_that_hangs_delays_nobody_and_is_asked_by_so_many_at_most() {
    let folder = tempfile::tempdir().expect("a folder");
    let online = EmbeddedStore::open(folder.path().join("online"), &name("default")).expect("an online store");
    let gate = Gated::of_table(Arc::new(online), "wind");
    let engine = engine_over(folder.path(), Arc::clone(&gate) as Arc<dyn OnlineStore>).await;
    let served = served_by(engine, folder).await;
    served.share(&[], Some(4)).await;
    for _ in 0..67 {
        assert_eq!(version(&served.get(&["JFK"], None).await), 1);
    }
    assert_eq!(served.shadow_requests(4, "dropped").await, 3);
    assert_eq!(served.shadow_requests(4, "failed").await, 0, "64 wait");
    // its view is not online, as they are told once they are let through
    eventually(async || {
        gate.open.notify_waiters();
        served.shadow_requests(4, "failed").await == 64
    })
    .await;
    served.get(&["JFK"], None).await;
    assert_eq!(served.shadow_requests(4, "dropped").await, 3, "there is room again");
    served.server.end().await;
}
