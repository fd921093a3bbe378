//! The spine in bands: as many consecutive rows as memory holds with all that answering them needs.

use std::collections::VecDeque;

use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;

use crate::AsOfView;
use crate::answer::VIEWS_AT_ONCE;
use crate::winners::{Answers, Winners};

/// A band that has no more rows than this is not cut again: each band reads the histories, and ever smaller ones would
/// never end. Tests have few rows.
const ROWS_MIN: usize = if cfg!(test) { 1 } else { 1024 };
/// Rows and slots are numbered in 31 bits.
const ROWS_MAX: usize = (1 << 31) - 2;

/// Consecutive rows of the spine, answered together.
#[derive(Debug)]
pub(crate) struct Band {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rows: usize,
    /// Which row of the spine the first is.
    pub(crate) first_row: u64,
    /// Holds the batches, and whatever else lives as long as the band.
    pub(crate) memory: MemoryReservation,
}

/// Takes a spine apart.
pub(crate) struct Bands {
    spine: SendableRecordBatchStream,
    /// Read, and not yet in a band.
    waiting: VecDeque<RecordBatch>,
    next_row: u64,
    rows_max: usize,
    /// What answering a row needs beside the row itself.
    row_bytes: usize,
    memory: MemoryReservation,
}

impl Bands {
    pub(crate) fn new(spine: SendableRecordBatchStream, row_bytes: usize, memory: MemoryReservation) -> Self {
        Self { spine, waiting: VecDeque::new(), next_row: 0, rows_max: ROWS_MAX, row_bytes, memory }
    }

    /// The next rows, as many as fit; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Band>> {
        let mut band = Band { batches: Vec::new(), rows: 0, first_row: self.next_row, memory: self.memory.new_empty() };
        let planned = self.memory.new_empty();
        while band.rows < self.rows_max
            && let Some(batch) = self.take(self.rows_max - band.rows).await?
        {
            let rows = batch.num_rows();
            let held = band.memory.try_grow(batch_size(&batch));
            match held.and_then(|()| planned.try_grow(rows * self.row_bytes)) {
                Ok(()) => {
                    band.rows += rows;
                    band.batches.push(batch);
                }
                Err(_) if band.rows > 0 => {
                    self.waiting.push_front(batch);
                    break;
                }
                Err(_) if rows > ROWS_MIN => {
                    band.memory.free();
                    self.waiting.push_front(batch.slice(rows / 2, rows - rows / 2));
                    self.waiting.push_front(batch.slice(0, rows / 2));
                }
                Err(error) => return Err(error),
            }
        }
        // what was planned is asked for again as it is needed
        let held = band.batches.iter().map(batch_size).sum();
        band.memory.try_resize(held)?;
        self.next_row += band.rows as u64;
        Ok((band.rows > 0).then_some(band))
    }

    /// Takes a band back whose answer did not fit, to be given out again in halves; an error where that cannot help.
    pub(crate) fn halve(&mut self, band: Band, error: DataFusionError) -> Result<()> {
        if band.rows <= ROWS_MIN {
            return Err(error);
        }
        self.rows_max = band.rows.div_ceil(2);
        self.next_row = band.first_row;
        for batch in band.batches.into_iter().rev() {
            self.waiting.push_front(batch);
        }
        Ok(())
    }

    /// The next batch, at most `rows_max` rows of it, at least one.
    async fn take(&mut self, rows_max: usize) -> Result<Option<RecordBatch>> {
        loop {
            let batch = match self.waiting.pop_front() {
                Some(batch) => batch,
                None => match self.spine.next().await {
                    Some(batch) => batch?,
                    None => return Ok(None),
                },
            };
            let rows = batch.num_rows();
            if rows > rows_max {
                self.waiting.push_front(batch.slice(rows_max, rows - rows_max));
                return Ok(Some(batch.slice(0, rows_max)));
            }
            if rows > 0 {
                return Ok(Some(batch));
            }
        }
    }
}

/// What answering one spine row needs, beside the row: its share of `indexes` indexes, of the widest state that the views
/// which are worked on have, and of all views' answers.
pub(crate) fn row_bytes<'a>(views: impl ExactSizeIterator<Item = &'a AsOfView>, indexes: usize) -> usize {
    /// A time, a code, a slot and a place to sort them; half of the rows have a key of their own.
    const INDEX_ROW_BYTES: usize = 80;
    let views_at_once = views.len().min(VIEWS_AT_ONCE);
    let (state, answers) = views.fold((0, 0), |(state, answers), view| {
        (state.max(Winners::size(1) + Answers::size(1, view)), answers + view.answer_bytes())
    });
    indexes * INDEX_ROW_BYTES + state * views_at_once + answers
}

/// Whether an error says that memory was not enough.
pub(crate) fn is_exhausted(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// The bytes that a batch keeps alive, counting a slice as what it shows.
pub(crate) fn batch_size(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_size).sum()
}

pub(crate) fn array_size(array: &ArrayRef) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}
