//! What a server is started with.

use std::net::SocketAddr;
use std::time::Duration;

/// How to serve. Port 0 is a free port.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where gRPC is; loopback only.
    pub listen: SocketAddr,
    /// Where health, readiness and metrics are; loopback only.
    pub http: SocketAddr,
    /// How often the online store is brought up to date; none for never.
    pub follow: Option<Duration>,
    /// The folders and URLs under which a request may have files read and written: nothing, unless listed.
    pub allowed_urls: Vec<String>,
    /// How many reads of features are let in.
    pub requests: Limits,
    /// How many pushes are let in.
    pub pushes: Limits,
    /// From how long on a request is logged as slow; none for never.
    pub slow_request: Option<Duration>,
    /// How many round trips to a remote online store are under way before reads are joined into the next one; 0 for never.
    pub round_trips_max: usize,
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
    /// For pushes, unless set: each holds its rows in memory until they are durable.
    pub const PUSHES: Self = Self { at_once: 64, queued: 256 };
}

impl Options {
    /// Round trips under way, unless set.
    pub const ROUND_TRIPS_MAX: usize = 4;
}
