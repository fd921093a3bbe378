//! What is known of every entity key at one moment, by the contract: the schema `latest`, and `value_at`.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, ident, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column as PhysicalColumn, is_not_null};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use hitherto_asof::{AsOfExec, AsOfView, Evidence, Visibility};
use hitherto_core::{Name, Selector, Span, Timestamp, ViewVersion};
use hitherto_offline::input::convert_time_down;
use hitherto_offline::types::{UTC, arrow_type, key_arrow_type, time_type};
use hitherto_offline::{
    DESCRIPTION, EVENT, HistoryTable, PinnedTable, SEQUENCE, TableSource, available_column, descriptions,
};

use super::carried;
use super::parse::usage;
use super::tables::QueryTables;
use crate::engine::find_view;
use crate::training_set::partitions;
use crate::{Error, Result};

/// The moment that is asked about, beside the keys. No name has two `_`, so that nothing is in its way.
const AT: &str = "__at";

/// A row for each entity key that has a winner at `at`, unless it is a tombstone or too old: keys, `event_timestamp`, the
/// version's features, `available_at`, `_sequence`.
pub(super) struct KnownTable {
    tables: Arc<QueryTables>,
    view: ViewVersion,
    at: Timestamp,
    columns: Vec<Known>,
    schema: SchemaRef,
}

/// One column.
#[derive(Clone, Copy, Debug)]
enum Known {
    /// Index into the table's keys.
    Key(usize),
    /// Index into the version's features.
    Feature(usize),
    Winner(Evidence),
}

impl KnownTable {
    pub(super) fn try_new(tables: Arc<QueryTables>, view: &ViewVersion, at: Timestamp) -> Result<Self> {
        let table = tables.catalog().tables.get(&view.table);
        let table = table.ok_or_else(|| Error::internal("a view reads an unknown table", view.table.clone()))?;
        let features = &view.definition.features;
        let mut columns: Vec<(Known, &str, DataType)> = Vec::new();
        for (index, (name, key_type)) in table.keys.iter().enumerate() {
            columns.push((Known::Key(index), name.as_str(), key_arrow_type(*key_type)));
        }
        columns.push((Known::Winner(Evidence::EventTimestamp), EVENT, time_type()));
        for (index, feature) in features.iter().enumerate() {
            columns.push((Known::Feature(index), feature.name.as_str(), arrow_type(&feature.value_type)));
        }
        columns.push((Known::Winner(Evidence::AvailableAt), available_column(view), time_type()));
        columns.push((Known::Winner(Evidence::Sequence), SEQUENCE, DataType::Int64));
        let descriptions = descriptions(view);
        let field = |(_, name, data_type): &(Known, &str, DataType)| {
            let field = Field::new(*name, data_type.clone(), true);
            match descriptions.get(*name) {
                Some(text) => field.with_metadata([(DESCRIPTION.to_owned(), text.clone())].into()),
                None => field,
            }
        };
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let columns = columns.into_iter().map(|(known, ..)| known).collect();
        Ok(Self { tables, view: view.clone(), at, columns, schema })
    }

    fn keys(&self) -> usize {
        self.columns.iter().filter(|column| matches!(column, Known::Key(_))).count()
    }

    /// The distinct keys of rows that were available, each with the moment.
    async fn spine(
        &self,
        state: &dyn Session,
        pinned: &PinnedTable,
        filters: &[Expr],
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let history = HistoryTable::try_new(pinned.clone(), &self.view).map_err(|error| carried(error.into()))?;
        let time = |at: Timestamp| lit(ScalarValue::TimestampMicrosecond(Some(at.0), Some(UTC.into())));
        let mut rows = LogicalPlanBuilder::scan("history", provider_as_source(Arc::new(history)), None)?
            .filter(ident(available_column(&self.view)).lt_eq(time(self.at)))?;
        if let Some(ttl) = self.view.definition.ttl.filter(|ttl| !ttl.is_zero()) {
            // a key whose events are all older has a winner that is withheld
            rows = rows.filter(ident(EVENT).gt_eq(time(self.at.saturating_sub(ttl))))?;
        }
        for filter in filters {
            rows = rows.filter(filter.clone())?;
        }
        let names = self.schema.fields()[..self.keys()].iter().map(|field| ident(field.name()));
        let keys: Vec<Expr> = names.collect();
        let keys =
            rows.project(keys.clone())?.distinct()?.project(keys.into_iter().chain([time(self.at).alias(AT)]))?;
        state.create_physical_plan(&keys.build()?).await
    }

    /// The history as the operator reads it, with those of the features that are `wanted`.
    fn joined(&self, pinned: PinnedTable, wanted: &[Known]) -> Result<AsOfView> {
        let features = &self.view.definition.features;
        let wanted = wanted.iter().filter_map(|column| match column {
            Known::Feature(index) => Some(*index),
            _ => None,
        });
        let wanted: Vec<usize> = wanted.collect();
        let names: Vec<&Name> = wanted.iter().map(|index| &features[*index].name).collect();
        let field = |index: &usize| -> FieldRef { Arc::clone(&self.schema.fields()[self.keys() + 1 + index]) };
        let evidence = [Evidence::EventTimestamp, Evidence::AvailableAt, Evidence::Sequence];
        Ok(AsOfView {
            name: self.view.versioned_name().to_string(),
            source: Arc::new(TableSource::try_new(pinned, names, partitions())?),
            spine_keys: (0..self.keys()).collect(),
            source_delay_us: self.view.definition.source_delay.micros(),
            ttl_us: self.view.definition.ttl.map(Span::micros),
            visibility: Visibility::Available,
            output: wanted.iter().map(field).enumerate().collect(),
            evidence: evidence.map(|kind| (kind, format!("__{}", place(kind)))).to_vec(),
        })
    }
}

/// Where a winner's evidence comes in the operator's output.
fn place(kind: Evidence) -> usize {
    match kind {
        Evidence::EventTimestamp => 0,
        Evidence::AvailableAt => 1,
        Evidence::Sequence => 2,
    }
}

impl fmt::Debug for KnownTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownTable")
            .field("view", &self.view.versioned_name())
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for KnownTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let places: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.columns.len()).collect());
        let wanted: Vec<Known> = places.iter().map(|&place| self.columns[place]).collect();
        let pinned = self.tables.pin(&self.view.table).await.map_err(carried)?;
        let spine = self.spine(state, &pinned, filters).await?;
        let view = self.joined(pinned, &wanted).map_err(carried)?;
        let joined = Arc::new(AsOfExec::try_new(spine, self.keys(), vec![view])?);
        let (outputs, evidence) = (joined.output_start(), joined.evidence_start());
        let schema = joined.schema();
        let column = |index: usize| -> Arc<dyn PhysicalExpr> {
            Arc::new(PhysicalColumn::new(schema.field(index).name(), index))
        };
        let rows = FilterExec::try_new(is_not_null(column(evidence))?, joined)?;
        let mut features = outputs..evidence;
        let mut columns = Vec::with_capacity(wanted.len());
        for (known, place) in wanted.iter().zip(&places) {
            let index = match known {
                Known::Key(index) => Some(*index),
                Known::Feature(_) => features.next(),
                Known::Winner(kind) => Some(evidence + self::place(*kind)),
            };
            let lost = || DataFusionError::Internal("a feature is not in the output of its join".to_owned());
            columns.push((column(index.ok_or_else(lost)?), self.schema.field(*place).name().clone()));
        }
        let wanted = self.schema.project(&places)?;
        Ok(Arc::new(ProjectionExec::try_new_with_schema_metadata(columns, Arc::new(rows), &wanted)?))
    }

    /// What is asked of keys alone is asked of them before anything is looked up.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let keys: Vec<&str> = self.schema.fields()[..self.keys()].iter().map(|field| field.name().as_str()).collect();
        let support = |filter: &&Expr| {
            let columns = filter.column_refs();
            let of_keys = !columns.is_empty() && columns.iter().all(|column| keys.contains(&column.name.as_str()));
            if of_keys && !filter.is_volatile() {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(support).collect())
    }
}

/// `value_at('view', time)`.
#[derive(Debug)]
pub(super) struct ValueAt(pub(super) Arc<QueryTables>);

impl TableFunctionImpl for ValueAt {
    fn call_with_args(&self, args: TableFunctionArgs) -> DataFusionResult<Arc<dyn TableProvider>> {
        let wrong = || usage("value_at('feature_view', TIMESTAMP '2013-01-02T15:04:05Z')");
        let [Expr::Literal(view, _), Expr::Literal(at, _)] = args.exprs() else { return Err(wrong()) };
        let view = view.try_as_str().flatten().ok_or_else(wrong)?;
        let at = moment(at).ok_or_else(wrong)?;
        let known = || -> Result<KnownTable> {
            let selector = view.parse::<Selector>().map_err(|error| Error::Invalid(error.to_string()))?;
            KnownTable::try_new(Arc::clone(&self.0), find_view(self.0.catalog(), &selector)?, at)
        };
        Ok(Arc::new(known().map_err(carried)?))
    }
}

/// A time, or a text that is one; a date says no time of day, nor does its text.
fn moment(value: &ScalarValue) -> Option<Timestamp> {
    if value.try_as_str().flatten().is_some_and(|text| !text.contains(':')) {
        return None;
    }
    let time = match value.data_type() {
        DataType::Timestamp(..) => value.clone(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => value.cast_to(&time_type()).ok()?,
        _ => return None,
    };
    let time = convert_time_down(&time.to_array().ok()?).ok()?;
    time.iter().next().flatten().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_the_text_of_one() {
        let micros = |value: ScalarValue| moment(&value).map(|at| at.0);
        assert_eq!(micros(ScalarValue::TimestampNanosecond(Some(1_500), None)), Some(1));
        assert_eq!(micros(ScalarValue::TimestampNanosecond(Some(-1_500), None)), Some(-2), "down, not towards zero");
        assert_eq!(micros(ScalarValue::TimestampSecond(Some(2), Some("+02:00".into()))), Some(2_000_000));
        assert_eq!(micros(ScalarValue::from("1970-01-01T00:00:03Z")), Some(3_000_000));
        assert_eq!(micros(ScalarValue::from("soon")), None);
        assert_eq!(micros(ScalarValue::from("1970-01-02")), None, "no time of day");
        assert_eq!(micros(ScalarValue::from("1970-01-02 00:00:00")), Some(86_400_000_000));
        assert_eq!(micros(ScalarValue::Date32(Some(1))), None);
        assert_eq!(micros(ScalarValue::TimestampMicrosecond(None, None)), None);
    }
}
