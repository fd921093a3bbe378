//! Answers that go on: they end when their caller's token does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::access::Caller;
use super::layer::tell;
use crate::shared::Shared;

/// The body of an answer. From its second message on, each is given to a caller who would still be let in, and to no other.
///
/// The first is given in any case: what was done for it is done, and whoever asked for one answer has it whole.
pub(super) struct Watched {
    inner: Body,
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    what: &'static str,
    has_begun: bool,
    is_cut: bool,
}

impl Watched {
    pub(super) fn new(inner: Body, shared: Arc<Shared>, caller: Arc<Caller>, what: &'static str) -> Self {
        Self { inner, shared, caller, what, has_begun: false, is_cut: false }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_cut {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        let is_data = frame.as_ref().is_some_and(|frame| frame.as_ref().is_ok_and(Frame::is_data));
        if !is_data {
            return Poll::Ready(frame);
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            return Poll::Ready(frame);
        }
        let Err(refused) = self.shared.access.still_admits(&self.caller) else { return Poll::Ready(frame) };
        tell(&self.shared, &refused, self.what, None);
        self.is_cut = true;
        // whoever made the answer stops
        self.inner = Body::empty();
        let mut trailers = HeaderMap::new();
        // a status that cannot be written leaves a stream without one, which is a failure too
        drop(refused.status(self.what, None).add_header(&mut trailers));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_cut || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
