//! What can go wrong with an online store.

use std::path::{Path, PathBuf};

use hitherto_core::Kind;

use crate::store::Marks;

/// The result of a call to an online store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of an online store. No message holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The url of a store that cannot be understood.
    #[error("could not use the online store's url: {problem}; write it like embedded:///path or redis://host:6379")]
    Url {
        /// What is wrong with it.
        problem: String,
    },
    /// A kind of store that this version does not know.
    #[error(
        "could not use an online store of the kind '{scheme}://': this version knows embedded://, redis://, redis-sentinel:// and \
         redis-cluster://, and rediss… for encrypted ones"
    )]
    Scheme {
        /// The part of the url before `://`.
        scheme: String,
    },
    /// A folder or file of the embedded store that cannot be made or read.
    #[error("could not open the embedded store at {}: {source}", path.display())]
    Io {
        /// The folder of the store.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A failure within the embedded store.
    #[error("could not {doing} the embedded store at {}: {source}{}", path.display(), remedy(source))]
    Embedded {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The folder of the store.
        path: PathBuf,
        /// Why.
        source: heed::Error,
    },
    /// A store that a later version has written.
    #[error("could not open the embedded store at {}: its format is {found}, and this version knows format 1; use a newer version", path.display())]
    Format {
        /// The folder of the store.
        path: PathBuf,
        /// The format found there.
        found: u8,
    },
    /// Redis cannot be reached, or does not answer in time.
    #[error("could not {doing} {store}: {source}; check that it runs and that online.url names it")]
    Unavailable {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Which Redis.
        store: String,
        /// Why.
        source: ::redis::RedisError,
    },
    /// A Redis that must not be used, or not as it was meant.
    #[error("could not {doing} {store}: {problem}")]
    Unfit {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Which Redis.
        store: String,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// A reading that others are changing too fast.
    #[error("could not {doing} {store}: {problem}; try again")]
    Busy {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Which store.
        store: String,
        /// What others did meanwhile.
        problem: String,
    },
    /// We do not trust the certificate of a Redis, or it does not trust ours.
    #[error(
        "could not {doing} {store}: {source}; check online.tls.ca, cert and key, and the host that the certificate is for"
    )]
    Untrusted {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Which Redis.
        store: String,
        /// Why.
        source: ::redis::RedisError,
    },
    /// Certificates or keys that cannot be read.
    #[error("could not use the certificates of online.tls: {problem}")]
    Certificates {
        /// What is wrong with them.
        problem: String,
    },
    /// Redis has no memory or disk left for a write.
    #[error("could not {doing} {store}: {source}; raise its maxmemory or free disk")]
    Full {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Which Redis.
        store: String,
        /// Why.
        source: ::redis::RedisError,
    },
    /// Redis does not let this user in, or not do this.
    #[error("could not {doing} {store}: {source}; check the user and password, and what its ACL allows")]
    Denied {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Which Redis.
        store: String,
        /// Why.
        source: ::redis::RedisError,
    },
    /// Any other failure of Redis.
    #[error("could not {doing} {store}: {source}")]
    Redis {
        /// What was being done, as a verb.
        doing: &'static str,
        /// Which Redis.
        store: String,
        /// Why.
        source: ::redis::RedisError,
    },
    /// A record that this crate did not write, or not this version of it.
    #[error("could not read {what} in {store}: {problem}")]
    Corrupt {
        /// A row or marks, and of which reading.
        what: String,
        /// Which store.
        store: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Marks never go back.
    #[error("could not move the marks of {reading} from {from} back to {to}")]
    Backward {
        /// The reading.
        reading: String,
        /// The marks at the beginning of the run.
        from: Marks,
        /// The marks that were asked for.
        to: Marks,
    },
    /// A run that must not go on.
    #[error(
        "could not write to {reading}: a key was erased from the store, a rebuild of it began or ended, or the store lost its rows, \
         since the run began; begin again"
    )]
    Overtaken {
        /// The reading.
        reading: String,
    },
    /// A run that another kind of store began.
    #[error("could not move the marks of {reading}: the run was not begun by this store")]
    ForeignRun {
        /// The reading.
        reading: String,
    },
    /// A task of the embedded store that was cancelled or panicked.
    #[error("could not finish a task of the embedded store at {}: {source}", path.display())]
    Task {
        /// The folder of the store.
        path: PathBuf,
        /// Why.
        source: tokio::task::JoinError,
    },
}

impl Error {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Url { .. }
            | Self::Denied { .. }
            | Self::Untrusted { .. }
            | Self::Certificates { .. }
            | Self::Backward { .. } => Kind::InvalidArgument,
            Self::Scheme { .. } | Self::Format { .. } => Kind::Unsupported,
            Self::Io { source, .. } => io_kind(source),
            Self::Embedded { source, .. } => heed_kind(source),
            // whoever runs it can make it fit, without a change here
            Self::Unavailable { .. } | Self::Unfit { .. } | Self::Busy { .. } => Kind::Unavailable,
            Self::Overtaken { .. } => Kind::Conflict,
            Self::Full { .. } => Kind::Exhausted,
            Self::Redis { .. } | Self::Corrupt { .. } | Self::ForeignRun { .. } | Self::Task { .. } => Kind::Internal,
        }
    }

    /// Whether the same call may succeed later without a change to it.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// Whether the store as a whole is away: whatever else is asked of it would hear the same, each after as long a wait.
    pub fn is_of_the_store(&self) -> bool {
        self.kind() == Kind::Unavailable && !matches!(self, Self::Busy { .. })
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn embedded(doing: &'static str, path: &Path) -> impl Fn(heed::Error) -> Self {
        move |source| Self::Embedded { doing, path: path.to_owned(), source }
    }
}

const EIO: i32 = 5;

fn io_kind(error: &std::io::Error) -> Kind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge | Io::OutOfMemory => Kind::Exhausted,
        Io::NotFound => Kind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotADirectory => Kind::InvalidArgument,
        _ => Kind::Internal,
    }
}

fn heed_kind(error: &heed::Error) -> Kind {
    use heed::MdbError as Mdb;
    match error {
        // what LMDB makes of a write that was cut short
        heed::Error::Io(error) if error.raw_os_error() == Some(EIO) => Kind::Exhausted,
        heed::Error::Io(error) => io_kind(error),
        heed::Error::Mdb(Mdb::MapFull | Mdb::ReadersFull | Mdb::TxnFull) => Kind::Exhausted,
        // another process has opened it with a larger map and outgrown ours
        heed::Error::Mdb(Mdb::MapResized) => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

fn remedy(error: &heed::Error) -> &'static str {
    use heed::MdbError as Mdb;
    match error {
        heed::Error::Io(error) if error.raw_os_error() == Some(EIO) => {
            "; the disk is full, or broken: free space there and try again"
        }
        heed::Error::Mdb(Mdb::MapFull) => "; the store has outgrown its memory map, use redis:// for one so large",
        heed::Error::Mdb(Mdb::ReadersFull) => "; too many threads read it at once",
        heed::Error::Mdb(Mdb::MapResized) => "; another process has enlarged it, restart this one",
        heed::Error::Mdb(Mdb::Invalid | Mdb::VersionMismatch | Mdb::Corrupted) => {
            "; delete the folder and materialize again, nothing is lost by it"
        }
        _ if heed_kind(error) == Kind::Exhausted => "; free space there",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_is_busy_says_nothing_of_the_others() {
        let (store, problem) = ("redis at a:1/0".to_owned(), "others changed it".to_owned());
        let busy = Error::Busy { doing: "write to", store: store.clone(), problem: problem.clone() };
        assert_eq!((busy.kind(), busy.is_retryable(), busy.is_of_the_store()), (Kind::Unavailable, true, false));
        assert_eq!(busy.to_string(), "could not write to redis at a:1/0: others changed it; try again");
        let unfit = Error::Unfit { doing: "write to", store, problem };
        assert!(unfit.is_of_the_store(), "{unfit}");
        assert!(!Error::Overtaken { reading: "a".to_owned() }.is_of_the_store());
    }

    #[test]
    fn a_full_disk_and_a_full_map_are_exhausted_and_name_the_path() {
        // 28 is ENOSPC, 122 EDQUOT, 27 EFBIG
        for code in [28, 122, 27] {
            let error = Error::embedded("write to", Path::new("/data/online"))(heed::Error::Io(
                std::io::Error::from_raw_os_error(code),
            ));
            assert_eq!((error.kind(), error.is_retryable()), (Kind::Exhausted, true));
            assert!(error.to_string().contains("/data/online"), "{error}");
            assert!(error.to_string().ends_with("; free space there"), "{error}");
        }
        let short = Error::embedded("write to", Path::new("/data/online"))(heed::Error::Io(
            std::io::Error::from_raw_os_error(super::EIO),
        ));
        assert_eq!((short.kind(), short.is_retryable()), (Kind::Exhausted, true));
        assert!(short.to_string().contains("; the disk is full, or broken: free space"), "{short}");
        let full = Error::embedded("write to", Path::new("/data/online"))(heed::Error::Mdb(heed::MdbError::MapFull));
        assert_eq!(full.kind(), Kind::Exhausted);
        assert!(full.to_string().contains("/data/online"), "{full}");
    }
}
