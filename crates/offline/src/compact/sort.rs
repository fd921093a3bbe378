//! Rows in the order of their keys and times, in bounded memory: what does not fit is sorted in parts, which wait in
//! temporary files and are merged.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{StreamExt, TryStreamExt};
use hitherto_core::{Created, Table};

use super::Tally;
use crate::scan::{WholeRows, carried};
use crate::{CREATED, EVENT, Error, Result, SEQUENCE, recovered};

/// Of the limit, what the sort may use; the rest is for reading ahead and for the file that is written.
const SORT_SHARE: (usize, usize) = (3, 4);
/// One batch may take this part of the sort's memory, so that there is room for many.
const BATCH_SHARE: usize = 64;

/// Bytes of memory, and what they allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pool: usize,
}

impl Memory {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { pool: limit_bytes / SORT_SHARE.1 * SORT_SHARE.0 }
    }

    /// What a batch of rows should take.
    pub(super) fn batch_bytes(self) -> u64 {
        (self.pool / BATCH_SHARE).clamp(64 << 10, 8 << 20) as u64
    }

    fn context(self, batch_rows: usize) -> DataFusionResult<Arc<TaskContext>> {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(self.pool)))
            // the disk is the limit, and says so itself
            .with_max_temp_directory_size(u64::MAX)
            .build_arc()?;
        let config = SessionConfig::new()
            .with_batch_size(batch_rows)
            // keys in the form in which they are compared can take as much room as narrow rows themselves
            .with_sort_spill_reservation_bytes(self.pool / 4);
        Ok(SessionContext::new_with_config_rt(config, runtime).task_ctx())
    }
}

/// The rows sorted by keys, nulls first, then event time, created time where rows have one of their own, and
/// `_sequence`. `tally` counts what is read.
pub(super) fn sorted(
    rows: &WholeRows,
    table: &Table,
    memory: Memory,
    tally: &Arc<Tally>,
) -> Result<SendableRecordBatchStream> {
    let failed = |error| recovered(&format!("sort the rows of table '{}'", table.id), error);
    let input = Arc::new(Input { rows: rows.clone(), tally: Arc::clone(tally) });
    let schema = Arc::clone(rows.schema());
    let scan = StreamingTableExec::try_new(Arc::clone(&schema), vec![input], None, [], false, None).map_err(failed)?;
    let context = memory.context(rows.batch_rows()).map_err(failed)?;
    let sort = SortExec::new(order(table, &schema)?, Arc::new(scan));
    sort.execute(0, context).map_err(failed)
}

fn order(table: &Table, schema: &SchemaRef) -> Result<LexOrdering> {
    let created = (table.created == Created::Column).then_some(CREATED);
    let names = table.keys.iter().map(|(name, _)| name.as_str()).chain([EVENT]).chain(created).chain([SEQUENCE]);
    let options = SortOptions { descending: false, nulls_first: true };
    let by = |name: &str| {
        Column::new_with_schema(name, schema).map(|column| PhysicalSortExpr::new(Arc::new(column), options))
    };
    let columns = names.map(by).collect::<DataFusionResult<Vec<_>>>();
    let columns = columns.map_err(|error| recovered(&format!("sort the rows of table '{}'", table.id), error))?;
    LexOrdering::new(columns).ok_or_else(|| Error::Invalid(format!("table '{}' has no columns to sort by", table.id)))
}

/// Rows as they are read, on a task of their own.
#[derive(Debug)]
struct Input {
    rows: WholeRows,
    tally: Arc<Tally>,
}

impl PartitionStream for Input {
    fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(self.rows.schema()), 2);
        let (output, tally) = (builder.tx(), Arc::clone(&self.tally));
        let mut rows = self.rows.stream().inspect_ok(move |batch| tally.read(batch)).map_err(carried);
        builder.spawn(async move {
            while let Some(batch) = rows.next().await {
                if output.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        builder.build()
    }
}
