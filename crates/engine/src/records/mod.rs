//! The schema `registry` of SQL: what the registry and the logs of history record, as tables. Nothing is read before a
//! table is queried, and then only what that table needs.

mod columns;
mod logs;
mod rows;
mod table;
mod wanted;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::TableType;

use self::columns::Records;
use self::logs::Logs;
use self::table::RecordsTable;
use crate::Engine;

/// The schema's name. A feature view of this name is `public.registry`, and not in its way.
pub(crate) const SCHEMA: &str = "registry";

/// The schema.
#[derive(Debug)]
pub(crate) struct RecordsSchema(Logs);

impl RecordsSchema {
    /// For one query.
    pub(crate) fn new(engine: Engine) -> Self {
        Self(Logs::new(engine))
    }

    /// The names of its tables.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> + Clone {
        Records::ALL.iter().map(|records| records.name())
    }
}

#[async_trait]
impl SchemaProvider for RecordsSchema {
    fn table_names(&self) -> Vec<String> {
        Self::names().map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let records = Records::ALL.into_iter().find(|records| records.name() == name);
        Ok(records.map(|records| Arc::new(RecordsTable::new(self.0.clone(), records)) as _))
    }

    async fn table_type(&self, name: &str) -> DataFusionResult<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::View))
    }

    fn table_exist(&self, name: &str) -> bool {
        Self::names().any(|known| known == name)
    }
}
