//! `left ASOF JOIN right MATCH_CONDITION (left.t >= right.t) ON left.k = right.k` as a node of a logical plan.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::utils::{conjunction, find_valid_equijoin_key_pair, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Extension, Filter, LogicalPlan, Operator, UserDefinedLogicalNodeCore, lit, when,
};
use datafusion::logical_expr_common::type_coercion::binary::comparison_coercion;
use hitherto_asof::Nearest;
use hitherto_offline::{CREATED, HistoryTable, SEQUENCE};

/// A join of each left row with the nearest right row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AsOfJoin {
    pub(super) left: LogicalPlan,
    pub(super) right: LogicalPlan,
    pub(super) keys: Vec<(Expr, Expr)>,
    pub(super) left_time: Expr,
    pub(super) nearest: Nearest,
    pub(super) right_time: Expr,
    /// What decides between right rows of one time: the greatest.
    pub(super) ties: Vec<Expr>,
    schema: DFSchemaRef,
}

impl PartialOrd for AsOfJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let of = |join: &Self| (join.keys.clone(), join.left_time.clone(), join.right_time.clone(), join.nearest);
        let sides = (&self.left, &self.right).partial_cmp(&(&other.left, &other.right))?;
        Some(sides.then(of(self).partial_cmp(&of(other))?))
    }
}

impl AsOfJoin {
    /// The plan of a join. `matching` is its `MATCH_CONDITION`, `on` what has to be equal.
    pub(super) fn plan(
        left: LogicalPlan,
        right: LogicalPlan,
        matching: Expr,
        on: Option<Expr>,
    ) -> DataFusionResult<LogicalPlan> {
        let (left_time, nearest, right_time) = times(matching, left.schema(), right.schema())?;
        let equalities = on.map(split_conjunction_owned).unwrap_or_default();
        let keys = equalities.into_iter().map(|equality| key(equality, left.schema(), right.schema()));
        let keys = keys.collect::<DataFusionResult<_>>()?;
        let (ties, schema) = (ties(&right), joined(&left, &right)?);
        let join = Self { left, right, keys, left_time, nearest, right_time, ties, schema };
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(join) }))
    }

    /// The same join of other sides, which have at least the columns that it needs.
    pub(super) fn with_sides(&self, left: LogicalPlan, right: LogicalPlan) -> DataFusionResult<Self> {
        let schema = joined(&left, &right)?;
        Ok(Self { left, right, schema, ..self.clone() })
    }
}

impl UserDefinedLogicalNodeCore for AsOfJoin {
    fn name(&self) -> &'static str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let left = self.keys.iter().map(|(left, _)| left);
        let right = self.keys.iter().map(|(_, right)| right);
        left.chain(right).chain([&self.left_time, &self.right_time]).chain(&self.ties).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.nearest {
            Nearest::AtOrBefore => ">=",
            Nearest::Before => ">",
            Nearest::AtOrAfter => "<=",
            Nearest::After => "<",
        };
        write!(f, "AsOfJoin: {} {sign} {}", self.left_time, self.right_time)?;
        self.keys.iter().try_for_each(|(left, right)| write!(f, ", {left} = {right}"))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let odd = || DataFusionError::Internal("an as-of join has other inputs or expressions".to_owned());
        let [left, right] = <[LogicalPlan; 2]>::try_from(inputs).map_err(|_| odd())?;
        let right = not_asked_besides(right, &self.right)?;
        let count = self.keys.len();
        if exprs.len() != 2 * count + 2 + self.ties.len() {
            return Err(odd());
        }
        let mut exprs = exprs.into_iter();
        let lefts: Vec<Expr> = exprs.by_ref().take(count).collect();
        let keys = lefts.into_iter().zip(exprs.by_ref().take(count).collect::<Vec<_>>()).collect();
        let (Some(left_time), Some(right_time)) = (exprs.next(), exprs.next()) else { return Err(odd()) };
        let schema = joined(&left, &right)?;
        Ok(Self { left, right, keys, left_time, nearest: self.nearest, right_time, ties: exprs.collect(), schema })
    }

    /// The columns of each side that are wanted of it; those that the join looks at are asked for besides.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let left = self.left.schema().fields().len();
        let (ours, theirs): (Vec<usize>, Vec<usize>) = output_columns.iter().partition(|&&column| column < left);
        Some(vec![ours, theirs.into_iter().map(|column| column - left).collect()])
    }
}

/// The right side without what was asked above the join and is about no column, such as `random() < 0.1`: the optimizer
/// puts that on every input of a node that it does not know. The left side has it, which suffices; with it, the right side
/// would lack rows that are the nearest.
fn not_asked_besides(right: LogicalPlan, before: &LogicalPlan) -> DataFusionResult<LogicalPlan> {
    match right {
        LogicalPlan::Filter(filter) if filter.input.as_ref() == before => {
            let parts = split_conjunction_owned(filter.predicate);
            match conjunction(parts.into_iter().filter(|part| !part.column_refs().is_empty())) {
                Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)),
                None => Ok(Arc::unwrap_or_clone(filter.input)),
            }
        }
        other => Ok(other),
    }
}

/// The columns of both sides; the right ones may be null.
fn joined(left: &LogicalPlan, right: &LogicalPlan) -> DataFusionResult<DFSchemaRef> {
    let ours = left.schema().iter().map(|(table, field)| (table.cloned(), Arc::clone(field)));
    let nullable = right.schema().iter().map(|(table, field)| {
        let field = field.as_ref().clone().with_nullable(true);
        (table.cloned(), Arc::new(field))
    });
    let metadata = left.schema().metadata().clone();
    Ok(Arc::new(DFSchema::new_with_metadata(ours.chain(nullable).collect(), metadata)?))
}

/// The two times of a `MATCH_CONDITION`, and which of the right ones is wanted.
fn times(matching: Expr, left: &DFSchema, right: &DFSchema) -> DataFusionResult<(Expr, Nearest, Expr)> {
    let wrong = || {
        let reason = "the MATCH_CONDITION of an ASOF JOIN compares a time of its left side with one of its right side by \
                      >=, >, <= or <, as in (l.t >= r.t)";
        DataFusionError::Plan(reason.to_owned())
    };
    let Expr::BinaryExpr(BinaryExpr { left: first, op, right: second }) = matching else { return Err(wrong()) };
    let (ours, theirs) = find_valid_equijoin_key_pair(&first, &second, left, right)?.ok_or_else(wrong)?;
    let op = if ours == *first { Some(op) } else { op.swap() };
    let nearest = match op {
        Some(Operator::GtEq) => Nearest::AtOrBefore,
        Some(Operator::Gt) => Nearest::Before,
        Some(Operator::LtEq) => Nearest::AtOrAfter,
        Some(Operator::Lt) => Nearest::After,
        _ => return Err(wrong()),
    };
    if let Some((ours, theirs)) = in_microseconds(&ours, left, nearest, &theirs, right)? {
        return Ok((ours, nearest, theirs));
    }
    let (ours, theirs) = alike(ours, left, theirs, right)?;
    Ok((ours, nearest, theirs))
}

/// A left time in nanoseconds, as a text's is, in the microseconds in which the right times are: of those, more can be told
/// than nanoseconds have room for, which end in 2262. Rounded so that the same right rows match. None for other types.
fn in_microseconds(
    ours: &Expr,
    left: &DFSchema,
    nearest: Nearest,
    theirs: &Expr,
    right: &DFSchema,
) -> DataFusionResult<Option<(Expr, Expr)>> {
    let (our_type, their_type) = (ours.get_type(left)?, theirs.get_type(right)?);
    let (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Timestamp(TimeUnit::Microsecond, _)) =
        (&our_type, &their_type)
    else {
        return Ok(None);
    };
    let Some(DataType::Timestamp(_, zone)) = comparison_coercion(&our_type, &their_type) else { return Ok(None) };
    let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, zone.clone());
    let microseconds = DataType::Timestamp(TimeUnit::Microsecond, zone);
    let thousand = || lit(1_000_i64);
    let time = ours.clone().cast_to(&nanoseconds, left)?.cast_to(&DataType::Int64, left)?;
    let rest = (time.clone() % thousand() + thousand()) % thousand();
    let down = (time - rest.clone()) / thousand();
    let rounded = match nearest {
        Nearest::AtOrBefore | Nearest::After => down,
        Nearest::Before | Nearest::AtOrAfter => when(rest.gt(lit(0_i64)), down.clone() + lit(1_i64)).otherwise(down)?,
    };
    Ok(Some((rounded.cast_to(&microseconds, left)?, theirs.clone().cast_to(&microseconds, right)?)))
}

/// The two sides of an equality.
fn key(equality: Expr, left: &DFSchema, right: &DFSchema) -> DataFusionResult<(Expr, Expr)> {
    let said = equality.to_string();
    let wrong = || {
        DataFusionError::NotImplemented(format!(
            "ON {said}: an ASOF JOIN takes equalities of its two sides, joined by AND (l.k = r.k AND …); put other \
             conditions into WHERE, or into a subquery of either side"
        ))
    };
    let Expr::BinaryExpr(BinaryExpr { left: first, op: Operator::Eq, right: second }) = equality else {
        return Err(wrong());
    };
    let (ours, theirs) = find_valid_equijoin_key_pair(&first, &second, left, right)?.ok_or_else(wrong)?;
    alike(ours, left, theirs, right)
}

/// Both of one type, in which they are compared.
fn alike(ours: Expr, left: &DFSchema, theirs: Expr, right: &DFSchema) -> DataFusionResult<(Expr, Expr)> {
    let (our_type, their_type) = (ours.get_type(left)?, theirs.get_type(right)?);
    let unlike =
        || DataFusionError::Plan(format!("{ours} is {our_type} and {theirs} is {their_type}: cast one of them"));
    let common = if our_type == their_type {
        our_type.clone()
    } else {
        comparison_coercion(&our_type, &their_type).ok_or_else(unlike)?
    };
    if common.is_floating() || common.is_nested() {
        let reason = format!(
            "{ours} and {theirs} would be compared as {common}, by which an ASOF JOIN matches nothing: cast both"
        );
        return Err(DataFusionError::Plan(reason));
    }
    Ok((ours.cast_to(&common, left)?, theirs.cast_to(&common, right)?))
}

/// What makes the order of right rows of one time total: of a view's history the order by which its rows supersede each
/// other; else all columns, as they come.
fn ties(right: &LogicalPlan) -> Vec<Expr> {
    let places = superseding(right).unwrap_or_else(|| (0..right.schema().fields().len()).collect());
    places.into_iter().map(|place| Expr::Column(Column::from(right.schema().qualified_field(place)))).collect()
}

/// Where a plan has the columns by which the rows of one view's history supersede each other, if its rows are those of a
/// history, or some of them, each once. None if they are not, or if one of the columns is left out.
fn superseding(plan: &LogicalPlan) -> Option<Vec<usize>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => superseding(&alias.input),
        LogicalPlan::Filter(filter) => superseding(&filter.input),
        LogicalPlan::Sort(sort) => superseding(&sort.input),
        LogicalPlan::Limit(limit) => superseding(&limit.input),
        LogicalPlan::Projection(projection) => {
            let below = superseding(&projection.input)?;
            let schema = projection.input.schema();
            let is_at = |expr: &Expr, place: usize| match bare(expr) {
                Expr::Column(column) => schema.maybe_index_of_column(column) == Some(place),
                _ => false,
            };
            below.into_iter().map(|place| projection.expr.iter().position(|expr| is_at(expr, place))).collect()
        }
        LogicalPlan::TableScan(scan) => {
            let is_history = source_as_provider(&scan.source).is_ok_and(|provider| provider.is::<HistoryTable>());
            let names = plan.schema().fields().iter().map(|field| field.name().as_str());
            let wanted = names.enumerate().filter(|(_, name)| matches!(*name, CREATED | SEQUENCE));
            is_history.then(|| wanted.map(|(place, _)| place).collect())
        }
        _ => None,
    }
}

/// An expression without the names that it is given.
fn bare(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => bare(&alias.expr),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema};
    use datafusion::functions::expr_fn::random;
    use datafusion::logical_expr::{LogicalPlanBuilder, col, table_scan};
    use datafusion::optimizer::push_down_filter::PushDownFilter;
    use datafusion::optimizer::{Optimizer, OptimizerContext};

    use super::*;

    fn side(name: &str) -> LogicalPlan {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let schema = Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("t", time, true)]);
        table_scan(Some(name), &schema, None).expect("a table").build().expect("a plan")
    }

    #[test]
    fn what_is_asked_about_no_column_is_asked_of_the_left_side_alone() {
        let joined =
            AsOfJoin::plan(side("l"), side("r"), col("l.t").gt_eq(col("r.t")), Some(col("l.k").eq(col("r.k"))));
        let asked = LogicalPlanBuilder::from(joined.expect("a join"))
            .filter(random().lt(lit(0.1)))
            .and_then(LogicalPlanBuilder::build)
            .expect("a plan");
        let optimizer = Optimizer::with_rules(vec![Arc::new(PushDownFilter::new())]);
        let plan = optimizer.optimize(asked, &OptimizerContext::new(), |_, _| {}).expect("optimized");
        let shown = plan.display_indent().to_string();
        assert_eq!(shown.matches("random()").count(), 1, "{shown}");
        let place = |what: &str| shown.find(what).unwrap_or_else(|| panic!("no {what} in {shown}"));
        assert!(place("AsOfJoin") < place("random()") && place("random()") < place("TableScan: l"), "{shown}");
    }
}
