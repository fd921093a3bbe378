//! One table: its rows are made when it is executed.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::ReaderBuilder;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::columns::Records;
use super::logs::Logs;
use super::rows;
use super::wanted::{Wanted, equality};
use crate::{Error, Result};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

#[derive(Clone)]
pub(super) struct RecordsTable {
    logs: Logs,
    records: Records,
    schema: SchemaRef,
}

impl RecordsTable {
    pub(super) fn new(logs: Logs, records: Records) -> Self {
        Self { logs, records, schema: records.schema() }
    }
}

impl fmt::Debug for RecordsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordsTable").field(&self.records).finish()
    }
}

#[async_trait]
impl TableProvider for RecordsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let rows: Arc<dyn PartitionStream> =
            Arc::new(Self { logs: self.logs.with(Wanted::of(filters)), ..self.clone() });
        Ok(Arc::new(StreamingTableExec::try_new(Arc::clone(&self.schema), vec![rows], projection, [], false, limit)?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match equality(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }
}

impl PartitionStream for RecordsTable {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let batches = rows::pages(self.logs.clone(), self.records).map(move |page| {
            let chunks: Vec<Result<RecordBatch>> = match page {
                Ok(rows) => rows.chunks(BATCH_ROWS).map(|rows| batch(&schema, rows)).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(chunks)
        });
        let batches = batches.flatten().map_err(|error| DataFusionError::External(Box::new(error)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// Rows as JSON objects, each with the schema's columns; one that is left out is null.
fn batch(schema: &SchemaRef, rows: &[Value]) -> Result<RecordBatch> {
    let failed = |source| Error::internal("could not lay out what is recorded", source);
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_strict_mode(true).build_decoder().map_err(failed)?;
    decoder.serialize(rows).map_err(failed)?;
    Ok(decoder.flush().map_err(failed)?.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}
