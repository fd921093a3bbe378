//! A history whose tombstones win as other rows do: so the winner is known where its values are withheld.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use futures::StreamExt;
use futures::stream::BoxStream;
use hitherto_asof::{FeatureSource, NarrowBatch, NarrowPass, RowAddress, ScanCounters, Sequence};
use hitherto_offline::TableSource;

/// The rows of a table, none of them a tombstone; a row's sequence is twice what it was, and one more if it is deleted. That
/// changes no order: sequences are unique, and below 2^53.
#[derive(Debug)]
pub(super) struct Unwithheld(pub(super) TableSource);

/// Whether the row with this sequence of [`Unwithheld`] is a tombstone.
pub(super) fn is_deleted(sequence: i64) -> bool {
    sequence & 1 == 1
}

impl FeatureSource for Unwithheld {
    fn label(&self) -> String {
        self.0.label()
    }

    fn key_types(&self) -> Vec<DataType> {
        self.0.key_types()
    }

    fn payload_schema(&self) -> SchemaRef {
        self.0.payload_schema()
    }

    fn partitions(&self) -> usize {
        self.0.partitions()
    }

    fn narrow(
        &self,
        partition: usize,
        pass: &NarrowPass,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<NarrowBatch>>> {
        Ok(self.0.narrow(partition, pass, context)?.map(|batch| batch.map(alive)).boxed())
    }

    fn fetch(
        &self,
        addresses: Arc<[RowAddress]>,
        counters: &ScanCounters,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        self.0.fetch(addresses, counters, context)
    }
}

fn alive(batch: NarrowBatch) -> NarrowBatch {
    let deleted = batch.deleted.as_ref();
    let deleted = |row: usize| deleted.is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row));
    let sequence = |row: usize| match &batch.sequence {
        Sequence::Column(column) => column.value(row),
        Sequence::From(first) => first + row as i64,
    };
    let marked = (0..batch.num_rows()).map(|row| 2 * sequence(row) + i64::from(deleted(row)));
    NarrowBatch { sequence: Sequence::Column(Int64Array::from_iter_values(marked)), deleted: None, ..batch }
}
