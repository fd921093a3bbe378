//! Health, readiness and metrics over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use hitherto_core::Role;
use serde_json::json;

use crate::auth;
use crate::readiness::{readiness, view_marks};
use crate::shared::Shared;

const JSON: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];
const PROMETHEUS: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

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
    (PROMETHEUS, shared.metrics.render())
}
