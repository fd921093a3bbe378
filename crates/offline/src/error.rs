//! What can go wrong with history, and of what kind it is.

use std::io;

use hitherto_core::Kind;

use crate::store::DiskFailure;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the offline store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder of this machine.
    #[error("could not {what}: {source}{}", remedy(source))]
    Io {
        /// What was being done to what: `read 'legs.csv'`.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An object store.
    #[error("could not {what}: {source}")]
    ObjectStore {
        /// What was being done to what.
        what: String,
        /// Why not.
        #[source]
        source: object_store::Error,
    },
    /// The table log.
    #[error("could not {what}: {source}")]
    Delta {
        /// What was being done to what.
        what: String,
        /// Why not.
        #[source]
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// A Parquet file.
    #[error("could not {what}: {source}")]
    Parquet {
        /// What was being done to what.
        what: String,
        /// Why not.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Columns in memory.
    #[error("could not {what}: {source}")]
    Arrow {
        /// What was being done to what.
        what: String,
        /// Why not.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// The query engine.
    #[error("could not {what}: {source}")]
    DataFusion {
        /// What was being done to what.
        what: String,
        /// Why not.
        #[source]
        source: Box<datafusion::error::DataFusionError>,
    },
    /// A user's file.
    #[error(transparent)]
    Input(#[from] crate::input::InputError),
    /// The request is wrong; the text says what, why and what to do instead.
    #[error("{0}")]
    Invalid(String),
    /// Something else came first; the text says what.
    #[error("{0}")]
    Conflict(String),
    /// The thing named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A limit is reached.
    #[error("could not {what}: {limit}")]
    Exhausted {
        /// What was being done to what.
        what: String,
        /// The limit that was reached, and what would help.
        limit: String,
    },
    /// A stored thing that contradicts itself.
    #[error("'{path}' is corrupt: {reason}")]
    Corrupt {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A thing that this version cannot do.
    #[error("{0}")]
    Unsupported(String),
}

impl Error {
    /// A failure to `what` (`read 'legs.csv'`) on this machine's disk.
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// A failure to `what` in an object store.
    pub fn object_store(what: impl Into<String>, source: object_store::Error) -> Self {
        of_disk(&source).unwrap_or_else(|| Self::ObjectStore { what: what.into(), source })
    }

    /// A failure to `what` in the table log.
    pub fn delta(what: impl Into<String>, source: deltalake_core::DeltaTableError) -> Self {
        of_disk(&source).unwrap_or_else(|| Self::Delta { what: what.into(), source: Box::new(source) })
    }

    /// A failure to `what` in a Parquet file.
    pub fn parquet(what: impl Into<String>, source: parquet::errors::ParquetError) -> Self {
        of_disk(&source).unwrap_or_else(|| Self::Parquet { what: what.into(), source })
    }

    /// A failure to `what` with columns in memory.
    pub fn arrow(what: impl Into<String>, source: arrow::error::ArrowError) -> Self {
        Self::Arrow { what: what.into(), source }
    }

    /// A failure to `what` in the query engine.
    pub fn datafusion(what: impl Into<String>, source: datafusion::error::DataFusionError) -> Self {
        Self::DataFusion { what: what.into(), source: Box::new(source) }
    }

    /// Its kind. A full disk is [`Kind::Exhausted`] however deep in the chain of sources it lies.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Input(source) => source.kind(),
            Self::Invalid(_) => Kind::InvalidArgument,
            Self::Conflict(_) => Kind::Conflict,
            Self::NotFound(_) => Kind::NotFound,
            Self::Exhausted { .. } => Kind::Exhausted,
            Self::Corrupt { .. } => Kind::Internal,
            Self::Unsupported(_) => Kind::Unsupported,
            Self::Io { source, .. } => kind_of_chain(source),
            Self::ObjectStore { source, .. } => kind_of_chain(source),
            Self::Delta { source, .. } => kind_of_chain(source.as_ref()),
            Self::Parquet { source, .. } => kind_of_chain(source),
            Self::Arrow { source, .. } => kind_of_chain(source),
            Self::DataFusion { source, .. } => kind_of_chain(source.as_ref()),
        }
    }

    /// Whether the same call may succeed later without a change to it.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}

/// A failure of this machine's disk, however deep it lies: it names the file, and what is above it adds nothing.
fn of_disk(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        // an `io::Error` made from another error hides it from `source`, but not from `get_ref`
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.map(|inner| inner as &(dyn std::error::Error + 'static));
        if let Some(DiskFailure { what, source }) = inner.unwrap_or(cause).downcast_ref() {
            // a name that is taken is no failure of the disk
            let code = source.raw_os_error().filter(|_| source.kind() != io::ErrorKind::AlreadyExists)?;
            return Some(Error::io(what.clone(), io::Error::from_raw_os_error(code)));
        }
        next = inner.or_else(|| cause.source());
    }
    None
}

fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => "; free space there and try again",
        FileTooLarge => "; raise the limit on the size of files (ulimit -f) and try again",
        _ => "",
    }
}

/// The kind that the first telling cause has; [`Kind::Internal`] where none tells.
fn kind_of_chain(error: &(dyn std::error::Error + 'static)) -> Kind {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(kind) = kind_of(cause) {
            return kind;
        }
        next = cause.source();
    }
    Kind::Internal
}

fn kind_of(cause: &(dyn std::error::Error + 'static)) -> Option<Kind> {
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return kind_of_io(error);
    }
    if let Some(error) = cause.downcast_ref::<object_store::Error>() {
        return kind_of_object_store(error);
    }
    if let Some(error) = cause.downcast_ref::<datafusion::error::DataFusionError>() {
        return match error.find_root() {
            datafusion::error::DataFusionError::ResourcesExhausted(_) => Some(Kind::Exhausted),
            _ => None,
        };
    }
    cause.downcast_ref::<Error>().map(Error::kind)
}

fn kind_of_io(error: &io::Error) -> Option<Kind> {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, FileTooLarge, NotFound, OutOfMemory, QuotaExceeded, StorageFull, TimedOut,
    };
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge | OutOfMemory => Some(Kind::Exhausted),
        NotFound => Some(Kind::NotFound),
        ConnectionRefused | ConnectionReset | TimedOut => Some(Kind::Unavailable),
        // an `io::Error` made from another error hides it from `source`, but not from `get_ref`
        _ => error.get_ref().map(|inner| kind_of_chain(inner)).filter(|kind| *kind != Kind::Internal),
    }
}

fn kind_of_object_store(error: &object_store::Error) -> Option<Kind> {
    match error {
        object_store::Error::NotFound { .. } => Some(Kind::NotFound),
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => Some(Kind::Conflict),
        object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
            Some(Kind::Unsupported)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_however_deep_it_lies() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Error::io("write 'a'", full()).kind(), Kind::Exhausted);
        let store = object_store::Error::Generic { store: "disk", source: Box::new(full()) };
        assert_eq!(Error::object_store("put 'a'", store).kind(), Kind::Exhausted);
        let store = object_store::Error::Generic { store: "disk", source: Box::new(full()) };
        let wrapped = io::Error::other(store);
        let parquet = parquet::errors::ParquetError::External(Box::new(wrapped));
        let error = Error::parquet("write 'a'", parquet);
        assert_eq!(error.kind(), Kind::Exhausted);
        assert!(error.is_retryable());
        let carried = datafusion::error::DataFusionError::External(Box::new(error));
        assert_eq!(Error::datafusion("scan 'a'", carried).kind(), Kind::Exhausted);
    }

    #[test]
    fn a_failure_of_the_disk_is_told_once_with_the_remedy() {
        let disk = |code| DiskFailure { what: "write '/t/a'".to_owned(), source: io::Error::from_raw_os_error(code) };
        let store = |code| {
            let wrapped = io::Error::other(disk(code));
            object_store::Error::Generic { store: "disk", source: Box::new(wrapped) }
        };
        let external = parquet::errors::ParquetError::External(Box::new(io::Error::other(store(28))));
        for error in [Error::object_store("put 'a'", store(28)), Error::parquet("write 'a'", external)] {
            let text = error.to_string();
            assert!(text.starts_with("could not write '/t/a': No space left on device"), "{text}");
            assert!(text.ends_with("; free space there and try again"), "{text}");
            assert_eq!(error.kind(), Kind::Exhausted);
        }
        let taken = object_store::Error::AlreadyExists { path: "a".to_owned(), source: Box::new(disk(17)) };
        assert_eq!(Error::object_store("put 'a'", taken).kind(), Kind::Conflict);
    }

    #[test]
    fn kinds_follow_the_cause() {
        assert_eq!(Error::Conflict("x".into()).kind(), Kind::Conflict);
        assert_eq!(Error::io("read 'a'", io::Error::from(io::ErrorKind::NotFound)).kind(), Kind::NotFound);
        assert_eq!(Error::io("read 'a'", io::Error::other("odd")).kind(), Kind::Internal);
    }
}
