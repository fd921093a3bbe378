//! The values of parameters, as clients send them: of a type of PostgreSQL, as text or binary.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, IntervalMonthDayNanoArray, ListArray, RecordBatch, StringArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalUnit, Schema, TimeUnit};
use arrow_pg::datatypes::into_pg_type;
use bytes::Bytes;
use hitherto_engine::Parameter;
use pgwire::api::Type;
use pgwire::messages::extendedquery::Bind;

use super::failure::{Stop, state};
use super::lists;
use super::times::{DAYS_TO_2000, MICROS_TO_2000};

/// All values of one run together.
const VALUES_BYTES_MAX: usize = 1 << 20;

/// What a parameter takes.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    told: Type,
    /// Whether the query wants a real number, whatever the client sends: no column of reals has to become decimals then.
    is_real: bool,
}

impl Taken {
    /// The number of its type, as clients are told.
    pub(super) fn oid(&self) -> u32 {
        self.told.oid()
    }

    fn array(&self, number: usize, value: Option<&[u8]>, is_binary: bool) -> Result<ArrayRef, Stop> {
        if !self.is_real || self.told != Type::NUMERIC {
            return array(number, &self.told, value, is_binary);
        }
        let number_of = |bytes: &[u8]| -> Option<f64> {
            let text = if is_binary { numeric(bytes)? } else { str::from_utf8(bytes).ok()?.trim().to_owned() };
            text.parse().ok()
        };
        let real = value.map(|bytes| {
            number_of(bytes).ok_or_else(|| {
                let kind = if is_binary { state::INVALID_BINARY } else { state::INVALID_TEXT };
                Stop::refused(kind, format!("the value of ${number} is no {}", self.told.name()))
            })
        });
        Ok(Arc::new(Float64Array::from(vec![real.transpose()?])))
    }
}

/// The types of a query's parameters, as clients are told: what they asked for, or else what the query says.
pub(super) fn types(parameters: &[Parameter], asked: &[u32]) -> Result<Vec<Taken>, Stop> {
    if let Some(named) = parameters.iter().find(|parameter| parameter.name.parse::<usize>().is_err()) {
        let message =
            format!("the parameter {named} has a name, which PostgreSQL's protocol cannot send: write $1, $2");
        return Err(Stop::refused(state::NOT_SUPPORTED, message));
    }
    let told = |(place, parameter): (usize, &Parameter)| match asked.get(place) {
        Some(0) | None => Ok(into_pg_type(&parameter.declared()).unwrap_or(Type::TEXT)),
        Some(oid) => Type::from_oid(*oid).ok_or_else(|| {
            let message = format!("there is no type with the oid {oid}, which {parameter} is said to have");
            Stop::refused(state::UNDEFINED_OBJECT, message)
        }),
    };
    let of = |(place, parameter): (usize, &Parameter)| -> Result<Taken, Stop> {
        let is_real = parameter.data_type.as_ref().is_some_and(DataType::is_floating);
        Ok(Taken { told: told((place, parameter))?, is_real })
    };
    parameters.iter().enumerate().map(of).collect()
}

/// A row of nulls of these types.
pub(super) fn nulls(types: &[Taken]) -> Result<RecordBatch, Stop> {
    let arrays = types.iter().enumerate().map(|(place, taken)| taken.array(place + 1, None, false));
    one_row(arrays.collect::<Result<_, Stop>>()?)
}

/// The values as one row.
pub(super) fn row(types: &[Taken], bind: &Bind) -> Result<RecordBatch, Stop> {
    let (values, formats) = (&bind.parameters, &bind.parameter_format_codes);
    let wrong = |message: String| Err(Stop::refused(state::PROTOCOL_VIOLATION, message));
    if values.len() != types.len() {
        return wrong(format!("the statement has {} parameters, and {} values came", types.len(), values.len()));
    }
    if formats.len() > 1 && formats.len() != values.len() {
        return wrong(format!("{} values came with {} formats", values.len(), formats.len()));
    }
    let bytes: usize = values.iter().flatten().map(Bytes::len).sum();
    if bytes > VALUES_BYTES_MAX {
        let message = "the values have more than 1 MiB: put large values into a view, and ask by their keys";
        return Err(Stop::refused(state::PROGRAM_LIMIT, message));
    }
    let mut arrays = Vec::new();
    for (place, (taken, value)) in types.iter().zip(values).enumerate() {
        let is_binary = formats.get(place).or(formats.first()).is_some_and(|format| *format == 1);
        arrays.push(taken.array(place + 1, value.as_deref(), is_binary)?);
    }
    one_row(arrays)
}

fn one_row(arrays: Vec<ArrayRef>) -> Result<RecordBatch, Stop> {
    let field = |(number, array): (usize, &ArrayRef)| Field::new(format!("${number}"), array.data_type().clone(), true);
    let fields: Vec<Field> = (1..).zip(&arrays).map(field).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options);
    row.map_err(|error| Stop::refused(state::INTERNAL, format!("could not put the values together: {error}")))
}

fn array(number: usize, data_type: &Type, value: Option<&[u8]>, is_binary: bool) -> Result<ArrayRef, Stop> {
    if let Some(element) = lists::element(data_type) {
        return list(number, &element, value, is_binary);
    }
    if is_binary && let Some(bytes) = value {
        return binary(data_type, bytes).ok_or_else(|| {
            let message = format!("the binary value of ${number} is no {}", data_type.name());
            Stop::refused(state::INVALID_BINARY, message)
        })?;
    }
    let text = value.map(str::from_utf8).transpose().ok().filter(|text| text.is_none_or(|text| !text.contains('\0')));
    let Some(text) = text else {
        return Err(Stop::refused(state::INVALID_TEXT, format!("the value of ${number} is no text in UTF-8")));
    };
    let refused = |reason: String| {
        let message = format!("the value of ${number} is no {}: {reason}", data_type.name());
        Stop::refused(state::INVALID_TEXT, message)
    };
    if *data_type == Type::BYTEA {
        let bytes = text.map(bytea).transpose().map_err(refused)?;
        return Ok(Arc::new(BinaryArray::from_opt_vec(vec![bytes.as_deref()])));
    }
    let text = match *data_type {
        Type::NUMERIC => text.map(|text| expanded(text.trim())),
        // of a date with a time or a zone the day counts, as PostgreSQL has it
        Type::DATE => text.map(|text| Cow::Borrowed(if text.ends_with("BC") { text } else { first_word(text) })),
        _ => text.map(Cow::Borrowed),
    };
    let text = text.as_deref();
    let texts = StringArray::from(vec![text.map(str::trim)]);
    let target = match *data_type {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        Type::NUMERIC => decimal(text.unwrap_or_default()),
        Type::UUID => return Ok(Arc::new(StringArray::from(vec![text.map(str::to_ascii_lowercase)]))),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            return Ok(Arc::new(StringArray::from(vec![text])));
        }
        _ => return Err(unsupported(number, data_type)),
    };
    let strictly = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&texts, &target, &strictly).map_err(|error| refused(error.to_string()))
}

fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// The values of a list as one.
fn list(number: usize, element: &Type, value: Option<&[u8]>, is_binary: bool) -> Result<ArrayRef, Stop> {
    // of the type of its values, whatever there is of them
    let none = array(number, element, None, false)?;
    let field = Arc::new(Field::new_list_field(none.data_type().clone(), true));
    let Some(bytes) = value else { return Ok(new_null_array(&DataType::List(field), 1)) };
    let (found, kind) = if is_binary {
        (lists::of_binary(bytes), state::INVALID_BINARY)
    } else {
        (str::from_utf8(bytes).ok().and_then(lists::of_text), state::INVALID_TEXT)
    };
    let found = found.ok_or_else(|| {
        let message = format!("the value of ${number} is no list of {} with one dimension", element.name());
        Stop::refused(kind, message)
    })?;
    let mut values = vec![none.slice(0, 0)];
    for value in &found {
        values.push(array(number, element, value.as_deref(), is_binary)?);
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let list = concat(&values)
        .and_then(|values| ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None));
    let list =
        list.map_err(|error| Stop::refused(state::INTERNAL, format!("could not put a list together: {error}")))?;
    Ok(Arc::new(list))
}

/// A number without an exponent, where it has one.
fn expanded(text: &str) -> Cow<'_, str> {
    let plain = || -> Option<String> {
        let (mantissa, exponent) = text.split_once(['e', 'E'])?;
        let exponent = exponent.parse::<i32>().ok().filter(|exponent| (-60..=60).contains(exponent))?;
        let digits = mantissa.trim_start_matches(['-', '+']);
        let sign = if mantissa.starts_with('-') { "-" } else { "" };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let Ok(place) = usize::try_from(point) else {
            let zeros = usize::try_from(-point).ok()?;
            return Some(format!("{sign}0.{}{digits}", "0".repeat(zeros)));
        };
        let digits = format!("{digits:0<place$}");
        let (whole, fraction) = digits.split_at_checked(place)?;
        let whole = if whole.is_empty() { "0" } else { whole };
        Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
    };
    plain().map_or(Cow::Borrowed(text), Cow::Owned)
}

/// As many digits after the point as the text has.
fn decimal(text: &str) -> DataType {
    let after = text.split_once('.').map_or(0, |(_, digits)| digits.trim().len());
    DataType::Decimal128(38, i8::try_from(after.min(30)).unwrap_or(30))
}

/// The value in PostgreSQL's binary format; none if it is no such value.
fn binary(data_type: &Type, bytes: &[u8]) -> Option<Result<ArrayRef, Stop>> {
    let array: ArrayRef = match *data_type {
        Type::BOOL => {
            let [value] = bytes else { return None };
            Arc::new(BooleanArray::from(vec![*value != 0]))
        }
        Type::INT2 => Arc::new(Int16Array::from(vec![i16::from_be_bytes(bytes.try_into().ok()?)])),
        Type::INT4 => Arc::new(Int32Array::from(vec![i32::from_be_bytes(bytes.try_into().ok()?)])),
        Type::OID => Arc::new(Int64Array::from(vec![i64::from(u32::from_be_bytes(bytes.try_into().ok()?))])),
        Type::INT8 => Arc::new(Int64Array::from(vec![i64::from_be_bytes(bytes.try_into().ok()?)])),
        Type::FLOAT4 => Arc::new(Float32Array::from(vec![f32::from_be_bytes(bytes.try_into().ok()?)])),
        Type::FLOAT8 => Arc::new(Float64Array::from(vec![f64::from_be_bytes(bytes.try_into().ok()?)])),
        Type::DATE => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?).checked_add(DAYS_TO_2000)?;
            Arc::new(Date32Array::from(vec![days]))
        }
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(MICROS_TO_2000)?;
            let times = TimestampMicrosecondArray::from(vec![micros]);
            Arc::new(if *data_type == Type::TIMESTAMPTZ { times.with_timezone("UTC") } else { times })
        }
        Type::TIME => {
            let micros = i64::from_be_bytes(bytes.try_into().ok()?);
            Arc::new(Time64MicrosecondArray::from(vec![(0..86_400_000_000).contains(&micros).then_some(micros)?]))
        }
        Type::INTERVAL => {
            let (micros, rest) = bytes.split_first_chunk::<8>()?;
            let (days, months) = rest.split_first_chunk::<4>()?;
            let nanos = i64::from_be_bytes(*micros).checked_mul(1_000)?;
            let (days, months) = (i32::from_be_bytes(*days), i32::from_be_bytes(months.try_into().ok()?));
            Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(months, days, nanos)]))
        }
        Type::UUID => {
            let number = u128::from_be_bytes(bytes.try_into().ok()?);
            let digits = format!("{number:032x}");
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            Arc::new(StringArray::from(vec![parts.join("-")]))
        }
        Type::BYTEA => Arc::new(BinaryArray::from(vec![bytes])),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN => {
            let text = str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
            Arc::new(StringArray::from(vec![text]))
        }
        Type::NUMERIC => {
            let text = numeric(bytes)?;
            let strictly = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(&StringArray::from(vec![text.as_str()]), &decimal(&text), &strictly).ok()?
        }
        _ => {
            let message = format!("values of the type {} are not taken as binary: send text", data_type.name());
            return Some(Err(Stop::refused(state::NOT_SUPPORTED, message)));
        }
    };
    Some(Ok(array))
}

/// A number in groups of four digits, as text.
fn numeric(bytes: &[u8]) -> Option<String> {
    let mut parts = bytes.chunks_exact(2).map(|part| i16::from_be_bytes([part[0], part[1]]));
    let (count, weight, sign, scale) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let groups: Vec<i16> = parts.collect();
    if count == 0 && groups.is_empty() && bytes.len() == 8 {
        let special = match sign as u16 {
            0xc000 => Some("NaN"),
            0xd000 => Some("Infinity"),
            0xf000 => Some("-Infinity"),
            _ => None,
        };
        if let Some(special) = special {
            return Some(special.to_owned());
        }
    }
    let is_number = matches!(sign as u16, 0 | 0x4000) && bytes.len().is_multiple_of(2);
    let is_small = (-20..=20).contains(&weight) && (0..=40).contains(&scale);
    if !is_number || !is_small || groups.len() != usize::try_from(count).ok()? {
        return None;
    }
    let group = |place: i16| usize::try_from(weight - place).ok().and_then(|at| groups.get(at)).copied().unwrap_or(0);
    let four = |place: i16| format!("{:04}", group(place));
    let whole: Vec<String> = (0..=weight.max(0)).rev().map(four).collect();
    let mut text = format!("{}0{}", if sign == 0 { "" } else { "-" }, whole.concat());
    if scale > 0 {
        let digits: Vec<String> = (1..=(scale + 3) / 4).map(|place| four(-place)).collect();
        text.push('.');
        text.push_str(digits.concat().get(..usize::try_from(scale).ok()?)?);
    }
    Some(text)
}

/// Bytes as text: `\x0aff`, or each as it is but what a backslash begins.
fn bytea(text: &str) -> Result<Vec<u8>, String> {
    let odd = || "write \\x and hexadecimal digits".to_owned();
    if let Some(digits) = text.strip_prefix("\\x") {
        let digits: Option<Vec<u8>> =
            digits.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(odd)?;
        return Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect());
    }
    if text.contains('\\') { Err(odd()) } else { Ok(text.as_bytes().to_vec()) }
}

fn unsupported(number: usize, data_type: &Type) -> Stop {
    let message =
        format!("${number} cannot be a {}: cast it in the query, such as CAST(${number} AS text)", data_type.name());
    Stop::refused(state::NOT_SUPPORTED, message)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Float64Type;
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn said(data_type: Type, value: Option<&[u8]>, is_binary: bool) -> Result<String, &'static str> {
        match array(1, &data_type, value, is_binary) {
            Ok(array) => Ok(array_value_to_string(&array, 0).expect("a text")),
            Err(Stop::Refused(told)) => Err(told.state),
            Err(_) => Err("no refusal"),
        }
    }

    #[test]
    fn text_becomes_a_value_of_its_type() {
        for (data_type, text, value) in [
            (Type::INT4, "-7", Ok("-7")),
            (Type::INT8, "7.5", Err("22P02")),
            (Type::BOOL, "t", Ok("true")),
            (Type::FLOAT8, "1e3", Ok("1000.0")),
            (Type::NUMERIC, "12.340", Ok("12.340")),
            (Type::NUMERIC, "1E-7", Ok("0.0000001")),
            (Type::NUMERIC, "-1.25e1", Ok("-12.5")),
            (Type::NUMERIC, "2E+3", Ok("2000")),
            (Type::NUMERIC, "e5", Err("22P02")),
            (Type::DATE, "2013-01-01 +01", Ok("2013-01-01")),
            (Type::TIME, "12:30:00.5", Ok("12:30:00.500")),
            (Type::UUID, "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11", Ok("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
            (Type::INT4_ARRAY, "{1,NULL,-3}", Ok("[1, , -3]")),
            (Type::TEXT_ARRAY, "{a,\"b, \\\"c\"}", Ok("[a, b, \"c]")),
            (Type::FLOAT8_ARRAY, "{}", Ok("[]")),
            (Type::INT4_ARRAY, "{a}", Err("22P02")),
            (Type::INT4_ARRAY, "{{1}}", Err("22P02")),
            (Type::TIMESTAMPTZ, "2013-01-01 02:00:00+02", Ok("2013-01-01T00:00:00Z")),
            (Type::DATE, "2013-01-01", Ok("2013-01-01")),
            (Type::TEXT, " a ", Ok(" a ")),
            (Type::UNKNOWN, "a", Ok("a")),
            (Type::BYTEA, "\\x0aFF", Ok("0aff")),
            (Type::BYTEA, "\\xf", Err("22P02")),
            (Type::JSON, "{}", Err("0A000")),
        ] {
            assert_eq!(
                said(data_type.clone(), Some(text.as_bytes()), false).as_deref(),
                value.as_deref(),
                "{data_type} {text}"
            );
        }
        assert_eq!(said(Type::INT4, None, false).as_deref(), Ok(""));
        assert_eq!(said(Type::TEXT, Some(b"\xff"), false), Err("22P02"));
    }

    #[test]
    fn binary_becomes_a_value_of_its_type() {
        let micros = 1_000_000_i64.to_be_bytes();
        // 12345.678: groups 1, 2345, 6780
        let number = [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124];
        for (data_type, bytes, value) in [
            (Type::INT2, &[0xff, 0xfe][..], Ok("-2")),
            (Type::INT4, &[0, 0], Err("22P03")),
            (Type::BOOL, &[1], Ok("true")),
            (Type::TIMESTAMPTZ, &micros, Ok("2000-01-01T00:00:01Z")),
            (Type::DATE, &[0, 0, 0, 1], Ok("2000-01-02")),
            (Type::NUMERIC, &number, Ok("12345.678")),
            (Type::NUMERIC, &[0, 0, 0, 0, 0xc0, 0, 0, 0], Err("22P03")),
            (Type::TIME, &micros, Ok("00:00:01")),
            (Type::UUID, &[0x0a; 16], Ok("0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a")),
            (Type::UUID, &[0x0a; 15], Err("22P03")),
            (Type::TEXT, b"a", Ok("a")),
            (Type::JSONB, b"{}", Err("0A000")),
        ] {
            assert_eq!(
                said(data_type.clone(), Some(bytes), true).as_deref(),
                value.as_deref(),
                "{data_type} {bytes:?}"
            );
        }
        let list =
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(said(Type::INT2_ARRAY, Some(&list), true).as_deref(), Ok("[7, ]"));
        assert_eq!(said(Type::INT2_ARRAY, Some(&list[..29]), true), Err("22P03"));
        assert_eq!(said(Type::INT2_ARRAY, Some(&[0; 12]), true).as_deref(), Ok("[]"));
        assert_eq!(numeric(&[0, 1, 0xff, 0xff, 0x40, 0, 0, 2, 9, 196]).as_deref(), Some("-00000.25"));
    }

    #[test]
    fn a_decimal_is_a_real_number_where_the_query_wants_one() {
        let real = Taken { told: Type::NUMERIC, is_real: true };
        let said = |value: Option<&[u8]>, is_binary| {
            let array = real.array(1, value, is_binary).ok()?;
            let reals = array.as_primitive::<Float64Type>();
            Some(reals.is_valid(0).then(|| reals.value(0).to_string()))
        };
        assert_eq!(said(Some(b"1E-7"), false), Some(Some("0.0000001".to_owned())));
        assert_eq!(said(Some(&[0, 1, 0xff, 0xff, 0x40, 0, 0, 2, 9, 196]), true), Some(Some("-0.25".to_owned())));
        assert_eq!(said(Some(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), true), Some(Some("NaN".to_owned())));
        assert_eq!(said(None, true), Some(None));
        assert_eq!(said(Some(b"many"), false), None);
    }
}
