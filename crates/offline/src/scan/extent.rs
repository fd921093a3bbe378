//! What is known of a file's or a row group's rows before they are read.

use hitherto_core::{Created, Span};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::log::{DataFile, TimeRange};
use crate::schema::{CREATED, EVENT, INGESTED, SEQUENCE};
use crate::types::time_type;

/// Ranges of values, both ends in; `None` where they are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) event: Option<(i64, i64)>,
    /// Of the created time that the rule looks at, wherever it comes from.
    pub(super) created: Option<(i64, i64)>,
    pub(super) sequence: Option<(i64, i64)>,
}

impl Extent {
    /// Of a whole file, as the log has it.
    pub(super) fn of_file(file: &DataFile, created: Created) -> Self {
        let created = match created {
            Created::Absent => None,
            Created::Column => file.created.map(pair),
            Created::IngestedAt => file.ingested().map(pair),
        };
        Self { event: file.event.map(pair), created, sequence: file.sequences() }
    }

    /// Of a row group that begins with row `first_row` of `file`.
    pub(super) fn of_group(
        file: &DataFile,
        created: Created,
        metadata: &ArrowReaderMetadata,
        group: &RowGroupMetaData,
        first_row: u64,
    ) -> Self {
        let whole = Self::of_file(file, created);
        let in_file = |name: &str| statistics(metadata, group, name);
        let created = match created {
            Created::Absent => None,
            Created::Column => in_file(CREATED),
            Created::IngestedAt => in_file(INGESTED),
        };
        let in_commit = file.first_sequence.map(|first| {
            let first = first.saturating_add(first_row as i64);
            (first, first.saturating_add(group.num_rows() - 1))
        });
        Self {
            event: in_file(EVENT).or(whole.event),
            created: created.or(whole.created),
            sequence: in_file(SEQUENCE).or(in_commit),
        }
    }

    /// When the rows could first have been used: no sooner than, no later than.
    pub(super) fn available(&self, delay: Span, created: Created) -> (Option<i64>, Option<i64>) {
        let delayed = self.event.map(|(min, max)| {
            let add = |time: i64| time.saturating_add(delay.micros());
            (add(min), add(max))
        });
        let Some((min, max)) = delayed else { return (None, None) };
        match (created, self.created) {
            (Created::Absent, _) => (Some(min), Some(max)),
            (_, Some((first, last))) => (Some(min.max(first)), Some(max.max(last))),
            (_, None) => (Some(min), None),
        }
    }
}

fn pair(range: TimeRange) -> (i64, i64) {
    (range.min.0, range.max.0)
}

/// The statistics of a column of 64-bit integers or microseconds.
fn statistics(metadata: &ArrowReaderMetadata, group: &RowGroupMetaData, name: &str) -> Option<(i64, i64)> {
    let (_, field) = metadata.schema().column_with_name(name)?;
    let comparable = *field.data_type() == time_type() || *field.data_type() == arrow::datatypes::DataType::Int64;
    let column = group.columns().iter().find(|column| column.column_path().parts() == [name])?;
    match column.statistics()? {
        Statistics::Int64(values) if comparable => Some((*values.min_opt()?, *values.max_opt()?)),
        _ => None,
    }
}
