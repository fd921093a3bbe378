//! Where functions are measured: wherever a plan has them. Under their names others are found already; but what is written `[…]` or
//! `a || b` is planned by the functions themselves, or by an operator.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr as PhysicalBinary, Column};

use super::sizes::{Makes, in_place_of, measured};

/// `a || b` of texts, measured.
static CONCATENATION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let concatenation = Concatenation { signature: Signature::any(2, Volatility::Immutable) };
    measured(Arc::new(ScalarUDF::new_from_impl(concatenation)), Makes::All)
});

/// Has every expression of a plan measured, once its types are settled.
#[derive(Debug)]
pub(crate) struct MeasureResults;

impl AnalyzerRule for MeasureResults {
    fn name(&self) -> &'static str {
        "measure_results"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        let measured = plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            let measured = node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(with_measures(expr)?.update_data(|expr| name.restore(expr)))
            })?;
            if measured.transformed { measured.map_data(LogicalPlan::recompute_schema) } else { Ok(measured) }
        })?;
        Ok(measured.data)
    }
}

/// The same expression with functions that measure what they make. Its types must be settled: `||` takes two of one.
pub(crate) fn with_measures(expr: Expr) -> DataFusionResult<Transformed<Expr>> {
    expr.transform_up(|part| {
        Ok(match part {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                let function = ScalarFunction::new_udf(Arc::clone(&CONCATENATION), vec![*left, *right]);
                Transformed::yes(Expr::ScalarFunction(function))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => match in_place_of(&func) {
                Some(func) => Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })),
                None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
            },
            other => Transformed::no(other),
        })
    })
}

/// The operator as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Concatenation {
    signature: Signature,
}

impl ScalarUDFImpl for Concatenation {
    fn name(&self) -> &'static str {
        "||"
    }

    /// That of the operator: a column is called by what was written.
    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        Ok(operation(args)?.schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> DataFusionResult<DataType> {
        let [left, right] = arg_types else { return Err(odd()) };
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, is_nullable)))
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let is_one = given.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_one { 1 } else { given.number_rows };
        let arrays = given.args.iter().map(|arg| arg.to_array(rows)).collect::<DataFusionResult<Vec<_>>>()?;
        let field = |array: &ArrayRef| Field::new("part", array.data_type().clone(), true);
        let schema = Arc::new(Schema::new(arrays.iter().map(field).collect::<Vec<_>>()));
        let batch = RecordBatch::try_new(schema, arrays)?;
        let [left, right] = [0, 1].map(|index| Arc::new(Column::new("part", index)) as Arc<dyn PhysicalExpr>);
        let made = PhysicalBinary::new(left, Operator::StringConcat, right).evaluate(&batch)?;
        if !is_one {
            return Ok(made);
        }
        Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made.into_array(1)?, 0)?))
    }
}

fn operation(args: &[Expr]) -> DataFusionResult<Expr> {
    let [left, right] = args else { return Err(odd()) };
    let (left, right) = (Box::new(left.clone()), Box::new(right.clone()));
    Ok(Expr::BinaryExpr(BinaryExpr::new(left, Operator::StringConcat, right)))
}

fn odd() -> DataFusionError {
    DataFusionError::Internal("|| has other parts than its two".to_owned())
}
