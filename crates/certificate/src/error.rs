//! What keeps a check from being made; what a check finds is no error but a fault in a report.

use hitherto_core::Kind;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A check that could not be made. Nothing is proven by it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A column is not what the claim says.
    #[error("could not check column '{column}': {reason}")]
    Column {
        /// The column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Arrow could not compare or convert.
    #[error("could not {what}: {source}")]
    Arrow {
        /// What was being done.
        what: &'static str,
        /// Why not.
        #[source]
        source: arrow::error::ArrowError,
    },
}

impl Error {
    /// Of what kind the failure is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Column { .. } => Kind::InvalidArgument,
            Self::Arrow { .. } => Kind::Internal,
        }
    }

    pub(crate) fn arrow(what: &'static str) -> impl FnOnce(arrow::error::ArrowError) -> Self {
        move |source| Self::Arrow { what, source }
    }
}
