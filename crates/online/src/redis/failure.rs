//! What an error of Redis means to a caller.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::Error;

/// Names what was being done to which Redis, and whether it is worth another try.
pub(super) fn named(doing: &'static str, store: &str, source: RedisError) -> Error {
    let store = store.to_owned();
    // a script's failures arrive within the text
    let says = |word: &str| source.code() == Some(word) || source.to_string().contains(word);
    match source.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
            Error::Denied { doing, store, source }
        }
        _ if says("NOAUTH") || says("WRONGPASS") || says("NOPERM") => Error::Denied { doing, store, source },
        _ if says("OOM") || says("MISCONF") => Error::Full { doing, store, source },
        ErrorKind::Io
        | ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly,
        ) => Error::Unavailable { doing, store, source },
        _ => Error::Redis { doing, store, source },
    }
}
