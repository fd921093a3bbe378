//! What stands in a `FROM`, where DataFusion alone would not know it, or would pass over a part of it.

use std::sync::Arc;

use datafusion::common::{Column, DFSchema, plan_err};
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor,
    TableFunctionArgs, TableVersion, TableWithJoins,
};
use hitherto_core::Mode;
use hitherto_offline::{HistoryTable, INGESTED};

use super::asof_join::AsOfJoin;
use super::features::Features;
use super::parse::{FEATURES_AS_OF, argument, named, text, usage};
use super::passed_over::{clause_of_factor, refuse_what_is_passed_over};
use super::tables::QueryTables;
use super::{carried, unsupported};

/// How `features_as_of` is called.
const USAGE: &str =
    "features_as_of('feature_set', (select …)[, 'knowledge' or 'event'][, event_timestamp => 'column'])";

/// Plans versions of tables, `ASOF JOIN` and `features_as_of`.
#[derive(Debug)]
pub(super) struct Relations(pub(super) Arc<QueryTables>);

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        refuse_what_is_passed_over(clause_of_factor(&relation))?;
        match relation {
            TableFactor::NestedJoin { table_with_joins, alias } if ends_as_of(&table_with_joins) => {
                Ok(planned(as_of_join(*table_with_joins, context)?, alias))
            }
            TableFactor::Table { version: Some(version), alias, name, .. } => {
                Ok(planned(as_it_stood(version, table(name), context)?, alias))
            }
            TableFactor::Table { name, args: Some(args), alias, .. } if name.to_string() == FEATURES_AS_OF => {
                let plan = self.features(args, context)?;
                Ok(planned(plan, Some(alias.unwrap_or_else(|| named(FEATURES_AS_OF)))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn planned(plan: LogicalPlan, alias: Option<TableAlias>) -> RelationPlanning {
    RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias)))
}

/// The table of this name, and nothing besides.
fn table(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

/// A view's history with the rows that were there at a time, by `_ingested_at`.
fn as_it_stood(
    version: TableVersion,
    table: TableFactor,
    context: &mut dyn RelationPlannerContext,
) -> DataFusionResult<LogicalPlan> {
    let TableVersion::ForSystemTimeAsOf(at) = version else {
        return Err(unsupported(format!("{version} is not supported: write FOR SYSTEM_TIME AS OF a time")));
    };
    let name = table.to_string();
    let plan = context.plan(table)?;
    let LogicalPlan::TableScan(scan) = &plan else { return Err(no_history(&name)) };
    if !source_as_provider(&scan.source).is_ok_and(|provider| provider.is::<HistoryTable>()) {
        return Err(no_history(&name));
    }
    let at = context.sql_to_expr(at, &DFSchema::empty())?;
    let ingested = Expr::Column(Column::new(Some(scan.table_name.clone()), INGESTED));
    LogicalPlanBuilder::from(plan).filter(ingested.lt_eq(at))?.build()
}

fn no_history(name: &str) -> DataFusionError {
    unsupported(format!(
        "FOR SYSTEM_TIME AS OF is about a feature view's history, and {name} is none; what was known of each key at a time \
         is value_at('feature_view', time)"
    ))
}

fn ends_as_of(from: &TableWithJoins) -> bool {
    from.joins.last().is_some_and(|join| matches!(join.join_operator, JoinOperator::AsOf { .. }))
}

/// The last join of `from` is an `ASOF JOIN`.
fn as_of_join(mut from: TableWithJoins, context: &mut dyn RelationPlannerContext) -> DataFusionResult<LogicalPlan> {
    let Some(join) = from.joins.pop() else { return plan_err!("an ASOF JOIN has two sides") };
    let JoinOperator::AsOf { match_condition, constraint } = join.join_operator else {
        return plan_err!("the last of the joins is no ASOF JOIN");
    };
    if join.global {
        return Err(unsupported("GLOBAL of an ASOF JOIN is not supported: leave it out".to_owned()));
    }
    let left = if from.joins.is_empty() {
        context.plan(from.relation)?
    } else {
        context.plan(TableFactor::NestedJoin { table_with_joins: Box::new(from), alias: None })?
    };
    let right = context.plan(join.relation)?;
    let both = left.schema().join(right.schema())?;
    let on = match constraint {
        JoinConstraint::On(on) => Some(context.sql_to_expr(on, &both)?),
        JoinConstraint::None => None,
        JoinConstraint::Using(_) => {
            return Err(unsupported("USING of an ASOF JOIN is not supported: write ON l.k = r.k".to_owned()));
        }
        JoinConstraint::Natural => {
            return Err(unsupported("a NATURAL ASOF JOIN is not supported: write ON l.k = r.k".to_owned()));
        }
    };
    let matching = context.sql_to_expr(match_condition, &both)?;
    AsOfJoin::plan(left, right, matching, on)
}

impl Relations {
    /// `features_as_of('feature_set', (select …) [, 'mode'] [, event_timestamp => 'column'])`.
    fn features(
        &self,
        args: TableFunctionArgs,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<LogicalPlan> {
        let given = &args.args;
        let set = given.first().and_then(argument).and_then(text).ok_or_else(|| usage(USAGE))?.to_owned();
        let Some(SqlExpr::Subquery(spine)) = given.get(1).and_then(argument) else { return Err(usage(USAGE)) };
        let (mut mode, mut event_timestamp) = (Mode::Knowledge, "event_timestamp".to_owned());
        for (place, arg) in given.iter().enumerate().skip(2) {
            match option(arg).ok_or_else(|| usage(USAGE))? {
                (None, text) if place == 2 => mode = mode_of(text)?,
                (Some("mode"), text) => mode = mode_of(text)?,
                (Some("event_timestamp"), text) => text.clone_into(&mut event_timestamp),
                _ => return Err(usage(USAGE)),
            }
        }
        let spine = TableFactor::Derived { lateral: false, subquery: spine.clone(), alias: None, sample: None };
        let spine = context.plan(spine)?;
        Features::plan(self.0.catalog(), &set, spine, mode, event_timestamp).map_err(carried)
    }
}

/// A text that is given, by name or by place.
fn option(arg: &FunctionArg) -> Option<(Option<&str>, &str)> {
    match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
            Some((Some(name.value.as_str()), text(value)?))
        }
        other => Some((None, text(argument(other)?)?)),
    }
}

fn mode_of(text: &str) -> DataFusionResult<Mode> {
    match text {
        "knowledge" => Ok(Mode::Knowledge),
        "event" => Ok(Mode::Event),
        _ => plan_err!("no mode '{text}': it is 'knowledge' (what was known then) or 'event' (which leaks)"),
    }
}
