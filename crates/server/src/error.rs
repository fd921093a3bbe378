//! Why a server cannot start or go on.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hitherto_core::Kind;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the server itself; failures of requests are answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that other machines can reach.
    #[error(
        "could not listen on {address}: it can be reached from other machines, and there is {lacking}; configure \
         `server.tls` and `server.auth = \"token\"`, or listen on 127.0.0.1 and put a proxy that has both in front"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
        /// What is not configured.
        lacking: &'static str,
    },
    /// A file of TLS that cannot be used.
    #[error("could not use {} of `server.tls`: {reason}", .file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// An address that cannot be listened on.
    #[error(
        "could not listen on {address}: {source}; stop the process that listens there, or choose another address with \
         --{setting} or `server.{setting}`"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting that it comes from, and the flag.
        setting: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// An allowed URL that names no place.
    #[error("could not use '{url}' of `server.allowed_urls`: {reason}")]
    AllowedUrl {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it, and how to write it.
        reason: String,
    },
    /// The registry cannot be read.
    #[error(transparent)]
    Engine(#[from] hitherto_engine::Error),
    /// A part of the server failed.
    #[error("could not {what}: {source}")]
    Serve {
        /// What failed.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Of what kind the failure is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotLoopback { .. } | Self::Tls { .. } | Self::AllowedUrl { .. } => Kind::InvalidArgument,
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Kind::AlreadyExists,
            Self::Listen { .. } => Kind::Unavailable,
            Self::Engine(source) => source.kind(),
            Self::Serve { .. } => Kind::Internal,
        }
    }

    /// Whether the same call may succeed later without a change to it.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    pub(crate) fn tls(file: &Path, reason: String) -> Self {
        Self::Tls { file: file.to_owned(), reason }
    }

    pub(crate) fn serve(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Serve { what, source: source.into() }
    }
}
