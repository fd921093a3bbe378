//! Casts of a column to the type that is declared, only where nothing is lost.

mod nested;
mod number;
mod problem;
mod text;
mod time;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, new_null_array};
use arrow::datatypes::{DataType, Date64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use hitherto_core::ValueType;

use super::Role;
use crate::types::arrow_type;

pub use problem::{CastError, CellProblem};
pub(super) use text::{Form, cast_text};
pub use time::{convert_time_down, convert_time_up};
pub(super) use time::{is_date, parse_time};

/// What to do with a time that is finer than a microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    /// Later: a feature row must not be seen too early.
    Up,
    /// Earlier: a spine row must not see too much.
    Down,
    /// Refuse it.
    Exact,
}

/// How one column is to be cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) role: Role,
    pub(super) rounding: Rounding,
}

impl From<Role> for Rule {
    fn from(role: Role) -> Self {
        let rounding = match role {
            Role::EventTime | Role::CreatedTime => Rounding::Up,
            Role::Key | Role::Feature | Role::Deleted => Rounding::Exact,
        };
        Self { role, rounding }
    }
}

/// `array` as the Arrow type of `to`, or the first value that would lose something.
///
/// Dictionaries, views and large arrays are unpacked; integers change their width where every value fits; integers
/// and floats become each other where every value is exact, but floats never a key; times of any unit and zone
/// become UTC microseconds, a naive one meaning UTC, and event and created times are rounded up. Strings become
/// nothing but strings. A null event or created time is refused.
pub fn cast_column(array: &ArrayRef, to: &ValueType, role: Role) -> Result<ArrayRef, CastError> {
    let cast = cast(array, to, role.into())?;
    refuse_null_time(&cast, role)?;
    Ok(cast)
}

pub(super) fn refuse_null_time(array: &ArrayRef, role: Role) -> Result<(), CastError> {
    if array.null_count() == 0 || !matches!(role, Role::EventTime | Role::CreatedTime) {
        return Ok(());
    }
    let row = (0..array.len()).find(|row| array.is_null(*row)).unwrap_or_default();
    let time = if role == Role::EventTime { "event" } else { "created" };
    Err(CastError::Cell { row, value: "null".to_owned(), problem: CellProblem::NullTime { time } })
}

fn cast(array: &ArrayRef, to: &ValueType, rule: Rule) -> Result<ArrayRef, CastError> {
    let wanted = arrow_type(to);
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&wanted, array.len()));
    }
    let array = &plain(array)?;
    if array.data_type() == &wanted {
        return Ok(Arc::clone(array));
    }
    match to {
        ValueType::Int32 | ValueType::Int64 | ValueType::Float32 | ValueType::Float64 => {
            number::cast(array, to, rule.role)
        }
        ValueType::Timestamp => time::cast(array, rule),
        ValueType::Date => date(array),
        ValueType::List(item) => nested::list(array, item, |items| cast(items, item, Role::Feature.into())),
        ValueType::Vector(length) => {
            nested::vector(array, *length, |items| cast(items, &ValueType::Float32, Role::Feature.into()))
        }
        ValueType::Bool | ValueType::String | ValueType::Bytes => Err(refused(array.data_type(), to, rule.role)),
    }
}

/// Arrays of one meaning have many layouts; this gives each meaning one.
fn plain(array: &ArrayRef) -> Result<ArrayRef, CastError> {
    let to = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        _ => return Ok(Arc::clone(array)),
    };
    plain(&kernel(array, &to)?)
}

/// Arrow's own cast, for changes of layout that lose nothing.
fn kernel(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, CastError> {
    arrow::compute::cast(array, to).map_err(|_| CastError::Type {
        found: array.data_type().to_string(),
        remedy: ", into which it cannot be unpacked: write it in a plainer layout",
    })
}

fn date(array: &ArrayRef) -> Result<ArrayRef, CastError> {
    let Some(dates) = array.as_primitive_opt::<Date64Type>() else {
        return Err(refused(array.data_type(), &ValueType::Date, Role::Feature));
    };
    let day = |millis: i64| if millis % 86_400_000 == 0 { i32::try_from(millis / 86_400_000).ok() } else { None };
    let days: Date32Array =
        number::checked(dates, day, || CellProblem::NotA { wanted: ValueType::Date, hint: ": it has a time of day" })?;
    Ok(Arc::new(days))
}

/// The refusal of a whole column, with what the user might do.
fn refused(found: &DataType, to: &ValueType, role: Role) -> CastError {
    let is_time = matches!(role, Role::EventTime | Role::CreatedTime);
    let remedy = match (found, to) {
        (found, _) if role == Role::Key && found.is_floating() => problem::FLOAT_KEY,
        (DataType::Date32 | DataType::Date64, ValueType::Timestamp) if is_time => problem::DATE_AS_TIME,
        (DataType::Date32 | DataType::Date64, ValueType::Timestamp) => ": declare it date, or write times",
        (found, ValueType::Timestamp) if found.is_numeric() => {
            ": say which unit it is by writing timestamps, in pandas pd.to_datetime(column, unit=\"s\", utc=True)"
        }
        (DataType::Utf8, ValueType::Timestamp) => ": write timestamps, in pandas pd.to_datetime(column, utc=True)",
        (DataType::Utf8, _) => ": text is turned into other types only in CSV; convert the column where it is made",
        (DataType::Decimal128(..) | DataType::Decimal256(..), _) => {
            ": a decimal is rarely exact as a float; convert the column where it is made"
        }
        (_, ValueType::String) => ": convert the column where it is made, or declare another type",
        _ => "",
    };
    CastError::Type { found: found.to_string(), remedy }
}

/// A cell as it is shown in a message.
fn shown(array: &dyn Array, row: usize) -> String {
    // a time beyond the calendar has no text, but it has a number
    let text = text_of(array, row).or_else(|| {
        let number = arrow::compute::cast(&array.slice(row, 1), &DataType::Int64).ok()?;
        text_of(&number, 0)
    });
    shorten(text.as_deref().unwrap_or("a value"))
}

fn text_of(array: &dyn Array, row: usize) -> Option<String> {
    let options = FormatOptions::new().with_display_error(false);
    ArrayFormatter::try_new(array, &options).ok()?.value(row).try_to_string().ok()
}

fn shorten(text: &str) -> String {
    const SHOWN_CHARS: usize = 60;
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARS).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests;
