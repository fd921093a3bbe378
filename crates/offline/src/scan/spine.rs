//! A spine as a plan: its rows in their order, its columns as they came.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::fault::{carried, recovered, unreadable};
use super::object::ObjectReader;
use crate::{Error, Result};

/// A plan of one partition over batches in memory.
pub fn spine_of_batches(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(odd) = batches.iter().find(|batch| batch.schema().fields() != schema.fields()) {
        let reason = format!("could not take the spine: a batch has the columns {} instead of {schema}", odd.schema());
        return Err(Error::Invalid(reason));
    }
    plan(Arc::new(Spine { schema, rows: Rows::Memory(batches.into()) }))
}

/// A plan of one partition over a Parquet file, which is read again at each execution; types stay as the file has
/// them. `name` is what errors call the file.
pub async fn spine_of_parquet(store: Arc<dyn ObjectStore>, path: Path, name: &str) -> Result<Arc<dyn ExecutionPlan>> {
    let found = store.head(&path).await.map_err(|error| Error::object_store(format!("read '{name}'"), error))?;
    let mut reader = ObjectReader { store, path, size_bytes: found.size };
    let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await;
    let metadata = metadata.map_err(|error| unreadable(name, error))?;
    // batches come without the file's own metadata, so the plan must not promise it
    let schema = Arc::new(Schema::new(metadata.schema().fields().clone()));
    plan(Arc::new(Spine { schema, rows: Rows::Parquet { reader, metadata, name: name.into() } }))
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
    Parquet { reader: ObjectReader, metadata: ArrowReaderMetadata, name: Arc<str> },
}

impl PartitionStream for Spine {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        match &self.rows {
            Rows::Memory(batches) => {
                let batches = Arc::clone(batches);
                let each = stream::iter(0..batches.len()).map(move |index| Ok(batches[index].clone()));
                Box::pin(RecordBatchStreamAdapter::new(schema, each))
            }
            Rows::Parquet { reader, metadata, name } => {
                let batch_size = context.session_config().batch_size();
                let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader.clone(), metadata.clone());
                let opened = builder.with_batch_size(batch_size).build();
                let name = Arc::clone(name);
                let batches = stream::once(std::future::ready(opened)).try_flatten();
                let batches = batches.map_err(move |error| carried(unreadable(&name, error)));
                Box::pin(RecordBatchStreamAdapter::new(schema, batches))
            }
        }
    }
}
