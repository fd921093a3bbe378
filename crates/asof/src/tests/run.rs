//! Running a join over batches.

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionConfig;
use tokio::runtime::{Builder, Runtime};

use crate::{AsOfExec, AsOfView};

pub(super) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).build().expect("a runtime"))
}

pub(super) fn context(threads: usize, batch_size: usize, memory_bytes: usize) -> Arc<TaskContext> {
    let config = SessionConfig::new().with_target_partitions(threads).with_batch_size(batch_size);
    let pool = Arc::new(GreedyMemoryPool::new(memory_bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().expect("a runtime");
    Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime))
}

pub(super) fn spine_plan(schema: &SchemaRef, batches: &[RecordBatch]) -> Arc<DataSourceExec> {
    MemorySourceConfig::try_new_exec(&[batches.to_vec()], Arc::clone(schema), None).expect("batches of one schema")
}

/// A join over a spine of [`super::history::spine`].
pub(super) fn plan(schema: &SchemaRef, spine: &[RecordBatch], views: Vec<AsOfView>) -> Result<Arc<AsOfExec>> {
    Ok(Arc::new(AsOfExec::try_new(spine_plan(schema, spine), 3, views)?))
}

/// The whole output, and the number of blocks that it came in.
pub(super) fn run(plan: &Arc<AsOfExec>, context: Arc<TaskContext>) -> Result<(RecordBatch, usize)> {
    let blocks = runtime().block_on(collect(Arc::clone(plan) as Arc<dyn ExecutionPlan>, context))?;
    Ok((concat_batches(&plan.schema(), &blocks)?, blocks.len()))
}
