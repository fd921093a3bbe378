//! What stands before every method and every page, once callers must show a token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{Extensions, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hitherto_core::Role;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};

use super::methods::{Needs, method, page};
use super::refusal::{Reason, Refused};
use super::stream::Watched;
use crate::shared::Shared;

/// Lets a call of gRPC through to its service, which finds the caller among the request's extensions.
pub(crate) async fn grpc(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let (what, needed) = match method(request.uri().path()) {
        Some((_, Needs::Nothing)) => return next.run(request).await,
        Some((path, Needs::Role(role))) => (path.trim_start_matches('/'), Some(role)),
        None => ("a method that is not known", None),
    };
    let admitted = shared.access.admit(request.headers(), needed.unwrap_or(Role::Reader));
    let admitted = match (admitted, needed) {
        (Ok(caller), None) => Err(Refused::known(Reason::Role, caller)),
        (admitted, _) => admitted,
    };
    match admitted {
        Ok(caller) => {
            request.extensions_mut().insert(Arc::clone(&caller));
            let response = next.run(request).await;
            response.map(|body| Body::new(Watched::new(body, shared, caller, what)))
        }
        Err(refused) => {
            tell(&shared, &refused, what, peer(request.extensions()));
            refused.status(what, needed).into_http()
        }
    }
}

/// Lets a request of HTTP through to its page.
pub(crate) async fn http(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Needs::Role(role) = page(request.uri().path()) else {
        // a token that is shown and does not count is told of, on a page for everybody, too
        if request.headers().contains_key(AUTHORIZATION)
            && let Err(refused) = shared.access.admit(request.headers(), Role::Reader)
        {
            tell(&shared, &refused, "the page", None);
        }
        return next.run(request).await;
    };
    let Err(refused) = shared.access.admit(request.headers(), role) else { return next.run(request).await };
    // what was asked for is the caller's own text: it is not for the log
    let what = "the page";
    tell(&shared, &refused, what, None);
    let text = format!("{}\n", refused.message(what, Some(role)));
    if refused.is_unauthenticated() {
        (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], text).into_response()
    } else {
        (StatusCode::FORBIDDEN, text).into_response()
    }
}

/// Counts a refusal, and logs it while there are not too many.
pub(crate) fn tell(shared: &Shared, refused: &Refused, what: &str, peer: Option<SocketAddr>) {
    shared.metrics.refused(refused.reason);
    let Some(left_out) = shared.access.log_limit.allows() else { return };
    let (token, name) = refused.caller.as_ref().map_or(("", ""), |caller| (caller.id.as_str(), caller.name.as_str()));
    let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
    let more = if left_out > 0 { format!(", and {left_out} more before it") } else { String::new() };
    tracing::warn!(method = what, reason = refused.reason.as_str(), token, name, peer, "a call was refused{more}");
}

/// Where a call comes from.
fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    let plain = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    let of_tls = |info: &TlsConnectInfo<TcpConnectInfo>| info.get_ref().remote_addr();
    plain.or_else(|| extensions.get::<TlsConnectInfo<TcpConnectInfo>>().and_then(of_tls))
}
