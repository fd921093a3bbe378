//! A server over an engine in a temporary folder, at a frozen clock.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hitherto_client::{Client, Column, Consumer, Definitions, Destination, GetFeatures, Push, Pushed};
use hitherto_core::{NewTables, Timestamp, Value, ValueType};
use hitherto_engine::{Clock, Engine};
use hitherto_offline::OfflineStore;
use hitherto_online::{EmbeddedStore, OnlineStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{Auth, Limits, Options, Server, SqlLimits};

pub(super) const DEFINITIONS: &str = "
kind: entity
name: airport
join_keys: {airport: string}
---
kind: feature_view
name: weather
entity: airport
ttl: 2h
features:
  wind_gust: float64
  visibility: float64
---
kind: feature_set
name: outlook
features:
  - {ref: 'weather:wind_gust', as: gust}
  - weather:visibility
request: {prepaid: float64}
transforms:
  - {name: is_gusty, expr: 'gust > 25'}
";

/// 2013-01-01T12:00:00Z.
pub(super) const NOW: Timestamp = Timestamp(1_357_041_600_000_000);
pub(super) const HOUR_US: i64 = 3_600_000_000;

/// A server that runs until its end is asked for.
pub(super) struct Running {
    pub(super) client: Client,
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    pub(super) task: JoinHandle<crate::Result<()>>,
}

/// The engine at [`NOW`] over a new folder.
pub(super) async fn engine(folder: &Path) -> Engine {
    let project = "default".parse().expect("a name");
    let online = EmbeddedStore::open(folder.join("online"), &project).expect("an online store");
    engine_over(folder, Arc::new(online)).await
}

/// The engine over this online store.
pub(super) async fn engine_over(folder: &Path, online: Arc<dyn OnlineStore>) -> Engine {
    let project = "default".parse().expect("a name");
    let registry = format!("sqlite://{}/registry.db", folder.display());
    let registry = hitherto_registry::open(&registry, &project).await.expect("a registry");
    let offline = format!("file://{}/offline", folder.display());
    let offline = OfflineStore::open(&offline, [("", ""); 0]).expect("an offline store");
    Engine::new(project, registry, offline, Some(online), Clock::Frozen(NOW))
}

pub(super) fn options() -> Options {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    Options {
        listen: free,
        postgres: None,
        http: free,
        follow: None,
        compact_after: None,
        upkeep: None,
        allowed_urls: Vec::new(),
        auth: Auth::None,
        tls: None,
        sql: SqlLimits::default(),
        requests: Limits::REQUESTS,
        pushes: Limits::PUSHES,
        slow_request: None,
        round_trips_max: Options::ROUND_TRIPS_MAX,
        connections_max: Options::CONNECTIONS_MAX,
        postgres_connections_max: Options::POSTGRES_CONNECTIONS_MAX,
    }
}

/// A server with nothing applied.
pub(super) async fn start(folder: TempDir, engine: Engine, options: Options) -> Running {
    let server = Server::bind(engine, options).await.expect("it binds");
    let (grpc, http) = (server.grpc_address(), server.http_address());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(server.run(async move { drop(stopped.await) }));
    let client = Client::connect(&format!("http://{grpc}")).await.expect("it answers");
    Running { client, grpc, http, folder, stop: Some(stop), task }
}

/// A server with definitions applied and three airports' weather pushed to both stores.
pub(super) async fn running() -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let running = start(folder, engine, options()).await;
    running.fill().await;
    running
}

impl Running {
    pub(super) async fn fill(&self) {
        self.apply(DEFINITIONS).await.expect("it applies");
        let pushed = self.push_weather(Some("first")).await.expect("it is pushed");
        assert_eq!((pushed.rows, pushed.online_rows, pushed.already), (3, 3, false));
    }

    pub(super) async fn apply(&self, text: &str) -> hitherto_client::Result<hitherto_client::Planned> {
        let files = vec![("features.yaml".to_owned(), text.to_owned())];
        self.client.apply(Definitions { files, new_tables: NewTables::Refuse }).await
    }

    /// JFK an hour ago, LGA three hours ago (beyond the ttl), EWR an hour ago with a null.
    pub(super) async fn push_weather(&self, batch_id: Option<&str>) -> hitherto_client::Result<Pushed> {
        push_weather(&self.client, batch_id).await
    }

    /// Tells the server to stop; it may go on for a while.
    pub(super) fn stop(&mut self) {
        self.stop.take().expect("it is stopped once").send(()).expect("it runs");
    }

    /// Stops the server and waits for its end.
    pub(super) async fn end(mut self) {
        self.stop();
        self.task.await.expect("no panic").expect("it ends well");
    }

    /// The status line's code and the body of a page.
    pub(super) async fn page(&self, path: &str) -> (u16, String) {
        self.page_with(path, "").await
    }

    /// The same with a token.
    pub(super) async fn page_with(&self, path: &str, token: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).await.expect("it listens");
        let shown = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{shown}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, body.to_owned())
    }
}

/// The same by another client: see [`Running::push_weather`].
pub(super) async fn push_weather(client: &Client, batch_id: Option<&str>) -> hitherto_client::Result<Pushed> {
    client.push(weather(batch_id)).await
}

/// The rows of that push.
pub(super) fn weather(batch_id: Option<&str>) -> Push {
    let ago = |hours: i64| Value::Timestamp(Timestamp(NOW.0 - hours * HOUR_US));
    let columns = vec![
        strings("airport", &["JFK", "LGA", "EWR"]),
        Column::new("event_timestamp", ValueType::Timestamp, vec![ago(1), ago(3), ago(1)]),
        Column::new("wind_gust", ValueType::Float64, vec![Value::Float64(31.0), Value::Float64(9.0), Value::Null]),
        Column::new("visibility", ValueType::Float64, vec![Value::Float64(10.0); 3]),
    ];
    let view = "weather".parse().expect("a name");
    let batch_id = batch_id.map(str::to_owned);
    Push { view, columns, batch_id, destination: Destination::Both }
}

pub(super) fn strings(name: &str, values: &[&str]) -> Column {
    Column::new(name, ValueType::String, values.iter().map(|text| Value::String((*text).to_owned())).collect())
}

/// A read of `consumer` for these airports.
pub(super) fn of_airports(consumer: Consumer, airports: &[&str]) -> GetFeatures {
    let prepaid = Column::new("prepaid", ValueType::Float64, vec![Value::Float64(1.0); airports.len()]);
    GetFeatures { request_fields: vec![prepaid], ..GetFeatures::new(consumer, vec![strings("airport", airports)]) }
}

pub(super) fn set(text: &str) -> Consumer {
    Consumer::FeatureSet(text.parse().expect("a selector"))
}

/// Completes when `done` says so; asks again each time that the runtime has nothing else to do for 5 ms.
pub(super) async fn eventually(mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !done().await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it happens within 20 s");
}
