//! Two sorted sides, merged.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::{Stream, StreamExt, stream};

use super::exec::Nearest;
use super::picks::Picks;

/// One side, batch by batch.
pub(super) struct Side {
    batches: SendableRecordBatchStream,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    time: Arc<dyn PhysicalExpr>,
    /// Without keys there is none: it would count no rows.
    key_rows: Option<RowConverter>,
    time_rows: RowConverter,
}

/// A batch with its keys and times in a form that compares as they are sorted.
pub(super) struct Sorted {
    pub(super) batch: RecordBatch,
    keys: Option<Rows>,
    times: Rows,
    /// Rows without a null in key or time; where there is no such buffer, all are.
    whole: Option<NullBuffer>,
}

impl Side {
    pub(super) fn try_new(
        batches: SendableRecordBatchStream,
        keys: Vec<Arc<dyn PhysicalExpr>>,
        time: Arc<dyn PhysicalExpr>,
        time_order: SortOptions,
    ) -> Result<Self> {
        let schema = batches.schema();
        let plain = SortOptions { descending: false, nulls_first: true };
        let field = |expr: &Arc<dyn PhysicalExpr>, options| {
            Ok::<_, DataFusionError>(SortField::new_with_options(expr.data_type(&schema)?, options))
        };
        let key_fields = keys.iter().map(|key| field(key, plain)).collect::<Result<Vec<_>>>()?;
        let key_rows = if key_fields.is_empty() { None } else { Some(RowConverter::new(key_fields)?) };
        let time_rows = RowConverter::new(vec![field(&time, time_order)?])?;
        Ok(Self { batches, keys, time, key_rows, time_rows })
    }

    async fn next(&mut self) -> Result<Option<Sorted>> {
        while let Some(batch) = self.batches.next().await {
            let batch = batch?;
            if batch.num_rows() > 0 {
                return self.sorted(batch).map(Some);
            }
        }
        Ok(None)
    }

    fn sorted(&self, batch: RecordBatch) -> Result<Sorted> {
        let evaluated = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(batch.num_rows());
        let keys = self.keys.iter().map(evaluated).collect::<Result<Vec<ArrayRef>>>()?;
        let time = evaluated(&self.time)?;
        let nulls = keys.iter().chain([&time]).map(Array::logical_nulls);
        let whole = nulls.fold(None, |whole, nulls| NullBuffer::union(whole.as_ref(), nulls.as_ref()));
        let keys = self.key_rows.as_ref().map(|rows| rows.convert_columns(&keys)).transpose()?;
        let times = self.time_rows.convert_columns(&[time])?;
        Ok(Sorted { batch, keys, times, whole })
    }
}

impl Sorted {
    fn is_whole(&self, row: usize) -> bool {
        self.whole.as_ref().is_none_or(|whole| whole.is_valid(row))
    }

    fn compare_keys(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        match (&self.keys, &other.keys) {
            (Some(ours), Some(theirs)) => ours.row(row).cmp(&theirs.row(other_row)),
            _ => Ordering::Equal,
        }
    }

    fn compare_times(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        self.times.row(row).cmp(&other.times.row(other_row))
    }
}

/// The merge of one partition.
pub(super) struct Merge {
    left: Side,
    right: Side,
    nearest: Nearest,
    schema: SchemaRef,
    /// Left rows that are to be answered, from this row on.
    asking: Option<(Sorted, usize)>,
    /// Right rows, of which those before this row have been passed.
    passing: Option<(Arc<Sorted>, usize)>,
    /// The last right row that was passed because of its time.
    best: Option<(Arc<Sorted>, usize)>,
    memory: MemoryReservation,
    metrics: BaselineMetrics,
}

impl Merge {
    pub(super) fn new(
        left: Side,
        right: Side,
        nearest: Nearest,
        schema: SchemaRef,
        memory: MemoryReservation,
        metrics: BaselineMetrics,
    ) -> Self {
        Self { left, right, nearest, schema, asking: None, passing: None, best: None, memory, metrics }
    }

    /// The blocks of the output.
    pub(super) fn stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::try_unfold(self, |mut merge| async move {
            let block = merge.next_block().await?;
            Ok::<_, DataFusionError>(block.map(|block| (block, merge)))
        })
    }

    /// Rows of one left batch, fewer where their answers lie in many right batches.
    async fn next_block(&mut self) -> Result<Option<RecordBatch>> {
        let asking = match self.asking.take() {
            Some(asking) => Some(asking),
            None => self.left.next().await?.map(|left| (left, 0)),
        };
        let Some((left, first)) = asking else { return Ok(None) };
        let mut picks = Picks::new(self.memory.new_empty());
        let mut row = first;
        while row < left.batch.num_rows() && !picks.is_full() {
            if left.is_whole(row) {
                self.pass(&left, row).await?;
            }
            let best = self.best.as_ref();
            let is_of_key = |best: &&(Arc<Sorted>, usize)| left.compare_keys(row, &best.0, best.1).is_eq();
            picks.push(best.filter(|_| left.is_whole(row)).filter(is_of_key))?;
            row += 1;
        }
        let block = picks.block(&self.schema, &left.batch.slice(first, row - first))?;
        self.metrics.record_output(block.num_rows());
        if row < left.batch.num_rows() {
            self.asking = Some((left, row));
        }
        Ok(Some(block))
    }

    /// Passes the right rows that come before a left row or match it.
    async fn pass(&mut self, left: &Sorted, row: usize) -> Result<()> {
        loop {
            let (right, at) = match self.passing.take() {
                Some((right, at)) if at < right.batch.num_rows() => (right, at),
                _ => match self.right.next().await? {
                    Some(next) => (Arc::new(next), 0),
                    None => return Ok(()),
                },
            };
            let keys = right.compare_keys(at, left, row);
            let is_match = keys.is_eq()
                && match right.compare_times(at, left, row) {
                    Ordering::Less => true,
                    Ordering::Equal => self.nearest.takes_equal(),
                    Ordering::Greater => false,
                };
            let is_whole = right.is_whole(at);
            if is_whole && is_match {
                self.best = Some((Arc::clone(&right), at));
            }
            // a row that is not whole matches nothing, now or later
            let is_passed = !is_whole || is_match || keys.is_lt();
            self.passing = Some((right, at + usize::from(is_passed)));
            if !is_passed {
                return Ok(());
            }
        }
    }
}
