//! What a run of materialization has to write: rows that reach the online store since the last run.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use hitherto_core::{Created, Span, Table, Timestamp};

use super::PinnedTable;
use super::columns::{Column, Layout};
use super::extent::Extent;
use super::footer::KeyForm;
use crate::{Error, Result};

const BATCH_ROWS: usize = 8192;

/// How far a reading has been materialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Rows up to this `_sequence` have been looked at; -1 when none has.
    pub sequence: i64,
    /// Those of them that were available at this clock have been written.
    pub clock: Timestamp,
}

/// Columns of [`PinnedTable::changes`]: keys, `event_timestamp`, `created_timestamp` unless the table has none (it is
/// `_ingested_at` where the table says so), all features of the table, `_deleted`, `_sequence`.
pub fn changes_schema(table: &Table) -> SchemaRef {
    Arc::clone(layout(&Arc::new(table.clone()), Vec::new()).schema())
}

impl PinnedTable {
    /// The rows with `available_at <= until` that have `_sequence > after.sequence` or `available_at > after.clock`,
    /// in the columns of [`changes_schema`], without those whose key has a null part.
    pub fn changes(
        &self,
        after: Marks,
        until: Timestamp,
        source_delay: Span,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let pinned = self.clone();
        let open = async move {
            let created = pinned.table().created;
            let morsels = pinned.morsels(|extent| may_contribute(extent, created, after, until, source_delay)).await?;
            let layout = Arc::new(layout(pinned.shared_table(), vec![Column::Available(source_delay)]));
            let keys = pinned.table().keys.len();
            let rows = pinned.batches(morsels, &layout, BATCH_ROWS);
            Ok::<_, Error>(rows.map(move |batch| reaching(&batch?, keys, after, until)))
        };
        let changed = stream::once(open).try_flatten();
        changed.try_filter(|batch| futures::future::ready(batch.num_rows() > 0)).boxed()
    }
}

fn layout(table: &Arc<Table>, more: Vec<Column>) -> Layout {
    let mut columns: Vec<Column> = (0..table.keys.len()).map(Column::Key).collect();
    columns.push(Column::Event);
    columns.extend((table.created != Created::Absent).then_some(Column::Created));
    columns.extend((0..table.columns.len()).map(Column::Feature));
    columns.extend([Column::Deleted, Column::Sequence]);
    columns.extend(more);
    Layout::new(table, columns, KeyForm::Declared, "_available_at")
}

fn may_contribute(extent: &Extent, created: Created, after: Marks, until: Timestamp, delay: Span) -> bool {
    let (soonest, latest) = extent.available(delay, created);
    let reached = soonest.is_none_or(|soonest| soonest <= until.0);
    let unseen = extent.sequence.is_none_or(|(_, last)| last > after.sequence);
    reached && (unseen || latest.is_none_or(|latest| latest > after.clock.0))
}

/// The rows that reach the online store; their last column, when they are available, is dropped.
fn reaching(batch: &RecordBatch, keys: usize, after: Marks, until: Timestamp) -> Result<RecordBatch> {
    let last = batch.num_columns() - 1;
    let available = batch.column(last).as_primitive::<TimestampMicrosecondType>().values();
    let sequence = batch.column(last - 1).as_primitive::<Int64Type>().values();
    let reached = BooleanBuffer::collect_bool(batch.num_rows(), |row| {
        available[row] <= until.0 && (sequence[row] > after.sequence || available[row] > after.clock.0)
    });
    let valid = batch.columns()[..keys].iter().fold(None, |valid, key| NullBuffer::union(valid.as_ref(), key.nulls()));
    let wanted = valid.map_or(reached.clone(), |valid| valid.inner() & &reached);
    let outward: Vec<usize> = (0..last).collect();
    let rows = batch.project(&outward).and_then(|rows| match wanted.count_set_bits() {
        all if all == rows.num_rows() => Ok(rows),
        _ => filter_record_batch(&rows, &BooleanArray::new(wanted, None)),
    });
    rows.map_err(|error| Error::arrow("choose the rows to materialize", error))
}
