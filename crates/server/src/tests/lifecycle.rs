//! Binding, the follower, the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hitherto_client::{Column, Destination, Push};
use hitherto_core::{Kind, Span, Timestamp, Value, ValueType};
use hitherto_online::{EmbeddedStore, Reading};
use serde_json::json;
use tokio::net::TcpStream;

use super::fixture::{
    DEFINITIONS, HOUR_US, NOW, engine, engine_over, eventually, of_airports, options, set, start, strings,
};
use super::gate::Gated;
use crate::{Options, Server};

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    for open in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7420"] {
        let address: SocketAddr = open.parse().expect("an address");
        let listen = Options { listen: address, ..options() };
        let http = Options { http: address, ..options() };
        let postgres = Options { postgres: Some(address), ..options() };
        for options in [listen, http, postgres] {
            let error = Server::bind(engine.clone(), options).await.expect_err(open);
            assert_eq!(error.kind(), Kind::InvalidArgument);
            let message = error.to_string();
            assert!(message.contains(open) && message.contains("there is neither TLS nor authentication"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address");
    let error = Server::bind(engine, Options { http: address, ..options() }).await.expect_err("it is taken");
    assert_eq!(error.kind(), Kind::AlreadyExists);
    let message = error.to_string();
    assert!(message.starts_with(&format!("could not listen on {address}: ")), "{message}");
    assert!(message.ends_with("or choose another address with --http or `server.http`"), "{message}");
}

#[tokio::test]
async fn requests_in_flight_finish_after_the_end_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let project = "default".parse().expect("a name");
    let online = EmbeddedStore::open(folder.path().join("online"), &project).expect("an online store");
    let gate = Gated::new(Arc::new(online));
    let engine = engine_over(folder.path(), Arc::clone(&gate) as Arc<dyn hitherto_online::OnlineStore>).await;
    let mut server = start(folder, engine, options()).await;
    server.fill().await;

    let client = server.client.clone();
    let asked = tokio::spawn(async move { client.get_features(of_airports(set("outlook"), &["JFK"])).await });
    gate.arrived.notified().await;
    server.stop();
    // it accepts no more
    eventually(async || TcpStream::connect(server.grpc).await.is_err()).await;
    assert!(!server.task.is_finished(), "it waits for the request");
    gate.open.notify_one();
    let found = asked.await.expect("no panic").expect("the request in flight is answered");
    assert_eq!(found.columns[0].values, [Value::Float64(31.0)]);
    server.task.await.expect("no panic").expect("it ends well");
}

#[tokio::test]
async fn a_store_that_does_not_answer_makes_it_unready() {
    let folder = tempfile::tempdir().expect("a folder");
    let project = "default".parse().expect("a name");
    let online = EmbeddedStore::open(folder.path().join("online"), &project).expect("an online store");
    let gate = Gated::new(Arc::new(online));
    let engine = engine_over(folder.path(), Arc::clone(&gate) as Arc<dyn hitherto_online::OnlineStore>).await;
    let server = start(folder, engine, options()).await;
    assert_eq!(server.page("/readyz").await.0, 200);
    gate.is_down.store(true, Ordering::Relaxed);
    let (status, body) = server.page("/readyz").await;
    let said: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &said["ready"]), (503, &serde_json::Value::Bool(false)));
    assert!(said["online"]["problem"].as_str().is_some_and(|problem| problem.contains("down")), "{body}");
    assert_eq!(server.page("/healthz").await, (200, "ok\n".to_owned()));
    server.end().await;
}

#[tokio::test]
async fn a_follower_that_fails_says_nothing_of_rebuilds_that_it_saw_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let project = "default".parse().expect("a name");
    let online = EmbeddedStore::open(folder.path().join("online"), &project).expect("an online store");
    let gate = Gated::new(Arc::new(online));
    let engine = engine_over(folder.path(), Arc::clone(&gate) as Arc<dyn hitherto_online::OnlineStore>).await;
    let follow = Some(Duration::from_millis(10));
    let server = start(folder, engine, Options { follow, ..options() }).await;
    server.apply(DEFINITIONS).await.expect("it applies");
    let reading = Reading::new("weather-1", Span::ZERO);
    gate.inner.start_generation(&reading, None, NOW).await.expect("an answer").expect("it begins");
    let said = async || {
        let (_, body) = server.page("/readyz").await;
        serde_json::from_str::<serde_json::Value>(&body).expect("JSON")["follower"].clone()
    };
    eventually(async || said().await == json!({"problem": null, "rebuilding": ["weather"]})).await;
    gate.is_down.store(true, Ordering::Relaxed);
    eventually(async || {
        let said = said().await;
        said["problem"].is_string() && said["rebuilding"] == json!([])
    })
    .await;
    gate.is_down.store(false, Ordering::Relaxed);
    eventually(async || said().await == json!({"problem": null, "rebuilding": ["weather"]})).await;
    server.end().await;
}

#[tokio::test]
async fn the_follower_brings_online_what_went_to_history_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let follow = Some(Duration::from_millis(10));
    let server = start(folder, engine, Options { follow, ..options() }).await;
    server.apply(DEFINITIONS).await.expect("it applies");
    let columns = vec![
        strings("airport", &["JFK"]),
        Column::new("event_timestamp", ValueType::Timestamp, vec![Value::Timestamp(Timestamp(NOW.0 - HOUR_US))]),
        Column::new("wind_gust", ValueType::Float64, vec![Value::Float64(12.5)]),
        Column::new("visibility", ValueType::Float64, vec![Value::Null]),
    ];
    let view = "weather".parse().expect("a name");
    let push = Push { view, columns, batch_id: None, destination: Destination::Offline };
    assert_eq!(server.client.push(push).await.expect("pushed").online_rows, 0);
    eventually(async || {
        let found = server.client.get_features(of_airports(set("outlook"), &["JFK"])).await;
        found.is_ok_and(|found| found.columns[0].values == [Value::Float64(12.5)])
    })
    .await;
    eventually(async || {
        let (_, metrics) = server.page("/metrics").await;
        metrics.contains("hitherto_follower_rows_total{view=\"weather\"} 1\n")
            && metrics.contains("hitherto_follower_runs_total{outcome=\"done\"} ")
    })
    .await;
    server.end().await;
}
