//! What an event says of a failure: of which kind it is, and what failed. No value of a row leaves with it, and no secret.

use hitherto_offline::Error as Offline;

use super::place::without_user;
use crate::Error;
use crate::error::kept;

/// The kind of a failure and what failed.
pub(super) fn message(error: &Error) -> String {
    format!("{}: {}", error.kind().name(), without_secrets(&without_values(error)))
}

/// Only what is known to quote no row. What others say of a file, a query or a request may quote it.
fn without_values(error: &Error) -> String {
    match error {
        Error::Offline(Offline::Input(error)) => error.without_values(),
        Error::Offline(
            Offline::ObjectStore { what, .. }
            | Offline::Delta { what, .. }
            | Offline::Parquet { what, .. }
            | Offline::Arrow { what, .. }
            | Offline::DataFusion { what, .. },
        ) => format!("could not {what}"),
        Error::Offline(Offline::Corrupt { path, .. }) => format!("'{path}' is corrupt"),
        Error::Invalid(text) | Error::Offline(Offline::Invalid(text)) => beginning(text).to_owned(),
        Error::Transform { name, .. } => format!("transform '{name}' could not be compiled or evaluated"),
        Error::Query { what, .. } => what.clone(),
        Error::Internal { what, .. } => (*what).to_owned(),
        Error::NotOnline { view, sequences, source } => {
            format!("{}: {}", kept(view, *sequences), without_values(source))
        }
        Error::Shared(source) => without_values(source),
        other => other.to_string(),
    }
}

/// What a text says before it goes into particulars, which may be the names of columns that are none, or values.
fn beginning(text: &str) -> &str {
    let end = [": ", " ("].iter().filter_map(|mark| text.find(mark)).min();
    &text[..end.unwrap_or(text.len())]
}

/// A text with its URLs as events have them: without user, password and query.
fn without_secrets(text: &str) -> String {
    let (mut told, mut left) = (String::with_capacity(text.len()), text);
    while let Some((before, rest)) = left.split_once("://") {
        let scheme = before.rsplit(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
        let is_end = |letter: char| letter.is_whitespace() || matches!(letter, '\'' | '"' | '<' | '>' | ')');
        let (url, after) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
        told.extend([before, "://", without_user(scheme, authority), path]);
        left = after;
    }
    told.push_str(left);
    told
}

#[cfg(test)]
mod tests {
    use hitherto_core::Kind;
    use hitherto_offline::input::InputError;

    use super::*;

    #[test]
    fn urls_lose_their_secrets_wherever_they_stand() {
        for (text, expected) in [
            (
                "could not read 'https://me:secret@host/a.csv?sig=secret': gone",
                "could not read 'https://host/a.csv': gone",
            ),
            ("at s3://key:secret@bucket/a and http://me@host", "at s3://bucket/a and http://host"),
            ("abfss://box@account.dfs.core.windows.net/a", "abfss://box@account.dfs.core.windows.net/a"),
            ("no URL, and nothing is left out?", "no URL, and nothing is left out?"),
        ] {
            assert_eq!(without_secrets(text), expected);
        }
    }

    #[test]
    fn what_may_quote_a_row_is_left_out() {
        let file = || "a.csv".to_owned();
        let row = InputError::Row { file: file(), row: 3, reason: "has the secret 7".to_owned() };
        let query = Error::Query {
            what: "could not run the query".to_owned(),
            reason: "Cannot cast string 'secret'".to_owned(),
            kind: Kind::InvalidArgument,
        };
        let cast = "request field 'x' of the spine must be Int64: Cannot cast string 'secret'";
        let spine = "the spine has no column 'tail' for key 'tailnum' (it has N1, secret)";
        for (error, expected) in [
            (Error::Offline(row.into()), "INVALID_ARGUMENT: could not read 'a.csv': row 3 cannot be read"),
            (query, "INVALID_ARGUMENT: could not run the query"),
            (Error::Invalid(cast.to_owned()), "INVALID_ARGUMENT: request field 'x' of the spine must be Int64"),
            (
                Error::Offline(Offline::Invalid(spine.to_owned())),
                "INVALID_ARGUMENT: the spine has no column 'tail' for key 'tailnum'",
            ),
            (Error::NotFound("no feature set 'lte'".to_owned()), "NOT_FOUND: no feature set 'lte'"),
        ] {
            assert_eq!(message(&error), expected);
        }
    }
}
