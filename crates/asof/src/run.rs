//! The run time of a join: the spine in bands, each answered and given out block by block.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{Stream, TryStreamExt, stream};

use crate::AsOfView;
use crate::answer::IndexKey;
use crate::band::{Bands, is_exhausted, row_bytes};
use crate::blocks::Blocks;
use crate::metrics::JoinMetrics;

/// One execution of a join.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) schema: SchemaRef,
    pub(crate) spine_time: usize,
    pub(crate) views: Arc<[Arc<AsOfView>]>,
    pub(crate) index_keys: Vec<IndexKey>,
    /// Which index each view uses.
    pub(crate) index_of_view: Vec<usize>,
    pub(crate) context: Arc<TaskContext>,
    pub(crate) memory: MemoryReservation,
    pub(crate) metrics: ExecutionPlanMetricsSet,
    pub(crate) join_metrics: JoinMetrics,
}

impl Run {
    /// A run over a spine of `spine`'s columns, whose times are in column `spine_time`; `schema` is the output's.
    pub(crate) fn try_new(
        schema: SchemaRef,
        spine: &SchemaRef,
        spine_time: usize,
        views: Arc<[Arc<AsOfView>]>,
        memory: MemoryReservation,
        metrics: ExecutionPlanMetricsSet,
        context: Arc<TaskContext>,
    ) -> Result<Self> {
        let mut index_keys: Vec<IndexKey> = Vec::new();
        let mut index_of_view = Vec::with_capacity(views.len());
        for view in views.iter() {
            let key = IndexKey { columns: view.spine_keys.clone(), families: view.key_families(spine)? };
            index_of_view.push(index_keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                index_keys.push(key);
                index_keys.len() - 1
            }));
        }
        let join_metrics = JoinMetrics::new(&metrics);
        Ok(Self { schema, spine_time, views, index_keys, index_of_view, context, memory, metrics, join_metrics })
    }

    /// The blocks of the output.
    pub(crate) fn stream(self, spine: SendableRecordBatchStream) -> impl Stream<Item = Result<RecordBatch>> + Send {
        let row_bytes = row_bytes(self.views.iter().map(AsRef::as_ref), self.index_keys.len());
        let bands = Bands::new(spine, row_bytes, self.memory.new_empty());
        stream::try_unfold((self, bands), |(run, mut bands)| async move {
            let blocks = run.next_band(&mut bands).await?;
            Ok::<_, DataFusionError>(blocks.map(|blocks| (stream::iter(blocks), (run, bands))))
        })
        .try_flatten()
    }

    /// A band that needs more than there is, is tried again in halves: nothing of it has been given out.
    async fn next_band(&self, bands: &mut Bands) -> Result<Option<Blocks>> {
        while let Some(band) = bands.next().await? {
            match self.answer(&band).await {
                Ok(answered) => {
                    self.join_metrics.bands.add(1);
                    self.join_metrics.spine_rows.add(band.rows);
                    let rows_max = self.context.session_config().batch_size();
                    let metrics = self.join_metrics.baseline.clone();
                    return Ok(Some(Blocks::new(Arc::clone(&self.schema), band, answered, rows_max, metrics)));
                }
                Err(error) if is_exhausted(&error) => bands.halve(band, error)?,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    pub(crate) fn note_memory(&self) {
        self.join_metrics.reserved_bytes_max.set_max(self.context.memory_pool().reserved());
    }
}
