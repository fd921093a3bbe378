//! The span of a call, from before its service to the end of its answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Request, Response};
use axum::middleware::Next;
use hitherto_core::Name;
use hitherto_online::spans;
use http_body::{Frame, SizeHint};
use opentelemetry::Context as TraceContext;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tracing::field::Empty;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::Traces;
use crate::account::{Account, Phase, Subject};
use crate::auth::method;

const STATUS: &str = "grpc-status";

/// Lets a call through to its service, in a span where it is traced: where its caller traces it, or, if the caller has not
/// decided, where it is drawn. Of any other call no span is made.
pub(crate) async fn call(State(traces): State<Traces>, request: Request<Body>, next: Next) -> Response<Body> {
    match begun(&traces, &request) {
        Some(call) => call.follow(next.run(request), Body::new).await,
        None => next.run(request).await,
    }
}

/// Says in the span of the call that is being worked on, if there is one, who asked and who answers. No key of it.
pub(crate) fn note(account: &Account) {
    let Some(span) = current() else { return };
    let Subject { plan, rows, bytes, .. } = account.subject();
    if let Some(plan) = plan {
        span.record("hitherto.feature_set", plan.feature_set.to_string());
        if let Some(model) = &plan.model {
            span.record("hitherto.model", model.to_string());
        }
    }
    span.record("hitherto.rows", rows as i64).record("hitherto.answer_bytes", bytes as i64);
    span.record("hitherto.queue_us", account.times().of(Phase::Queue).as_micros() as i64);
}

/// Says in that span which view is pushed to.
pub(crate) fn note_view(view: &Name) {
    if let Some(span) = current() {
        span.record("hitherto.view", view.as_str());
    }
}

/// The trace of the call that is being worked on, if it is in one.
pub(crate) fn trace_id() -> Option<String> {
    let context = current()?.context();
    Some(context.span().span_context().trace_id().to_string())
}

fn current() -> Option<Span> {
    let span = Span::current();
    let is_call = span.metadata().is_some_and(|metadata| metadata.target() == spans::CHOSEN);
    is_call.then_some(span)
}

/// The call that `request` begins, if it is traced.
pub(crate) fn begun<B>(traces: &Traces, request: &Request<B>) -> Option<Call> {
    let caller = caller(request.headers());
    let is_traced = match &caller {
        Some(caller) => caller.span().span_context().is_sampled(),
        None => traces.share.draw(),
    };
    if !is_traced {
        return None;
    }
    // what is asked for may be any text: it is told where it is known
    let path = method(request.uri().path()).map_or("unknown", |(path, _)| path.trim_start_matches('/'));
    let (service, method) = path.split_once('/').unwrap_or_default();
    let span = tracing::trace_span!(
        target: spans::CHOSEN,
        parent: None,
        "call",
        otel.name = path,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
        hitherto.feature_set = Empty,
        hitherto.model = Empty,
        hitherto.view = Empty,
        hitherto.rows = Empty,
        hitherto.answer_bytes = Empty,
        hitherto.queue_us = Empty,
    );
    if span.is_disabled() {
        return None;
    }
    if let Some(caller) = caller {
        // it was made a moment ago, so it can be done; if not, the trace begins here
        let _ = span.set_parent(caller);
    }
    Some(Call { span, code: Code::Cancelled })
}

/// What the caller says of its own trace; nothing, if it is not in one or what it says cannot be read.
fn caller(headers: &HeaderMap) -> Option<TraceContext> {
    if !headers.contains_key("traceparent") {
        return None;
    }
    let said = TraceContextPropagator::new().extract_with_context(&TraceContext::new(), &Headers(headers));
    let is_valid = said.span().span_context().is_valid();
    is_valid.then_some(said)
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// A call's span, and how it ended; a caller who leaves before that has cancelled it.
#[derive(Debug)]
pub(crate) struct Call {
    span: Span,
    code: Code,
}

impl Call {
    /// Has it answered by `work`, within its span; `boxed` makes a body of one that is followed.
    pub(crate) async fn follow<B>(
        mut self,
        work: impl Future<Output = Response<B>>,
        boxed: impl FnOnce(Followed<B>) -> B,
    ) -> Response<B> {
        let response = work.instrument(self.span.clone()).await;
        // a call that fails before it has answered anything says so at once
        if self.notes_status(response.headers()) {
            return response;
        }
        response.map(|inner| boxed(Followed { inner, call: self }))
    }

    /// Takes the status from headers or trailers, if they have one.
    fn notes_status(&mut self, headers: &HeaderMap) -> bool {
        let Some(status) = headers.get(STATUS) else { return false };
        self.code = Code::from_bytes(status.as_bytes());
        true
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.span.record("rpc.grpc.status_code", i64::from(self.code as i32));
        if is_fault(self.code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// Whether a code says that the server could not do what it should: what a caller did wrong is no failure of the server.
pub(crate) fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// The body of a traced answer: what makes it is done within the call's span, which ends with it.
#[derive(Debug)]
pub(crate) struct Followed<B> {
    inner: B,
    call: Call,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Followed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { inner, call } = &mut *self;
        let frame = {
            let _entered = call.span.enter();
            ready!(Pin::new(inner).poll_frame(context))
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    call.notes_status(trailers);
                }
            }
            // an answer that breaks off, or ends without a status, is a failure to whoever reads it
            Some(Err(_)) | None if call.code == Code::Cancelled => call.code = Code::Unknown,
            Some(Err(_)) | None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(traceparent: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", axum::http::HeaderValue::from_static(traceparent));
        headers
    }

    #[test]
    fn a_caller_decides_whether_it_is_traced_if_what_it_says_can_be_read() {
        let decided = |text| caller(&headers(text)).map(|caller| caller.span().span_context().is_sampled());
        assert_eq!(decided("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), Some(true));
        assert_eq!(decided("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), Some(false));
        for unreadable in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(decided(unreadable), None, "{unreadable}");
        }
        assert!(caller(&HeaderMap::new()).is_none());
    }

    #[test]
    fn only_what_the_server_could_not_do_is_a_failure_of_its_span() {
        let faults: Vec<Code> = (0..17).map(Code::from).filter(|code| is_fault(*code)).collect();
        let expected = [
            Code::Unknown,
            Code::DeadlineExceeded,
            Code::Unimplemented,
            Code::Internal,
            Code::Unavailable,
            Code::DataLoss,
        ];
        assert_eq!(faults, expected);
    }

    #[test]
    fn the_trace_of_nobody_is_none() {
        assert_eq!(trace_id(), None);
    }
}
