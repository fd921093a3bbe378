//! Times: any unit and zone becomes UTC microseconds; what is finer is rounded against the reader.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use hitherto_core::ValueType;

use super::number::checked;
use super::{CastError, CellProblem, Rounding, Rule, plain, refused};
use crate::input::Role;
use crate::types::UTC;

/// Times as UTC microseconds, finer ones rounded up: for the times of feature rows. Nulls stay null.
pub fn convert_time_up(array: &ArrayRef) -> Result<TimestampMicrosecondArray, CastError> {
    convert(&plain(array)?, Rule { role: Role::EventTime, rounding: Rounding::Up })
}

/// Times as UTC microseconds, finer ones rounded down: for the times of spine rows. Nulls stay null.
pub fn convert_time_down(array: &ArrayRef) -> Result<TimestampMicrosecondArray, CastError> {
    convert(&plain(array)?, Rule { role: Role::EventTime, rounding: Rounding::Down })
}

pub(super) fn cast(array: &ArrayRef, rule: Rule) -> Result<ArrayRef, CastError> {
    Ok(Arc::new(convert(array, rule)?))
}

fn convert(array: &ArrayRef, rule: Rule) -> Result<TimestampMicrosecondArray, CastError> {
    let overflow = || CellProblem::TimeOverflow;
    let micros: TimestampMicrosecondArray = match array.data_type() {
        DataType::Null => TimestampMicrosecondArray::new_null(array.len()),
        DataType::Timestamp(TimeUnit::Second, _) => {
            checked(array.as_primitive::<TimestampSecondType>(), |v| v.checked_mul(1_000_000), overflow)?
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            checked(array.as_primitive::<TimestampMillisecondType>(), |v| v.checked_mul(1_000), overflow)?
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => array.as_primitive::<TimestampMicrosecondType>().clone(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let nanos = array.as_primitive::<TimestampNanosecondType>();
            let round = |v: i64| round(v.div_euclid(1_000), v.rem_euclid(1_000) > 0, rule.rounding).ok();
            checked(nanos, round, || CellProblem::TimeTooFine)?
        }
        found => return Err(refused(found, &ValueType::Timestamp, rule.role)),
    };
    Ok(micros.with_timezone(UTC))
}

/// A time in text as UTC microseconds: RFC 3339 or like it, a naive one meaning UTC; `None` if it is no time.
pub(in crate::input) fn parse_time(text: &str, rounding: Rounding) -> Option<Result<i64, CellProblem>> {
    let (text, finer) = cut_fraction(text.trim());
    let text = text.strip_suffix("UTC").map_or(text.clone(), |naive| naive.trim_end().to_owned());
    let micros = parse_micros(&text)?;
    Some(round(micros, finer, rounding))
}

/// Whether text is a date without a time.
pub(in crate::input) fn is_date(text: &str) -> bool {
    text.trim().len() == 10 && NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").is_ok()
}

fn round(micros: i64, finer: bool, rounding: Rounding) -> Result<i64, CellProblem> {
    match (finer, rounding) {
        (false, _) | (true, Rounding::Down) => Ok(micros),
        (true, Rounding::Up) => micros.checked_add(1).ok_or(CellProblem::TimeOverflow),
        (true, Rounding::Exact) => Err(CellProblem::TimeTooFine),
    }
}

/// The text with at most six digits after the point, and whether the digits cut off were more than zeros.
///
/// Parsers drop what is finer than they hold without a word, which would make a time too early.
fn cut_fraction(text: &str) -> (String, bool) {
    let Some(point) = text.find('.') else { return (text.to_owned(), false) };
    let (whole, fraction) = text.split_at(point + 1);
    let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
    let (digits, zone) = fraction.split_at(end);
    let (kept, cut) = digits.split_at(digits.len().min(6));
    (format!("{whole}{kept}{zone}"), cut.bytes().any(|digit| digit != b'0'))
}

fn parse_micros(text: &str) -> Option<i64> {
    // a date comes first in every form, and no year has fewer digits than four
    if text.len() < 16 || !text.is_char_boundary(10) {
        return None;
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let (date, time) = text.split_at(10);
    let text = format!("{date}T{}", time.strip_prefix(['T', 't', ' '])?);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(&text, format) {
            return Some(time.and_utc().timestamp_micros());
        }
    }
    ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z"]
        .iter()
        .find_map(|format| DateTime::parse_from_str(&text, format).ok())
        .map(|time| time.timestamp_micros())
}
