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
/// A stream of messages goes on for as long as its client likes, and may be silent between two of them.
const STREAM: &str = "/hitherto.v1.Ingest/PushStream";
/// What stands before a message: a flag, and its length.
const PREFIX_LEN: usize = 5;

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
        let message = (path == STREAM).then(Message::default);
        self.inner.call(request.map(|inner| Body::new(Coming { inner, limits, message, all, own: 0, stalled: None })))
    }
}

/// How much of the last message of a stream has come. Whoever takes messages asks for more bytes only when it has decoded those
/// that are whole, so that these are all that it still holds.
#[derive(Clone, Copy, Debug, Default)]
struct Message {
    prefix: [u8; PREFIX_LEN],
    /// Bytes that have come, those of its prefix included.
    come: usize,
}

impl Message {
    /// Notes what has come next, the ends of messages and the beginnings of others among it.
    fn note(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let missing = self.missing();
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            if let Some(prefix) = self.prefix.get_mut(self.come..) {
                for (place, byte) in prefix.iter_mut().zip(taken) {
                    *place = *byte;
                }
            }
            self.come += taken.len();
            bytes = rest;
            if self.come >= PREFIX_LEN && self.missing() == 0 {
                self.come = 0;
            }
        }
    }

    /// Bytes until the prefix is whole, or else until the message is.
    fn missing(&self) -> usize {
        if self.come < PREFIX_LEN {
            return PREFIX_LEN - self.come;
        }
        let [_, length @ ..] = self.prefix;
        (PREFIX_LEN + u32::from_be_bytes(length) as usize).saturating_sub(self.come)
    }
}

/// The body of a request, until its message is read or given up.
struct Coming {
    inner: Body,
    limits: Limits,
    /// Of a stream of messages, the last.
    message: Option<Message>,
    /// Of all requests.
    all: Arc<AtomicUsize>,
    /// Of this one.
    own: usize,
    /// There while nothing comes.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Coming {
    /// Gives back what was taken for messages that have been decoded since.
    fn give_back(&mut self) {
        let Some(Message { come, .. }) = self.message else { return };
        self.all.fetch_sub(self.own.saturating_sub(come), Ordering::Relaxed);
        self.own = self.own.min(come);
    }

    /// Whether whoever sends owes the rest of a message.
    fn is_within_message(&self) -> bool {
        self.message.is_none_or(|message| message.come > 0)
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        this.give_back();
        let frame = match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending if !this.is_within_message() => return Poll::Pending,
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
        if let (Some(message), Some(data)) = (&mut this.message, frame.data_ref()) {
            message.note(data);
        }
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

    use bytes::Buf;
    use tonic::codec::{DecodeBuf, Decoder};
    use tonic::{Code, Streaming};

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

    /// Takes messages as they are.
    struct AsTheyAre;

    impl Decoder for AsTheyAre {
        type Item = usize;
        type Error = Status;

        fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<usize>, Status> {
            let length = bytes.remaining();
            bytes.advance(length);
            Ok(Some(length))
        }
    }

    /// A message of so many bytes as the wire has it.
    fn message(length: usize) -> Vec<u8> {
        let prefix = u32::try_from(length).expect("it is short").to_be_bytes();
        [&[0][..], &prefix, &vec![7; length]].concat()
    }

    /// What a stream's messages are taken from, for whom `parts` are what comes of them.
    async fn stream(receiving: &mut Receiving<HandsBack>, parts: &[&[u8]]) -> Streaming<usize> {
        let parts = parts.iter().map(|part| Bytes::copy_from_slice(part)).collect();
        let request = Request::builder().uri(STREAM).body(Body::new(Parts(parts))).expect("a request");
        let body = receiving.call(request).await.expect("its body");
        Streaming::new_request(AsTheyAre, body, None, None)
    }

    /// The next message; none where none comes for long.
    async fn taken(stream: &mut Streaming<usize>) -> Option<Result<Option<usize>, Code>> {
        let taken = tokio::time::timeout(Duration::from_millis(200), stream.message()).await.ok()?;
        Some(taken.map_err(|status| status.code()))
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

    #[tokio::test]
    async fn a_stream_may_send_more_than_there_is_room_for_at_once_and_be_silent_between_messages() {
        let limits = Limits { bytes: 100, stalled: Duration::from_millis(10) };
        let mut receiving = Receiving { limits, ..Receiving::new(HandsBack) };
        let all = message(40).repeat(20);
        // however the wire cuts them: within prefixes, within messages, several at once
        for size in [1, 3, 44, 45, 46, 90] {
            let parts: Vec<&[u8]> = all.chunks(size).collect();
            let mut sent = stream(&mut receiving, &parts).await;
            for _ in 0..20 {
                assert_eq!(taken(&mut sent).await, Some(Ok(Some(40))), "parts of {size}");
            }
            assert_eq!(taken(&mut sent).await, None, "it is not cut off");
            let held = receiving.bytes.load(Ordering::Relaxed);
            assert_eq!(held, 0, "parts of {size}");
            let mut read = body(&mut receiving, "/a", &[100]).await;
            assert_eq!(next(&mut read).await, Ok(100), "the stream goes on, and leaves others their room");
        }
    }

    #[tokio::test]
    async fn a_message_of_a_stream_has_room_and_time_like_any_other() {
        let limits = Limits { bytes: 100, stalled: Duration::from_millis(10) };
        let mut receiving = Receiving { limits, ..Receiving::new(HandsBack) };
        let mut empty = stream(&mut receiving, &[&message(0)[..], &message(0)[..3]]).await;
        assert_eq!(taken(&mut empty).await, Some(Ok(Some(0))));
        assert_eq!(taken(&mut empty).await, Some(Err(Code::Unavailable)), "it stops within the second");
        let whole = message(120);
        let mut large = stream(&mut receiving, &[&message(10)[..], &whole[..60], &whole[60..]]).await;
        assert_eq!(taken(&mut large).await, Some(Ok(Some(10))));
        assert_eq!(taken(&mut large).await, Some(Err(Code::ResourceExhausted)));
        drop((empty, large));
        assert_eq!(receiving.bytes.load(Ordering::Relaxed), 0);
    }
}
