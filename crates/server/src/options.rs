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
    /// How far a query may go.
    pub sql: SqlLimits,
}

/// How far one query of SQL may go; memory is limited by the engine, for all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlLimits {
    /// How long it may take to its last row; none for any time.
    pub timeout: Option<Duration>,
    /// How many rows it may have; none for any number.
    pub rows_max: Option<u64>,
}
