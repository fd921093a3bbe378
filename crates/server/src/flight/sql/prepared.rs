//! Prepared statements: a query with parameters, planned anew for each run, so that each has the rows of its moment.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    CommandPreparedStatementQuery, DoPutPreparedStatementResult,
};
use arrow_flight::{FlightDescriptor, FlightInfo};
use futures::TryStreamExt;
use hitherto_core::Kind;
use hitherto_engine::Parameter;
use hitherto_proto::Failure;

use super::Sql;
use crate::answer::Refusal;
use crate::flight::incoming::inspected;
use crate::flight::rows::{announced, schema_bytes};
use crate::queries::within;

/// A query that a client means to run, perhaps often.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    query: Arc<str>,
    /// What the client was told of its columns and parameters.
    schema: SchemaRef,
    parameters: Arc<[Parameter]>,
    /// The values of the next run.
    bound: Option<RecordBatch>,
}

impl Sql {
    /// Plans the query for what can be said of it, and keeps it.
    pub(in crate::flight) async fn prepare(
        &self,
        asked: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult, Refusal> {
        let planned = within(&self.shared, self.shared.engine().plan_sql(&asked.query)).await?;
        let fields = planned.parameters().iter();
        let fields: Vec<Field> =
            fields.map(|parameter| Field::new(parameter.to_string(), parameter.declared(), true)).collect();
        let dataset_schema = schema_bytes(&announced(planned.schema()))?;
        let parameter_schema = schema_bytes(&Schema::new(fields))?;
        let prepared = Prepared {
            query: asked.query.into(),
            schema: Arc::clone(planned.schema()),
            parameters: planned.parameters().into(),
            bound: None,
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: self.prepared.keep(prepared)?.into(),
            dataset_schema: dataset_schema.into(),
            parameter_schema: parameter_schema.into(),
        })
    }

    /// Takes the values of the next run.
    pub(in crate::flight) async fn bind(
        &self,
        query: CommandPreparedStatementQuery,
        values: PeekableFlightDataStream,
    ) -> Result<DoPutPreparedStatementResult, Refusal> {
        let handle = query.prepared_statement_handle;
        // before a value is decoded: whoever has no statement has none to bind
        self.prepared.with(&handle, |_| ())?;
        let values = FlightRecordBatchStream::new_from_flight_data(inspected(values.map_err(FlightError::from)));
        let row = only_row(values).await?;
        self.prepared.with(&handle, |prepared| prepared.bound = Some(row))?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    /// Plans the query again, as the tables are now, with the values that were bound last.
    pub(in crate::flight) async fn plan_prepared(
        &self,
        query: CommandPreparedStatementQuery,
        asked: FlightDescriptor,
    ) -> Result<FlightInfo, Refusal> {
        let prepared = self.prepared.with(&query.prepared_statement_handle, |prepared| prepared.clone())?;
        let mut planned = within(&self.shared, self.shared.engine().plan_sql(&prepared.query)).await?;
        if planned.schema() != &prepared.schema || planned.parameters() != &*prepared.parameters {
            let message = "what the prepared statement reads has other columns now than when it was prepared, as a view \
                           with a new version has: prepare it again";
            return Err(Refusal(Failure::new(Kind::Conflict, message)));
        }
        if let Some(row) = prepared.bound.filter(|_| !prepared.parameters.is_empty()) {
            planned = within(&self.shared, planned.bind(&row)).await?;
        }
        self.hold(planned, asked)
    }

    /// Forgets it; one that is forgotten already is closed as well.
    pub(in crate::flight) fn close(&self, asked: &ActionClosePreparedStatementRequest) {
        drop(self.prepared.take(&asked.prepared_statement_handle));
    }
}

async fn only_row(mut values: FlightRecordBatchStream) -> Result<RecordBatch, Refusal> {
    let refused = |message: String| Refusal::invalid("parameters", message);
    let mut row: Option<RecordBatch> = None;
    let unread = |error: FlightError| refused(format!("could not read the values of the parameters: {error}"));
    while let Some(batch) = values.try_next().await.map_err(unread)? {
        if batch.num_rows() == 0 {
            continue;
        }
        if batch.num_rows() > 1 || row.is_some() {
            let message = "a query takes one row of values, and more came: run it once for each row";
            return Err(refused(message.to_owned()));
        }
        row = Some(batch);
    }
    row.ok_or_else(|| refused("no row of values came: a query with parameters takes one".to_owned()))
}
