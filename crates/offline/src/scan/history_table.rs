//! A view's full history as a table of SQL.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::TryStreamExt;
use hitherto_core::{Created, ViewVersion};

use super::PinnedTable;
use super::columns::{Column, Layout};
use super::fault::carried;
use super::footer::KeyForm;
use super::morsel::{Morsel, share};
use crate::schema::EVENT;
use crate::{Error, Result};

/// When a row could first have been used. The column is called `_available_at` where a key or feature has this name.
pub const AVAILABLE: &str = "available_at";

/// The history of a view as SQL sees it: keys, `event_timestamp`, `created_timestamp` where there is one, the version's
/// features in their order, `available_at`, `_deleted`, `_sequence`, `_ingested_at`. Only columns asked for are read.
pub struct HistoryTable {
    pinned: PinnedTable,
    columns: Vec<Column>,
    available: &'static str,
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
        let mut names = table.keys.iter().map(|(name, _)| name).chain(view.definition.features.iter().map(|f| &f.name));
        let available = if names.any(|name| name.as_str() == AVAILABLE) { "_available_at" } else { AVAILABLE };
        let schema = Arc::clone(Layout::new(table, columns.clone(), KeyForm::Declared, available).schema());
        Ok(Self { pinned, columns, available, schema })
    }
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
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let window = filters.iter().filter_map(event_window).fold((i64::MIN, i64::MAX), intersect);
        let within = |(first, last): (i64, i64)| first <= window.1 && last >= window.0;
        let morsels = self.pinned.morsels(|extent| extent.event.is_none_or(within)).await.map_err(carried)?;
        let columns = projection
            .map_or_else(|| self.columns.clone(), |wanted| wanted.iter().map(|&column| self.columns[column]).collect());
        let table = self.pinned.shared_table();
        let layout = Arc::new(Layout::new(table, columns, KeyForm::Declared, self.available));
        let partitions = state.config().target_partitions().clamp(1, morsels.len().max(1));
        let scans = (0..partitions).map(|partition| {
            let morsels = share(&morsels, partitions, partition);
            Arc::new(Scan { pinned: self.pinned.clone(), morsels, layout: Arc::clone(&layout) }) as _
        });
        let schema = Arc::clone(layout.schema());
        Ok(Arc::new(StreamingTableExec::try_new(schema, scans.collect(), None, [], false, limit)?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match event_window(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }
}

#[derive(Debug)]
struct Scan {
    pinned: PinnedTable,
    morsels: Vec<Morsel>,
    layout: Arc<Layout>,
}

impl PartitionStream for Scan {
    fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batch_size = context.session_config().batch_size();
        let batches = self.pinned.batches(self.morsels.clone(), &self.layout, batch_size).map_err(carried);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.layout.schema()), batches))
    }
}

/// The event times, both ends in, that a filter leaves; `None` where it is about something else.
fn event_window(filter: &Expr) -> Option<(i64, i64)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (event_window(left), event_window(right)) {
                (Some(a), Some(b)) => Some(intersect(a, b)),
                (a, b) => a.or(b),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (is_event(left), is_event(right)) {
            (true, false) => compared(*op, micros(right)?),
            (false, true) => compared(op.swap()?, micros(left)?),
            _ => None,
        },
        Expr::Between(between) if !between.negated && is_event(&between.expr) => {
            Some((micros(&between.low)?, micros(&between.high)?))
        }
        _ => None,
    }
}

fn is_event(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == EVENT)
}

fn micros(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(ScalarValue::TimestampMicrosecond(time, _), _) => *time,
        _ => None,
    }
}

/// Ends stay in where they need not: what comes too much is filtered again.
fn compared(op: Operator, time: i64) -> Option<(i64, i64)> {
    match op {
        Operator::Eq => Some((time, time)),
        Operator::Lt | Operator::LtEq => Some((i64::MIN, time)),
        Operator::Gt | Operator::GtEq => Some((time, i64::MAX)),
        _ => None,
    }
}

fn intersect(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0.max(b.0), a.1.min(b.1))
}
