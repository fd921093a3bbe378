//! The feature views of SQL: a table's log is read when a query names it, and not before.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::TableType;
use hitherto_core::{Catalog, Selector, ViewVersion};
use hitherto_offline::HistoryTable;

use crate::{Engine, Error, Result};

/// Each view under its name, in its latest version, and each version as `view@1`.
#[derive(Debug)]
pub(crate) struct ViewsSchema {
    engine: Engine,
    catalog: Arc<Catalog>,
}

impl ViewsSchema {
    pub(crate) fn new(engine: Engine, catalog: Arc<Catalog>) -> Self {
        Self { engine, catalog }
    }

    fn view(&self, name: &str) -> Option<&ViewVersion> {
        let selector = name.parse::<Selector>().ok()?;
        // `view@01` is no name of ours
        self.catalog.view(&selector).filter(|_| selector.to_string() == name)
    }

    async fn history(&self, view: &ViewVersion) -> Result<HistoryTable> {
        let table = self.catalog.tables.get(&view.table);
        let table = table.ok_or_else(|| Error::internal("a view reads an unknown table", view.table.clone()))?;
        Ok(HistoryTable::try_new(self.engine.history(table)?.pin().await?, view)?)
    }
}

#[async_trait]
impl SchemaProvider for ViewsSchema {
    fn table_names(&self) -> Vec<String> {
        let latest = self.catalog.views.keys().map(ToString::to_string);
        latest.chain(self.catalog.views.values().flatten().map(|view| view.versioned_name().to_string())).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Some(view) = self.view(name) else { return Ok(None) };
        let history = self.history(view).await.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Some(Arc::new(history)))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.view(name).map(|_| TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.view(name).is_some()
    }
}
