//! Connections: so many at once, so many of one machine, and none that never says what it wants.
//!
//! A connection costs a descriptor and some memory before anybody knows whose it is. Those beyond the limit are closed as they
//! come, which costs next to nothing. The pages have places of their own, so that probes find one when gRPC is full.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use crate::auth::Reason;
use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::slots::{Slot, Slots};
use crate::throttle::Throttle;

/// Connections of the pages: probes, and whoever scrapes metrics.
const PAGES_MAX: usize = 256;
/// How long nothing is accepted after a failure that trying at once would not mend, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);
/// A client of gRPC has said by then that it speaks HTTP/2: until it has, the transport waits without an end.
const PREFACE_TIME: Duration = Duration::from_secs(10);
/// With so many bytes it says so.
const PREFACE_BYTES: usize = 24;

/// One of the addresses of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// gRPC.
    Grpc,
    /// Pages.
    Http,
    /// PostgreSQL's wire: those who are known.
    Postgres,
}

impl Address {
    /// As metrics and the log write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Postgres => "postgres",
        }
    }

    /// The setting that says how many there may be.
    fn setting(self) -> &'static str {
        match self {
            Self::Grpc | Self::Http => "server.max_connections",
            Self::Postgres => "server.max_postgres_connections",
        }
    }

    /// What a connection must say, and by when; the pages have the time of their headers instead, and PostgreSQL's wire its own.
    fn preface(self) -> Option<Preface> {
        match self {
            Self::Grpc => Some(Preface { bytes: PREFACE_BYTES, time: PREFACE_TIME }),
            Self::Http | Self::Postgres => None,
        }
    }
}

/// The door before one address.
#[derive(Debug)]
pub(crate) struct Connections {
    address: Address,
    max: usize,
    each: usize,
    open: Arc<AtomicUsize>,
    machines: Slots,
    told: Throttle,
}

impl Connections {
    /// At most `max` at once, and half of them of one machine.
    pub(crate) fn new(address: Address, max: usize) -> Self {
        let max = match address {
            Address::Grpc | Address::Postgres => max,
            Address::Http => max.min(PAGES_MAX),
        };
        let each = max.div_ceil(2);
        Self { address, max, each, open: Arc::default(), machines: Slots::new(each), told: Throttle::default() }
    }

    /// The address.
    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// How many one machine may have.
    pub(crate) fn each(&self) -> usize {
        self.each
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place for a connection of `peer`; none where it is to be closed. Loopback has no share of its own: there all come from
    /// one machine, most often through a proxy that knows better who they are.
    pub(crate) fn admit(&self, peer: IpAddr, metrics: &Metrics) -> Option<Admitted> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.open));
        if before >= self.max {
            self.refuse(peer, metrics, || format!("{} are open", self.max));
            return None;
        }
        if peer.to_canonical().is_loopback() {
            return Some(Admitted { _counted: counted, _share: None });
        }
        let Some(share) = self.machines.take(peer) else {
            self.refuse(peer, metrics, || format!("{} of its machine are open", self.each));
            return None;
        };
        Some(Admitted { _counted: counted, _share: Some(share) })
    }

    fn refuse(&self, peer: IpAddr, metrics: &Metrics, why: impl FnOnce() -> String) {
        metrics.refused(Reason::Connections);
        if let Some(left_out) = self.told.pass() {
            let (address, setting) = (self.address.as_str(), self.address.setting());
            tracing::warn!(address, %peer, left_out, "a connection was closed: {} (`{setting}`)", why());
        }
    }
}

/// A place for a connection, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _counted: Counted,
    _share: Option<Slot>,
}

#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection must have said by when.
#[derive(Clone, Copy, Debug)]
struct Preface {
    bytes: usize,
    time: Duration,
}

/// A connection that has a place. Reading fails once its preface is too late.
#[derive(Debug)]
pub(crate) struct Connection<IO> {
    io: IO,
    waiting: Option<Waiting>,
    _admitted: Admitted,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    end: Pin<Box<Sleep>>,
}

impl<IO> Connection<IO> {
    /// From now on it has time for its preface.
    pub(crate) fn new(io: IO, address: Address, admitted: Admitted) -> Self {
        Self::with_preface(io, address.preface(), admitted)
    }

    fn with_preface(io: IO, preface: Option<Preface>, admitted: Admitted) -> Self {
        let waiting = preface.map(|Preface { bytes, time }| Waiting { bytes, end: Box::pin(tokio::time::sleep(time)) });
        Self { io, waiting, _admitted: admitted }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Connection<IO> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let read = Pin::new(&mut this.io).poll_read(context, into);
        let Some(waiting) = &mut this.waiting else { return read };
        if read.is_pending() {
            ready!(waiting.end.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client has said nothing for too long",
            )));
        }
        waiting.bytes = waiting.bytes.saturating_sub(into.filled().len() - before);
        if waiting.bytes == 0 {
            this.waiting = None;
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}

impl<IO: Connected> Connected for Connection<IO> {
    type ConnectInfo = IO::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

/// Where connections come from. An `accept` that is dropped half-way loses none.
pub(crate) trait Accept: Send + 'static {
    /// What is below a connection.
    type Io: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static;

    /// The next that has a place.
    fn accept(&mut self) -> impl Future<Output = Connection<Self::Io>> + Send;
}

/// The connections of a listener, for tonic.
pub(crate) fn incoming<L: Accept>(listener: L) -> impl Stream<Item = io::Result<Connection<L::Io>>> + Send {
    futures::stream::unfold(listener, |mut listener| async move {
        let connection = listener.accept().await;
        Some((Ok(connection), listener))
    })
}

/// Accepts connections without TLS.
pub(crate) struct PlainListener {
    tcp: TcpListener,
    address: Address,
    shared: Arc<Shared>,
}

impl PlainListener {
    pub(crate) fn new(tcp: TcpListener, address: Address, shared: Arc<Shared>) -> Self {
        Self { tcp, address, shared }
    }
}

impl Accept for PlainListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> Connection<TcpStream> {
        loop {
            if let Some((stream, admitted)) = next(&self.tcp, self.address, &self.shared).await {
                return Connection::new(stream, self.address, admitted);
            }
        }
    }
}

/// The next connection and its place; none where it was closed, or there was none.
pub(crate) async fn next(tcp: &TcpListener, address: Address, shared: &Shared) -> Option<(TcpStream, Admitted)> {
    match tcp.accept().await {
        Ok((stream, peer)) => {
            let admitted = shared.connections(address).admit(peer.ip(), &shared.metrics)?;
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("could not set TCP_NODELAY: {error}");
            }
            Some((stream, admitted))
        }
        Err(error) => {
            tracing::debug!("could not accept a connection: {error}");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn peer(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn beyond_the_limit_and_beyond_a_machines_half_there_is_no_place() {
        let (connections, metrics) = (Connections::new(Address::Grpc, 4), Metrics::new().expect("metrics"));
        let admit = |from: &str| connections.admit(peer(from), &metrics);
        let mut held = vec![admit("192.0.2.1").expect("a place"), admit("::ffff:192.0.2.1").expect("a place")];
        assert!(admit("192.0.2.1").is_none(), "half is its share");
        assert_eq!(connections.open(), 2, "who has no place takes none");
        held.extend([admit("127.0.0.1").expect("a place"), admit("192.0.2.2").expect("a place")]);
        for from in ["192.0.2.3", "127.0.0.1"] {
            assert!(admit(from).is_none(), "{from}: it is full");
        }
        drop(held);
        assert_eq!(connections.open(), 0);
        let held: Vec<_> = (0..4).map(|_| admit("127.0.0.1").expect("loopback has no share")).collect();
        assert!(admit("127.0.0.1").is_none());
        drop(held);
        let counted = "hitherto_refusals_total{reason=\"connections\"} 4";
        assert!(metrics.render().lines().any(|line| line == counted), "{}", metrics.render());
    }

    #[test]
    fn pages_have_few_places_of_their_own() {
        assert_eq!(Connections::new(Address::Http, 10_000).max, PAGES_MAX);
        assert_eq!(Connections::new(Address::Http, 7).max, 7);
    }

    #[tokio::test]
    async fn a_client_that_does_not_say_what_it_speaks_is_let_go() {
        let (connections, metrics) = (Connections::new(Address::Grpc, 4), Metrics::new().expect("metrics"));
        let place = || connections.admit(peer("127.0.0.1"), &metrics).expect("a place");
        let preface = |time| Some(Preface { bytes: 4, time });
        let (mut client, server) = tokio::io::duplex(64);
        let mut slow = Connection::with_preface(server, preface(Duration::from_millis(20)), place());
        client.write_all(b"PRI").await.expect("it is taken");
        let mut read = Vec::new();
        let failed = slow.read_to_end(&mut read).await.expect_err("it is too late");
        assert_eq!((failed.kind(), read.as_slice()), (io::ErrorKind::TimedOut, b"PRI".as_slice()));
        drop(slow);
        assert_eq!(connections.open(), 0);

        let (mut client, server) = tokio::io::duplex(64);
        let mut prompt = Connection::with_preface(server, preface(Duration::from_hours(1)), place());
        client.write_all(b"PRI *").await.expect("it is taken");
        drop(client);
        let mut read = Vec::new();
        prompt.read_to_end(&mut read).await.expect("it has said enough");
        assert_eq!((read.as_slice(), prompt.waiting.is_none()), (b"PRI *".as_slice(), true));
    }
}
