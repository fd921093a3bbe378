//! What a server is started with.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Error, Result, Upkeep};

/// How to serve. Port 0 is a free port.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where gRPC is. Beyond loopback only with [`Options::tls`] and [`Auth::Token`].
    pub listen: SocketAddr,
    /// Where health, readiness and metrics are. Beyond loopback only with the same.
    pub http: SocketAddr,
    /// Where PostgreSQL's protocol is, none for nowhere. Beyond loopback only with the same.
    pub postgres: Option<SocketAddr>,
    /// How often the online store is brought up to date; none for never.
    pub follow: Option<Duration>,
    /// From how many small files on a table that is pushed to is compacted, in the background; none for never.
    pub compact_after: Option<NonZeroUsize>,
    /// How often what nobody needs any more is deleted, and how long it is kept; none for never.
    pub upkeep: Option<Upkeep>,
    /// The folders and URLs under which a request may have files read and written: nothing, unless listed.
    pub allowed_urls: Vec<String>,
    /// What callers must show.
    pub auth: Auth,
    /// The files of TLS, for all addresses; none for plain connections.
    pub tls: Option<TlsOptions>,
    /// How far a query may go.
    pub sql: SqlLimits,
    /// How many reads of features are let in.
    pub requests: Limits,
    /// How many pushes are let in.
    pub pushes: Limits,
    /// From how long on a request is logged as slow; none for never.
    pub slow_request: Option<Duration>,
    /// How many round trips to a remote online store are under way before reads are joined into the next one; 0 for never.
    pub round_trips_max: usize,
    /// How many connections the address of gRPC has at once, half of them of one machine; pages have at most 256.
    pub connections_max: usize,
    /// How many clients PostgreSQL's wire lets in at once, half of them of one machine, and of one token.
    pub postgres_connections_max: usize,
}

/// How far one query of SQL may go; memory is limited by the engine, for all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlLimits {
    /// How long it may take to its last row; none for any time.
    pub timeout: Option<Duration>,
    /// How many rows it may have; none for any number.
    pub rows_max: Option<u64>,
    /// How many make rows at once, more wait for their turn; none for twice as many as the machine has cores.
    pub at_once: Option<NonZeroUsize>,
}

/// What callers must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing: whoever can connect may do everything.
    #[default]
    None,
    /// A token of the registry whose role allows the call.
    Token,
}

/// Files of TLS, in PEM. They are read again every minute; what cannot be read then leaves the last in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The server's certificate, and those between it and its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// What clients must show to connect at all.
    pub client: ClientAuth,
}

/// What clients must show to connect at all: mutual TLS. It is asked for besides a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    #[default]
    None,
    /// No certificate, or one that these roots vouch for: whoever shows another is refused.
    Optional(PathBuf),
    /// A certificate that these roots vouch for.
    Required(PathBuf),
}

impl Options {
    /// Refuses an address that other machines can reach, unless there are TLS and tokens.
    pub fn check(&self) -> Result<()> {
        let lacking = match (self.tls.is_some(), self.auth) {
            (true, Auth::Token) => return Ok(()),
            (true, Auth::None) => "no authentication",
            (false, Auth::Token) => "no TLS",
            (false, Auth::None) => "neither TLS nor authentication",
        };
        let mut addresses = [self.listen, self.http].into_iter().chain(self.postgres);
        match addresses.find(|address| !address.ip().is_loopback()) {
            Some(address) => Err(Error::NotLoopback { address, lacking }),
            None => Ok(()),
        }
    }
}

/// How many requests of a kind are let in; others are refused at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So many are worked on at once; at least 1.
    pub at_once: usize,
    /// So many more wait for their turn.
    pub queued: usize,
}

impl Limits {
    /// For reads of features, unless set.
    pub const REQUESTS: Self = Self { at_once: 256, queued: 512 };
    /// For pushes, unless set: each holds its rows in memory until they are durable. Those that are worked on share commits, so
    /// that many are not slower than few.
    pub const PUSHES: Self = Self { at_once: 256, queued: 512 };
}

impl Options {
    /// Round trips under way, unless set.
    pub const ROUND_TRIPS_MAX: usize = 4;
    /// Connections at once, unless set.
    pub const CONNECTIONS_MAX: usize = 4096;
    /// Clients of PostgreSQL's wire at once, unless set.
    pub const POSTGRES_CONNECTIONS_MAX: usize = 100;
}
