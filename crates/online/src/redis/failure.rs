//! What an error of Redis means to a caller.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::Error;

/// Why something did not work; several callers may be told the same.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The library or a server says so.
    Redis(RedisError),
    /// A server, or what stands before it, is not as it must be: what is wrong, and the remedy.
    Unfit(String),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Failure {
    /// Whether keys of one command were on two servers, as happens while a slot moves.
    pub(super) fn is_of_a_moving_slot(&self) -> bool {
        matches!(self, Self::Redis(error) if error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain))
    }

    /// Names what was being done to which Redis, and whether it is worth another try.
    pub(super) fn named(self, doing: &'static str, store: &str) -> Error {
        match self {
            Self::Redis(error) => named(doing, store, error),
            Self::Unfit(problem) => Error::Unfit { doing, store: store.to_owned(), problem },
        }
    }
}

fn named(doing: &'static str, store: &str, source: RedisError) -> Error {
    let store = store.to_owned();
    // a script's failures arrive within the text
    let says = |word: &str| source.code() == Some(word) || source.to_string().contains(word);
    match source.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
            Error::Denied { doing, store, source }
        }
        _ if says("NOAUTH") || says("WRONGPASS") || says("NOPERM") => Error::Denied { doing, store, source },
        _ if says("OOM") || says("MISCONF") => Error::Full { doing, store, source },
        ErrorKind::Io if says("certificate") || says("received fatal alert") => {
            Error::Untrusted { doing, store, source }
        }
        ErrorKind::Io
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        ) => Error::Unavailable { doing, store, source },
        _ => Error::Redis { doing, store, source },
    }
}

/// Whether the connection that said so is of no use any more.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_timeout()
}
