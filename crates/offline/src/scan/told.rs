//! What of a condition files can be held against.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator, binary_expr, ident, in_list};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column, InListExpr, Literal};

/// A filter that holds wherever the condition does, in the form of a logical plan; `None` where nothing of it is such one.
pub(super) fn told(condition: &Arc<dyn PhysicalExpr>) -> Option<Expr> {
    if let Some(column) = condition.downcast_ref::<Column>() {
        return Some(ident(column.name()));
    }
    if let Some(literal) = condition.downcast_ref::<Literal>() {
        return Some(Expr::Literal(literal.value().clone(), None));
    }
    if let Some(list) = condition.downcast_ref::<InListExpr>() {
        let values = list.list().iter().map(told).collect::<Option<Vec<Expr>>>()?;
        return (!list.negated()).then_some(in_list(told(list.expr())?, values, false));
    }
    if let Some(case) = condition.downcast_ref::<CaseExpr>() {
        return one_of(case);
    }
    let binary = condition.downcast_ref::<BinaryExpr>()?;
    match binary.op() {
        Operator::And => match (told(binary.left()), told(binary.right())) {
            (Some(left), Some(right)) => Some(left.and(right)),
            (left, right) => left.or(right),
        },
        Operator::Or | Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
            Some(binary_expr(told(binary.left())?, *binary.op(), told(binary.right())?))
        }
        _ => None,
    }
}

/// Where a join's other side comes in parts, a row is held against that of its key: one of the parts it meets.
fn one_of(case: &CaseExpr) -> Option<Expr> {
    let parts = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
    let is_never = |part: &&Arc<dyn PhysicalExpr>| {
        let literal = part.downcast_ref::<Literal>();
        literal.is_some_and(|literal| *literal.value() == ScalarValue::Boolean(Some(false)))
    };
    let mut parts = parts.filter(|part| !is_never(part)).map(told);
    let first = parts.next()??;
    parts.try_fold(first, |either, part| Some(either.or(part?)))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::lit as value;
    use datafusion::physical_expr::expressions::{case, in_list as physical_list, lit};

    use super::*;

    type Condition = Arc<dyn PhysicalExpr>;

    fn column(name: &str) -> Condition {
        Arc::new(Column::new(name, 0))
    }

    fn both(left: Condition, op: Operator, right: Condition) -> Condition {
        Arc::new(BinaryExpr::new(left, op, right))
    }

    /// A condition of which nothing can be told.
    fn odd() -> Condition {
        both(both(column("a"), Operator::Modulo, lit(2_i64)), Operator::Eq, lit(1_i64))
    }

    #[test]
    fn comparisons_are_told_and_what_is_beside_them_is_left_out() {
        let at_least = || both(column("a"), Operator::GtEq, lit(3_i64));
        assert_eq!(told(&at_least()), Some(ident("a").gt_eq(value(3_i64))));
        assert_eq!(told(&odd()), None);
        assert_eq!(told(&both(odd(), Operator::And, at_least())), told(&at_least()));
        assert_eq!(told(&both(odd(), Operator::Or, at_least())), None, "a row may be odd and below");
    }

    #[test]
    fn values_of_a_list_are_told_where_they_are_wanted() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let list = |negated: bool| {
            physical_list(column("a"), vec![lit(1_i64), lit(4_i64)], &negated, &schema).expect("a list")
        };
        assert_eq!(told(&list(false)), Some(in_list(ident("a"), vec![value(1_i64), value(4_i64)], false)));
        assert_eq!(told(&list(true)), None);
    }

    #[test]
    fn of_parts_one_is_met() {
        let part = |from: i64| both(column("a"), Operator::GtEq, lit(from));
        let parts = |otherwise: Condition| {
            let parts = vec![(lit(0_u64), part(3)), (lit(1_u64), part(7))];
            case(Some(column("part")), parts, Some(otherwise)).expect("a case")
        };
        let either = ident("a").gt_eq(value(3_i64)).or(ident("a").gt_eq(value(7_i64)));
        assert_eq!(told(&parts(lit(false))), Some(either.clone()));
        assert_eq!(told(&parts(lit(true))), Some(either.or(value(true))), "which no file can be held against");
        assert_eq!(told(&parts(odd())), None);
    }
}
