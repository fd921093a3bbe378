//! Functions whose result may be far larger than what they are given, such as `repeat('x', 2000000000)`: Arrow takes memory for
//! it without asking the pool, and a process that gets none ends. So what they would make is measured first. That goes for what
//! only puts together what it is given, too: a query that does it to its own result again and again doubles it each time.
//!
//! Not measured is what grows by a small factor at most, such as `upper` and `string_to_array`. Aggregates of texts and lists tell
//! the pool what they hold.

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
/// A number or a time as a text has no more.
const ITEM_TEXT_BYTES: u64 = 32;
const DAY_NS: i128 = 86_400_000_000_000;

/// The functions by name, and what decides their results' sizes.
const MEASURED: [(&str, Makes); 20] = [
    ("array_append", Makes::All),
    ("array_concat", Makes::All),
    ("array_prepend", Makes::All),
    ("array_repeat", Makes::Items),
    ("array_replace", Makes::All),
    ("array_replace_all", Makes::Exchanged),
    ("array_replace_n", Makes::Exchanged),
    ("array_resize", Makes::Slots),
    ("array_to_string", Makes::Listed),
    ("concat", Makes::All),
    ("concat_ws", Makes::Separated),
    ("generate_series", Makes::Series),
    ("lpad", Makes::Characters),
    ("make_array", Makes::All),
    ("range", Makes::Series),
    ("regexp_match", Makes::Groups),
    ("regexp_replace", Makes::Matches),
    ("repeat", Makes::Copies),
    ("replace", Makes::Replacements),
    ("rpad", Makes::Characters),
];

/// How large a function's result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Makes {
    /// Any number of texts, lists or items: all of them.
    All,
    /// `(separator, text, …)`: all of them, with the separator between.
    Separated,
    /// `(list, separator[, null])`: each item as a text, with the separator between.
    Listed,
    /// `(list, from, to, …)`: the list with `to` in each place of `from`.
    Exchanged,
    /// `(text, pattern, …)`: what each group of the pattern matched.
    Groups,
    /// `(text, pattern, to[, flags])`: the text with each match become `to`, in which groups may stand.
    Matches,
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
        functions.register_udf(measured(inner, makes))?;
    }
    Ok(())
}

/// What takes the place of a function that does not measure its results.
pub(super) fn in_place_of(function: &Arc<ScalarUDF>) -> Option<Arc<ScalarUDF>> {
    if function.inner().is::<Measured>() {
        return None;
    }
    let (_, makes) = MEASURED.iter().find(|(name, _)| *name == function.name())?;
    Some(measured(Arc::clone(function), *makes))
}

/// The function, measuring what it makes.
pub(super) fn measured(inner: Arc<ScalarUDF>, makes: Makes) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Measured { inner, makes }))
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

    fn schema_name(&self, args: &[Expr]) -> DataFusionResult<String> {
        self.inner.schema_name(args)
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

    /// Never: what is simpler would not be measured.
    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> DataFusionResult<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Original(args))
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
            (Self::All, parts) => all_of(parts)?,
            (Self::Separated, [separator, parts @ ..]) => {
                let (separator, all, gaps) = (lengths(separator)?, all_of(parts)?, parts.len() as u64);
                Box::new(move |row| all(row).saturating_add(separator.at(row).saturating_mul(gaps)))
            }
            (Self::Listed, [list, between @ ..]) => {
                let (list, between) = (items_of(list)?, all_of(between)?);
                Box::new(move |row| {
                    let Items { count, bytes } = list.at(row);
                    let each = between(row).saturating_add(ITEM_TEXT_BYTES);
                    bytes.saturating_add(count.saturating_mul(each))
                })
            }
            (Self::Exchanged, [list, _, to, ..]) => {
                let (list, to) = (items_of(list)?, sizes(to)?);
                Box::new(move |row| {
                    let Items { count, bytes } = list.at(row);
                    bytes.saturating_add(count.saturating_mul(to.at(row)))
                })
            }
            (Self::Groups, [text, pattern, ..]) => {
                let (text, groups) = (lengths(text)?, marks(pattern, &['('])?);
                Box::new(move |row| text.at(row).saturating_mul(groups.at(row).saturating_add(1)))
            }
            (Self::Matches, [text, _, to, flags @ ..]) => {
                // matches do not overlap, so all that a group takes of the text is no more than the text
                let (text, groups, to) = (lengths(text)?, marks(to, &['$', '\\'])?, lengths(to)?);
                let is_once = flags.is_empty();
                Box::new(move |row| {
                    let places = if is_once { 1 } else { text.at(row).saturating_add(1) };
                    let taken = text.at(row).saturating_mul(groups.at(row).saturating_add(1));
                    taken.saturating_add(places.saturating_mul(to.at(row)))
                })
            }
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

/// All of the arguments.
fn all_of(parts: &[ColumnarValue]) -> DataFusionResult<Bytes> {
    let bytes = |part: &ColumnarValue| match part.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => lengths(part),
        _ => sizes(part),
    };
    let parts = parts.iter().map(bytes).collect::<DataFusionResult<Vec<_>>>()?;
    Ok(Box::new(move |row| parts.iter().map(|part| part.at(row)).fold(0, u64::saturating_add)))
}

/// How often one of these marks stands in each text.
fn marks(arg: &ColumnarValue, marks: &[char]) -> DataFusionResult<PerRow<u64>> {
    let texts = cast(&values(arg)?, &DataType::Utf8)?;
    let count = |text: Option<&str>| text.map_or(0, |text| text.matches(marks).count() as u64);
    Ok(PerRow(texts.as_string::<i32>().iter().map(count).collect()))
}

/// What is in a list, and in the lists in it.
#[derive(Clone, Copy, Debug, Default)]
struct Items {
    count: u64,
    bytes: u64,
}

fn items_of(arg: &ColumnarValue) -> DataFusionResult<PerRow<Items>> {
    let array = values(arg)?;
    let items = |row: usize| {
        let value = item(&array, row);
        Ok(Items { count: leaves(&value), bytes: weight(&value)? })
    };
    Ok(PerRow((0..array.len()).map(items).collect::<DataFusionResult<_>>()?))
}

/// A row's list, or its value where it has none.
fn item(array: &ArrayRef, row: usize) -> ArrayRef {
    match (array.as_list_opt::<i32>(), array.as_list_opt::<i64>()) {
        (Some(list), _) => list.value(row),
        (_, Some(list)) => list.value(row),
        _ => array.slice(row, 1),
    }
}

/// The values of a list's rows, without what a slice has left out.
fn flat(array: &ArrayRef) -> Option<ArrayRef> {
    let (from, to, values) = if let Some(list) = array.as_list_opt::<i32>() {
        let offsets = list.value_offsets();
        (i64::from(*offsets.first()?), i64::from(*offsets.last()?), list.values())
    } else {
        let list = array.as_list_opt::<i64>()?;
        let offsets = list.value_offsets();
        (*offsets.first()?, *offsets.last()?, list.values())
    };
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    Some(values.slice(from, to.checked_sub(from)?))
}

fn leaves(array: &ArrayRef) -> u64 {
    flat(array).map_or(array.len() as u64, |values| leaves(&values))
}

/// The bytes of an array; of one whose texts lie elsewhere, with those.
fn weight(array: &ArrayRef) -> DataFusionResult<u64> {
    const VIEW_BYTES: u64 = 16;
    let own = array.len() as u64;
    Ok(match array.data_type() {
        DataType::Utf8View | DataType::BinaryView => {
            own * VIEW_BYTES + integers(&length(array.as_ref())?)?.0.into_iter().map(i64::unsigned_abs).sum::<u64>()
        }
        _ => match flat(array) {
            Some(values) => weight(&values)? + own * 8,
            None => array.to_data().get_slice_memory_size()? as u64,
        },
    })
}

/// The bytes of values of any type.
fn sizes(arg: &ColumnarValue) -> DataFusionResult<PerRow<u64>> {
    let array = values(arg)?;
    if let Some(width) = array.data_type().primitive_width() {
        return Ok(PerRow(vec![width as u64]));
    }
    let size = |row: usize| weight(&item(&array, row));
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
