//! The spine in memory: its batches, its times and an index for each set of key columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;

use crate::index::{IndexBuilder, SpineIndex};
use crate::keys::KeyFamily;
use crate::metrics::JoinMetrics;
use crate::time::{Rounding, to_micros};
use crate::{AsOfView, Error};

/// The last number is kept for "none".
const ROWS_MAX: u32 = u32::MAX - 1;

#[derive(Debug)]
pub(crate) struct Spine {
    pub(crate) batches: Vec<RecordBatch>,
    /// Views with the same key columns share an index.
    pub(crate) indexes: Vec<Arc<SpineIndex>>,
    /// Which index each view uses.
    pub(crate) index_of_view: Vec<usize>,
}

/// The columns of the spine that an index is over, and what they are compared as.
#[derive(Clone, Debug, PartialEq, Eq)]
struct IndexKey {
    columns: Vec<usize>,
    families: Vec<KeyFamily>,
}

impl Spine {
    /// Reads the whole of `stream`. What it holds is added to `memory`.
    pub(crate) async fn read(
        mut stream: SendableRecordBatchStream,
        time_column: usize,
        views: &[Arc<AsOfView>],
        memory: &MemoryReservation,
        metrics: &JoinMetrics,
    ) -> Result<Self> {
        let schema = stream.schema();
        let mut keys: Vec<IndexKey> = Vec::new();
        let mut index_of_view = Vec::with_capacity(views.len());
        for view in views {
            let key = IndexKey { columns: view.spine_keys.clone(), families: view.key_families(&schema)? };
            index_of_view.push(keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                keys.len() - 1
            }));
        }
        let mut builders = keys.iter().map(|key| IndexBuilder::try_new(&key.families)).collect::<Result<Vec<_>>>()?;
        let growing = memory.new_empty();
        let mut times: Vec<i64> = Vec::new();
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            memory.try_grow(batch_size(&batch))?;
            let timer = metrics.index_time.timer();
            push_times(&batch, time_column, &mut times)?;
            for (key, builder) in keys.iter().zip(&mut builders) {
                let columns: Vec<ArrayRef> = key.columns.iter().map(|&c| Arc::clone(batch.column(c))).collect();
                builder.push(&columns)?;
            }
            timer.done();
            let built: usize = builders.iter().map(IndexBuilder::memory_size).sum();
            growing.try_resize(built + times.capacity() * size_of::<i64>())?;
            batches.push(batch);
        }
        metrics.spine_rows.add(times.len());
        let timer = metrics.index_time.timer();
        let mut indexes = Vec::with_capacity(builders.len());
        for builder in builders {
            growing.try_grow(builder.finish_size(times.len()))?;
            indexes.push(Arc::new(builder.finish(&times)));
        }
        timer.done();
        growing.free();
        memory.try_grow(indexes.iter().map(|index| index.memory_size()).sum())?;
        Ok(Self { batches, indexes, index_of_view })
    }
}

/// The bytes that a batch keeps alive, counting a slice as what it shows.
pub(crate) fn batch_size(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_size).sum()
}

pub(crate) fn array_size(array: &ArrayRef) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

fn push_times(batch: &RecordBatch, column: usize, times: &mut Vec<i64>) -> Result<()> {
    let micros = to_micros(batch.column(column), Rounding::Down)?;
    if let Some(row) = micros.nulls().and_then(|nulls| (0..nulls.len()).find(|&row| nulls.is_null(row))) {
        let (column, row) = (batch.schema().field(column).name().clone(), (times.len() + row) as u64);
        return Err(Error::SpineTimeNull { column, row }.into());
    }
    if times.len() + micros.len() > ROWS_MAX as usize {
        return Err(Error::TooManyRows { limit: ROWS_MAX }.into());
    }
    times.extend_from_slice(micros.values());
    Ok(())
}
