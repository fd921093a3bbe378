//! The schema `training_sets` of SQL: the files of datasets, by their ids and by their names.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt, TryStreamExt, stream};
use hitherto_core::Dataset;
use hitherto_offline::input::{Format, Input, InputError, Location, Options};

use super::{Reads, carried};
use crate::dataset::short;
use crate::{Engine, Error, Result};

/// The schema's name.
pub(crate) const TRAINING_SETS: &str = "training_sets";

/// The training sets that were recorded when the query came.
#[derive(Debug)]
pub(super) struct TrainingSetsSchema {
    engine: Engine,
    names: Vec<String>,
    /// Whether one whose file is gone is passed over.
    is_browsed: bool,
    /// Where it is noted which of them are read.
    reads: Arc<Mutex<Reads>>,
}

impl TrainingSetsSchema {
    /// Of these datasets; their files are opened when the query names them, and not before.
    pub(super) fn asked(engine: Engine, datasets: &[Dataset]) -> Self {
        let named = datasets.iter().filter_map(|dataset| Some(dataset.name.as_ref()?.to_string()));
        let mut names: Vec<String> = named.collect();
        names.sort_unstable();
        names.dedup();
        names.extend(datasets.iter().map(|dataset| dataset.id.clone()));
        Self { engine, names, is_browsed: false, reads: Arc::default() }
    }

    /// The same for who wants to know what there is: a file that cannot be read is not in the way of the others.
    pub(super) fn browsed(engine: Engine, datasets: &[Dataset]) -> Self {
        Self { is_browsed: true, ..Self::asked(engine, datasets) }
    }

    /// The same; which of them are looked at is noted in `reads`.
    pub(super) fn noting(self, reads: Arc<Mutex<Reads>>) -> Self {
        Self { reads, ..self }
    }

    async fn open(&self, name: &str) -> Result<TrainingSetTable> {
        let dataset = self.engine.registry().dataset(name).await?;
        let input = opened(&dataset).await?;
        let schema = input.schema().await.map_err(hitherto_offline::Error::from)?;
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).training_sets.insert(dataset.id);
        Ok(TrainingSetTable { input, schema })
    }
}

#[async_trait]
impl SchemaProvider for TrainingSetsSchema {
    fn table_names(&self) -> Vec<String> {
        self.names.clone()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if !self.table_exist(name) {
            return Ok(None);
        }
        match self.open(name).await {
            Ok(table) => Ok(Some(Arc::new(table))),
            Err(_) if self.is_browsed => Ok(None),
            Err(error) => Err(carried(error)),
        }
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

/// The file of a dataset, as it was written.
async fn opened(dataset: &Dataset) -> Result<Input> {
    let (id, place) = (short(&dataset.id), &dataset.location);
    if place.contains("://") && !place.starts_with("file://") {
        return Err(Error::Invalid(format!(
            "training set {id} lies at {place}: SQL reads files of this machine; `hitherto dataset rebuild` makes one here"
        )));
    }
    let options = Options::default().with_format(Format::Parquet);
    let input = match Input::open([Location::Local(place.clone())], &options).await {
        Ok(input) => input,
        Err(InputError::NotFound { .. } | InputError::NoMatch { .. }) => {
            return Err(Error::NotFound(format!(
                "the file of training set {id} is gone from {place}: `hitherto dataset rebuild {id}` makes it again"
            )));
        }
        Err(error) => return Err(hitherto_offline::Error::from(error).into()),
    };
    let written = dataset.build.file_bytes;
    if written != 0 && input.bytes() != written {
        return Err(Error::Invalid(format!(
            "{place} is not the file of training set {id} any more: it has {} bytes, and {written} were written; \
             `hitherto dataset rebuild {id}` makes it again",
            input.bytes()
        )));
    }
    Ok(input)
}

struct TrainingSetTable {
    input: Input,
    schema: SchemaRef,
}

impl fmt::Debug for TrainingSetTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrainingSetTable").field(&self.input.names().collect::<Vec<_>>()).finish()
    }
}

#[async_trait]
impl TableProvider for TrainingSetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&wanted)?);
        let rows = Rows { input: self.input.clone(), wanted, schema: Arc::clone(&schema) };
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, [], false, limit)?))
    }
}

/// Some columns of a file, in any order.
#[derive(Debug)]
struct Rows {
    input: Input,
    wanted: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut read = self.wanted.clone();
        read.sort_unstable();
        read.dedup();
        // rows are counted by a column where none is wanted
        if read.is_empty() {
            read.push(0);
        }
        let places: Vec<usize> =
            self.wanted.iter().filter_map(|column| read.iter().position(|read| read == column)).collect();
        let input = self.input.clone();
        let opened = async move { input.stream_columns(read).await };
        let batches = stream::once(opened).try_flatten().map(move |batch| {
            let batch = batch.map_err(|error| carried(hitherto_offline::Error::from(error).into()))?;
            Ok::<_, DataFusionError>(batch.project(&places)?)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}
