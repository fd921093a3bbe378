//! The output of a band, a block at a time: the spine's columns, and what each view answered.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::{BaselineMetrics, RecordOutput};

use crate::AsOfView;
use crate::band::{Band, batch_size};
use crate::index::NO_SLOT;

/// What a view says of every row of a band.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The winner of each spine row, [`NO_SLOT`] for none.
    pub(crate) row_of_row: Vec<u32>,
    pub(crate) payload: Payload,
    /// The evidence columns, a row for each winner.
    pub(crate) evidence: Vec<ArrayRef>,
}

/// The winners' payload, in the pieces in which it was read.
#[derive(Debug)]
pub(crate) struct Payload {
    /// For each output column its column of the payload and its pieces; the first of them is a single null.
    columns: Vec<(usize, Vec<ArrayRef>)>,
    /// The rows up to the end of each piece, the null not counted.
    ends: Vec<u32>,
}

impl Payload {
    pub(crate) fn new(view: &AsOfView) -> Self {
        let null = |(column, field): &(usize, arrow::datatypes::FieldRef)| {
            (*column, vec![new_null_array(field.data_type(), 1)])
        };
        Self { columns: view.output.iter().map(null).collect(), ends: Vec::new() }
    }

    /// Adds the next rows, or says what is wrong with them.
    pub(crate) fn push(&mut self, chunk: &RecordBatch) -> Result<(), String> {
        for (column, pieces) in &mut self.columns {
            let piece = chunk.columns().get(*column).filter(|piece| piece.data_type() == pieces[0].data_type());
            pieces.push(Arc::clone(piece.ok_or("its payload is not of the schema it declares")?));
        }
        self.ends.push((self.rows() + chunk.num_rows()) as u32);
        Ok(())
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.ends.last().map_or(0, |&end| end as usize)
    }

    /// Where row `row` is: which piece, and which row of it.
    fn place(&self, row: u32) -> (usize, usize) {
        if row == NO_SLOT {
            return (0, 0);
        }
        let piece = self.ends.partition_point(|&end| end <= row);
        let start = if piece == 0 { 0 } else { self.ends[piece - 1] };
        (piece + 1, (row - start) as usize)
    }
}

/// The blocks of a band; each spine batch is let go when its last block is made.
#[derive(Debug)]
pub(crate) struct Blocks {
    pub(crate) schema: SchemaRef,
    pub(crate) answered: Vec<Answered>,
    pub(crate) spine: VecDeque<RecordBatch>,
    /// How much of the first batch is done.
    pub(crate) offset: usize,
    /// The row of the band that the next block begins with.
    pub(crate) row: usize,
    pub(crate) rows_max: usize,
    pub(crate) memory: MemoryReservation,
    pub(crate) metrics: BaselineMetrics,
}

impl Blocks {
    pub(crate) fn new(
        schema: SchemaRef,
        band: Band,
        answered: Vec<Answered>,
        rows_max: usize,
        metrics: BaselineMetrics,
    ) -> Self {
        let Band { batches, memory, .. } = band;
        Self { schema, answered, spine: batches.into(), offset: 0, row: 0, rows_max: rows_max.max(1), memory, metrics }
    }

    fn block(&self, spine: &RecordBatch, start: usize) -> Result<RecordBatch> {
        let rows = start..start + spine.num_rows();
        let mut columns = spine.columns().to_vec();
        for view in &self.answered {
            view.take_output(rows.clone(), &mut columns)?;
        }
        for view in &self.answered {
            view.take_evidence(rows.clone(), &mut columns)?;
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Answered {
    fn take_output(&self, rows: Range<usize>, columns: &mut Vec<ArrayRef>) -> Result<()> {
        if self.payload.columns.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = self.row_of_row[rows].iter().map(|&row| self.payload.place(row)).collect();
        for (_, pieces) in &self.payload.columns {
            let pieces: Vec<_> = pieces.iter().map(AsRef::as_ref).collect();
            columns.push(interleave(&pieces, &places)?);
        }
        Ok(())
    }

    fn take_evidence(&self, rows: Range<usize>, columns: &mut Vec<ArrayRef>) -> Result<()> {
        if self.evidence.is_empty() {
            return Ok(());
        }
        let winner = |&row: &u32| (row != NO_SLOT).then_some(row);
        let winners: UInt32Array = self.row_of_row[rows].iter().map(winner).collect();
        for column in &self.evidence {
            columns.push(take(column, &winners, None)?);
        }
        Ok(())
    }
}

impl Iterator for Blocks {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.spine.front().is_some_and(|batch| self.offset >= batch.num_rows()) {
            let done = self.spine.pop_front()?;
            self.memory.shrink(batch_size(&done).min(self.memory.size()));
            self.offset = 0;
        }
        let batch = self.spine.front()?;
        let rows = self.rows_max.min(batch.num_rows() - self.offset);
        let block = batch.slice(self.offset, rows);
        let start = self.row;
        self.offset += rows;
        self.row += rows;
        let timer = self.metrics.elapsed_compute().timer();
        let block = self.block(&block, start);
        timer.done();
        Some(block.map(|block| block.record_output(&self.metrics)))
    }
}
