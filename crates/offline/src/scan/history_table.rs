//! A view's full history as a table of SQL.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use hitherto_core::{Created, Span, ViewVersion};

use super::PinnedTable;
use super::columns::{Column, Layout};
use super::fault::carried;
use super::footer::KeyForm;
use super::history_exec::HistoryExec;
use super::wanted::Wanted;
use crate::schema::{CREATED, DELETED, EVENT, INGESTED, SEQUENCE};
use crate::{Error, Result};

/// When a row could first have been used. The column is called `_available_at` where a key or feature has this name.
pub const AVAILABLE: &str = "available_at";

/// The history of a view as SQL sees it: keys, `event_timestamp`, `created_timestamp` where there is one, the version's
/// features in their order, `available_at`, `_deleted`, `_sequence`, `_ingested_at`. Only columns asked for are read.
///
/// What a column is, is in its field's metadata under [`DESCRIPTION`](crate::DESCRIPTION).
pub struct HistoryTable {
    pinned: PinnedTable,
    columns: Vec<Column>,
    available: &'static str,
    delay: Span,
    descriptions: HashMap<String, String>,
    schema: SchemaRef,
}

impl HistoryTable {
    /// The rows of `pinned` as `view` reads them.
    pub fn try_new(pinned: PinnedTable, view: &ViewVersion) -> Result<Self> {
        let table = pinned.shared_table();
        let mut columns: Vec<Column> = (0..table.keys.len()).map(Column::Key).collect();
        columns.push(Column::Event);
        columns.extend((table.created != Created::Absent).then_some(Column::Created));
        for feature in &view.definition.features {
            let found = table.columns.iter().position(|(name, _)| *name == feature.name);
            let missing = || Error::NotFound(format!("table '{}' has no column '{}'", table.id, feature.name));
            columns.push(Column::Feature(found.ok_or_else(missing)?));
        }
        let delay = view.definition.source_delay;
        columns.extend([Column::Available(delay), Column::Deleted, Column::Sequence, Column::Ingested]);
        let available = available_column(view);
        let descriptions = descriptions(view);
        let layout = Layout::new(table, columns.clone(), KeyForm::Declared, available).described(&descriptions);
        let schema = Arc::clone(layout.schema());
        Ok(Self { pinned, columns, available, delay, descriptions, schema })
    }
}

/// What the column is called that says when a row of `view` could first have been used.
pub fn available_column(view: &ViewVersion) -> &'static str {
    let keys = view.keys.iter().map(|key| &key.name);
    let mut names = keys.chain(view.definition.features.iter().map(|feature| &feature.name));
    if names.any(|name| name.as_str() == AVAILABLE) { "_available_at" } else { AVAILABLE }
}

/// What the columns of a view's rows are, by their names; a feature that nobody described is left out.
pub fn descriptions(view: &ViewVersion) -> HashMap<String, String> {
    let ours = [
        (EVENT, "when it was true in the world"),
        (CREATED, "when its producer knew it"),
        (
            available_column(view),
            "from when on it could be used: the later of event, with the source delay, and creation",
        ),
        (DELETED, "true for a tombstone, which withholds every feature"),
        (SEQUENCE, "the row's place in its table's history"),
        (INGESTED, "when the row came into history"),
    ];
    let ours = ours.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
    let features = view.definition.features.iter();
    let features = features.filter_map(|f| Some((f.name.to_string(), f.notes.description.clone()?)));
    ours.chain(features).collect()
}

impl fmt::Debug for HistoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryTable").field("pinned", &self.pinned).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for HistoryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let columns = projection
            .map_or_else(|| self.columns.clone(), |wanted| wanted.iter().map(|&column| self.columns[column]).collect());
        let table = self.pinned.shared_table();
        let layout = Layout::new(table, columns, KeyForm::Declared, self.available).described(&self.descriptions);
        let wanted = Wanted::of(filters, table, self.available, self.delay);
        let partitions = state.config().target_partitions();
        let scan = HistoryExec::try_new(self.pinned.clone(), wanted, Arc::new(layout), partitions).await;
        Ok(Arc::new(scan.map_err(carried)?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            if Wanted::is_told(filter, self.pinned.table(), self.available) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(support).collect())
    }
}
