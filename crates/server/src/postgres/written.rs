//! Single values as PostgreSQL writes them, where what is written of Arrow's by others is not what its clients read.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::util::display::array_value_to_string;
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};

use super::failure::{Stop, state};
use super::lists;
use super::times::Time;

/// A value, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    Text(String),
    Binary(Vec<u8>),
}

/// The value in this row, which is not null; none if its type is written by others.
pub(super) fn written(array: &ArrayRef, row: usize, field: &FieldInfo) -> Result<Option<Written>, Stop> {
    let is_binary = field.format() == FieldFormat::Binary;
    // its digits are a text already
    if *field.datatype() == Type::NUMERIC && *array.data_type() == DataType::Utf8 {
        let digits = array.as_string::<i32>().value(row);
        return Ok(Some(if is_binary { Written::Binary(numeric(digits)?) } else { Written::Text(digits.to_owned()) }));
    }
    if let Some(time) = time(array, row, field.name())? {
        return Ok(match zone(array.data_type()) {
            _ if is_binary => Some(Written::Binary(time.binary(*array.data_type() == DataType::Date32))),
            Some(zone) => Some(Written::Text(time.text(zone))),
            // in another zone than UTC
            None => None,
        });
    }
    let is_exact = field.format_options().extra_float_digits >= 1;
    let values = match array.data_type() {
        DataType::Float32 | DataType::Float64 if !is_binary && is_exact => {
            return Ok(real(array, row).map(Written::Text));
        }
        DataType::List(_) => array.as_list::<i32>().value(row),
        DataType::LargeList(_) => array.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().value(row),
        _ => return Ok(None),
    };
    if is_binary {
        // written by others, who make a null of a time that they do not know
        for place in (0..values.len()).filter(|place| values.is_valid(*place)) {
            time(&values, place, field.name())?;
        }
        return Ok(None);
    }
    if !is_exact && values.data_type().is_floating() {
        return Ok(None);
    }
    let texts: Result<Vec<_>, Stop> = (0..values.len()).map(|place| of_list(&values, place, field.name())).collect();
    Ok(Some(Written::Text(lists::text(texts?.into_iter()))))
}

fn of_list(values: &ArrayRef, place: usize, column: &str) -> Result<Option<String>, Stop> {
    if values.is_null(place) {
        return Ok(None);
    }
    if let Some(time) = time(values, place, column)? {
        // of another zone than UTC it is the same moment
        return Ok(Some(time.text(zone(values.data_type()).unwrap_or("+00"))));
    }
    if let Some(real) = real(values, place) {
        return Ok(Some(real));
    }
    if *values.data_type() == DataType::Boolean {
        return Ok(Some(if values.as_boolean().value(place) { "t" } else { "f" }.to_owned()));
    }
    let text = array_value_to_string(values, place).map_err(|error| {
        Stop::refused(state::DATA_EXCEPTION, format!("could not write a list of '{column}': {error}"))
    })?;
    Ok(Some(text))
}

fn out_of_range(column: &str) -> Stop {
    let message = format!(
        "a time of '{column}' is none that PostgreSQL has: its days are of 4714-11-24 BC to 5874897-12-31, its moments to the \
         year 294247; leave such rows out, or cast the column to text"
    );
    Stop::refused(state::DATETIME_OVERFLOW, message)
}

/// The day or moment of this row; none if the type is none of times.
fn time(array: &ArrayRef, row: usize, column: &str) -> Result<Option<Time>, Stop> {
    let time = match array.data_type() {
        DataType::Date32 => Time::of_days(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(unit, _) => {
            let (units, a_second) = match unit {
                TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 1),
                TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000),
                TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000),
                TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000),
            };
            Time::of_units(units, a_second)
        }
        _ => return Ok(None),
    };
    time.map(Some).ok_or_else(|| out_of_range(column))
}

/// What is written after a time of this type; none of zones that are not UTC.
fn zone(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => {
            matches!(zone.as_ref(), "UTC" | "Etc/UTC" | "Z" | "+00:00" | "+00" | "+0000").then_some("+00")
        }
        _ => Some(""),
    }
}

/// A real number as the shortest text that says it exactly.
fn real(array: &ArrayRef, row: usize) -> Option<String> {
    match array.data_type() {
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            Some(shortest(value, &format!("{value}"), &format!("{value:e}"), 15))
        }
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            Some(shortest(f64::from(value), &format!("{value}"), &format!("{value:e}"), 6))
        }
        _ => None,
    }
}

/// Digits as groups of four with the place of the first, a sign, and how many digits are after the point.
fn numeric(digits: &str) -> Result<Vec<u8>, Stop> {
    let odd = || Stop::refused(state::DATA_EXCEPTION, format!("could not write the number {digits}"));
    let (sign, number) = digits.strip_prefix('-').map_or((0_u16, digits), |number| (0x4000, number));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let before = whole.len().div_ceil(4) * 4;
    let after = fraction.len().div_ceil(4) * 4;
    let padded = format!("{whole:0>before$}{fraction:0<after$}");
    let group = |group: &[u8]| str::from_utf8(group).ok().and_then(|group| group.parse::<u16>().ok());
    let groups: Vec<u16> = padded.as_bytes().chunks(4).map(group).collect::<Option<_>>().ok_or_else(odd)?;
    let first = groups.iter().position(|group| *group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|group| *group != 0).map_or(first, |last| last + 1);
    let groups = &groups[first..last];
    let short = |count: usize| i16::try_from(count).map_err(|_| odd());
    let weight = if groups.is_empty() { 0 } else { short(before / 4)? - 1 - short(first)? };
    let sign = if groups.is_empty() { 0 } else { sign };
    let mut bytes = Vec::new();
    bytes.extend(short(groups.len())?.to_be_bytes());
    bytes.extend(weight.to_be_bytes());
    bytes.extend(sign.to_be_bytes());
    bytes.extend(short(fraction.len())?.to_be_bytes());
    bytes.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
    Ok(bytes)
}

/// `plain` or, of a number that is very small or has `digits` digits, `scientific` with two digits of its exponent at least.
fn shortest(value: f64, plain: &str, scientific: &str, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let parts =
        scientific.split_once('e').and_then(|(mantissa, exponent)| Some((mantissa, exponent.parse::<i32>().ok()?)));
    match parts {
        Some((mantissa, exponent)) if !(-4..digits).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_groups_of_four_digits() {
        for (digits, bytes) in [
            ("0", &[0, 0, 0, 0, 0, 0, 0, 0][..]),
            ("0.00", &[0, 0, 0, 0, 0, 0, 0, 2]),
            ("-0.25", &[0, 1, 0xff, 0xff, 0x40, 0, 0, 2, 9, 196]),
            ("12345.678", &[0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124]),
            ("0.0000001", &[0, 1, 0xff, 0xfe, 0, 0, 0, 7, 0, 10]),
            ("100000000", &[0, 1, 0, 2, 0, 0, 0, 0, 0, 1]),
        ] {
            assert_eq!(numeric(digits).expect("a number"), bytes, "{digits}");
        }
        assert!(numeric("many").is_err());
    }

    #[test]
    fn reals_are_written_as_postgresql_writes_them() {
        let double = |value: f64| shortest(value, &format!("{value}"), &format!("{value:e}"), 15);
        for (value, text) in [
            (-33.0, "-33"),
            (0.1, "0.1"),
            (0.0, "0"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (-1.5e300, "-1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(value), text);
        }
    }
}
