//! Statuses and modes.

use hitherto_core::{Mode, Status};

use crate::{Error, v1};

impl From<Status> for v1::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Present => Self::Present,
            Status::NullValue => Self::NullValue,
            Status::NotFound => Self::NotFound,
            Status::OutsideMaxAge => Self::OutsideMaxAge,
        }
    }
}

impl TryFrom<v1::Status> for Status {
    type Error = Error;

    fn try_from(status: v1::Status) -> Result<Self, Error> {
        match status {
            v1::Status::Unspecified => Err(Error::Absent { field: "statuses" }),
            v1::Status::Present => Ok(Self::Present),
            v1::Status::NullValue => Ok(Self::NullValue),
            v1::Status::NotFound => Ok(Self::NotFound),
            v1::Status::OutsideMaxAge => Ok(Self::OutsideMaxAge),
        }
    }
}

impl From<Mode> for v1::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Knowledge => Self::Knowledge,
            Mode::Event => Self::Event,
        }
    }
}

/// Unspecified means the contract's default.
impl From<v1::Mode> for Mode {
    fn from(mode: v1::Mode) -> Self {
        match mode {
            v1::Mode::Unspecified | v1::Mode::Knowledge => Self::Knowledge,
            v1::Mode::Event => Self::Event,
        }
    }
}
