//! Pushing rows.

use hitherto_core::Name;
use tonic::{Code, Status};

use crate::column::Most;
use crate::{Column, Error, column, field, row_count, v1};

/// A batch of rows for one feature view.
#[derive(Clone, Debug, PartialEq)]
pub struct Push {
    /// The view.
    pub view: Name,
    /// The rows, under the names of the source's columns; `_deleted` marks tombstones. At least one column.
    pub columns: Vec<Column>,
    /// Names the batch, so that it can be sent again. Without one a push is not deduplicated.
    pub batch_id: Option<String>,
    /// Where the rows go.
    pub destination: Destination,
}

impl Push {
    /// So many rows may be pushed at once; a file of more is ingested.
    pub const ROWS_MAX: usize = 1_000_000;
    /// So many values of all columns together; the items of lists and vectors count, too.
    pub const VALUES_MAX: usize = 10_000_000;
}

/// Which stores a push writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// The offline store alone.
    Offline,
    /// The offline store, then the online store.
    #[default]
    Both,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// How many rows the batch has.
    pub rows: u64,
    /// Whether it had been ingested before, so that nothing changed.
    pub already: bool,
    /// The sequence of its first row.
    pub first_sequence: Option<i64>,
    /// The sequence of its last row.
    pub last_sequence: Option<i64>,
    /// How many rows were written online.
    pub online_rows: u64,
    /// How many rows match nothing, because a part of their key is null.
    pub null_key_rows: u64,
    /// How many rows were available before they were ingested, so that past answers change.
    pub backdated_rows: u64,
}

impl TryFrom<Push> for v1::PushRequest {
    type Error = Error;

    fn try_from(push: Push) -> Result<Self, Error> {
        row_count(&push.columns)?;
        let destination = match push.destination {
            Destination::Offline => v1::Destination::Offline,
            Destination::Both => v1::Destination::Both,
        };
        Ok(Self {
            view: push.view.into(),
            columns: column::send(push.columns)?,
            batch_id: push.batch_id,
            destination: destination.into(),
        })
    }
}

impl TryFrom<v1::PushRequest> for Push {
    type Error = Error;

    fn try_from(sent: v1::PushRequest) -> Result<Self, Error> {
        let destination = match field::known("destination", sent.destination)? {
            v1::Destination::Offline => Destination::Offline,
            v1::Destination::Unspecified | v1::Destination::Both => Destination::Both,
        };
        let view = field::parse("view", &sent.view)?;
        if sent.columns.is_empty() {
            return Err(Error::Absent { field: "columns" });
        }
        Most { rows: Self::ROWS_MAX, values: Self::VALUES_MAX }.check("columns", &sent.columns)?;
        let columns = column::receive(sent.columns)?;
        row_count(&columns)?;
        let batch_id = sent.batch_id.map(|id| field::text("batch_id", id)).transpose()?;
        Ok(Self { view, columns, batch_id, destination })
    }
}

impl From<Pushed> for v1::PushResponse {
    fn from(pushed: Pushed) -> Self {
        let Pushed { rows, already, first_sequence, last_sequence, online_rows, null_key_rows, backdated_rows } =
            pushed;
        Self { rows, already, first_sequence, last_sequence, online_rows, null_key_rows, backdated_rows, error: None }
    }
}

impl From<v1::PushResponse> for Pushed {
    fn from(sent: v1::PushResponse) -> Self {
        let v1::PushResponse {
            rows,
            already,
            first_sequence,
            last_sequence,
            online_rows,
            null_key_rows,
            backdated_rows,
            error: _,
        } = sent;
        Self { rows, already, first_sequence, last_sequence, online_rows, null_key_rows, backdated_rows }
    }
}

/// The status of a batch that was refused, as it travels in the answers of a stream.
impl From<Status> for v1::PushError {
    fn from(status: Status) -> Self {
        Self {
            code: i32::from(status.code()),
            message: status.message().to_owned(),
            details: status.details().to_vec(),
        }
    }
}

impl From<v1::PushError> for Status {
    fn from(sent: v1::PushError) -> Self {
        Self::with_details(Code::from_i32(sent.code), sent.message, sent.details.into())
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::Kind;

    use super::*;
    use crate::Failure;

    #[test]
    fn a_refusal_within_a_stream_says_what_a_status_would() {
        let failure = Failure::new(Kind::Conflict, "the batch id 'a' was used before with other content")
            .with_hint("use a new id")
            .with_violation("batch_id", "used before");
        let sent = v1::PushError::from(Status::from(failure.clone()));
        assert_eq!(sent.message, failure.message);
        assert_eq!(Failure::from(&Status::from(sent)), failure);
    }
}
