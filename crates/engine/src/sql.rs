//! `sql`: feature history, and what is recorded of it, as tables, read-only.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser;
use hitherto_core::{Catalog, Kind, Name, Selector, ViewVersion};

use crate::records::{RecordsSchema, SCHEMA};
use crate::sql_views::{Reads, ViewsSchema};
use crate::{Engine, Error, Result};

/// The catalog of all schemas.
pub(crate) const CATALOG: &str = "hitherto";
/// The schema of the feature views.
pub(crate) const PUBLIC: &str = "public";

impl Engine {
    /// Run a query. Each feature view is a table with its full history under its name; older versions are `"view@1"`. What the
    /// registry and the logs record is in the schema `registry`: `registry.models`, `registry.lineage`.
    ///
    /// Only queries: whatever writes, creates, sets or copies is refused by the planner, and no file can be named. Nothing is
    /// read but what the query names.
    pub async fn sql(&self, query: &str) -> Result<SendableRecordBatchStream> {
        Ok(self.sql_with_reads(query).await?.0)
    }

    /// The same, with what it reads of history.
    pub(crate) async fn sql_with_reads(&self, query: &str) -> Result<(SendableRecordBatchStream, Reads)> {
        let reads = Arc::default();
        let frame = self.planned(query, &reads).await?;
        let rows = frame.execute_stream().await.map_err(|error| recovered("could not run the query", error))?;
        let reads = reads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((rows, reads))
    }

    /// The query's logical plan, over views that are pinned.
    pub(crate) async fn planned(&self, query: &str, reads: &Arc<Mutex<Reads>>) -> Result<DataFrame> {
        let catalog = Arc::new(self.registry().catalog().await?);
        let context = self.sql_context(&catalog, reads)?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        context.sql_with_options(query, options).await.map_err(|error| {
            let unknown = unknown_table(&context, &catalog, query, &error);
            unknown.unwrap_or_else(|| recovered("could not plan the query", error))
        })
    }

    /// The feature views whose history `query` reads.
    pub(crate) fn views_of<'a>(&self, catalog: &'a Catalog, query: &str) -> Result<Vec<&'a ViewVersion>> {
        let context = self.sql_context(&Arc::new(catalog.clone()), &Arc::default())?;
        let state = context.state();
        let parsed = state.sql_to_statement(query, &state.config_options().sql_parser.dialect);
        let named = parsed.and_then(|statement| state.resolve_table_references(&statement));
        let named = named.map_err(|error| failed("could not plan the query", &error))?;
        let of_views = named.iter().filter(|table| matches!(table.schema(), None | Some(PUBLIC)));
        Ok(of_views.filter_map(|table| catalog.view(&table.table().parse::<Selector>().ok()?)).collect())
    }

    pub(crate) fn sql_context(&self, catalog: &Arc<Catalog>, reads: &Arc<Mutex<Reads>>) -> Result<SessionContext> {
        let config =
            SessionConfig::new().with_information_schema(true).with_default_catalog_and_schema(CATALOG, PUBLIC);
        let context = SessionContext::new_with_config_rt(config, Arc::clone(self.runtime()));
        let views = Arc::new(ViewsSchema::new(self.clone(), Arc::clone(catalog), Arc::clone(reads)));
        let records = Arc::new(RecordsSchema::new(self.clone()));
        let schemas = context.catalog(CATALOG).ok_or_else(|| Error::internal("SQL has no catalog", CATALOG))?;
        let registered = schemas.register_schema(PUBLIC, views).and_then(|_| schemas.register_schema(SCHEMA, records));
        registered.map_err(|error| failed("could not register the tables", &error))?;
        Ok(context)
    }
}

/// The first table of `query` that is not there, as an error that says what is near.
fn unknown_table(context: &SessionContext, catalog: &Catalog, query: &str, error: &DataFusionError) -> Option<Error> {
    // a function is no table, though it stands where one could
    if matches!(error.find_root(), DataFusionError::Plan(reason) if reason.starts_with("table function")) {
        return None;
    }
    let state = context.state();
    let statement = state.sql_to_statement(query, &state.config_options().sql_parser.dialect).ok()?;
    // what is no query is refused for that, whatever it names
    if !matches!(&statement, Statement::Statement(query) if matches!(**query, sqlparser::ast::Statement::Query(_))) {
        return None;
    }
    let tables = state.resolve_table_references(&statement).ok()?;
    let unknown = tables.iter().find(|table| {
        let known = |name: &TableReference| context.table_exist(name.clone()).unwrap_or(true);
        matches!(table.schema(), None | Some(SCHEMA)) && table.catalog().is_none() && !known(table)
    })?;
    if unknown.schema().is_some() {
        return Some(Error::unknown("table of the schema registry", unknown.table(), RecordsSchema::names()));
    }
    Some(Error::unknown("feature view", unknown.table(), catalog.views.keys().map(Name::as_str)))
}

/// An error of ours that DataFusion carried, or its own.
pub(crate) fn recovered(what: &str, error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(source) => match source.downcast::<Error>() {
            Ok(ours) => *ours,
            // history's own, as a scan fails with it
            Err(source) => match source.downcast::<hitherto_offline::Error>() {
                Ok(ours) => (*ours).into(),
                Err(source) => failed(what, &DataFusionError::External(source)),
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => recovered(what, *inner),
        // parts of a plan that run beside each other tell all of them of a failure
        DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
            Ok(inner) => recovered(what, inner),
            Err(shared) => failed(what, &shared),
        },
        other => failed(what, &other),
    }
}

pub(crate) fn failed(what: &str, error: &DataFusionError) -> Error {
    let root = error.find_root();
    let kind = match root {
        DataFusionError::NotImplemented(_) => Kind::Unsupported,
        DataFusionError::ResourcesExhausted(_) => Kind::Exhausted,
        DataFusionError::Internal(_) => Kind::Internal,
        DataFusionError::External(source) => kind_of(source.as_ref()),
        _ => Kind::InvalidArgument,
    };
    // "Error during planning: " and its like say again what `what` says
    let reason = match root {
        DataFusionError::Plan(reason) | DataFusionError::NotImplemented(reason) => reason.clone(),
        DataFusionError::SQL(reason, _) => reason.to_string(),
        DataFusionError::SchemaError(reason, _) => reason.to_string(),
        other => other.strip_backtrace(),
    };
    Error::Query { what: what.to_owned(), reason, kind }
}

/// Of what kind an error is that DataFusion carries and that cannot be taken from it.
fn kind_of(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Kind {
    let ours = source.downcast_ref::<Error>().map(Error::kind);
    let of_history = || source.downcast_ref::<hitherto_offline::Error>().map(hitherto_offline::Error::kind);
    ours.or_else(of_history).unwrap_or(Kind::InvalidArgument)
}
