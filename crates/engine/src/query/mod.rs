//! A query in two steps, as clients of a server want it: planned, with its columns, its parameters and its snapshot; then
//! run.

mod catalog;
mod parameters;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::DateTime;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::DataFrame;
use datafusion::sql::parser::Statement;
use hitherto_core::Kind;

pub use self::catalog::{SqlCatalog, SqlColumns, SqlTable};
pub use self::parameters::Parameter;
use self::parameters::{numbered, of_plan};
use crate::sql::{MeasureResults, QUERY_BYTES_MAX, admitted, measure_results, plan, recovered, refuse_too_large};
use crate::{Engine, Error, Result};

const PLANNING: &str = "could not plan the query";
const RUNNING: &str = "could not run the query";

/// A query that is planned, and has its values where it has parameters. It reads the history that was there when it was
/// planned, whatever is ingested before it is run.
pub struct PlannedQuery {
    frame: DataFrame,
    parameters: Vec<Parameter>,
    schema: SchemaRef,
    /// None as long as a parameter has no value.
    plan: Option<Arc<dyn ExecutionPlan>>,
}

impl Engine {
    /// Plan a query as [`Engine::sql`] understands it, and pin what it reads. It may have parameters: `?`, `$1` or `$name`.
    ///
    /// Views are pinned here; what the schema `registry` tells is read when the query is run.
    pub async fn plan_sql(&self, query: &str) -> Result<PlannedQuery> {
        PlannedQuery::of(self.planned(&numbered(query), &Arc::default()).await?).await
    }

    /// Whether a text may be taken apart at all: what is too large or nested too deep is refused before there is a tree of it.
    pub fn admit_sql(text: &str) -> Result<()> {
        refuse_too_large(text, QUERY_BYTES_MAX).map_err(Error::of_planning)
    }

    /// Plan a query over tables and functions of its caller, and none of ours. It may do no more than [`Engine::plan_sql`] lets
    /// any: it only reads, shares the memory of all, measures what it makes, and has no more parts than others. The text must have
    /// been admitted by [`Engine::admit_sql`].
    pub async fn plan_over(&self, tables: SessionState, statement: Statement) -> Result<PlannedQuery> {
        let statement = admitted(statement).map_err(Error::of_planning)?;
        let mut state = SessionStateBuilder::new_from_existing(tables)
            .with_runtime_env(Arc::clone(self.runtime()))
            .with_analyzer_rule(Arc::new(MeasureResults))
            .build();
        measure_results(&mut state).map_err(Error::of_planning)?;
        let now = DateTime::from_timestamp_micros(self.clock().now().0);
        state.execution_props_mut().query_execution_start_time = now;
        let plan = plan(&state, statement).await.map_err(Error::of_planning)?;
        // whoever waits for it may have left: here it can be dropped
        tokio::task::yield_now().await;
        PlannedQuery::of(DataFrame::new(state, plan)).await
    }
}

impl PlannedQuery {
    async fn of(frame: DataFrame) -> Result<Self> {
        let parameters = of_plan(frame.logical_plan())?;
        if parameters.is_empty() {
            return Self::ready(frame, parameters).await;
        }
        // nulls have the types of the values to come, and so have the columns that are made of them
        let nulls = parameters.iter().map(|parameter| (parameter.name.clone(), parameter.null()));
        let schema = match Self::with_values(frame.clone(), nulls.collect()).await {
            Ok((_, plan)) => plan.schema(),
            // a query that no null can be put into still has the columns that it names
            Err(_) => Arc::new(frame.schema().as_arrow().clone()),
        };
        Ok(Self { frame, parameters, schema, plan: None })
    }

    /// Its columns: exactly those of the batches to come once every parameter has a value, and as far as they can be known
    /// before that.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The parameters that need a value, by number or by name; none once they are bound.
    pub fn parameters(&self) -> &[Parameter] {
        if self.plan.is_some() { &[] } else { &self.parameters }
    }

    /// The same query with its values: one row with a column for each parameter, found by name where parameters have names,
    /// else by place. A value counts as if it had been written into the query.
    pub async fn bind(self, values: &RecordBatch) -> Result<Self> {
        if values.num_rows() != 1 {
            let rows = values.num_rows();
            let message = format!("the query takes one row of values, and {rows} came: ask once for each row");
            return Err(Error::Invalid(message));
        }
        let bound = parameters::values(&self.parameters, values)?;
        let (frame, plan) = Self::with_values(self.frame, bound).await?;
        Ok(Self { frame, parameters: self.parameters, schema: plan.schema(), plan: Some(plan) })
    }

    /// The columns that it would have with these values, which count as in [`PlannedQuery::bind`]: some are of their types.
    pub async fn schema_with(&self, values: &RecordBatch) -> Result<SchemaRef> {
        let bound = parameters::values(&self.parameters, values)?;
        let (_, plan) = Self::with_values(self.frame.clone(), bound).await?;
        Ok(plan.schema())
    }

    /// The rows, as they are made; dropping the stream ends the query. What it fails with becomes an error of ours by
    /// [`Error::of_query`].
    pub fn run(self) -> Result<SendableRecordBatchStream> {
        let Some(plan) = self.plan else {
            let names: Vec<String> = self.parameters.iter().map(ToString::to_string).collect();
            let message = format!("the query has parameters without a value: {}; bind them first", names.join(", "));
            return Err(Error::Invalid(message));
        };
        execute_stream(plan, Arc::new(self.frame.task_ctx())).map_err(Error::of_query)
    }

    async fn ready(frame: DataFrame, parameters: Vec<Parameter>) -> Result<Self> {
        let plan = physical(&frame).await?;
        Ok(Self { frame, parameters, schema: plan.schema(), plan: Some(plan) })
    }

    async fn with_values(
        frame: DataFrame,
        values: HashMap<String, ScalarValue>,
    ) -> Result<(DataFrame, Arc<dyn ExecutionPlan>)> {
        let frame = frame.with_param_values(values).map_err(|error| recovered(PLANNING, error))?;
        let plan = physical(&frame).await?;
        Ok((frame, plan))
    }
}

impl fmt::Debug for PlannedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedQuery").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Error {
    /// What planning a query failed with: an error of ours that DataFusion carried, or its own.
    pub fn of_planning(error: DataFusionError) -> Self {
        recovered(PLANNING, error)
    }

    /// What the rows of a query failed with: an error of ours that DataFusion carried, or its own with a remedy.
    pub fn of_query(error: DataFusionError) -> Self {
        match recovered(RUNNING, error) {
            Self::Query { reason, kind: Kind::Exhausted, .. } => Self::Exhausted(format!(
                "{RUNNING} within the memory limit: {reason}; ask for less at once (fewer columns, groups or rows to sort), \
                 or raise `offline.memory_limit`"
            )),
            other => other,
        }
    }
}

/// The plan to be run; what it reads is pinned in it.
async fn physical(frame: &DataFrame) -> Result<Arc<dyn ExecutionPlan>> {
    frame.create_physical_plan().await.map_err(|error| recovered(PLANNING, error))
}
