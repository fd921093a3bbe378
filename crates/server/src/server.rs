//! A server's life: bind, serve, stop.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use futures::TryStreamExt;
use hitherto_engine::Engine;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::{InterceptorLayer, Routes};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::background::{follow, purge, stopped, watch_certificate, watch_registry, watch_tokens};
use crate::calls::Calls;
use crate::compactions::{compact_quickly, compact_rest};
use crate::connections::{Address, PlainListener, incoming};
use crate::deadline::NoteArrival;
use crate::gathered::Gathered;
use crate::lanes::{self, Elsewhere};
use crate::places::Places;
use crate::readiness::pretended;
use crate::receiving::Receiving;
use crate::shared::Shared;
use crate::tls::{H2, HTTP_1, POSTGRESQL, Tls, TlsListener};
use crate::traces::Traces;
use crate::upkeep::{Upkeep, keep_up};
use crate::{
    Error, Options, Result, auth, flight, http, ingest, models, online_features, postgres, registry, traces,
    training_sets,
};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long requests in flight may take once the server is told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// A connection takes no new calls from then on: its client makes another, perhaps to another server.
const CONNECTION_AGE_MAX: Duration = Duration::from_hours(1);

/// A peer of which nothing came for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// One that has not answered by then is gone.
const KEEPALIVE_ANSWER: Duration = Duration::from_secs(20);

/// Calls of one connection at once. More than are let in and wait by default, so that it is the door that refuses and says why,
/// and not the client's own queue that hides it.
const STREAMS_MAX: u32 = 1024;
/// Bytes of a body that a client may send ahead of whoever reads it.
const WINDOW_BYTES: u32 = 1 << 20;
/// The same of all calls of a connection: a stream that is not read on for a while, or some of them, leave the others room.
const CONNECTION_WINDOW_BYTES: u32 = 8 * WINDOW_BYTES;
/// The smallest that there may be: one frame holds up the others of its connection no longer.
const FRAME_BYTES_MAX: u32 = 16 << 10;
/// A token, a deadline and what tracing adds are some hundred bytes.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// Calls that a client takes back before they are looked at, and those that it makes us take back: with more, its connection ends.
const RESETS_MAX: [usize; 2] = [20, 256];

/// The services of `hitherto.v1`, and Arrow Flight; the empty name stands for the whole server.
const SERVICES: [&str; 7] = [
    "",
    "hitherto.v1.OnlineFeatures",
    "hitherto.v1.Ingest",
    "hitherto.v1.Registry",
    "hitherto.v1.Models",
    "hitherto.v1.TrainingSets",
    "arrow.flight.protocol.FlightService",
];

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    shared: Shared,
    follow: Option<Duration>,
    compact_after: Option<NonZeroUsize>,
    upkeep: Option<Upkeep>,
    grpc: TcpListener,
    http: TcpListener,
    postgres: Option<TcpListener>,
    /// Of gRPC, of HTTP and of PostgreSQL's wire: they agree with their clients on different protocols.
    tls: Option<[Arc<Tls>; 3]>,
    grpc_address: SocketAddr,
    http_address: SocketAddr,
    postgres_address: Option<SocketAddr>,
}

impl Server {
    /// Listen on all addresses; connections wait until [`Server::run`]. See [`Options::check`].
    pub async fn bind(engine: Engine, options: Options) -> Result<Self> {
        options.check()?;
        let places = Places::new(&options.allowed_urls)?;
        places.check_apart(engine.offline(), engine.registry().file()).await?;
        let tls = match &options.tls {
            Some(files) => Some([
                Arc::new(Tls::load(files, H2).await?),
                Arc::new(Tls::load(files, HTTP_1).await?),
                Arc::new(Tls::load(files, POSTGRESQL).await?),
            ]),
            None => None,
        };
        let (grpc, grpc_address) = listen(options.listen, "listen")?;
        let (http, http_address) = listen(options.http, "http")?;
        let (postgres, postgres_address) = match options.postgres {
            Some(address) => listen(address, "postgres").map(|(listener, bound)| (Some(listener), Some(bound)))?,
            None => (None, None),
        };
        let shared = Shared::new(engine, places, &options).await?;
        let Options { follow, compact_after, upkeep, .. } = options;
        Ok(Self {
            shared,
            follow,
            compact_after,
            upkeep,
            grpc,
            http,
            postgres,
            tls,
            grpc_address,
            http_address,
            postgres_address,
        })
    }

    /// The same with credentials and endpoints of object stores, for files of requests outside the offline store's own
    /// bucket.
    pub fn with_store_options(mut self, store_options: HashMap<String, String>) -> Self {
        self.shared.places.set_store_options(store_options);
        self
    }

    /// The same with calls traced, for whoever has a subscriber take their spans.
    pub fn with_traces(mut self, traces: Option<Traces>) -> Self {
        self.shared.traces = traces;
        self
    }

    /// Where gRPC is.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Where health, readiness and metrics are.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where PostgreSQL's protocol is, if it is anywhere.
    pub fn postgres_address(&self) -> Option<SocketAddr> {
        self.postgres_address
    }

    /// Serve until `stopped` completes; then requests in flight finish, within 30 seconds.
    pub async fn run(self, stopped: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let shared = Arc::new(self.shared);
        let clock = shared.engine().clock();
        if clock.is_frozen() {
            tracing::warn!("{}", pretended(clock.now()));
        }
        if shared.access.is_guarded() && shared.access.valid_tokens() == 0 {
            tracing::warn!("nobody can call: there is no token that counts; `hitherto token create` makes one");
        }
        let (stop, stopping) = watch::channel(false);
        let health = HealthReporter::new();
        // of all lanes together: what is on its way to one of them leaves the others less room
        let calls = Receiving::new(calls(&shared, &health)?);
        set_health(&health, ServingStatus::Serving).await;
        let mut tasks = JoinSet::new();
        let [grpc_tls, http_tls, postgres_tls] = self.tls.map_or([None, None, None], |tls| tls.map(Some));
        for tls in [&grpc_tls, &http_tls, &postgres_tls].into_iter().flatten() {
            spawn(&mut tasks, watch_certificate(Arc::clone(tls), stopping.clone()));
        }
        let (for_lanes, until) = (Arc::clone(&shared), stopping.clone());
        tasks.spawn(lanes::run(self.grpc, move |listener| {
            serve_grpc(listener, grpc_tls.clone(), calls.clone(), Arc::clone(&for_lanes), until.clone())
        }));
        spawn(&mut tasks, serve_http(self.http, http_tls, Arc::clone(&shared), stopping.clone()));
        if let Some(listener) = self.postgres {
            tasks.spawn(postgres::serve(listener, postgres_tls, Arc::clone(&shared), stopping.clone()));
        }
        spawn(&mut tasks, watch_registry(Arc::clone(&shared), stopping.clone()));
        spawn(&mut tasks, watch_tokens(Arc::clone(&shared), stopping.clone()));
        spawn(&mut tasks, purge(Arc::clone(&shared), stopping.clone()));
        if let Some(after) = self.compact_after {
            spawn(&mut tasks, compact_quickly(Arc::clone(&shared), after, stopping.clone()));
            spawn(&mut tasks, compact_rest(Arc::clone(&shared), after, stopping.clone()));
        }
        if let Some(upkeep) = self.upkeep {
            spawn(&mut tasks, keep_up(Arc::clone(&shared), upkeep, stopping.clone()));
        }
        if let Some(interval) = self.follow {
            spawn(&mut tasks, follow(Arc::clone(&shared), interval, stopping));
        }
        let outcome = tokio::select! {
            () = stopped => Ok(()),
            // none of them ends by itself but by a failure
            Some(ended) = tasks.join_next() => ended_early(ended),
        };
        tracing::info!("stopping: requests in flight finish");
        set_health(&health, ServingStatus::NotServing).await;
        stop.send_replace(true);
        shared.ending.send_replace(true);
        finish(tasks).await;
        outcome
    }
}

fn listen(address: SocketAddr, setting: &'static str) -> Result<(TcpListener, SocketAddr)> {
    let failed = |source| Error::Listen { address, setting, source };
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    // its connections have it, too: one whose peer is gone without a word ends some time
    socket.set_keepalive(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    let listener = socket.listen(BACKLOG).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn calls(shared: &Arc<Shared>, health: &HealthReporter) -> Result<Calls> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(hitherto_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |source| Error::serve("describe the services", source);
    let health = tonic_health::server::HealthService::from_health_reporter(health.clone());
    // reads are answered where they come, everything else in this runtime
    let here = Handle::current();
    let reads = online_features::service(Arc::clone(shared));
    let routes = Routes::new(reads.clone())
        .add_service(Elsewhere::new(ingest::service(Arc::clone(shared)), &here))
        .add_service(Elsewhere::new(registry::service(Arc::clone(shared)), &here))
        .add_service(Elsewhere::new(models::service(Arc::clone(shared)), &here))
        .add_service(Elsewhere::new(training_sets::service(Arc::clone(shared)), &here))
        .add_service(Elsewhere::new(flight::service(Arc::clone(shared)), &here))
        .add_service(Elsewhere::new(tonic_health::pb::health_server::HealthServer::new(health), &here))
        .add_service(Elsewhere::new(reflection().build_v1().map_err(failed)?, &here))
        .add_service(Elsewhere::new(reflection().build_v1alpha().map_err(failed)?, &here));
    let traces = shared.traces.clone();
    let routes: Routes = match &traces {
        Some(traces) => routes.into_axum_router().layer(from_fn_with_state(traces.clone(), traces::call)).into(),
        None => routes,
    };
    if !shared.access.is_guarded() {
        return Ok(Calls::new(Some(reads), traces, routes));
    }
    // around traces, too: who is not let in fills no queue of spans; around everything that is served here, and around what is not
    let guard = from_fn_with_state(Arc::clone(shared), auth::grpc);
    Ok(Calls::new(None, None, routes.into_axum_router().layer(guard).into()))
}

async fn serve_grpc(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    calls: Receiving<Calls>,
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
) -> Result<()> {
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_ANSWER))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(RESETS_MAX[0]))
        .http2_max_local_error_reset_streams(Some(RESETS_MAX[1]))
        // calls that are under way then finish
        .max_connection_age(CONNECTION_AGE_MAX)
        .layer(InterceptorLayer::new(NoteArrival));
    let served = if let Some(tls) = tls {
        let listener = TlsListener::new(listener, Address::Grpc, tls, shared);
        let connections = incoming(listener).map_ok(Gathered::new);
        server.serve_with_incoming_shutdown(calls, connections, stopped(stopping)).await
    } else {
        let listener = PlainListener::new(listener, Address::Grpc, shared);
        let connections = incoming(listener).map_ok(Gathered::new);
        server.serve_with_incoming_shutdown(calls, connections, stopped(stopping)).await
    };
    served.map_err(|source| Error::serve("serve gRPC", source))
}

async fn serve_http(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
) {
    let pages = http::pages(Arc::clone(&shared));
    if let Some(tls) = tls {
        http::serve(TlsListener::new(listener, Address::Http, tls, shared), pages, stopping).await;
    } else {
        http::serve(PlainListener::new(listener, Address::Http, shared), pages, stopping).await;
    }
}

fn spawn(tasks: &mut JoinSet<Result<()>>, task: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async {
        task.await;
        Ok(())
    });
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in SERVICES {
        health.set_service_status(service, status).await;
    }
}

fn ended_early(ended: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    match ended {
        Ok(Ok(())) => Err(Error::serve("go on serving", "a part of the server ended by itself")),
        Ok(Err(error)) => Err(error),
        Err(error) => Err(Error::serve("go on serving", error)),
    }
}

/// Waits for the tasks, but not for ever.
async fn finish(mut tasks: JoinSet<Result<()>>) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended_at_last(ended) {
                tracing::warn!("{error}");
            }
        }
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("requests were still in flight after {} s; they are cut off", GRACE.as_secs());
        tasks.shutdown().await;
    }
}

fn ended_at_last(ended: Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    ended.map_err(|error| Error::serve("stop", error))?
}
