//! From values to bytes.

use bytes::Bytes;
use hitherto_core::{Value, ValueType};

use super::{EncodingError, FORMAT, width};

/// Packs one value per column.
pub fn encode(columns: &[ValueType], values: &[Value]) -> Result<Bytes, EncodingError> {
    if columns.len() != values.len() {
        return Err(EncodingError::Count { columns: columns.len(), values: values.len() });
    }
    let stored = u16::try_from(columns.len()).map_err(|_| EncodingError::TooLarge("65,535 columns"))?;
    let mut nulls = vec![0; columns.len().div_ceil(8)];
    let (mut fixed, mut ends, mut variable) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        let mismatch = |found| EncodingError::Type { column: index, expected: column.clone(), found };
        if matches!(value, Value::Null) {
            nulls[index / 8] |= 1 << (index % 8);
        }
        if let Some(width) = width(column) {
            push_fixed(&mut fixed, column, width, value).map_err(mismatch)?;
        } else {
            push_variable(&mut variable, column, value).map_err(mismatch)?;
            ends.extend(length(variable.len())?.to_le_bytes());
        }
    }
    let mut out = Vec::with_capacity(9 + nulls.len() + fixed.len() + ends.len() + variable.len());
    out.push(FORMAT);
    out.extend(stored.to_le_bytes());
    // no more than the columns, so it fits
    out.extend(((ends.len() / 4) as u16).to_le_bytes());
    out.extend(length(fixed.len())?.to_le_bytes());
    for region in [nulls, fixed, ends, variable] {
        out.extend(region);
    }
    Ok(out.into())
}

/// Appends exactly `width` bytes: the value, or zeros for null.
fn push_fixed(out: &mut Vec<u8>, column: &ValueType, width: usize, value: &Value) -> Result<(), &'static str> {
    match (column, value) {
        (_, Value::Null) => out.resize(out.len() + width, 0),
        (ValueType::Bool, Value::Bool(value)) => out.push(u8::from(*value)),
        (ValueType::Int32, Value::Int32(value)) | (ValueType::Date, Value::Date(value)) => {
            out.extend(value.to_le_bytes());
        }
        (ValueType::Int64, Value::Int64(value)) => out.extend(value.to_le_bytes()),
        (ValueType::Timestamp, Value::Timestamp(value)) => out.extend(value.0.to_le_bytes()),
        (ValueType::Float32, Value::Float32(value)) => out.extend(value.to_le_bytes()),
        (ValueType::Float64, Value::Float64(value)) => out.extend(value.to_le_bytes()),
        (_, other) => return Err(name(other)),
    }
    Ok(())
}

/// Appends the value's bytes; nothing for null.
fn push_variable(out: &mut Vec<u8>, column: &ValueType, value: &Value) -> Result<(), &'static str> {
    match (column, value) {
        (_, Value::Null) => {}
        (ValueType::String, Value::String(value)) => out.extend(value.as_bytes()),
        (ValueType::Bytes, Value::Bytes(value)) => out.extend(value),
        (ValueType::Vector(expected), Value::Vector(value)) => {
            if value.len() != *expected as usize {
                return Err("vector of another length");
            }
            out.extend(value.iter().flat_map(|number| number.to_le_bytes()));
        }
        (ValueType::List(item), Value::List(values)) => push_list(out, item, values)?,
        (_, other) => return Err(name(other)),
    }
    Ok(())
}

fn push_list(out: &mut Vec<u8>, item: &ValueType, values: &[Value]) -> Result<(), &'static str> {
    const TOO_LONG: &str = "list of more than 4 GiB";
    out.extend(u32::try_from(values.len()).map_err(|_| TOO_LONG)?.to_le_bytes());
    let mut nulls = vec![0; values.len().div_ceil(8)];
    for (index, _) in values.iter().enumerate().filter(|(_, value)| matches!(value, Value::Null)) {
        nulls[index / 8] |= 1 << (index % 8);
    }
    out.extend(nulls);
    if let Some(width) = width(item) {
        return values.iter().try_for_each(|value| push_fixed(out, item, width, value));
    }
    if matches!(item, ValueType::List(_) | ValueType::Vector(_)) {
        return Err("list of lists");
    }
    let mut texts = Vec::new();
    for value in values {
        push_variable(&mut texts, item, value)?;
        out.extend(u32::try_from(texts.len()).map_err(|_| TOO_LONG)?.to_le_bytes());
    }
    out.extend(texts);
    Ok(())
}

fn length(bytes: usize) -> Result<u32, EncodingError> {
    u32::try_from(bytes).map_err(|_| EncodingError::TooLarge("4 GiB"))
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int32(_) => "int32",
        Value::Int64(_) => "int64",
        Value::Float32(_) => "float32",
        Value::Float64(_) => "float64",
        Value::String(_) => "string",
        Value::Bytes(_) => "bytes",
        Value::Timestamp(_) => "timestamp",
        Value::Date(_) => "date",
        Value::List(_) => "list",
        Value::Vector(_) => "vector",
    }
}
