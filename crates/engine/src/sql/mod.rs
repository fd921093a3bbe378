//! `sql`: feature history, what is known of it at a time, training sets, and what is recorded of all that, as tables,
//! read-only.

mod asof_filter;
mod asof_join;
mod bounds;
mod dialect;
mod error;
mod features;
mod features_exec;
mod fine_times;
mod known;
mod measure;
mod parse;
mod passed_over;
mod planner;
mod relations;
mod sizes;
mod tables;
mod training_sets;
mod views;

use std::sync::{Arc, Mutex, PoisonError};

use chrono::DateTime;
use datafusion::common::TableReference;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::prelude::{DataFrame, SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use hitherto_core::{Catalog, Name, Selector, ViewVersion};

use self::asof_filter::FilterBelowAsOf;
pub(crate) use self::bounds::{QUERY_BYTES_MAX, TRANSFORM_BYTES_MAX, refuse_too_large};
use self::error::{carried, unsupported};
pub(crate) use self::error::{failed, recovered};
use self::fine_times::RefuseFineTimes;
use self::known::ValueAt;
pub(crate) use self::measure::{MeasureResults, with_measures};
pub(crate) use self::parse::admitted;
use self::parse::{FEATURES_AS_OF, calls, parse};
use self::planner::Planner;
use self::relations::Relations;
pub(crate) use self::sizes::measure_results;
use self::tables::{Moment, QueryTables};
pub(crate) use self::tables::{Reads, TableRead};
pub(crate) use self::training_sets::TRAINING_SETS;
use self::training_sets::TrainingSetsSchema;
pub(crate) use self::views::LATEST;
use self::views::{LatestSchema, ViewsSchema, view};
use crate::records::{RecordsSchema, SCHEMA};
use crate::{Asked, Engine, Error, Result};

/// The catalog of all schemas.
pub(crate) const CATALOG: &str = "hitherto";
/// The schema of the feature views.
pub(crate) const PUBLIC: &str = "public";
/// `value_at('view', time)`.
const VALUE_AT: &str = "value_at";

const PLANNING: &str = "could not plan the query";

impl Engine {
    /// Run a query.
    ///
    /// Each feature view is a table with its full history under its name; older versions are `"view@1"`. What is known of
    /// each key by now is in the schema `latest`, training sets are in `training_sets`, and what the registry and the logs
    /// record is in `registry`. `value_at`, `features_as_of`, `ASOF JOIN` and `FOR SYSTEM_TIME AS OF` ask about time.
    ///
    /// Only queries: whatever writes, creates, sets or copies is refused by the planner, and no file can be named. Nothing is
    /// read but what the query names.
    pub async fn sql(&self, query: &str) -> Result<SendableRecordBatchStream> {
        Ok(self.sql_with_reads(query, None).await?.0)
    }

    /// The same, with what it reads of history; of what there was `then`, if that is not now.
    pub(crate) async fn sql_with_reads(
        &self,
        query: &str,
        then: Option<&Asked>,
    ) -> Result<(SendableRecordBatchStream, Reads)> {
        let reads = Arc::default();
        let frame = self.planned_then(query, &reads, then).await?;
        let rows = frame.execute_stream().await.map_err(|error| recovered("could not run the query", error))?;
        let reads = reads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((rows, reads))
    }

    /// The query's logical plan. Each table that it reads is pinned once, when it is first looked at: by now, or when the plan
    /// is made one that can be run.
    pub(crate) async fn planned(&self, query: &str, reads: &Arc<Mutex<Reads>>) -> Result<DataFrame> {
        self.planned_then(query, reads, None).await
    }

    /// The same of what there was `then`: that now, those rows of the tables, those versions of the views.
    async fn planned_then(&self, query: &str, reads: &Arc<Mutex<Reads>>, then: Option<&Asked>) -> Result<DataFrame> {
        let mut catalog = self.registry().catalog().await?;
        if let Some(then) = then {
            then.cut(&mut catalog);
        }
        let catalog = Arc::new(catalog);
        let statement = parse(query).map_err(|error| recovered(PLANNING, error))?;
        let named = tables_of(&statement)?;
        let is_of = |schema: &str| named.iter().any(|table| table.schema() == Some(schema));
        // one for all that the query asks about now
        let now = then.map_or_else(|| self.clock().now(), |then| then.at);
        let moment = Moment { at: now, tables: then.map(|then| then.tables.clone()) };
        {
            let mut reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
            reads.asked_at = Some(now);
            reads.views = views_in(&catalog, &statement, &named).into_iter().map(latest(&catalog)).collect();
        }
        let context = if is_of("information_schema") {
            let datasets = self.registry().datasets().await?;
            self.context(&catalog, reads, TrainingSetsSchema::browsed(self.clone(), &datasets), moment)?
        } else {
            let datasets = if is_of(TRAINING_SETS) { self.registry().datasets().await? } else { Vec::new() };
            self.context(&catalog, reads, TrainingSetsSchema::asked(self.clone(), &datasets), moment)?
        };
        let mut state = context.state();
        state.execution_props_mut().query_execution_start_time = DateTime::from_timestamp_micros(now.0);
        match plan(&state, statement.clone()).await {
            Ok(plan) => Ok(DataFrame::new(state, plan)),
            Err(error) => {
                let unknown = unknown_table(&context, &catalog, &statement, &named, &error);
                Err(unknown.unwrap_or_else(|| recovered(PLANNING, error)))
            }
        }
    }

    /// What queries can name now, to be looked through or queried.
    pub(crate) async fn sql_context(
        &self,
        catalog: &Arc<Catalog>,
        reads: &Arc<Mutex<Reads>>,
    ) -> Result<SessionContext> {
        let datasets = self.registry().datasets().await?;
        let moment = Moment { at: self.clock().now(), tables: None };
        self.context(catalog, reads, TrainingSetsSchema::browsed(self.clone(), &datasets), moment)
    }

    fn context(
        &self,
        catalog: &Arc<Catalog>,
        reads: &Arc<Mutex<Reads>>,
        training_sets: TrainingSetsSchema,
        moment: Moment,
    ) -> Result<SessionContext> {
        let tables = Arc::new(QueryTables::new(self.clone(), Arc::clone(catalog), Arc::clone(reads), moment));
        let config =
            SessionConfig::new().with_information_schema(true).with_default_catalog_and_schema(CATALOG, PUBLIC);
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(self.runtime()))
            .with_default_features()
            .with_query_planner(Arc::new(Planner(Arc::clone(&tables))))
            .with_analyzer_rule(Arc::new(RefuseFineTimes))
            .with_analyzer_rule(Arc::new(MeasureResults))
            .with_optimizer_rules(optimizer_rules())
            .build();
        measure_results(&mut state).map_err(|error| failed("could not register the functions", &error))?;
        let context = SessionContext::new_with_state(state);
        let schemas = context.catalog(CATALOG).ok_or_else(|| Error::internal("SQL has no catalog", CATALOG))?;
        let training_sets = Arc::new(training_sets.noting(Arc::clone(reads)));
        let register = || -> DataFusionResult<()> {
            schemas.register_schema(PUBLIC, Arc::new(ViewsSchema(Arc::clone(&tables))))?;
            schemas.register_schema(LATEST, Arc::new(LatestSchema(Arc::clone(&tables))))?;
            schemas.register_schema(TRAINING_SETS, Arc::clone(&training_sets) as _)?;
            schemas.register_schema(SCHEMA, Arc::new(RecordsSchema::new(self.clone())))?;
            context.register_relation_planner(Arc::new(Relations(Arc::clone(&tables))))
        };
        register().map_err(|error| failed("could not register the tables", &error))?;
        context.register_udtf(VALUE_AT, Arc::new(ValueAt(tables)));
        Ok(context)
    }
}

/// DataFusion's rules, and before them ours: those that follow bring what it asks of the sides down to their scans.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    rules.insert(0, Arc::new(FilterBelowAsOf));
    rules
}

/// The feature views that `query` reads, each once.
pub(crate) fn views_of<'a>(catalog: &'a Catalog, query: &str) -> Result<Vec<&'a ViewVersion>> {
    let statement = parse(query).map_err(|error| recovered(PLANNING, error))?;
    Ok(views_in(catalog, &statement, &tables_of(&statement)?))
}

fn views_in<'a>(catalog: &'a Catalog, statement: &Statement, named: &[TableReference]) -> Vec<&'a ViewVersion> {
    let of_views = named.iter().filter(|table| matches!(table.schema(), None | Some(PUBLIC | LATEST)));
    let mut views: Vec<&ViewVersion> = of_views.filter_map(|table| view(catalog, table.table())).collect();
    for (function, first) in calls(statement) {
        let Some(Ok(selector)) = first.map(|text| text.parse::<Selector>()) else { continue };
        match function.as_str() {
            VALUE_AT => views.extend(catalog.view(&selector)),
            FEATURES_AS_OF => {
                let uses = catalog.set(&selector).into_iter().flat_map(|set| &set.resolved.uses);
                views.extend(uses.filter_map(|of| catalog.view(&Selector::Version(of.view.clone()))));
            }
            _ => {}
        }
    }
    views.sort_by_key(|view| view.versioned_name());
    views.dedup_by_key(|view| view.versioned_name());
    views
}

/// The name of a view, and its latest version.
fn latest(catalog: &Catalog) -> impl Fn(&ViewVersion) -> (Name, u32) {
    move |view| {
        let name = view.definition.name.clone();
        let versions = catalog.views.get(&name);
        let latest = versions.and_then(|versions| versions.last()).map_or(view.version, |latest| latest.version);
        (name, latest)
    }
}

/// The training sets that `query` reads, by the names or ids that it has for them.
pub(crate) fn training_sets_of(query: &str) -> Result<Vec<String>> {
    let statement = parse(query).map_err(|error| recovered(PLANNING, error))?;
    let of_training_sets = tables_of(&statement)?.into_iter().filter(|table| table.schema() == Some(TRAINING_SETS));
    Ok(of_training_sets.map(|table| table.table().to_owned()).collect())
}

/// The logical plan of a statement that only reads.
pub(crate) async fn plan(state: &SessionState, statement: Statement) -> DataFusionResult<LogicalPlan> {
    let plan = state.statement_to_plan(statement).await?;
    let only_reads = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    only_reads.verify_plan(&plan)?;
    Ok(plan)
}

/// The tables that a statement names.
fn tables_of(statement: &Statement) -> Result<Vec<TableReference>> {
    let (mut tables, _) = resolve_table_references(statement, true).map_err(|error| recovered(PLANNING, error))?;
    // a function is no table, though it stands where one could
    let functions = calls(statement);
    tables.retain(|table| table.schema().is_some() || !functions.iter().any(|(name, _)| name == table.table()));
    Ok(tables)
}

/// The first table of a query that is not there, as an error that says what is near.
fn unknown_table(
    context: &SessionContext,
    catalog: &Catalog,
    statement: &Statement,
    named: &[TableReference],
    error: &DataFusionError,
) -> Option<Error> {
    // an error of ours says what it is about
    let is_ours = matches!(error.find_root(), DataFusionError::External(_));
    // what is no query is refused for that, whatever it names
    let is_query = matches!(statement, Statement::Statement(query) if matches!(**query, SqlStatement::Query(_)));
    if is_ours || !is_query {
        return None;
    }
    let of_ours = |table: &&TableReference| {
        matches!(table.schema(), None | Some(PUBLIC | LATEST | TRAINING_SETS | SCHEMA))
            && table.catalog().is_none_or(|catalog| catalog == CATALOG)
    };
    let is_known = |table: &TableReference| context.table_exist(table.clone()).unwrap_or(true);
    let unknown = named.iter().filter(of_ours).find(|table| !is_known(table))?;
    let (schema, name) = (unknown.schema().unwrap_or(PUBLIC), unknown.table());
    Some(match schema {
        SCHEMA => Error::unknown("table of the schema registry", name, RecordsSchema::names()),
        TRAINING_SETS => {
            let known = context.catalog(CATALOG)?.schema(TRAINING_SETS)?.table_names();
            Error::unknown("training set", name, known.iter().map(String::as_str))
        }
        _ => Error::unknown("feature view", name, catalog.views.keys().map(Name::as_str)),
    })
}
