//! What can go wrong with a call.

use std::time::Duration;

use hitherto_core::Kind;
use hitherto_proto::{Failure, Violation};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that is no server's address.
    #[error("'{url}' is not the address of a server: {reason}; write it like http://127.0.0.1:7420")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Roots, a certificate or a key that cannot be used.
    #[error("could not set up TLS for {url}: {reason}; the roots, the certificate and its key are files in PEM")]
    Credentials {
        /// The address.
        url: String,
        /// What is wrong with them.
        reason: String,
    },
    /// Nothing answers at the address.
    #[error(
        "could not connect to {url}: {reason}; start a server there with `hitherto serve`, or give another address"
    )]
    Connect {
        /// The address.
        url: String,
        /// The first cause.
        reason: String,
        /// The whole of it.
        #[source]
        source: tonic::transport::Error,
    },
    /// No answer came in time. Whether the call was carried out is not known.
    #[error("could not {call}: {url} did not answer within {after:?}")]
    TimedOut {
        /// What was asked for.
        call: &'static str,
        /// The address.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke. Whether the call was carried out is not known.
    #[error("could not {call}: lost the connection to {url}: {reason}; is `hitherto serve` still running there?")]
    Lost {
        /// What was asked for.
        call: &'static str,
        /// The address.
        url: String,
        /// What broke.
        reason: String,
        /// Of what kind that is.
        kind: Kind,
        /// The whole of it.
        #[source]
        source: Box<tonic::Status>,
    },
    /// The server refused the call, or failed; its words.
    #[error("{}", .0.message)]
    Server(Failure),
    /// The request cannot be sent as it is.
    #[error("could not {call}: {source}")]
    Request {
        /// What was asked for.
        call: &'static str,
        /// What is wrong with it.
        #[source]
        source: hitherto_proto::Error,
    },
    /// The answer cannot be understood.
    #[error("could not {call}: the server's answer is not valid: {source}; are server and client of one version?")]
    Answer {
        /// What was asked for.
        call: &'static str,
        /// What is wrong with it.
        #[source]
        source: hitherto_proto::Error,
    },
}

impl Error {
    /// Of what kind the failure is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Url { .. } | Self::Credentials { .. } | Self::Request { .. } => Kind::InvalidArgument,
            Self::Connect { .. } | Self::TimedOut { .. } => Kind::Unavailable,
            Self::Lost { kind, .. } => *kind,
            Self::Server(failure) => failure.kind,
            Self::Answer { .. } => Kind::Internal,
        }
    }

    /// Whether the same call may succeed later without a change to it.
    ///
    /// A push without a batch id must not be repeated after [`Error::TimedOut`] or [`Error::Lost`] even so: it may
    /// have been carried out.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// What to do about it, in the server's words, where it said so.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Server(failure) => failure.hint.as_deref(),
            _ => None,
        }
    }

    /// Which parts of the request the server found wrong.
    pub fn violations(&self) -> &[Violation] {
        match self {
            Self::Server(failure) => &failure.violations,
            _ => &[],
        }
    }
}

/// The first cause of `error`: transport errors say little themselves.
pub(crate) fn first_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
