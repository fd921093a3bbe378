//! What can be wrong with a message.

use std::convert::Infallible;

use hitherto_core::{KeyType, Kind, ValueType};

/// A message that does not say what it must, or a value that its column cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field that must be set is not.
    #[error("the field '{field}' is not set")]
    Absent {
        /// The field's name in the message.
        field: &'static str,
    },
    /// A field holds what it must not.
    #[error("the field '{field}' is not valid: {reason}")]
    Invalid {
        /// The field's name in the message.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A column whose parts contradict each other.
    #[error("the column '{column}' {problem}")]
    Column {
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value that is not of its column's type.
    #[error("the column '{column}' is of type {value_type}, but row {row} is not")]
    Value {
        /// The column.
        column: String,
        /// The row, from 0.
        row: usize,
        /// The column's type.
        value_type: ValueType,
    },
    /// A column that cannot hold an entity key.
    #[error("the column '{column}' is of type {found}, but the entity key is of type {key_type}{remedy}")]
    Key {
        /// The column.
        column: String,
        /// Its type.
        found: ValueType,
        /// The key's type.
        key_type: KeyType,
        /// What to do about it, after a colon; may be empty.
        remedy: &'static str,
    },
    /// An integer that is too large for its key.
    #[error("the column '{column}' has {value} in row {row}, which no {key_type} key can be")]
    KeyRange {
        /// The column.
        column: String,
        /// The row, from 0.
        row: usize,
        /// The value.
        value: i64,
        /// The key's type.
        key_type: KeyType,
    },
}

impl Error {
    /// Its kind: a message is wrong whatever the state of the system.
    pub fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }

    /// Whether the same message may be understood later: no.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// The field or column that is wrong.
    pub fn field(&self) -> &str {
        match self {
            Self::Absent { field } | Self::Invalid { field, .. } => field,
            Self::Column { column, .. }
            | Self::Value { column, .. }
            | Self::Key { column, .. }
            | Self::KeyRange { column, .. } => column,
        }
    }
}

/// A conversion that cannot fail, where one is called that may.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
