//! A connection whose writes wait for each other.
//!
//! HTTP/2 ends an answer of gRPC with a frame of its own, after that of the message, and what speaks it here writes each frame
//! of more than 256 bytes out before it looks at the next. That is two writes for an answer, and two reads, and perhaps two
//! wake-ups, at its client; each costs the system more than the answer itself. So what was written is held back until the
//! connection has been looked at once more, by when the end is there, too.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// So many bytes are held back at most.
const HELD_MAX: usize = 1 << 16;

/// A connection that holds back what ends with a payload, until it is asked once more to send it.
#[derive(Debug)]
pub(crate) struct Gathered<T> {
    connection: T,
    held: Vec<u8>,
    /// How much of it has been sent.
    sent: usize,
    /// Whether the last write had a payload apart from its head, so that something comes after it.
    goes_on: bool,
}

impl<T> Gathered<T> {
    pub(crate) fn new(connection: T) -> Self {
        Self { connection, held: Vec::new(), sent: 0, goes_on: false }
    }
}

impl<T: AsyncWrite + Unpin> Gathered<T> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.held.len() {
            let sent = ready!(Pin::new(&mut self.connection).poll_write(context, &self.held[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        self.held.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gathered<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        if this.held.len() + bytes > HELD_MAX {
            ready!(this.poll_send(context))?;
        }
        this.goes_on = pieces.iter().filter(|piece| !piece.is_empty()).count() > 1;
        if bytes > HELD_MAX {
            return Pin::new(&mut this.connection).poll_write_vectored(context, pieces);
        }
        for piece in pieces {
            this.held.extend_from_slice(piece);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.goes_on) {
            // looked at again at once, so that nothing stays here, whether more comes or not
            context.waker().wake_by_ref();
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.connection).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.connection).poll_shutdown(context)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Gathered<T> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(context, room)
    }
}

impl<T: Connected> Connected for Gathered<T> {
    type ConnectInfo = T::ConnectInfo;

    fn connect_info(&self) -> T::ConnectInfo {
        self.connection.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// A connection that notes how much each write sent.
    #[derive(Default)]
    struct Noting {
        writes: Vec<usize>,
        flushes: usize,
    }

    impl AsyncWrite for Noting {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.writes.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Writes a frame, its payload apart where there is one, and asks to have it sent.
    async fn write(connection: &mut Gathered<Noting>, head: usize, payload: usize) {
        let (head, payload) = (vec![1; head], vec![2; payload]);
        let pieces = [IoSlice::new(&head), IoSlice::new(&payload)];
        let pieces = if payload.is_empty() { &pieces[..1] } else { &pieces[..] };
        let mut connection = Pin::new(connection);
        let bytes = poll_fn(|context| connection.as_mut().poll_write_vectored(context, pieces)).await;
        assert_eq!(bytes.expect("it is written"), head.len() + payload.len());
        poll_fn(|context| connection.as_mut().poll_flush(context)).await.expect("it is taken");
    }

    #[tokio::test]
    async fn a_message_and_what_ends_it_are_sent_together() {
        let mut connection = Gathered::new(Noting::default());
        write(&mut connection, 50, 2_000).await;
        assert_eq!(connection.connection.writes, [0; 0], "more comes");
        write(&mut connection, 20, 0).await;
        assert_eq!((&connection.connection.writes[..], connection.connection.flushes), (&[2_070][..], 1));
        write(&mut connection, 9, 0).await;
        assert_eq!(connection.connection.writes, [2_070, 9]);
    }

    #[tokio::test]
    async fn a_message_that_nothing_follows_is_sent_when_the_connection_is_looked_at_again() {
        let mut connection = Gathered::new(Noting::default());
        write(&mut connection, 50, 300).await;
        connection.flush().await.expect("it is sent");
        assert_eq!(connection.connection.writes, [350]);
        write(&mut connection, 50, 300).await;
        connection.shutdown().await.expect("it is sent");
        assert_eq!(connection.connection.writes, [350, 350]);
    }

    #[tokio::test]
    async fn no_more_is_held_than_may_be_and_every_byte_arrives_in_order() {
        let (ours, mut theirs) = duplex(1_000);
        let mut connection = Gathered::new(ours);
        let sent: Vec<u8> = (0..3 * HELD_MAX).map(|at| (at % 251) as u8).collect();
        let expected = sent.clone();
        let sending = tokio::spawn(async move {
            for (piece, length) in sent.chunks(HELD_MAX / 2 - 1).zip((1..).step_by(1_000)) {
                let pieces = piece.split_at(length.min(piece.len()));
                connection.write_all(pieces.0).await.expect("it is taken");
                connection.write_all(pieces.1).await.expect("it is taken");
                assert!(connection.held.len() <= HELD_MAX);
            }
            connection.shutdown().await.expect("it is sent");
        });
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).await.expect("it arrives");
        sending.await.expect("no panic");
        assert_eq!(received, expected);
    }
}
