//! Times that are written finer than a microsecond. All times of history are whole microseconds; the optimizer brings what they
//! are compared with to their type, and cuts it: `event_timestamp < '…05.0000005'` would lose what is at 05.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, TryCast};
use datafusion::optimizer::AnalyzerRule;

/// Digits of a second that are told.
const DIGITS: usize = 6;

/// Refuses them, once each text is brought to the type of what it is compared with.
#[derive(Debug)]
pub(super) struct RefuseFineTimes;

impl AnalyzerRule for RefuseFineTimes {
    fn name(&self) -> &'static str {
        "refuse_fine_times"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|part| match fine_time(part) {
                    Some(text) => plan_err!(
                        "the time {text} is finer than a microsecond, and times are told in microseconds: write at most \
                         {DIGITS} digits of a second"
                    ),
                    None => Ok(TreeNodeRecursion::Continue),
                })
            })
        })?;
        Ok(plan)
    }
}

/// The text of a time, where an expression is one that is too fine.
fn fine_time(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Literal(ScalarValue::TimestampNanosecond(Some(time), _), _) => {
            (time % 1_000 != 0).then(|| expr.to_string())
        }
        Expr::Cast(Cast { expr: text, field }) | Expr::TryCast(TryCast { expr: text, field })
            if matches!(field.data_type(), DataType::Timestamp(..)) =>
        {
            match text.as_ref() {
                Expr::Literal(value, _) => {
                    value.try_as_str().flatten().filter(|text| is_finer(text)).map(|text| format!("'{text}'"))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether a text has more digits of a second, and they are not zeros.
fn is_finer(text: &str) -> bool {
    let Some((_, fraction)) = text.split_once('.') else { return false };
    fraction.bytes().take_while(u8::is_ascii_digit).skip(DIGITS).any(|digit| digit != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_finer_by_digits_that_count() {
        for (text, expected) in [
            ("2024-01-01T00:00:05.0000005Z", true),
            ("2024-01-01 00:00:05.123456", false),
            ("2024-01-01T00:00:05.123456000+02:00", false),
            ("2024-01-01T00:00:05.123456001+02:00", true),
            ("2024-01-01", false),
        ] {
            assert_eq!(is_finer(text), expected, "{text}");
        }
    }
}
