//! What can be wrong with an as-of join. Through DataFusion these travel as `External`, and come back by downcast.

use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;

/// Why an as-of join could not be planned or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The spine's time column is not a timestamp.
    #[error(
        "could not use column '{column}' as the spine's time: its type is {data_type}, and a timestamp is needed{}",
        date_remedy(data_type)
    )]
    SpineTimeType {
        /// The spine's column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// A spine row has no time.
    #[error("could not answer row {row} of the spine: its time, column '{column}', is null (rows count from 0)")]
    SpineTimeNull {
        /// The spine's column.
        column: String,
        /// The row, counted from 0 in the spine's order.
        row: u64,
    },
    /// A key column has a type that cannot be a key.
    #[error(
        "could not use {column} as a key of '{view}': its type is {data_type}, \
         and a key is an integer, text, bytes, a bool or a timestamp{}",
        float_remedy(data_type)
    )]
    KeyType {
        /// The view.
        view: String,
        /// Which column, in words.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// The spine's key column cannot be compared with the view's.
    #[error(
        "could not match the spine's column '{column}' with a key of '{view}': it is {spine}, the key is {source_type}"
    )]
    KeyMismatch {
        /// The view.
        view: String,
        /// The spine's column.
        column: String,
        /// The type of the spine's column.
        spine: DataType,
        /// The type of the view's key.
        source_type: DataType,
    },
    /// Two columns of the output would have one name.
    #[error(
        "could not name a column '{name}' for '{view}': the output has one of that name already; rename one of them"
    )]
    NameClash {
        /// The view whose column comes second.
        view: String,
        /// The name.
        name: String,
    },
    /// The description of a view contradicts itself or its source.
    #[error("could not join '{view}': {reason}")]
    View {
        /// The view.
        view: String,
        /// What contradicts what.
        reason: String,
    },
    /// A source broke its contract.
    #[error("could not read '{view}': {reason}")]
    Source {
        /// The view, or the source's label.
        view: String,
        /// What the source did.
        reason: String,
    },
}

impl Error {
    /// Whether the spine or the description of the join is at fault, rather than the source behind it.
    pub fn is_invalid_argument(&self) -> bool {
        !matches!(self, Self::Source { .. })
    }

    /// Whether the same join may succeed later without a change to it: never.
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

fn date_remedy(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Date32 | DataType::Date64 => "; a date says no time of day: cast it to the moment that is meant",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "; cast it to one",
        _ => "",
    }
}

fn float_remedy(data_type: &DataType) -> &'static str {
    if data_type.is_floating() {
        "; integers with nulls come as floats from pandas: use its Int64, or cast the column"
    } else {
        ""
    }
}
