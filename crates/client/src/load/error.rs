//! Why a run of load cannot begin, or be measured.

/// The result of this module's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run cannot begin, or be measured. What becomes of its requests is in its report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server cannot be reached, or does not know what is to be asked for.
    #[error(transparent)]
    Client(#[from] crate::Error),
    /// Something that load is not made for.
    #[error("could not make load on {what}: {reason}")]
    Unsupported {
        /// The feature set or view.
        what: String,
        /// What is in the way.
        reason: String,
    },
    /// A process whose processor time is wanted cannot be looked at.
    #[error("could not read the processor time of {name}: {source}; is it running, on Linux, as this user?")]
    Processor {
        /// The name that it was given.
        name: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Latencies cannot be counted.
    #[error("could not make a histogram: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
}
