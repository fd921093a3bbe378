//! The right rows of a block of output.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;

use super::side::Sorted;
use crate::band::batch_size;

/// A block's rows come from so many batches of the right side at most: they are held until it is made.
const BATCHES_MAX: usize = 16;

/// For each left row, the right row that was picked.
pub(super) struct Picks {
    batches: Vec<Arc<Sorted>>,
    /// Which batch, counted from 1, and which row of it; 0 for none.
    places: Vec<(usize, usize)>,
    memory: MemoryReservation,
}

impl Picks {
    pub(super) fn new(memory: MemoryReservation) -> Self {
        Self { batches: Vec::new(), places: Vec::new(), memory }
    }

    pub(super) fn is_full(&self) -> bool {
        self.batches.len() == BATCHES_MAX
    }

    /// Picks come in the order of the right side.
    pub(super) fn push(&mut self, pick: Option<&(Arc<Sorted>, usize)>) -> Result<()> {
        let Some((batch, row)) = pick else {
            self.places.push((0, 0));
            return Ok(());
        };
        if self.batches.last().is_none_or(|last| !Arc::ptr_eq(last, batch)) {
            self.memory.try_grow(batch_size(&batch.batch))?;
            self.batches.push(Arc::clone(batch));
        }
        self.places.push((self.batches.len(), *row));
        Ok(())
    }

    /// The left rows with what was picked for them.
    pub(super) fn block(&self, schema: &SchemaRef, left: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = left.columns().to_vec();
        let first = columns.len();
        for (index, field) in schema.fields()[first..].iter().enumerate() {
            if self.batches.is_empty() {
                columns.push(new_null_array(field.data_type(), left.num_rows()));
                continue;
            }
            let none = new_null_array(field.data_type(), 1);
            let picked = self.batches.iter().map(|right| right.batch.column(index).as_ref());
            let parts: Vec<&dyn Array> = std::iter::once(none.as_ref()).chain(picked).collect();
            columns.push(interleave(&parts, &self.places)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(left.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}
