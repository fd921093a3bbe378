//! Why a column or a value is not taken.

use hitherto_core::ValueType;

use crate::input::{InputError, TargetColumn};

pub(super) const FLOAT_KEY: &str =
    ": a key is exact, and floats are not; with pandas, df[column].astype(\"Int64\") keeps integers whole beside nulls";
pub(super) const DATE_AS_TIME: &str =
    ": a day's aggregate dated midnight leaks the day; write the time at which the fact was true or the day was over";

/// A column that cannot be cast; it knows no file yet.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CastError {
    /// No column of this type is taken.
    #[error("{found} is not taken{remedy}")]
    Type {
        /// The type that was found.
        found: String,
        /// What to do, beginning with its own punctuation; may be empty.
        remedy: &'static str,
    },
    /// A value is not taken.
    #[error("{value} {problem}")]
    Cell {
        /// Its index in the array, from 0.
        row: usize,
        /// The value, shortened.
        value: String,
        /// Why not.
        problem: CellProblem,
    },
}

/// Why a value is not taken; reads on from the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CellProblem {
    /// Too large or too small.
    #[error("does not fit {wanted}: declare a wider type, or correct the value")]
    OutOfRange {
        /// The type that is wanted.
        wanted: ValueType,
    },
    /// The nearest float is another number.
    #[error("has no exact {wanted}: declare the feature {wider}, or round the column where it is made")]
    Inexact {
        /// The type that is wanted.
        wanted: ValueType,
        /// A type that holds it.
        wider: ValueType,
    },
    /// A float where an integer is wanted.
    #[error(
        "is not a whole number, and {wanted} is wanted: declare the feature float64, or round the column where it is made"
    )]
    Fraction {
        /// The type that is wanted.
        wanted: ValueType,
    },
    /// NaN where an integer is wanted.
    #[error(
        "is not a number, and {wanted} is wanted: write null for what is missing, in pandas df[column].astype(\"Int64\")"
    )]
    NotANumber {
        /// The type that is wanted.
        wanted: ValueType,
    },
    /// A float in a key column of text.
    #[error("is refused in a key{FLOAT_KEY}")]
    FloatKey,
    /// Text that is no value of the type.
    #[error("is no {wanted}{hint}")]
    NotA {
        /// The type that is wanted.
        wanted: ValueType,
        /// More, beginning with its own punctuation; may be empty.
        hint: &'static str,
    },
    /// A missing time.
    #[error("is refused as {time} time: every row needs one")]
    NullTime {
        /// `event` or `created`.
        time: &'static str,
    },
    /// A date where a time is wanted.
    #[error("is a date, and a time is wanted{DATE_AS_TIME}")]
    DateAsTime,
    /// A time beyond what 64 bits of microseconds hold.
    #[error("is outside the times that UTC microseconds can hold")]
    TimeOverflow,
    /// A time that microseconds do not hold.
    #[error("is finer than a microsecond: round the column where it is made")]
    TimeTooFine,
    /// A vector of the wrong length.
    #[error("has {found} numbers, and {wanted} is wanted")]
    VectorLength {
        /// How many it has.
        found: usize,
        /// The type that is wanted.
        wanted: ValueType,
    },
    /// A vector with a gap.
    #[error("has a null among its numbers, which a vector cannot hold")]
    NullInVector,
}

impl CastError {
    /// The error with its place: `column` of `file`, the array's first row being the file's row `first_row` (from 1).
    pub fn at(self, file: &str, column: &TargetColumn, first_row: u64) -> InputError {
        let file = file.to_owned();
        match self {
            Self::Type { found, remedy } => InputError::ColumnType {
                file,
                column: column.source.clone(),
                found,
                purpose: column.purpose().into(),
                declared: column.value_type.to_string().into(),
                remedy,
            },
            Self::Cell { row, value, problem } => InputError::Cell {
                file,
                column: column.source.clone(),
                row: first_row + row as u64,
                value: value.into(),
                problem: Box::new(problem),
            },
        }
    }
}
