//! Cells of text: fields of CSV, and the raw values of JSON.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanBuilder, ListArray, PrimitiveArray, PrimitiveBuilder,
    StringArray, StringBuilder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use chrono::NaiveDate;
use hitherto_core::ValueType;
use serde::de::IgnoredAny;

use super::nested;
use super::number::{exact_f32, exact_f64, inexact, out_of_range};
use super::problem::{CastError, CellProblem};
use super::time::{is_date, parse_time};
use super::{Rule, refuse_null_time, shorten};
use crate::input::Role;
use crate::input::json::{elements, unquoted};
use crate::types::{UTC, arrow_type};

/// What a cell of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::input) enum Form {
    /// A field of CSV; text means what the type makes of it.
    Csv,
    /// A raw JSON value: a number is no string and a string is no number.
    Json,
}

impl Form {
    /// A cell as it is shown in a message; raw JSON has quotes where it needs them.
    fn shown(self, cell: &str) -> String {
        match self {
            Self::Csv => format!("'{}'", shorten(cell)),
            Self::Json => shorten(cell),
        }
    }
}

/// Cells of text as the Arrow type of `to`, or the first that is none.
///
/// Decimal text becomes the nearest float; a whole number in text must be exact. Bytes are written in hexadecimal.
pub(in crate::input) fn cast_text(
    cells: &StringArray,
    form: Form,
    to: &ValueType,
    rule: Rule,
) -> Result<ArrayRef, CastError> {
    let cast = cast(cells, form, to, rule)?;
    refuse_null_time(&cast, rule.role)?;
    Ok(cast)
}

fn cast(cells: &StringArray, form: Form, to: &ValueType, rule: Rule) -> Result<ArrayRef, CastError> {
    if cells.null_count() == cells.len() {
        return Ok(new_null_array(&arrow_type(to), cells.len()));
    }
    match to {
        ValueType::Int32 => numbers::<Int32Type>(cells, form, to, |text| {
            whole(text, to, rule.role).and_then(|v| i32::try_from(v).map_err(|_| out_of_range(to)))
        }),
        ValueType::Int64 => numbers::<Int64Type>(cells, form, to, |text| whole(text, to, rule.role)),
        ValueType::Float64 => numbers::<Float64Type>(cells, form, to, |text| float64(text, to)),
        ValueType::Float32 => numbers::<Float32Type>(cells, form, to, |text| float32(text, to)),
        ValueType::Date => numbers::<Date32Type>(cells, form, to, |text| date(text, to)),
        ValueType::Timestamp => {
            let times = primitive::<TimestampMicrosecondType>(cells, form, to, |text| time(text, to, rule))?;
            Ok(Arc::new(times.with_timezone(UTC)))
        }
        ValueType::Bool => {
            let mut out = BooleanBuilder::with_capacity(cells.len());
            each(cells, form, to, |text| {
                text.map(|text| boolean(&text, to)).transpose().map(|v| out.append_option(v))
            })?;
            Ok(Arc::new(out.finish()))
        }
        ValueType::String => {
            let mut out = StringBuilder::with_capacity(cells.len(), cells.value_data().len());
            each(cells, form, to, |text| {
                out.append_option(text);
                Ok(())
            })?;
            Ok(Arc::new(out.finish()))
        }
        ValueType::Bytes => {
            let mut out = BinaryBuilder::new();
            each(cells, form, to, |text| text.map(|text| bytes(&text, to)).transpose().map(|v| out.append_option(v)))?;
            Ok(Arc::new(out.finish()))
        }
        ValueType::List(item) => {
            let tokens: ArrayRef = Arc::new(split(cells, form, to)?);
            nested::list(&tokens, item, |items| cast_items(items, item))
        }
        ValueType::Vector(length) => {
            let tokens: ArrayRef = Arc::new(split(cells, form, to)?);
            nested::vector(&tokens, *length, |items| cast_items(items, &ValueType::Float32))
        }
    }
}

fn cast_items(items: &ArrayRef, item: &ValueType) -> Result<ArrayRef, CastError> {
    let tokens = items
        .as_any()
        .downcast_ref::<StringArray>()
        .ok_or_else(|| CastError::Type { found: items.data_type().to_string(), remedy: "" })?;
    cast(tokens, Form::Json, item, Role::Feature.into())
}

fn numbers<T: ArrowPrimitiveType>(
    cells: &StringArray,
    form: Form,
    to: &ValueType,
    parse: impl Fn(&str) -> Result<T::Native, CellProblem>,
) -> Result<ArrayRef, CastError> {
    Ok(Arc::new(primitive::<T>(cells, form, to, parse)?))
}

fn primitive<T: ArrowPrimitiveType>(
    cells: &StringArray,
    form: Form,
    to: &ValueType,
    parse: impl Fn(&str) -> Result<T::Native, CellProblem>,
) -> Result<PrimitiveArray<T>, CastError> {
    let mut out = PrimitiveBuilder::<T>::with_capacity(cells.len());
    each(cells, form, to, |text| {
        out.append_option(text.map(|text| parse(&text)).transpose()?);
        Ok(())
    })?;
    Ok(out.finish())
}

/// Hands each cell's text to `take`, `None` for a null, and puts a refusal in its place.
fn each(
    cells: &StringArray,
    form: Form,
    to: &ValueType,
    mut take: impl FnMut(Option<Cow<'_, str>>) -> Result<(), CellProblem>,
) -> Result<(), CastError> {
    for (row, cell) in cells.iter().enumerate() {
        let text = cell.map_or(Ok(None), |cell| meant(cell, form, to));
        text.and_then(&mut take).map_err(|problem| CastError::Cell {
            row,
            value: cell.map_or_else(|| "null".to_owned(), |cell| form.shown(cell)),
            problem,
        })?;
    }
    Ok(())
}

/// The text that a cell stands for, if it can stand for a value of this type at all.
fn meant<'a>(cell: &'a str, form: Form, to: &ValueType) -> Result<Option<Cow<'a, str>>, CellProblem> {
    let is_text = matches!(to, ValueType::String | ValueType::Bytes | ValueType::Timestamp | ValueType::Date);
    match form {
        Form::Csv if matches!(to, ValueType::String) => Ok(Some(Cow::Borrowed(cell))),
        Form::Csv => Ok(Some(cell.trim()).filter(|cell| !cell.is_empty()).map(Cow::Borrowed)),
        Form::Json if is_text && cell.starts_with('"') => Ok(Some(unquoted(cell))),
        Form::Json if matches!(to, ValueType::Timestamp) => {
            Err(CellProblem::NotA { wanted: to.clone(), hint: ": write it as a string like \"2013-07-01T12:00:00Z\"" })
        }
        Form::Json if is_text => Err(CellProblem::NotA { wanted: to.clone(), hint: ": write it as a JSON string" }),
        Form::Json if cell.starts_with('"') => {
            Err(CellProblem::NotA { wanted: to.clone(), hint: ": write it without quotes" })
        }
        Form::Json => Ok(Some(Cow::Borrowed(cell))),
    }
}

fn whole(text: &str, to: &ValueType, role: Role) -> Result<i64, CellProblem> {
    if let Ok(value) = text.parse() {
        return Ok(value);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(out_of_range(to));
    }
    match text.parse::<f64>() {
        Ok(_) if role == Role::Key => Err(CellProblem::FloatKey),
        Ok(float) if float.is_nan() => Err(CellProblem::NotANumber { wanted: to.clone() }),
        // `5.0` is how a float column writes a 5; read from the digits, it stays exact beyond 2^53
        Ok(_) => match text.split_once('.') {
            Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => {
                whole.parse().map_err(|_| out_of_range(to))
            }
            _ => Err(CellProblem::Fraction { wanted: to.clone() }),
        },
        Err(_) => Err(not_a(to)),
    }
}

fn float64(text: &str, to: &ValueType) -> Result<f64, CellProblem> {
    if let Ok(integer) = text.parse::<i64>() {
        return exact_f64(integer).ok_or_else(|| inexact(to, ValueType::Int64));
    }
    let float: f64 = text.parse().map_err(|_| not_a(to))?;
    let is_written_infinite = text.bytes().all(|byte| !byte.is_ascii_digit());
    if float.is_infinite() && !is_written_infinite { Err(out_of_range(to)) } else { Ok(float) }
}

fn float32(text: &str, to: &ValueType) -> Result<f32, CellProblem> {
    if let Ok(integer) = text.parse::<i64>() {
        return exact_f64(integer).and_then(exact_f32).ok_or_else(|| inexact(to, ValueType::Float64));
    }
    let wide = float64(text, to)?;
    let float: f32 = text.parse().map_err(|_| not_a(to))?;
    if float.is_infinite() && wide.is_finite() { Err(out_of_range(to)) } else { Ok(float) }
}

fn boolean(text: &str, to: &ValueType) -> Result<bool, CellProblem> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(CellProblem::NotA { wanted: to.clone(), hint: ": write true or false" }),
    }
}

fn time(text: &str, to: &ValueType, rule: Rule) -> Result<i64, CellProblem> {
    match parse_time(text, rule.rounding) {
        Some(micros) => micros,
        None if is_date(text) && matches!(rule.role, Role::EventTime | Role::CreatedTime) => {
            Err(CellProblem::DateAsTime)
        }
        None => Err(CellProblem::NotA { wanted: to.clone(), hint: ": write it like 2013-07-01T12:00:00Z" }),
    }
}

fn date(text: &str, to: &ValueType) -> Result<i32, CellProblem> {
    if !is_date(text) {
        return Err(CellProblem::NotA { wanted: to.clone(), hint: ": write it like 2013-07-01" });
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| not_a(to))?;
    i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).map_err(|_| out_of_range(to))
}

fn bytes(text: &str, to: &ValueType) -> Result<Vec<u8>, CellProblem> {
    hex::decode(text).map_err(|_| CellProblem::NotA { wanted: to.clone(), hint: ": write bytes in hexadecimal" })
}

fn not_a(to: &ValueType) -> CellProblem {
    CellProblem::NotA { wanted: to.clone(), hint: ": only an empty field or null is a missing value" }
}

/// JSON arrays in text as lists of raw values.
fn split(cells: &StringArray, form: Form, to: &ValueType) -> Result<ListArray, CastError> {
    let refuse = |row: usize, cell: &str| CastError::Cell {
        row,
        value: form.shown(cell),
        problem: CellProblem::NotA { wanted: to.clone(), hint: ": write it as a JSON array like [1, 2]" },
    };
    let mut items = StringBuilder::new();
    let mut lengths = Vec::with_capacity(cells.len());
    let mut valid = Vec::with_capacity(cells.len());
    for (row, cell) in cells.iter().enumerate() {
        let Some(cell) = cell.map(str::trim).filter(|cell| !cell.is_empty()) else {
            lengths.push(0);
            valid.push(false);
            continue;
        };
        if !cell.starts_with('[') || serde_json::from_str::<IgnoredAny>(cell).is_err() {
            return Err(refuse(row, cell));
        }
        let before = lengths.len();
        lengths.push(0);
        for element in elements(cell) {
            items.append_option((element != "null").then_some(element));
            lengths[before] += 1;
        }
        valid.push(true);
    }
    let field = Arc::new(Field::new("item", DataType::Utf8, true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    ListArray::try_new(field, offsets, Arc::new(items.finish()), Some(NullBuffer::from(valid)))
        .map_err(|_| CastError::Type { found: "text".to_owned(), remedy: "" })
}
