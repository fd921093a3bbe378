//! The feature views of SQL: a table's log is read when a query names it, and not before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::TableType;
use hitherto_core::{Catalog, Selector, ViewVersion};
use hitherto_offline::{HistoryTable, PinnedTable};

use crate::{Engine, Error, Result};

/// What a query reads of each table, by its id: the last `_sequence`, and the version of the log in which it was found.
pub(crate) type Reads = BTreeMap<String, (i64, Option<u64>)>;

/// Each view under its name, in its latest version, and each version as `view@1`.
#[derive(Debug)]
pub(crate) struct ViewsSchema {
    engine: Engine,
    catalog: Arc<Catalog>,
    reads: Arc<Mutex<Reads>>,
}

impl ViewsSchema {
    /// For one query; what it reads is noted in `reads` when it is planned.
    pub(crate) fn new(engine: Engine, catalog: Arc<Catalog>, reads: Arc<Mutex<Reads>>) -> Self {
        Self { engine, catalog, reads }
    }

    fn view(&self, name: &str) -> Option<&ViewVersion> {
        let selector = name.parse::<Selector>().ok()?;
        // `view@01` is no name of ours
        self.catalog.view(&selector).filter(|_| selector.to_string() == name)
    }

    async fn history(&self, view: &ViewVersion) -> Result<HistoryTable> {
        let table = self.catalog.tables.get(&view.table);
        let table = table.ok_or_else(|| Error::internal("a view reads an unknown table", view.table.clone()))?;
        let pinned = self.engine.history(table)?.pin().await?;
        self.note(&pinned);
        Ok(HistoryTable::try_new(pinned, view)?)
    }

    /// Two names of one table may be pinned at two moments: it is read up to the later.
    fn note(&self, pinned: &PinnedTable) {
        let read = (pinned.last_sequence(), pinned.log_version());
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let known = reads.entry(pinned.table().id.clone()).or_insert(read);
        *known = read.max(*known);
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
