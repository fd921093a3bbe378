//! `sql`: feature history as tables, read-only.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use hitherto_core::{Kind, ViewVersion};
use hitherto_offline::HistoryTable;

use crate::{Engine, Error, Result};

impl Engine {
    /// Run a query. Each feature view is a table with its full history under its name; older versions are `"view@1"`.
    ///
    /// Only queries: whatever writes, creates, sets or copies is refused by the planner, and no file can be named.
    pub async fn sql(&self, query: &str) -> Result<SendableRecordBatchStream> {
        let context = self.sql_context().await?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = context
            .sql_with_options(query, options)
            .await
            .map_err(|error| failed("could not plan the query", &error))?;
        frame.execute_stream().await.map_err(|error| failed("could not run the query", &error))
    }

    async fn sql_context(&self) -> Result<SessionContext> {
        let catalog = self.registry().catalog().await?;
        let config =
            SessionConfig::new().with_information_schema(true).with_default_catalog_and_schema("hitherto", "public");
        let context = SessionContext::new_with_config(config);
        for versions in catalog.views.values() {
            let latest = versions.last().map(|view| view.version);
            for view in versions {
                let table = self.history_table(&catalog, view).await?;
                let name = view.definition.name.as_str();
                let names = [format!("{name}@{}", view.version), name.to_owned()];
                let wanted = if Some(view.version) == latest { &names[..] } else { &names[..1] };
                for name in wanted {
                    let reference = datafusion::common::TableReference::bare(name.as_str());
                    let provider = Arc::clone(&table) as Arc<dyn datafusion::catalog::TableProvider>;
                    context
                        .register_table(reference, provider)
                        .map_err(|error| failed("could not register a view", &error))?;
                }
            }
        }
        Ok(context)
    }

    async fn history_table(&self, catalog: &hitherto_core::Catalog, view: &ViewVersion) -> Result<Arc<HistoryTable>> {
        let table = catalog.tables.get(&view.table);
        let table = table.ok_or_else(|| Error::internal("a view reads an unknown table", view.table.clone()))?;
        Ok(Arc::new(HistoryTable::try_new(self.history(table)?.pin().await?, view)?))
    }
}

pub(crate) fn failed(what: &str, error: &DataFusionError) -> Error {
    let root = error.find_root();
    let kind = match root {
        DataFusionError::NotImplemented(_) => Kind::Unsupported,
        DataFusionError::ResourcesExhausted(_) => Kind::Exhausted,
        DataFusionError::Internal(_) => Kind::Internal,
        _ => Kind::InvalidArgument,
    };
    Error::Query { what: what.to_owned(), reason: root.strip_backtrace(), kind }
}
