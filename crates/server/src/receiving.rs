//! Messages while they come. Nobody is let in by its kind of work before its message is whole, and what has come of it takes memory
//! already: so much for all that are on their way, and none that stops half-way.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use hitherto_core::Kind;
use hitherto_proto::Failure;
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::Request;

use crate::answer::Refusal;

/// A client that sends nothing of its message for so long has given it up.
const STALLED: Duration = Duration::from_secs(30);
/// Uploads have limits of their own: most of what comes of them has gone on to a disk.
const UPLOAD: &str = "/arrow.flight.protocol.FlightService/DoExchange";
/// A client of reflection may ask its next question whenever somebody types it.
const REFLECTION: &str = "/grpc.reflection.";

/// The service behind it, and the bytes of all messages that are on their way to it.
#[derive(Clone, Debug)]
pub(crate) struct Receiving<S> {
    inner: S,
    limits: Limits,
    bytes: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes: usize,
    stalled: Duration,
}

/// Sixteen of the largest messages that there may be, and many thousands of usual ones.
const LIMITS: Limits = Limits { bytes: 1 << 30, stalled: STALLED };

impl<S> Receiving<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, limits: LIMITS, bytes: Arc::default() }
    }
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Receiving<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let path = request.uri().path();
        if path == UPLOAD || path.starts_with(REFLECTION) {
            return self.inner.call(request);
        }
        let (limits, all) = (self.limits, Arc::clone(&self.bytes));
        self.inner.call(request.map(|inner| Body::new(Coming { inner, limits, all, own: 0, stalled: None })))
    }
}

/// The body of a request, until its message is read or given up.
struct Coming {
    inner: Body,
    limits: Limits,
    /// Of all requests.
    all: Arc<AtomicUsize>,
    /// Of this one.
    own: usize,
    /// There while nothing comes.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let time = this.limits.stalled;
                let stalled = this.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
                ready!(stalled.as_mut().poll(context));
                return Poll::Ready(Some(Err(given_up(time))));
            }
        };
        this.stalled = None;
        let frame = match frame {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        this.own += bytes;
        if this.all.fetch_add(bytes, Ordering::Relaxed) + bytes > this.limits.bytes {
            return Poll::Ready(Some(Err(too_much(this.limits.bytes))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

fn too_much(max: usize) -> Status {
    let message =
        format!("messages that are on their way have more than {} MiB together, which is the most", max >> 20);
    let hint = "try again in a moment, or send smaller messages: a push or a read of features can be several";
    Refusal(Failure::new(Kind::Exhausted, message).with_hint(hint)).into()
}

fn given_up(time: Duration) -> Status {
    let message = format!("nothing of the request's message came for {time:?}: send it again, whole");
    Refusal(Failure::new(Kind::Unavailable, message)).into()
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::{Ready, poll_fn, ready};

    use tonic::Code;

    use super::*;

    /// A body of these parts, which does not end after them.
    struct Parts(VecDeque<Bytes>);

    impl HttpBody for Parts {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            self.0.pop_front().map_or(Poll::Pending, |part| Poll::Ready(Some(Ok(Frame::data(part)))))
        }
    }

    /// Hands back the body that it would have been given.
    #[derive(Clone)]
    struct HandsBack;

    impl Service<Request<Body>> for HandsBack {
        type Response = Body;
        type Error = Status;
        type Future = Ready<Result<Body, Status>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Self::Future {
            ready(Ok(request.into_body()))
        }
    }

    async fn body(receiving: &mut Receiving<HandsBack>, path: &str, parts: &[usize]) -> Body {
        let parts = parts.iter().map(|bytes| Bytes::from(vec![0; *bytes])).collect();
        let request = Request::builder().uri(path).body(Body::new(Parts(parts))).expect("a request");
        receiving.call(request).await.expect("its body")
    }

    async fn next(body: &mut Body) -> Result<usize, Code> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await.expect("it does not end");
        frame.map(|frame| frame.data_ref().map_or(0, Bytes::len)).map_err(|status| status.code())
    }

    #[tokio::test]
    async fn messages_on_their_way_have_room_together_and_give_it_back() {
        let limits = Limits { bytes: 100, stalled: Duration::from_millis(10) };
        let mut receiving = Receiving { limits, ..Receiving::new(HandsBack) };
        let mut first = body(&mut receiving, "/a", &[60, 10]).await;
        let mut second = body(&mut receiving, "/a", &[30, 1]).await;
        assert_eq!((next(&mut first).await, next(&mut second).await), (Ok(60), Ok(30)));
        assert_eq!(next(&mut first).await, Ok(10), "it is just full");
        assert_eq!(next(&mut second).await, Err(Code::ResourceExhausted));
        assert_eq!(next(&mut first).await, Err(Code::Unavailable), "nothing comes any more");
        let mut upload = body(&mut receiving, UPLOAD, &[1_000]).await;
        assert_eq!(next(&mut upload).await, Ok(1_000), "it is not counted");
        drop((first, second));
        assert_eq!(receiving.bytes.load(Ordering::Relaxed), 0);
        let mut third = body(&mut receiving, "/a", &[100]).await;
        assert_eq!(next(&mut third).await, Ok(100));
    }
}
