//! Values that cannot be packed, and bytes that are no row.

use hitherto_core::{Kind, ValueType};

/// A row that could not be packed or unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// As many values as columns are needed.
    #[error("could not pack a row: it has {values} values for {columns} columns")]
    Count {
        /// How many columns there are.
        columns: usize,
        /// How many values were given.
        values: usize,
    },
    /// A value of another type than its column's.
    #[error("could not pack column {column} of a row: its type is {expected}, and the value is a {found}")]
    Type {
        /// The column's position.
        column: usize,
        /// The column's type.
        expected: ValueType,
        /// What the value is.
        found: &'static str,
    },
    /// A row beyond 65,535 columns or 4 GiB.
    #[error("could not pack a row: it has more than {0}")]
    TooLarge(&'static str),
    /// Bytes that end too early, or too late, or contradict themselves or the columns' types.
    #[error("could not read a packed row: {0}")]
    Malformed(&'static str),
}

impl EncodingError {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Malformed(_) => Kind::Internal,
            _ => Kind::InvalidArgument,
        }
    }

    /// Whether the same call may succeed later without a change to it.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}
