//! A spine as a plan: its rows in their order, its columns as they came.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt, stream};

use super::fault::{carried, recovered};
use crate::input::Input;
use crate::{Error, Result};

/// A plan of one partition over batches in memory.
pub fn spine_of_batches(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(odd) = batches.iter().find(|batch| batch.schema().fields() != schema.fields()) {
        let reason = format!("could not take the spine: a batch has the columns {} instead of {schema}", odd.schema());
        return Err(Error::Invalid(reason));
    }
    plan(Arc::new(Spine { schema, rows: Rows::Memory(batches.into()) }))
}

/// A plan of one partition over files, which are read again at each execution and never held whole; `schema` is theirs.
pub fn spine_of_input(schema: SchemaRef, input: Input) -> Result<Arc<dyn ExecutionPlan>> {
    plan(Arc::new(Spine { schema, rows: Rows::Input(input) }))
}

fn plan(spine: Arc<Spine>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = Arc::clone(&spine.schema);
    let scan = StreamingTableExec::try_new(schema, vec![spine], None, [], false, None);
    Ok(Arc::new(scan.map_err(|error| recovered("read the spine", error))?))
}

#[derive(Debug)]
struct Spine {
    schema: SchemaRef,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Memory(Arc<[RecordBatch]>),
    Input(Input),
}

impl PartitionStream for Spine {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        match &self.rows {
            Rows::Memory(batches) => {
                let batches = Arc::clone(batches);
                let each = stream::iter(0..batches.len()).map(move |index| Ok(batches[index].clone()));
                Box::pin(RecordBatchStreamAdapter::new(schema, each))
            }
            Rows::Input(input) => {
                let input = input.clone();
                let opened = stream::once(async move { input.stream().await }).try_flatten();
                let batches = opened.map_err(|error| carried(error.into()));
                Box::pin(RecordBatchStreamAdapter::new(schema, batches))
            }
        }
    }
}
