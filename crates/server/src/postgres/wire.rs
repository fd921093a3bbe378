//! Messages of PostgreSQL's protocol over a connection, encrypted or not.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt;
use pgwire::messages::{DecodeContext, PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::codec::{Decoder, Encoder, Framed, FramedParts};

/// A message of somebody who is not known yet: more is no name and no proof.
const STRANGER_BYTES_MAX: usize = 10_000;
/// A message of somebody who is: a query's text and its values are limited besides.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// For so long a client may take nothing of what is written for it: it holds a place, and perhaps a query, meanwhile.
const STUCK_MAX: Duration = Duration::from_mins(2);

/// Messages both ways.
pub(super) type Wire = Framed<Stream, Codec>;

/// A connection that can be looked at while it is read and written.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Arc<TcpStream>,
    /// There while nothing can be written.
    stuck: Option<Pin<Box<Sleep>>>,
    stuck_max: Duration,
}

impl Clone for Socket {
    fn clone(&self) -> Self {
        Self { stream: Arc::clone(&self.stream), stuck: None, stuck_max: self.stuck_max }
    }
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Messages as bytes.
#[derive(Debug)]
pub(super) struct Codec {
    context: DecodeContext,
    is_known: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: Arc::new(stream), stuck: None, stuck_max: STUCK_MAX }
    }

    /// The first byte that comes, which is still read afterwards; none where the peer has left.
    pub(super) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let count = self.stream.peek(&mut byte).await?;
        Ok((count > 0).then_some(byte[0]))
    }

    /// Whether the peer has left. Nothing is read for that.
    pub(super) fn is_left(&self) -> bool {
        let ready = self.stream.ready(Interest::READABLE).now_or_never();
        ready.is_some_and(|ready| ready.is_ok_and(tokio::io::Ready::is_read_closed))
    }

    /// Whether the peer takes nothing at the moment: what it was sent before is not read yet.
    pub(super) fn is_full(&self) -> bool {
        self.stream.ready(Interest::WRITABLE).now_or_never().is_none()
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(into.initialize_unfilled()) {
                Ok(count) => {
                    into.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    /// Fails once nothing could be written for too long.
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let Poll::Ready(ready) = this.stream.poll_write_ready(context) else {
                let stuck_max = this.stuck_max;
                let stuck = this.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(stuck_max)));
                ready!(stuck.as_mut().poll(context));
                let reason = "the client has read nothing for too long";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
            };
            ready?;
            match this.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    this.stuck = None;
                    return Poll::Ready(done);
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// It is closed when nobody has it any more.
    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Does to the connection what is asked, whichever it is.
macro_rules! either {
    ($stream:expr, $poll:ident $(, $argument:expr)*) => {
        match $stream.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).$poll($($argument),*),
            Stream::Tls(stream) => Pin::new(stream).$poll($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_read, context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, poll_write, context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown, context)
    }
}

/// A conversation that begins with a startup message, of which `read` is read already.
pub(super) fn wire(stream: Stream, read: &[u8]) -> Wire {
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
    context.awaiting_frontend_ssl = false;
    let mut parts = FramedParts::new::<PgWireBackendMessage>(stream, Codec { context, is_known: false });
    parts.read_buf = BytesMut::from(read);
    Framed::from_parts(parts)
}

impl Codec {
    /// The startup message is read: each message says its type from now on.
    pub(super) fn started(&mut self) {
        self.context.awaiting_frontend_startup = false;
    }

    /// The peer is known, and may send more at once.
    pub(super) fn known(&mut self) {
        self.is_known = true;
    }
}

impl Decoder for Codec {
    type Item = PgWireFrontendMessage;
    type Error = io::Error;

    fn decode(&mut self, read: &mut BytesMut) -> io::Result<Option<PgWireFrontendMessage>> {
        let odd = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        // before its length a message has its type, but the first
        let before = usize::from(!self.context.awaiting_frontend_startup);
        let Some(length) = read.get(before..).and_then(|rest| rest.first_chunk::<4>()) else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        let most = if self.is_known { MESSAGE_BYTES_MAX } else { STRANGER_BYTES_MAX };
        if !(4..=most).contains(&length) {
            return Err(odd(format!("a message has {length} bytes, and {most} are the most: send less at once")));
        }
        if read.len() < before + length {
            return Ok(None);
        }
        // one message at a time, so that none reads into the next
        let mut message = read.split_to(before + length);
        let decoded = catch_unwind(AssertUnwindSafe(|| PgWireFrontendMessage::decode(&mut message, &self.context)));
        match decoded {
            Ok(Ok(Some(message))) => Ok(Some(message)),
            Ok(Err(error)) => Err(odd(error.to_string())),
            Ok(Ok(None)) | Err(_) => Err(odd("a message ends before its parts do".to_owned())),
        }
    }
}

impl Encoder<PgWireBackendMessage> for Codec {
    type Error = io::Error;

    fn encode(&mut self, message: PgWireBackendMessage, into: &mut BytesMut) -> io::Result<()> {
        message.encode(into).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn codec(is_startup: bool) -> Codec {
        let mut codec = Codec { context: DecodeContext::new(ProtocolVersion::PROTOCOL3_2), is_known: !is_startup };
        codec.context.awaiting_frontend_ssl = false;
        codec.context.awaiting_frontend_startup = is_startup;
        codec
    }

    fn decoded(codec: &mut Codec, bytes: &[u8]) -> Result<Option<String>, String> {
        let mut read = BytesMut::from(bytes);
        let message = codec.decode(&mut read).map_err(|error| error.to_string())?;
        Ok(message.map(|message| format!("{message:?}, and {} bytes", read.len())))
    }

    #[test]
    fn messages_are_read_one_by_one() {
        let mut codec = codec(false);
        assert_eq!(decoded(&mut codec, b"Q\0\0\0"), Ok(None));
        assert_eq!(decoded(&mut codec, b"Q\0\0\0\x0eselect 1"), Ok(None), "its end is to come");
        let read = decoded(&mut codec, b"Q\0\0\0\x0dselect 1\0S\0\0\0\x04").expect("a query").expect("it is whole");
        assert!(read.contains("select 1") && read.ends_with("and 5 bytes"), "{read}");
    }

    #[test]
    fn messages_that_cannot_be_are_refused() {
        let mut codec = codec(false);
        for (bytes, reason) in [
            (&b"Q\0\0\0\x03"[..], "a message has 3 bytes"),
            (b"Q\xff\xff\xff\xff", "a message has 4294967295 bytes"),
            (b"Q\x10\0\0\0", "4194304 are the most"),
            // a portal, a statement, and nothing of what must follow
            (b"B\0\0\0\x06\0\0", "a message ends before its parts do"),
        ] {
            let refused = decoded(&mut codec, bytes).expect_err("it is refused");
            assert!(refused.contains(reason), "{refused}");
        }
        let mut stranger = self::codec(true);
        let refused = decoded(&mut stranger, &[0, 0, 0x40, 0, 0, 3, 0, 0]).expect_err("it is refused");
        assert!(refused.contains("10000 are the most"), "{refused}");
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_let_go() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("it listens");
        let (stream, _) = listener.accept().await.expect("a client");
        let mut socket = Socket::new(stream);
        socket.stuck_max = Duration::from_millis(50);
        let block = vec![0; 1 << 20];
        let failed = loop {
            if let Err(error) = socket.write_all(&block).await {
                break error;
            }
        };
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert!(socket.is_full());
        drop(client);
    }
}
