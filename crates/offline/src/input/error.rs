//! What can be wrong with a user's file, in words that tell what to do about it.

use std::fmt::Write as _;
use std::io;

use hitherto_core::Kind;

use super::CellProblem;

/// A file that cannot be read, or that holds what must not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// There is no such file.
    #[error("could not open '{file}': there is no such file")]
    NotFound {
        /// The file, as the user named it.
        file: String,
    },
    /// No file matches a pattern.
    #[error("could not open '{pattern}': no file matches it")]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// A pattern that is none.
    #[error("could not open '{pattern}': {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: glob::PatternError,
    },
    /// A folder where files are wanted.
    #[error("could not open '{file}': it is a folder; name its files, for example '{file}/*.parquet'")]
    Folder {
        /// The folder.
        file: String,
    },
    /// The operating system refuses.
    #[error("could not read '{file}': {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The object store refuses.
    #[error("could not read '{file}': {source}")]
    Store {
        /// The object.
        file: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// What comes from elsewhere is first kept on disk, and the disk refuses.
    #[error("could not keep a copy of '{file}' on disk: {source}")]
    Spool {
        /// The object or stream.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The format is none of ours.
    #[error("could not read '{file}': {reason}; give Parquet, CSV with a header or newline-delimited JSON")]
    Format {
        /// The file.
        file: String,
        /// What it is instead.
        reason: &'static str,
    },
    /// A Parquet file whose end is missing.
    #[error(
        "could not read '{file}': it is truncated, for a Parquet file ends with a footer and this one does not; \
         nothing of it was taken: write or copy it again"
    )]
    Truncated {
        /// The file.
        file: String,
    },
    /// A file that contradicts itself.
    #[error(
        "could not read '{file}': it is corrupt or truncated ({reason}); nothing of it was taken: write or copy it again"
    )]
    Corrupt {
        /// The file.
        file: String,
        /// What was noticed.
        reason: String,
    },
    /// A file that was written to while it was read.
    #[error(
        "could not read '{file}': it changed while it was read; nothing of it was taken: try again when it is complete"
    )]
    Changed {
        /// The file.
        file: String,
    },
    /// A row that is not in the format.
    #[error("could not read '{file}': row {row} {reason}")]
    Row {
        /// The file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Two columns of one name.
    #[error("could not read '{file}': it has two columns named '{column}'; rename one")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// Their name.
        column: String,
    },
    /// Columns that the target needs and the file lacks.
    #[error("could not read '{file}': {}", missing_text(.missing))]
    MissingColumns {
        /// The file.
        file: String,
        /// All of them.
        missing: Vec<Missing>,
    },
    /// Columns that no version of the feature view declares.
    #[error("could not read '{file}': {}", undeclared_text(.columns))]
    UndeclaredColumns {
        /// The file.
        file: String,
        /// All of them.
        columns: Vec<String>,
    },
    /// A column that the system writes.
    #[error("could not read '{file}': the column '{column}' is written by the system; leave it out of the file")]
    SystemColumn {
        /// The file.
        file: String,
        /// The column.
        column: String,
    },
    /// A column of a type that is not taken.
    #[error("could not read '{file}': column '{column}' is {found}, and {purpose} wants {declared}{remedy}")]
    ColumnType {
        /// The file.
        file: String,
        /// The column in the file.
        column: String,
        /// Its type there.
        found: String,
        /// What the column is for: `feature 'arr_delay'`.
        purpose: Box<str>,
        /// The type that is wanted.
        declared: Box<str>,
        /// What to do, beginning with its own punctuation; may be empty.
        remedy: &'static str,
    },
    /// A value that is not taken.
    #[error("could not read '{file}': column '{column}', row {row}: {value} {problem}")]
    Cell {
        /// The file.
        file: String,
        /// The column in the file.
        column: String,
        /// The row, from 1.
        row: u64,
        /// The value, shortened.
        value: Box<str>,
        /// Why not.
        problem: Box<CellProblem>,
    },
    /// Files that do not fit together.
    #[error(
        "could not read '{file}': its column '{column}' is {found}, and in '{first}' it is {expected}; give files of one schema"
    )]
    SchemasDiffer {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// What it is here.
        found: Box<str>,
        /// The first file.
        first: Box<str>,
        /// What it is there.
        expected: Box<str>,
    },
    /// The reader stopped short: a fault of a decoder, for which a damaged file is the likeliest cause.
    #[error(
        "could not read '{file}': its decoder stopped short; the file is probably corrupt, and nothing of it was taken"
    )]
    Stopped {
        /// The file.
        file: String,
    },
}

/// A column that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The column that is wanted in the file.
    pub column: String,
    /// What it would be: `entity key 'tailnum'`.
    pub purpose: String,
    /// A column of the file that may be meant.
    pub suggestion: Option<String>,
}

impl InputError {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } | Self::NoMatch { .. } => Kind::NotFound,
            Self::Io { source, .. } | Self::Spool { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Kind::NotFound,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Exhausted,
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => Kind::InvalidArgument,
                _ => Kind::Unavailable,
            },
            Self::Store { source, .. } => match source {
                object_store::Error::NotFound { .. } => Kind::NotFound,
                object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                    Kind::InvalidArgument
                }
                object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
                    Kind::Unsupported
                }
                _ => Kind::Unavailable,
            },
            Self::Changed { .. } => Kind::Conflict,
            _ => Kind::InvalidArgument,
        }
    }

    /// Whether the same call may succeed later without a change to it.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// What is wrong, for those who must not see what the file holds: no value of a row, and no column that the target does not
    /// have, since in a file without a heading these are values.
    pub fn without_values(&self) -> String {
        let of = |file: &str, what: String| format!("could not read '{file}': {what}");
        match self {
            Self::Cell { file, column, row, problem, .. } => {
                of(file, format!("column '{column}', row {row}: a value {problem}"))
            }
            Self::Row { file, row, .. } => of(file, format!("row {row} cannot be read")),
            Self::Corrupt { file, .. } => of(file, "it is corrupt or truncated".to_owned()),
            Self::Store { file, .. } => of(file, "the object store refuses".to_owned()),
            Self::DuplicateColumn { file, .. } => of(file, "it has two columns of one name".to_owned()),
            Self::UndeclaredColumns { file, columns } => {
                of(file, format!("no version of the feature view declares {} of its columns", columns.len()))
            }
            Self::MissingColumns { file, missing } => {
                let missing: Vec<Missing> =
                    missing.iter().map(|missing| Missing { suggestion: None, ..missing.clone() }).collect();
                of(file, missing_text(&missing))
            }
            other => other.to_string(),
        }
    }
}

fn missing_text(missing: &[Missing]) -> String {
    let mut text = String::new();
    for (index, Missing { column, purpose, suggestion }) in missing.iter().enumerate() {
        let before = if index == 0 { "" } else { "; " };
        let _ = write!(text, "{before}it has no column '{column}' ({purpose})");
        if let Some(suggestion) = suggestion {
            let _ = write!(text, ", did you mean '{suggestion}'?");
        }
    }
    text
}

fn undeclared_text(columns: &[String]) -> String {
    let list = columns.iter().map(|column| format!("'{column}'")).collect::<Vec<_>>().join(", ");
    let (noun, pronoun) = if columns.len() == 1 { ("column", "it") } else { ("columns", "them") };
    let index = columns.iter().any(|column| column.starts_with("__index_level_") || column.starts_with("Unnamed: "));
    let pandas = if index { " (an index of pandas is left out by index=False)" } else { "" };
    format!(
        "no version of the feature view declares the {noun} {list}; declare {pronoun}, leave {pronoun} out of the \
         file{pandas}, or ask to ignore extra columns (--ignore-extra)"
    )
}
