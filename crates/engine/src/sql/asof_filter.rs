//! What a query asks of the left side of an `ASOF JOIN` is asked before it is joined.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Extension, Filter, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::asof_join::AsOfJoin;

/// Filters on the left side go below the join; what they say of a key holds for the right side too, which then need not be
/// read whole.
#[derive(Debug)]
pub(super) struct FilterBelowAsOf;

impl OptimizerRule for FilterBelowAsOf {
    fn name(&self) -> &'static str {
        "filter_below_as_of_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Filter(filter) => match below(filter)? {
                Some(lower) => Ok(Transformed::yes(lower)),
                None => Ok(Transformed::no(plan)),
            },
            _ => Ok(Transformed::no(plan)),
        }
    }
}

/// A filter over an as-of join with what can be asked below it; none where that is nothing.
fn below(filter: &Filter) -> DataFusionResult<Option<LogicalPlan>> {
    let LogicalPlan::Extension(Extension { node }) = filter.input.as_ref() else { return Ok(None) };
    let Some(join) = node.as_any().downcast_ref::<AsOfJoin>() else { return Ok(None) };
    let (mut lower, mut of_keys, mut upper) = (Vec::new(), Vec::new(), Vec::new());
    for part in split_conjunction(&filter.predicate) {
        if is_of(part, join.left.schema()) {
            of_keys.extend(as_of_right(part, join)?);
            lower.push(part.clone());
        } else {
            upper.push(part.clone());
        }
    }
    let Some(predicate) = conjunction(lower) else { return Ok(None) };
    let left = filtered(predicate, join.left.clone())?;
    let right = match conjunction(of_keys) {
        Some(predicate) => filtered(predicate, join.right.clone())?,
        None => join.right.clone(),
    };
    let joined = LogicalPlan::Extension(Extension { node: Arc::new(join.with_sides(left, right)?) });
    Ok(Some(match conjunction(upper) {
        Some(predicate) => filtered(predicate, joined)?,
        None => joined,
    }))
}

fn filtered(predicate: Expr, input: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?))
}

/// Whether an expression is about columns of `schema` alone, and the same for equal rows.
fn is_of(expr: &Expr, schema: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.iter().all(|column| schema.has_column(column)) && !expr.is_volatile()
}

/// What a filter on one key of the left side says of the right side, whose rows match only if they have the same key.
///
/// Only what no value makes fail: a right row whose key no left row has must not end the query.
fn as_of_right(part: &Expr, join: &AsOfJoin) -> DataFusionResult<Option<Expr>> {
    if !cannot_fail(part) {
        return Ok(None);
    }
    let columns = part.column_refs();
    let Some(column) = columns.iter().next().filter(|_| columns.len() == 1) else { return Ok(None) };
    let pair = join.keys.iter().find_map(|(left, right)| match (left, right) {
        (Expr::Column(left), Expr::Column(right)) if left == *column => Some(right.clone()),
        _ => None,
    });
    let Some(theirs) = pair else { return Ok(None) };
    let ours: Column = (*column).clone();
    let renamed = part.clone().transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column == ours => Transformed::yes(Expr::Column(theirs.clone())),
            other => Transformed::no(other),
        })
    });
    Ok(Some(renamed?.data))
}

/// Whether an expression holds bare columns against values, or puts such together.
fn cannot_fail(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            cannot_fail(left) && cannot_fail(right)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => is_comparison(*op) && is_plain(left) && is_plain(right),
        Expr::InList(list) => is_plain(&list.expr) && list.list.iter().all(is_plain),
        Expr::Between(between) => is_plain(&between.expr) && is_plain(&between.low) && is_plain(&between.high),
        Expr::Not(inner) => cannot_fail(inner),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => is_plain(inner),
        other => is_plain(other),
    }
}

fn is_plain(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(_) | Expr::Literal(..))
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}
