//! Where a call goes.

use std::convert::Infallible;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::service::Routes;

use crate::online_features;
use crate::traces::{self, Traces};

/// All services. Reads of features go straight to theirs, where nobody has to show a token first: what finds the others takes
/// as long as a small read does.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    reads: Option<online_features::Service>,
    /// Of those reads; `routes` follow their own.
    traces: Option<Traces>,
    routes: Routes,
}

impl Calls {
    /// By `routes`, which know reads, too; past them those of `reads`.
    pub(crate) fn new(reads: Option<online_features::Service>, traces: Option<Traces>, routes: Routes) -> Self {
        Self { reads, traces, routes: routes.prepare() }
    }
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let reads = self.reads.as_mut().filter(|_| request.uri().path() == online_features::GET_FEATURES);
        let Some(reads) = reads else { return Box::pin(self.routes.call(request)) };
        let Some(call) = self.traces.as_ref().and_then(|traces| traces::begun(traces, &request)) else {
            return reads.call(request);
        };
        let mut reads = reads.clone();
        Box::pin(async move {
            let answered = async { reads.call(request).await.unwrap_or_else(|never| match never {}) };
            Ok(call.follow(answered, Body::new).await)
        })
    }
}
