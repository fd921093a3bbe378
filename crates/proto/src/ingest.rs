//! Pushing rows.

use hitherto_core::Name;

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
        Self { rows, already, first_sequence, last_sequence, online_rows, null_key_rows, backdated_rows }
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
        } = sent;
        Self { rows, already, first_sequence, last_sequence, online_rows, null_key_rows, backdated_rows }
    }
}
