//! `sql`: feature history as tables, read-only.

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser;
use hitherto_core::{Catalog, Kind, Name, ViewVersion};
use hitherto_offline::HistoryTable;

use crate::{Engine, Error, Result};

impl Engine {
    /// Run a query. Each feature view is a table with its full history under its name; older versions are `"view@1"`.
    ///
    /// Only queries: whatever writes, creates, sets or copies is refused by the planner, and no file can be named.
    pub async fn sql(&self, query: &str) -> Result<SendableRecordBatchStream> {
        let catalog = self.registry().catalog().await?;
        let context = self.sql_context(&catalog).await?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = context.sql_with_options(query, options).await.map_err(|error| {
            unknown_view(&context, &catalog, query, &error)
                .unwrap_or_else(|| failed("could not plan the query", &error))
        })?;
        frame.execute_stream().await.map_err(|error| failed("could not run the query", &error))
    }

    async fn sql_context(&self, catalog: &Catalog) -> Result<SessionContext> {
        let config =
            SessionConfig::new().with_information_schema(true).with_default_catalog_and_schema("hitherto", "public");
        let context = SessionContext::new_with_config_rt(config, Arc::clone(self.runtime()));
        for versions in catalog.views.values() {
            let latest = versions.last().map(|view| view.version);
            for view in versions {
                let table = self.history_table(catalog, view).await?;
                let name = view.definition.name.as_str();
                let names = [format!("{name}@{}", view.version), name.to_owned()];
                let wanted = if Some(view.version) == latest { &names[..] } else { &names[..1] };
                for name in wanted {
                    let reference = TableReference::bare(name.as_str());
                    let provider = Arc::clone(&table) as Arc<dyn datafusion::catalog::TableProvider>;
                    context
                        .register_table(reference, provider)
                        .map_err(|error| failed("could not register a view", &error))?;
                }
            }
        }
        Ok(context)
    }

    async fn history_table(&self, catalog: &Catalog, view: &ViewVersion) -> Result<Arc<HistoryTable>> {
        let table = catalog.tables.get(&view.table);
        let table = table.ok_or_else(|| Error::internal("a view reads an unknown table", view.table.clone()))?;
        Ok(Arc::new(HistoryTable::try_new(self.history(table)?.pin().await?, view)?))
    }
}

/// The first table of `query` that is no feature view, as an error that says what is near.
fn unknown_view(context: &SessionContext, catalog: &Catalog, query: &str, error: &DataFusionError) -> Option<Error> {
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
        let known = |name: &str| context.table_exist(TableReference::bare(name)).unwrap_or(true);
        table.schema().is_none() && !known(table.table())
    })?;
    Some(Error::unknown("feature view", unknown.table(), catalog.views.keys().map(Name::as_str)))
}

pub(crate) fn failed(what: &str, error: &DataFusionError) -> Error {
    let root = error.find_root();
    let kind = match root {
        DataFusionError::NotImplemented(_) => Kind::Unsupported,
        DataFusionError::ResourcesExhausted(_) => Kind::Exhausted,
        DataFusionError::Internal(_) => Kind::Internal,
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
