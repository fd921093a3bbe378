//! What a client is told of a failure: the one table from our kinds to SQLSTATE.

use std::io;

use hitherto_core::Kind;
use pgwire::error::{ErrorInfo, PgWireError};

use crate::answer::Refusal;

/// Longer texts are cut: a message of the protocol has at most 30,000 bytes.
const TEXT_BYTES_MAX: usize = 8_000;

/// SQLSTATE by its name, as PostgreSQL's appendix A has it.
pub(super) mod state {
    pub(crate) const PROTOCOL_VIOLATION: &str = "08P01";
    pub(crate) const NOT_SUPPORTED: &str = "0A000";
    pub(crate) const DATA_EXCEPTION: &str = "22000";
    pub(crate) const DATETIME_OVERFLOW: &str = "22008";
    pub(crate) const INVALID_PARAMETER: &str = "22023";
    pub(crate) const INVALID_TEXT: &str = "22P02";
    pub(crate) const INVALID_BINARY: &str = "22P03";
    pub(crate) const READ_ONLY: &str = "25006";
    pub(crate) const NO_TRANSACTION: &str = "25P01";
    pub(crate) const FAILED_TRANSACTION: &str = "25P02";
    pub(crate) const NO_STATEMENT: &str = "26000";
    pub(crate) const UNAUTHORIZED: &str = "28000";
    pub(crate) const WRONG_PASSWORD: &str = "28P01";
    pub(crate) const NO_CURSOR: &str = "34000";
    pub(crate) const NO_SAVEPOINT: &str = "3B001";
    pub(crate) const NO_DATABASE: &str = "3D000";
    pub(crate) const CONFLICT: &str = "40001";
    pub(crate) const SYNTAX_OR_ACCESS: &str = "42000";
    pub(crate) const SYNTAX: &str = "42601";
    pub(crate) const UNDEFINED_OBJECT: &str = "42704";
    pub(crate) const DUPLICATE_OBJECT: &str = "42710";
    pub(crate) const UNDEFINED_TABLE: &str = "42P01";
    pub(crate) const DUPLICATE_CURSOR: &str = "42P03";
    pub(crate) const DUPLICATE_STATEMENT: &str = "42P05";
    pub(crate) const INSUFFICIENT_RESOURCES: &str = "53000";
    pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
    pub(crate) const PROGRAM_LIMIT: &str = "54000";
    pub(crate) const CANCELED: &str = "57014";
    pub(crate) const SHUTDOWN: &str = "57P01";
    pub(crate) const CANNOT_NOW: &str = "57P03";
    pub(crate) const INTERNAL: &str = "XX000";
}

/// Why a statement, or the whole connection, does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client is told; the connection goes on.
    Refused(Told),
    /// The client is told, and the connection ends.
    Fatal(Told),
    /// There is nobody to be told.
    Gone,
}

/// The words of a refusal.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) state: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What was being done when something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A query was read and planned.
    Planning,
    /// Its rows were made.
    Running,
}

impl Told {
    pub(super) fn new(state: &'static str, message: impl Into<String>) -> Self {
        Self { state, message: message.into(), hint: None }
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// As the protocol has it.
    pub(super) fn into_info(self, severity: &str) -> ErrorInfo {
        let mut info = ErrorInfo::new(severity.to_owned(), self.state.to_owned(), cut(self.message));
        info.severity_nonlocalized = Some(severity.to_owned());
        info.hint = self.hint.map(cut);
        info
    }
}

impl Stop {
    pub(super) fn refused(state: &'static str, message: impl Into<String>) -> Self {
        Self::Refused(Told::new(state, message))
    }

    pub(super) fn fatal(state: &'static str, message: impl Into<String>) -> Self {
        Self::Fatal(Told::new(state, message))
    }

    /// What our own path to an answer refused.
    pub(super) fn of(phase: Phase, Refusal(failure): Refusal) -> Self {
        match failure.kind {
            Kind::Internal => tracing::error!(method = "PostgreSQL", "{}", failure.message),
            Kind::Unavailable | Kind::Exhausted => tracing::warn!(method = "PostgreSQL", "{}", failure.message),
            _ => tracing::debug!(method = "PostgreSQL", "{}", failure.message),
        }
        Self::Refused(Told { state: state_of(failure.kind, phase), message: failure.message, hint: failure.hint })
    }
}

/// SQLSTATE of our kinds. What is wrong with a query is not told apart further: its message says it.
fn state_of(kind: Kind, phase: Phase) -> &'static str {
    match (kind, phase) {
        (Kind::NotFound, _) => state::UNDEFINED_TABLE,
        (Kind::AlreadyExists, _) => state::DUPLICATE_OBJECT,
        (Kind::InvalidArgument, Phase::Planning) => state::SYNTAX_OR_ACCESS,
        (Kind::InvalidArgument, Phase::Running) => state::DATA_EXCEPTION,
        (Kind::Conflict, _) => state::CONFLICT,
        (Kind::Unavailable, _) => state::CANNOT_NOW,
        (Kind::Exhausted, _) => state::INSUFFICIENT_RESOURCES,
        (Kind::Unsupported, _) => state::NOT_SUPPORTED,
        _ => state::INTERNAL,
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        tracing::debug!("a client of PostgreSQL's wire is gone: {error}");
        Self::Gone
    }
}

/// A value that could not be written for a client.
impl From<PgWireError> for Stop {
    fn from(error: PgWireError) -> Self {
        match error {
            PgWireError::IoError(error) => error.into(),
            error => Self::refused(state::DATA_EXCEPTION, format!("could not write a value of the answer: {error}")),
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    // the protocol ends a text with it
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use hitherto_proto::Failure;

    use super::*;

    fn told(kind: Kind, phase: Phase) -> Told {
        let Stop::Refused(told) = Stop::of(phase, Refusal(Failure::new(kind, "no").with_hint("do"))) else {
            panic!("the connection goes on")
        };
        told
    }

    #[test]
    fn kinds_become_states_of_sql() {
        for (kind, phase, state) in [
            (Kind::NotFound, Phase::Planning, "42P01"),
            (Kind::InvalidArgument, Phase::Planning, "42000"),
            (Kind::InvalidArgument, Phase::Running, "22000"),
            (Kind::Exhausted, Phase::Running, "53000"),
            (Kind::Unsupported, Phase::Planning, "0A000"),
            (Kind::Internal, Phase::Running, "XX000"),
        ] {
            assert_eq!(told(kind, phase).state, state, "{kind:?}");
        }
        let info = told(Kind::NotFound, Phase::Planning).into_info("ERROR");
        assert_eq!((info.severity.as_str(), info.code.as_str()), ("ERROR", "42P01"));
        assert_eq!((info.message.as_str(), info.hint.as_deref()), ("no", Some("do")));
    }

    #[test]
    fn a_text_fits_into_a_message() {
        let info = Told::new(state::INTERNAL, "ä\0".repeat(10_000)).into_info("FATAL");
        assert!(info.message.len() < 30_000 && info.message.ends_with('…') && !info.message.contains('\0'));
    }
}
