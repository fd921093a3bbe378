//! Rows of history as this crate reads them.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use hitherto_core::{Mode, Reading, Row, Timestamp};

use crate::{Error, Result};

/// Where columns are in a batch of history: keys in canonical order, `event_timestamp`, `created_timestamp` where the view
/// has one, `_deleted`, `_sequence`, then features, if they were asked for.
#[derive(Clone, Copy, Debug)]
pub struct HistoryColumns {
    /// How many key parts there are.
    pub keys: usize,
    /// Whether rows have a created time.
    pub created: bool,
}

/// The rows of one batch.
pub(crate) struct Rows<'a> {
    pub(crate) keys: &'a [ArrayRef],
    pub(crate) features: &'a [ArrayRef],
    event: &'a TimestampMicrosecondArray,
    created: Option<&'a TimestampMicrosecondArray>,
    deleted: &'a BooleanArray,
    sequence: &'a Int64Array,
}

impl HistoryColumns {
    /// How many columns come before the features.
    pub fn before_features(&self) -> usize {
        self.keys + 3 + usize::from(self.created)
    }

    pub(crate) fn rows<'a>(&self, batch: &'a RecordBatch) -> Result<Rows<'a>> {
        let columns = batch.columns();
        let wrong = |column: usize| Error::Column {
            column: batch.schema().fields().get(column).map_or_else(String::new, |field| field.name().clone()),
            reason: "history has it at another place or with another type".to_owned(),
        };
        let time = |column: usize| {
            let array = columns.get(column).and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
            array.filter(|array| array.null_count() == 0).ok_or_else(|| wrong(column))
        };
        let event = time(self.keys)?;
        let created = if self.created { Some(time(self.keys + 1)?) } else { None };
        let next = self.keys + 1 + usize::from(self.created);
        let deleted = columns.get(next).and_then(|array| array.as_boolean_opt()).ok_or_else(|| wrong(next))?;
        let sequence = columns.get(next + 1).and_then(|array| array.as_primitive_opt::<Int64Type>());
        let sequence = sequence.filter(|array| array.null_count() == 0).ok_or_else(|| wrong(next + 1))?;
        let (keys, features) = (&columns[..self.keys], &columns[self.before_features()..]);
        Ok(Rows { keys, features, event, created, deleted, sequence })
    }
}

impl Rows<'_> {
    pub(crate) fn row(&self, index: usize) -> Row {
        Row {
            event: Timestamp(self.event.value(index)),
            created: self.created.map(|created| Timestamp(created.value(index))),
            sequence: self.sequence.value(index),
            deleted: self.deleted.is_valid(index) && self.deleted.value(index),
        }
    }
}

/// From when on a row is visible.
pub(crate) fn visible_since(row: &Row, reading: Reading, mode: Mode) -> Timestamp {
    match mode {
        Mode::Knowledge => reading.available_at(row),
        Mode::Event => row.event,
    }
}

/// A row that may be the answer to a question, in 24 bytes: it compares as [`hitherto_core::order`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    event: i64,
    /// `i64::MIN` where the view has no created times; then all rows have it.
    created: i64,
    /// Twice the sequence, and one more for a tombstone; negative for no row at all. Sequences are below 2^53.
    place: i64,
}

impl Candidate {
    /// No row: less than every row.
    pub(crate) const NONE: Self = Self { event: i64::MIN, created: i64::MIN, place: -1 };

    pub(crate) fn of(row: &Row) -> Self {
        let created = row.created.map_or(i64::MIN, |created| created.0);
        Self { event: row.event.0, created, place: row.sequence * 2 + i64::from(row.deleted) }
    }

    /// The row; `None` where there is none.
    pub(crate) fn row(self, has_created: bool) -> Option<Row> {
        (self.place >= 0).then(|| Row {
            event: Timestamp(self.event),
            created: has_created.then_some(Timestamp(self.created)),
            sequence: self.place / 2,
            deleted: self.place % 2 == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::order;

    use super::*;

    #[test]
    fn candidates_compare_as_rows_do() {
        let mut rows = Vec::new();
        for (event, created, sequence) in
            [(0, 0, 0), (0, 1, 2), (1, 0, 1), (i64::MIN, i64::MIN, 3), (1, 0, 4), (i64::MAX, -1, 5)]
        {
            let created = Some(Timestamp(created));
            rows.push(Row { event: Timestamp(event), created, sequence, deleted: sequence % 2 == 0 });
        }
        for a in &rows {
            assert!(Candidate::NONE < Candidate::of(a));
            assert_eq!(Candidate::of(a).row(true), Some(*a));
            for b in &rows {
                assert_eq!(Candidate::of(a).cmp(&Candidate::of(b)), order(a).cmp(&order(b)), "{a:?} {b:?}");
            }
        }
        assert_eq!(Candidate::NONE.row(true), None);
    }
}
