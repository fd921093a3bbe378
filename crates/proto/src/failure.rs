//! An error as it travels: a code and a message, with `google.rpc` details for programs.

use std::collections::HashMap;

use hitherto_core::Kind;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{Error, code, kind, reason};

/// The domain of every `google.rpc.ErrorInfo` that the server sends.
const DOMAIN: &str = "hitherto";

// Details travel in a trailer, and clients in other languages refuse trailers of more than 8 KiB: the message goes twice
// (once in base64), the rest once.
const MESSAGE_BYTES_MAX: usize = 1_500;
const HINT_BYTES_MAX: usize = 300;
const VIOLATIONS_BYTES_MAX: usize = 1_500;

/// What failed, for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its kind: the code on the wire, and `google.rpc.ErrorInfo`.
    pub kind: Kind,
    /// What failed and why. Cut at 1,500 bytes on the wire.
    pub message: String,
    /// What to do about it: `google.rpc.Help`. Cut at 300 bytes on the wire.
    pub hint: Option<String>,
    /// Which parts of the request are wrong: `google.rpc.BadRequest`. As many as fit in 1,500 bytes on the wire.
    pub violations: Vec<Violation>,
}

/// A part of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field or column.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Failure {
    /// A failure with neither hint nor violations.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, violations: Vec::new() }
    }

    /// The same with a hint.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with one more violation.
    pub fn with_violation(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.violations.push(Violation { field: field.into(), description: description.into() });
        self
    }
}

/// A message that could not be understood is a bad request.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error.to_string()).with_violation(error.field(), error.to_string())
    }
}

impl From<Failure> for tonic::Status {
    fn from(failure: Failure) -> Self {
        let mut details = ErrorDetails::with_error_info(reason(failure.kind), DOMAIN, HashMap::new());
        if let Some(hint) = failure.hint {
            details.add_help_link(cut(hint, HINT_BYTES_MAX), "");
        }
        let mut left = VIOLATIONS_BYTES_MAX;
        for violation in failure.violations {
            let bytes = violation.field.len() + violation.description.len();
            if bytes > left {
                break;
            }
            left -= bytes;
            details.add_bad_request_violation(violation.field, violation.description);
        }
        Self::with_error_details(code(failure.kind), cut(failure.message, MESSAGE_BYTES_MAX), details)
    }
}

impl From<&tonic::Status> for Failure {
    fn from(status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let hint = details.help().and_then(|help| help.links.first()).map(|link| link.description.clone());
        let violation =
            |sent: &FieldViolation| Violation { field: sent.field.clone(), description: sent.description.clone() };
        let violations =
            details.bad_request().map_or_else(Vec::new, |bad| bad.field_violations.iter().map(violation).collect());
        Self { kind: kind(status.code()), message: status.message().to_owned(), hint, violations }
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = " …";
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_wire() {
        let failure = Failure::new(Kind::NotFound, "could not read feature set 'lat': there is none of that name")
            .with_hint("did you mean 'late'?")
            .with_violation("feature_set", "no such set");
        let status = tonic::Status::from(failure.clone());
        assert_eq!(status.code(), tonic::Code::NotFound);
        let error_info = status.get_details_error_info().expect("error info");
        assert_eq!((error_info.reason.as_str(), error_info.domain.as_str()), ("NOT_FOUND", "hitherto"));
        assert_eq!(Failure::from(&status), failure);
    }

    #[test]
    fn a_status_of_others_is_a_failure_without_details() {
        let status = tonic::Status::deadline_exceeded("too late");
        assert_eq!(Failure::from(&status), Failure::new(Kind::Unavailable, "too late"));
    }

    #[test]
    fn long_failures_are_cut_between_characters() {
        let mut failure = Failure::new(Kind::InvalidArgument, "ä".repeat(5_000)).with_hint("h".repeat(301));
        for row in 0..100 {
            failure = failure.with_violation("features", format!("row {row}: {}", "x".repeat(90)));
        }
        let status = tonic::Status::from(failure);
        let read = Failure::from(&status);
        assert!(read.message.ends_with("ä …") && read.message.len() <= MESSAGE_BYTES_MAX);
        assert_eq!(read.hint.map(|hint| hint.len()), Some(HINT_BYTES_MAX));
        assert!((10..16).contains(&read.violations.len()), "{} violations", read.violations.len());
        assert!(status.details().len() < 4_000, "{} bytes of details", status.details().len());
    }

    #[test]
    fn a_message_not_understood_names_its_field() {
        let failure = Failure::from(Error::Absent { field: "view" });
        assert_eq!(failure.kind, Kind::InvalidArgument);
        assert_eq!(failure.violations[0].field, "view");
    }
}
