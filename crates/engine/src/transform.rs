//! Transforms: SQL scalar expressions compiled once, evaluated on a batch, offline and online by the same code.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::prelude::{SessionConfig, SessionContext};
use hitherto_core::{ResolvedSet, Timestamp, ValueType};
use hitherto_offline::types::arrow_type;

use crate::sql::{TRANSFORM_BYTES_MAX, measure_results, refuse_too_large, with_measures};
use crate::{Error, Result};

/// The hidden input column that stands for `request_time()`. No feature can be called so: names begin with a letter.
const REQUEST_TIME: &str = "__request_time";

/// Of a transform that does not compile, an error shows no more than this.
const SHOWN_CHARS_MAX: usize = 1_000;

/// One transform: its output, and how it is computed.
#[derive(Debug)]
struct Compiled {
    field: FieldRef,
    value_type: ValueType,
    expr: Arc<dyn PhysicalExpr>,
}

/// An input of a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The feature with this place in the set's order.
    Feature(usize),
    /// A request field.
    Request(String),
    /// The moment of the row.
    Time,
}

/// A feature set's transforms, compiled. Cheap to share; evaluation takes no lock.
#[derive(Debug)]
pub struct Transforms {
    input: SchemaRef,
    features: usize,
    compiled: Vec<Compiled>,
}

impl Transforms {
    /// Compile the transforms of `set` over its features and request fields, in that order.
    ///
    /// Only immutable scalar expressions pass; `now()` and its like are refused, with `request_time()` as the remedy.
    pub fn compile(set: &ResolvedSet) -> Result<Self> {
        let input = input_schema(set);
        let mut transforms = Self {
            input: Arc::clone(&input),
            features: set.outputs.len(),
            compiled: Vec::with_capacity(set.transforms.len()),
        };
        if set.transforms.is_empty() {
            return Ok(transforms);
        }
        let context = context().map_err(|source| invalid("", "", &source))?;
        let schema = DFSchema::try_from(input.as_ref().clone()).map_err(|source| invalid("", "", &source))?;
        for transform in &set.transforms {
            let refuse = |source| invalid(transform.name.as_str(), &transform.expr, &source);
            let expr = compile_one(&context, &schema, &transform.expr).map_err(refuse)?;
            let returned = expr.data_type(&input).map_err(refuse)?;
            let value_type = nearest(&returned).ok_or_else(|| {
                refuse(DataFusionError::Plan(format!(
                    "it returns {returned}, which is no feature type; cast it to one"
                )))
            })?;
            let field = Arc::new(Field::new(transform.name.as_str(), arrow_type(&value_type), true));
            transforms.compiled.push(Compiled { field, value_type, expr });
        }
        Ok(transforms)
    }

    /// The output columns: name and type, all nullable.
    pub fn fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.compiled.iter().map(|compiled| &compiled.field)
    }

    /// The types of the output columns.
    pub fn value_types(&self) -> impl Iterator<Item = &ValueType> {
        self.compiled.iter().map(|compiled| &compiled.value_type)
    }

    /// Whether there is nothing to evaluate.
    pub fn is_empty(&self) -> bool {
        self.compiled.is_empty()
    }

    /// The columns that [`Transforms::evaluate`] takes, less the request time: features, then request fields.
    pub fn input(&self) -> &[FieldRef] {
        &self.input.fields()[..self.input.fields().len() - 1]
    }

    /// How many of the input columns are features.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Which of the inputs each transform reads, in the order of the transforms.
    pub(crate) fn reads(&self) -> impl Iterator<Item = Vec<Read>> {
        self.compiled.iter().map(|compiled| {
            let mut places: Vec<usize> = collect_columns(&compiled.expr).iter().map(PhysicalColumn::index).collect();
            places.sort_unstable();
            let last = self.input.fields().len() - 1;
            let read = |place| match place {
                place if place < self.features => Read::Feature(place),
                place if place < last => Read::Request(self.input.field(place).name().clone()),
                _ => Read::Time,
            };
            places.into_iter().map(read).collect()
        })
    }

    /// Evaluate all transforms on `rows` rows. `columns` are as [`Transforms::input`] says; `times` is the moment of each
    /// row: the spine's time offline, the request's online.
    pub fn evaluate(&self, mut columns: Vec<ArrayRef>, times: ArrayRef, rows: usize) -> Result<Vec<ArrayRef>> {
        if self.compiled.is_empty() {
            return Ok(Vec::new());
        }
        columns.push(times);
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.input), columns, &options)
            .map_err(|source| Error::internal("could not line up a transform's inputs", source))?;
        self.compiled
            .iter()
            .map(|Compiled { field, expr, .. }| {
                let failed = |reason: String| Error::Transform { name: field.name().clone(), reason };
                let value = expr.evaluate(&batch).and_then(|value| value.into_array(rows));
                let value = value.map_err(|source| failed(root_message(&source)))?;
                cast(&value, field.data_type()).map_err(|source| failed(source.to_string()))
            })
            .collect()
    }

    /// The times column for rows that share one moment.
    pub fn times(at: Timestamp, rows: usize) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_value(at.0, rows).with_timezone("UTC"))
    }
}

fn input_schema(set: &ResolvedSet) -> SchemaRef {
    let features = set.outputs.iter().map(|output| Field::new(&output.name, arrow_type(&output.value_type), true));
    let request = set.request.iter().map(|(name, value_type)| Field::new(name.as_str(), arrow_type(value_type), true));
    let time = Field::new(REQUEST_TIME, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    Arc::new(Schema::new(features.chain(request).chain([time]).collect::<Vec<_>>()))
}

/// A context that knows DataFusion's functions and `request_time()`; names keep their case.
fn context() -> datafusion::error::Result<SessionContext> {
    let config = SessionConfig::new().set_bool("datafusion.sql_parser.enable_ident_normalization", false);
    let mut context = SessionContext::new_with_config(config);
    measure_results(&mut context)?;
    context.register_udf(ScalarUDF::from(RequestTime { signature: Signature::nullary(Volatility::Immutable) }));
    Ok(context)
}

fn compile_one(
    context: &SessionContext,
    schema: &DFSchema,
    text: &str,
) -> datafusion::error::Result<Arc<dyn PhysicalExpr>> {
    refuse_too_large(text, TRANSFORM_BYTES_MAX)?;
    let expr = context.parse_sql_expr(text, schema)?;
    refuse_what_is_not_a_scalar_of_the_row(&expr)?;
    let expr = expr.transform(|node| match &node {
        Expr::ScalarFunction(function) if function.name() == "request_time" => {
            Ok(Transformed::yes(Expr::Column(Column::from_name(REQUEST_TIME))))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build());
    let coerced = with_measures(simplifier.coerce(expr.data, schema)?)?.data;
    context.state().create_physical_expr(simplifier.simplify(coerced)?, schema)
}

fn refuse_what_is_not_a_scalar_of_the_row(expr: &Expr) -> datafusion::error::Result<()> {
    let refuse = |reason: String| Err(DataFusionError::Plan(reason));
    expr.apply(|node| {
        match node {
            Expr::ScalarFunction(function) if function.func.signature().volatility != Volatility::Immutable => {
                return refuse(format!(
                    "{}() gives other values at other times, so training and serving would differ; \
                     request_time() is the moment of the row",
                    function.name()
                ));
            }
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) => {
                return refuse("an aggregate or window looks at other rows; a transform sees one row".to_owned());
            }
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => {
                return refuse("a subquery reads tables; a transform sees one row".to_owned());
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// The feature type that holds what an expression returns; other widths of numbers and texts become the ones that we have.
fn nearest(returned: &DataType) -> Option<ValueType> {
    Some(match returned {
        DataType::Boolean => ValueType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => ValueType::Int32,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => ValueType::Int64,
        DataType::Float16 | DataType::Float32 => ValueType::Float32,
        DataType::Float64 | DataType::Decimal128(..) => ValueType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ValueType::String,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => ValueType::Bytes,
        DataType::Timestamp(..) => ValueType::Timestamp,
        DataType::Date32 => ValueType::Date,
        DataType::List(item) if !item.data_type().is_nested() => ValueType::List(Box::new(nearest(item.data_type())?)),
        _ => return None,
    })
}

fn invalid(name: &str, text: &str, source: &DataFusionError) -> Error {
    let shown = text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
    let rest = if shown.len() < text.len() { " …" } else { "" };
    let reason = format!("'{shown}{rest}' does not compile: {}", root_message(source));
    Error::Transform { name: name.to_owned(), reason }
}

fn root_message(source: &DataFusionError) -> String {
    source.find_root().strip_backtrace()
}

/// `request_time()`: replaced by a column before anything is evaluated.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RequestTime {
    signature: Signature,
}

impl ScalarUDFImpl for RequestTime {
    fn name(&self) -> &'static str {
        "request_time"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::error::Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> datafusion::error::Result<ColumnarValue> {
        Err(DataFusionError::Internal("request_time() was not replaced by its column".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, StringArray};

    use super::*;

    #[test]
    fn a_transform_that_no_stack_bears_is_refused_and_what_is_let_in_is_borne() {
        let terms = |count: usize| format!("1{}", "+1".repeat(count));
        let refused =
            compile_one(&context().expect("a context"), &DFSchema::empty(), &terms(5_000)).expect_err("too high");
        assert!(root_message(&refused).contains("5000 operators stand one upon the other"), "{refused}");
        let refused = invalid("much", &terms(5_000), &refused).to_string();
        assert!(refused.len() < 2_000, "an error shows the beginning of it: {} bytes", refused.len());
        // no thread of the product's has less: the first has 8 MiB, where no one says otherwise
        let borne = std::thread::Builder::new().stack_size(8 << 20).spawn(|| {
            let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
            let schema = DFSchema::try_from(schema).expect("a schema");
            for text in [format!("a{}", " + a".repeat(300)), format!("a{}", " is null".repeat(300))] {
                compile_one(&context().expect("a context"), &schema, &text).expect("a transform");
            }
        });
        borne.expect("a thread").join().expect("no panic");
    }

    #[test]
    fn a_transform_makes_no_value_larger_than_there_is_room_for() {
        for large in ["array_repeat(1, 2147483647)", "repeat('x', 2147483647)", "rpad('x', 2147483647)"] {
            let expr = compile_one(&context().expect("a context"), &DFSchema::empty(), large).expect(large);
            let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
            let refused = expr.evaluate(&batch).expect_err(large);
            assert!(root_message(&refused).contains("would make a value of"), "{refused}");
        }
    }

    #[test]
    fn what_is_put_together_is_measured_and_as_it_was() {
        let text = |count: usize| Some("x".repeat(count));
        let column: ArrayRef = Arc::new(StringArray::from(vec![text(9 << 20), text(2), None]));
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        let of_names = DFSchema::try_from(schema.as_ref().clone()).expect("a schema");
        let batch = RecordBatch::try_new(schema, vec![column]).expect("a batch");
        let value = |text: &str, batch: &RecordBatch| {
            let expr = compile_one(&context().expect("a context"), &of_names, text).expect(text);
            expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()))
        };
        for large in ["a || a", "concat(a, a)", "concat_ws('-', a, a)", "regexp_replace(a, 'x', 'yyy', 'g')", "[a, a]"]
        {
            let refused = value(large, &batch).expect_err(large);
            assert!(root_message(&refused).contains("would make a value of"), "{large}: {refused}");
        }
        let small = batch.slice(1, 2);
        for (together, expected) in [
            ("a || a", ["xxxx", "null"]),
            ("'-' || a || 7", ["-xx7", "null"]),
            ("concat(a, '-', a)", ["xx-xx", "-"]),
            ("concat_ws('-', a, 'y')", ["xx-y", "y"]),
            ("regexp_replace(a, 'x', 'yy', 'g')", ["yyyy", "null"]),
            ("array_to_string([a, 'z'], ',')", ["xx,z", "z"]),
        ] {
            let made = cast(&value(together, &small).expect(together), &DataType::Utf8).expect("texts");
            let made: Vec<&str> = made.as_string::<i32>().iter().map(|text| text.unwrap_or("null")).collect();
            assert_eq!(made, expected, "{together}");
        }
    }
}
