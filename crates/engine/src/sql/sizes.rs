//! Functions whose result may be far larger than what they are given, such as `repeat('x', 2000000000)`: Arrow takes memory for
//! it without asking the pool, and a process that gets none ends. So what they would make is measured first.
//!
//! Not measured is what grows with what it is given: `||`, `concat`, `regexp_replace`, `array_to_string`, aggregates of texts
//! and lists.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// One value has no more bytes than this: offline and online alike, so the same for one row and for many.
const VALUE_BYTES_MAX: u64 = 16 << 20;
/// The values of one batch of rows have no more bytes than this.
const BATCH_BYTES_MAX: u64 = 256 << 20;
/// The bytes of the longest character.
const CHARACTER_BYTES_MAX: u64 = 4;
const DAY_NS: i128 = 86_400_000_000_000;

/// The functions by name, and what decides their results' sizes.
const MEASURED: [(&str, Makes); 8] = [
    ("array_repeat", Makes::Items),
    ("array_resize", Makes::Slots),
    ("generate_series", Makes::Series),
    ("lpad", Makes::Characters),
    ("range", Makes::Series),
    ("repeat", Makes::Copies),
    ("replace", Makes::Replacements),
    ("rpad", Makes::Characters),
];

/// How large a function's result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Makes {
    /// `(text, count)`: the text so many times.
    Copies,
    /// `(text, length, …)`: so many characters.
    Characters,
    /// `(text, from, to)`: the text with each place where `from` is become `to`.
    Replacements,
    /// `(item, count)`: the item so many times.
    Items,
    /// `(list, length[, item])`: so many items, each the list's own or the one that fills up.
    Slots,
    /// `([start,] stop[, step])`.
    Series,
}

/// Puts functions that measure their results in the place of those that do not.
pub(crate) fn measure_results(functions: &mut impl FunctionRegistry) -> DataFusionResult<()> {
    for (name, makes) in MEASURED {
        let inner = functions.udf(name)?;
        functions.register_udf(Arc::new(ScalarUDF::new_from_impl(Measured { inner, makes })))?;
    }
    Ok(())
}

/// A function that refuses to make too much.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Measured {
    inner: Arc<ScalarUDF>,
    makes: Makes,
}

impl ScalarUDFImpl for Measured {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> DataFusionResult<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> DataFusionResult<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DataFusionResult<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> DataFusionResult<ExprSimplifyResult> {
        self.inner.simplify(args, info)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        self.refuse_too_much(&args)?;
        self.inner.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

impl Measured {
    fn refuse_too_much(&self, given: &ScalarFunctionArgs) -> DataFusionResult<()> {
        let args = given.args.as_slice();
        let is_one = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_one { 1 } else { given.number_rows };
        let bytes = self.makes.bytes(args)?;
        let mut all = 0_u64;
        for row in 0..rows {
            let value = bytes(row);
            all = all.saturating_add(value);
            if value > VALUE_BYTES_MAX {
                return Err(self.too_much(format!("a value of {value} bytes, and a value has at most 16 MiB")));
            }
        }
        if all > BATCH_BYTES_MAX {
            let reason = format!("{all} bytes for {rows} rows, and rows that are read together get at most 256 MiB");
            return Err(self.too_much(reason));
        }
        Ok(())
    }

    fn too_much(&self, reason: String) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!("{}() would make {reason}: ask it for less", self.name()))
    }
}

/// The bytes of the value in a row.
type Bytes = Box<dyn Fn(usize) -> u64>;

impl Makes {
    /// How many bytes each row's value has, or a little more.
    fn bytes(self, args: &[ColumnarValue]) -> DataFusionResult<Bytes> {
        Ok(match (self, args) {
            (Self::Copies, [text, count]) => {
                let (text, count) = (lengths(text)?, counts(count)?);
                Box::new(move |row| text.at(row).saturating_mul(count.at(row)))
            }
            (Self::Characters, [_, length, ..]) => {
                let length = counts(length)?;
                Box::new(move |row| length.at(row).saturating_mul(CHARACTER_BYTES_MAX))
            }
            (Self::Replacements, [text, from, to]) => {
                let (text, from, to) = (lengths(text)?, lengths(from)?, lengths(to)?);
                Box::new(move |row| {
                    let places = text.at(row) / from.at(row).max(1) + 1;
                    text.at(row).saturating_add(places.saturating_mul(to.at(row)))
                })
            }
            (Self::Items, [item, count]) => {
                let (item, count) = (sizes(item)?, counts(count)?);
                Box::new(move |row| item.at(row).saturating_mul(count.at(row)))
            }
            (Self::Slots, [list, length, item @ ..]) => {
                let (list, length) = (sizes(list)?, counts(length)?);
                let item = item.first().map(sizes).transpose()?.unwrap_or(PerRow(vec![8]));
                Box::new(move |row| list.at(row).saturating_add(item.at(row).max(8).saturating_mul(length.at(row))))
            }
            (Self::Series, _) => series(args)?,
            // refused by the function, which takes other arguments
            _ => Box::new(|_| 0),
        })
    }
}

/// A number for each row, or one for all.
struct PerRow<T>(Vec<T>);

impl<T: Copy + Default> PerRow<T> {
    fn at(&self, row: usize) -> T {
        let row = if self.0.len() == 1 { 0 } else { row };
        self.0.get(row).copied().unwrap_or_default()
    }
}

/// An argument's values: one, where it is the same for all rows.
fn values(arg: &ColumnarValue) -> DataFusionResult<ArrayRef> {
    match arg {
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        ColumnarValue::Scalar(value) => value.to_array(),
    }
}

fn integers(array: &ArrayRef) -> DataFusionResult<PerRow<i64>> {
    let array = cast(array, &DataType::Int64)?;
    Ok(PerRow(array.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default).collect()))
}

/// How often, or how long; a number below zero is none.
fn counts(arg: &ColumnarValue) -> DataFusionResult<PerRow<u64>> {
    let counts = integers(&values(arg)?)?;
    Ok(PerRow(counts.0.into_iter().map(|count| u64::try_from(count).unwrap_or(0)).collect()))
}

/// The bytes of texts.
fn lengths(arg: &ColumnarValue) -> DataFusionResult<PerRow<u64>> {
    let array = values(arg)?;
    if array.data_type().is_null() {
        return Ok(PerRow(vec![0]));
    }
    let lengths = integers(&length(array.as_ref())?)?;
    Ok(PerRow(lengths.0.into_iter().map(i64::unsigned_abs).collect()))
}

/// The bytes of values of any type.
fn sizes(arg: &ColumnarValue) -> DataFusionResult<PerRow<u64>> {
    let array = values(arg)?;
    if let Some(width) = array.data_type().primitive_width() {
        return Ok(PerRow(vec![width as u64]));
    }
    let size = |row: usize| -> DataFusionResult<u64> {
        let value = match array.as_list_opt::<i32>() {
            Some(list) => list.value(row),
            None => array.slice(row, 1),
        };
        Ok(value.to_data().get_slice_memory_size()? as u64)
    };
    Ok(PerRow((0..array.len()).map(size).collect::<DataFusionResult<_>>()?))
}

/// `([start,] stop[, step])` of integers, or of times with an interval.
fn series(args: &[ColumnarValue]) -> DataFusionResult<Bytes> {
    let arrays = args.iter().map(values).collect::<DataFusionResult<Vec<ArrayRef>>>()?;
    let is_time = arrays.first().is_some_and(|array| !array.data_type().is_integer());
    Ok(match arrays.as_slice() {
        [from, to, step] if is_time && matches!(step.data_type(), DataType::Interval(_)) => {
            let (from, to, step) = (nanoseconds(from)?, nanoseconds(to)?, interval(step));
            Box::new(move |row| items(from.at(row), to.at(row), step.at(row)))
        }
        [to] if !is_time => {
            let to = integers(to)?;
            Box::new(move |row| items(0, to.at(row).into(), 1))
        }
        [from, to, step @ ..] if !is_time => {
            let (from, to) = (integers(from)?, integers(to)?);
            let step = step.first().map(integers).transpose()?.unwrap_or(PerRow(vec![1]));
            Box::new(move |row| items(from.at(row).into(), to.at(row).into(), step.at(row).into()))
        }
        // nulls, of which nothing is made
        _ => Box::new(|_| 0),
    })
}

/// The bytes of a series.
fn items(from: i128, to: i128, step: i128) -> u64 {
    let items = (to - from).abs().checked_div(step.abs()).map_or(0, |steps| steps + 1);
    u64::try_from(items).unwrap_or(u64::MAX).saturating_mul(8)
}

fn nanoseconds(array: &ArrayRef) -> DataFusionResult<PerRow<i128>> {
    let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
    let micros = micros.as_primitive::<TimestampMicrosecondType>();
    Ok(PerRow(micros.iter().map(|time| i128::from(time.unwrap_or_default()) * 1_000).collect()))
}

/// An interval's length: of a month's and a day's the shortest. One of nothing is for the function to refuse.
fn interval(array: &ArrayRef) -> PerRow<i128> {
    let Some(steps) = array.as_primitive_opt::<IntervalMonthDayNanoType>() else { return PerRow(vec![1]) };
    let lengths = steps.iter().map(|step| {
        let Some(step) = step else { return 0 };
        let days = i128::from(step.months) * 28 + i128::from(step.days);
        let length = days * DAY_NS * 23 / 24 + i128::from(step.nanoseconds);
        // months forwards and days backwards may come to nothing, and yet move
        let moves = step.months != 0 || step.days != 0 || step.nanoseconds != 0;
        if length == 0 { i128::from(moves) } else { length }
    });
    PerRow(lengths.collect())
}
