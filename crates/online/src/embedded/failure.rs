//! A failure that does not yet know where it happened.

use super::environment::Environment;
use crate::Error;

#[derive(Debug)]
pub(super) enum Failure {
    Heed(heed::Error),
    Record(&'static str),
}

impl Failure {
    pub(super) fn named(self, doing: &'static str, environment: &Environment) -> Error {
        match self {
            Self::Heed(source) => Error::embedded(doing, environment.path())(source),
            Self::Record(problem) => Error::Corrupt {
                what: "a record".to_owned(),
                store: format!("the embedded store at {}", environment.path().display()),
                problem,
            },
        }
    }
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        Self::Heed(error)
    }
}

impl From<&'static str> for Failure {
    fn from(problem: &'static str) -> Self {
        Self::Record(problem)
    }
}
