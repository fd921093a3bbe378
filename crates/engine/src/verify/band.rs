//! A training set's file, taken in bands that fit into memory.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use hitherto_offline::input::{Batches, Input};

use crate::{Error, Result};

/// Rows of a band, at most: history is read anew for each.
const BAND_ROWS: usize = 4 << 20;
/// Bytes of a band, at most; or a quarter of the memory limit.
const BAND_BYTES: usize = 1 << 30;

/// The bands of a file.
pub(super) struct Bands {
    batches: Batches,
    bytes_max: usize,
}

impl Bands {
    pub(super) async fn open(file: &Input, runtime: &RuntimeEnv) -> Result<Self> {
        let batches = file.stream().await.map_err(hitherto_offline::Error::from)?;
        let bytes_max = match runtime.memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => BAND_BYTES.min(bytes / 4),
            _ => BAND_BYTES,
        };
        Ok(Self { batches, bytes_max })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }

    /// The next band, as one batch; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let (mut parts, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < BAND_ROWS && bytes < self.bytes_max {
            let next = self.batches.try_next().await.map_err(hitherto_offline::Error::from)?;
            let Some(batch) = next else { break };
            rows += batch.num_rows();
            bytes += batch.get_array_memory_size();
            parts.push(batch);
        }
        if rows == 0 {
            return Ok(None);
        }
        let band = concat_batches(&self.schema(), &parts);
        band.map(Some).map_err(|source| Error::internal("could not join batches of the file", source))
    }
}
