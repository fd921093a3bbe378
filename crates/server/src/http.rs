//! Health, readiness and metrics over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::readiness::{readiness, view_marks};
use crate::shared::Shared;

const JSON: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "application/json")];
const PROMETHEUS: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// The pages.
pub(crate) fn pages(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let found = readiness(&shared).await;
    let status = if found.is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, JSON, format!("{:#}\n", found.body))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    // lag grows while nobody asks for features, so it is looked at anew; a store that does not answer keeps the last
    if let Ok(found) = view_marks(&shared, &shared.snapshot().served).await {
        shared.metrics.lags(&found);
    }
    shared.metrics.load([&shared.reads, &shared.pushes], shared.serving.read_counts());
    (PROMETHEUS, shared.metrics.render())
}
