//! Prepared statements: a query with parameters, planned anew for each run, so that each has the rows of its moment.

use std::future::ready;
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

use super::{Owner, Sql};
use crate::answer::Refusal;
use crate::flight::incoming::inspected;
use crate::flight::rows::{announced, schema_bytes};
use crate::queries::{plan, within};

/// Values are held with their messages from one call to the next.
const BOUND_BYTES_MAX: usize = 1 << 20;
const TOO_LARGE: &str = "they have more than 1 MiB: put large values into a view, and ask by their keys";

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
        owner: Owner,
        asked: ActionCreatePreparedStatementRequest,
    ) -> Result<ActionCreatePreparedStatementResult, Refusal> {
        let planned = plan(&self.shared, &asked.query).await?;
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
            prepared_statement_handle: self.prepared.keep(owner, prepared)?.into(),
            dataset_schema: dataset_schema.into(),
            parameter_schema: parameter_schema.into(),
        })
    }

    /// Takes the values of the next run.
    pub(in crate::flight) async fn bind(
        &self,
        owner: Owner,
        query: CommandPreparedStatementQuery,
        values: PeekableFlightDataStream,
    ) -> Result<DoPutPreparedStatementResult, Refusal> {
        let handle = query.prepared_statement_handle;
        // before a value is decoded: whoever has no statement has none to bind
        self.prepared.with(&owner, &handle, |_| ())?;
        let mut bytes = 0;
        let values = values.map_err(FlightError::from).and_then(move |message| {
            bytes += message.data_header.len() + message.data_body.len();
            let fits = bytes <= BOUND_BYTES_MAX;
            ready(if fits { Ok(message) } else { Err(FlightError::DecodeError(TOO_LARGE.to_owned())) })
        });
        let values = FlightRecordBatchStream::new_from_flight_data(inspected(values));
        let row = only_row(values).await?;
        self.prepared.with(&owner, &handle, |prepared| prepared.bound = Some(row))?;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    /// Plans the query again, as the tables are now, with the values that were bound last.
    pub(in crate::flight) async fn plan_prepared(
        &self,
        owner: Owner,
        query: CommandPreparedStatementQuery,
        asked: FlightDescriptor,
    ) -> Result<FlightInfo, Refusal> {
        let prepared = self.prepared.with(&owner, &query.prepared_statement_handle, |prepared| prepared.clone())?;
        let mut planned = plan(&self.shared, &prepared.query).await?;
        if !are_alike(planned.schema(), &prepared.schema) || planned.parameters() != &*prepared.parameters {
            let message = "what the prepared statement reads has other columns now than when it was prepared, as a view \
                           with a new version has: prepare it again";
            return Err(Refusal(Failure::new(Kind::Conflict, message)));
        }
        if let Some(row) = prepared.bound.filter(|_| !prepared.parameters.is_empty()) {
            planned = within(&self.shared, Box::pin(async move { planned.bind(&row).await })).await?;
        }
        self.hold(owner, planned, asked)
    }

    /// Forgets it; one that is forgotten already is closed as well.
    pub(in crate::flight) fn close(&self, owner: &Owner, asked: &ActionClosePreparedStatementRequest) {
        drop(self.prepared.take(owner, &asked.prepared_statement_handle));
    }
}

/// Whether clients that were told of one take rows of the other: what is said of columns may change meanwhile.
fn are_alike(now: &Schema, told: &Schema) -> bool {
    let alike = |(now, told): (&Arc<Field>, &Arc<Field>)| {
        now.name() == told.name()
            && now.is_nullable() == told.is_nullable()
            && now.data_type().equals_datatype(told.data_type())
    };
    now.fields().len() == told.fields().len() && now.fields().iter().zip(told.fields()).all(alike)
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

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    #[test]
    fn what_is_said_of_columns_may_change() {
        let gust = Field::new("wind_gust", DataType::Float64, true);
        let said = gust.clone().with_metadata([("description".to_owned(), "in knots".to_owned())].into());
        let schema = |field: &Field| Schema::new(vec![field.clone()]);
        assert!(are_alike(&schema(&gust), &schema(&said)));
        for other in [
            gust.clone().with_name("gust"),
            gust.clone().with_nullable(false),
            gust.clone().with_data_type(DataType::Float32),
        ] {
            assert!(!are_alike(&schema(&gust), &schema(&other)), "{other}");
        }
        assert!(!are_alike(&schema(&gust), &Schema::new(vec![gust.clone(), said])));
    }
}
