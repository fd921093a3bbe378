//! Health, readiness and metrics over HTTP/1.
//!
//! Whoever can connect can ask for a page, so a connection has little time: for its headers, for its next request, and in all.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use hitherto_core::Role;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::auth;
use crate::background::stopped;
use crate::connections::Accept;
use crate::readiness::{readiness, view_marks};
use crate::shared::Shared;

const JSON: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];
const PROMETHEUS: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// A request's headers, with what goes before them: a probe's are some hundred bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// What is read of a connection before somebody wants it.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// How long a connection of the pages may take.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// To the end of a request's headers, from the connection's begin or from the answer before.
    headers: Duration,
    /// Until it takes no further request.
    age: Duration,
    /// To the end of the last answer from then on.
    grace: Duration,
}

/// Scrapers that ask every quarter of a minute keep their connection, others make a new one.
const TIMES: Times =
    Times { headers: Duration::from_secs(20), age: Duration::from_mins(5), grace: Duration::from_secs(20) };

/// Answers connections until told to stop, and those that are open then to their end.
pub(crate) async fn serve(mut listener: impl Accept, pages: Router, stopping: watch::Receiver<bool>) {
    let mut open = JoinSet::new();
    let mut stop = pin!(stopped(stopping.clone()));
    loop {
        tokio::select! {
            () = &mut stop => break,
            connection = listener.accept() => {
                open.spawn(serve_one(connection, pages.clone(), TIMES, stopping.clone()));
            }
            Some(_) = open.join_next() => {}
        }
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// One connection, to its end or until its time is over.
async fn serve_one<IO>(io: IO, pages: Router, times: Times, stopping: watch::Receiver<bool>)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.headers)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(pages));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stopped(stopping) => None,
        () = tokio::time::sleep(times.age) => None,
    };
    let ended = if let Some(ended) = ended {
        Ok(ended)
    } else {
        connection.as_mut().graceful_shutdown();
        // a client that does not read its answer would hold it for ever
        tokio::time::timeout(times.grace, connection).await
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection of the pages failed: {error}"),
        Err(_) => tracing::debug!("a connection of the pages was cut off: it was over its time"),
    }
}

/// The pages.
pub(crate) fn pages(shared: Arc<Shared>) -> Router {
    let pages: Router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(&shared));
    if shared.access.is_guarded() { pages.layer(from_fn_with_state(shared, auth::http)) } else { pages }
}

async fn readyz(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> impl IntoResponse {
    // a probe has no token and needs the status alone; what views there are and where stores lie is for readers
    let is_open = !shared.access.is_guarded() || shared.access.admit(&headers, Role::Reader).is_ok();
    let (is_ready, body) = if is_open {
        let found = readiness(&shared).await;
        (found.is_ready, found.body)
    } else {
        let is_ready = shared.lately_ready.get(async { readiness(&shared).await.is_ready }).await;
        (is_ready, json!({ "ready": is_ready }))
    };
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, JSON, format!("{body:#}\n"))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    // lag grows while nobody asks for features, so it is looked at anew; a store that does not answer keeps the last
    if let Ok(found) = view_marks(&shared, &shared.snapshot().served).await {
        shared.metrics.lags(&found);
    }
    shared.metrics.load([&shared.reads, &shared.pushes], shared.serving.read_counts());
    if let Some(traces) = &shared.traces {
        shared.metrics.spans(&traces.counts);
    }
    shared.metrics.connections(shared.all_connections());
    (PROMETHEUS, shared.metrics.render())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::JoinHandle;

    use super::*;

    const SHORT: Times =
        Times { headers: Duration::from_millis(30), age: Duration::from_hours(1), grace: Duration::from_millis(30) };
    const REQUEST: &[u8] = b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n";

    /// A client's end of a connection that takes `bytes` before they are read, and the other end's task.
    fn connected(times: Times, bytes: usize) -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
        let pages = Router::new().route("/long", get(async || "x".repeat(1 << 20)));
        let (client, server) = tokio::io::duplex(bytes);
        let (stop, stopping) = watch::channel(false);
        (client, tokio::spawn(serve_one(server, pages, times, stopping)), stop)
    }

    #[tokio::test]
    async fn headers_that_do_not_end_and_requests_that_do_not_come_end_a_connection() {
        let (mut client, task, _stop) = connected(SHORT, 4 << 20);
        client.write_all(b"GET /long HTTP/1.1\r\nx-a: ").await.expect("it is taken");
        task.await.expect("it ends by itself");

        let (mut client, task, _stop) = connected(SHORT, 4 << 20);
        client.write_all(REQUEST).await.expect("it is taken");
        task.await.expect("it ends by itself, after its answer");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("xxx"), "{} bytes", answer.len());
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_ends_with_its_time() {
        let times = Times { headers: Duration::from_hours(1), age: Duration::from_millis(30), ..SHORT };
        let (mut client, task, _stop) = connected(times, 100);
        client.write_all(REQUEST).await.expect("it is taken");
        task.await.expect("it is cut off");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("what was sent");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{answer:?}");
        assert!(answer.len() < 1 << 20, "{} bytes", answer.len());
    }

    #[tokio::test]
    async fn headers_beyond_their_limit_are_refused() {
        let times = Times { headers: Duration::from_hours(1), ..SHORT };
        let (mut client, task, _stop) = connected(times, 4 << 20);
        let request = format!("GET /long HTTP/1.1\r\nx-a: {}\r\n\r\n", "a".repeat(HEADER_BYTES_MAX));
        client.write_all(request.as_bytes()).await.expect("it is taken");
        task.await.expect("it ends");
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}
