//! The feature views of SQL, their history and their current values: a table's log is read when a query names it, and not
//! before.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::TableType;
use hitherto_core::{Catalog, Selector, ViewVersion};
use hitherto_offline::HistoryTable;

use super::carried;
use super::known::KnownTable;
use super::tables::QueryTables;
use crate::Result;

/// The schema of current values.
pub(crate) const LATEST: &str = "latest";

/// Each view with its full history: under its name in its latest version, and each version as `view@1`.
#[derive(Debug)]
pub(super) struct ViewsSchema(pub(super) Arc<QueryTables>);

/// Each view's current values, under the same names.
#[derive(Debug)]
pub(super) struct LatestSchema(pub(super) Arc<QueryTables>);

impl ViewsSchema {
    async fn history(&self, view: &ViewVersion) -> Result<HistoryTable> {
        Ok(HistoryTable::try_new(self.0.pin(&view.table).await?, view)?)
    }
}

#[async_trait]
impl SchemaProvider for ViewsSchema {
    fn table_names(&self) -> Vec<String> {
        names(self.0.catalog())
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Some(view) = view(self.0.catalog(), name) else { return Ok(None) };
        Ok(Some(Arc::new(self.history(view).await.map_err(carried)?)))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(view(self.0.catalog(), name).map(|_| TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        view(self.0.catalog(), name).is_some()
    }
}

#[async_trait]
impl SchemaProvider for LatestSchema {
    fn table_names(&self) -> Vec<String> {
        names(self.0.catalog())
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Some(view) = view(self.0.catalog(), name) else { return Ok(None) };
        Ok(Some(Arc::new(KnownTable::try_new(Arc::clone(&self.0), view, self.0.now()).map_err(carried)?)))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(view(self.0.catalog(), name).map(|_| TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        view(self.0.catalog(), name).is_some()
    }
}

/// The view that a table's name stands for.
pub(super) fn view<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a ViewVersion> {
    let selector = name.parse::<Selector>().ok()?;
    // `view@01` is no name of ours
    catalog.view(&selector).filter(|_| selector.to_string() == name)
}

fn names(catalog: &Catalog) -> Vec<String> {
    let latest = catalog.views.keys().map(ToString::to_string);
    latest.chain(catalog.views.values().flatten().map(|view| view.versioned_name().to_string())).collect()
}
