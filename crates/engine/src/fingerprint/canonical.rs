//! Rows as bytes that depend on columns' names, types and values, and on no library's layout of them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Schema, TimeUnit};

use crate::{Error, Result};

/// Writes the value in a row of one column.
type Put = Box<dyn Fn(usize, &mut Vec<u8>) + Send>;

/// What rows of one schema begin with, a whole number of blocks of 64 bytes, so that a hash that has taken it can be copied
/// for each row.
///
/// `hitherto rows 1`, a line feed; the number of columns; per column its name and its type, each as a text; zeros up to a
/// multiple of 64 bytes. Numbers are 4 bytes, a text is its length as a number and then its UTF-8; all integers of this
/// file are little-endian.
pub(super) fn heading(schema: &Schema) -> Result<Vec<u8>> {
    let mut bytes = b"hitherto rows 1\n".to_vec();
    put_count(schema.fields().len(), &mut bytes);
    for field in schema.fields() {
        put_text(field.name().as_bytes(), &mut bytes);
        let written = type_text(field.data_type()).ok_or_else(|| {
            Error::Invalid(format!("column '{}' is {}: no Parquet file can hold it", field.name(), field.data_type()))
        })?;
        put_text(written.as_bytes(), &mut bytes);
    }
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    Ok(bytes)
}

/// The columns of a batch, ready to be written row by row. A row is its values one after the other:
///
/// - a null is the byte 0; every other value is the byte 1 and then
/// - bool: a byte, 0 or 1;
/// - integers, times, dates, decimals: the value in the width of its type, 1 to 32 bytes;
/// - floats: their IEEE 754 bits, every NaN as the quiet one without sign and payload;
/// - texts and bytes, of any layout: the number of bytes in 4 bytes, then they;
/// - lists, of any layout: the number of items in 4 bytes, then each as a value; maps are lists of entries;
/// - structs: each field as a value;
/// - dictionaries and runs: what they stand for.
pub(super) struct Columns(Vec<Put>);

impl Columns {
    pub(super) fn new(columns: &[ArrayRef]) -> Result<Self> {
        columns.iter().map(column).collect::<Result<_>>().map(Self)
    }

    /// Adds row `row` to `bytes`.
    pub(super) fn put(&self, row: usize, bytes: &mut Vec<u8>) {
        for put in &self.0 {
            put(row, bytes);
        }
    }
}

/// A type as the heading has it: what a value is, not how Arrow lays it out. None where there is no such text.
fn type_text(data_type: &DataType) -> Option<String> {
    Some(match data_type {
        DataType::Null => "null".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytes".to_owned()
        }
        DataType::Float16 => "float16".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Date32 => "date32".to_owned(),
        DataType::Date64 => "date64".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time<{}>", unit_text(*unit)),
        DataType::Duration(unit) => format!("duration<{}>", unit_text(*unit)),
        DataType::Timestamp(unit, None) => format!("timestamp<{}>", unit_text(*unit)),
        DataType::Timestamp(unit, Some(zone)) => format!("timestamp<{}, {zone}>", unit_text(*unit)),
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale) => {
            format!("decimal<{} bytes, {digits}, {scale}>", data_type.primitive_width()?)
        }
        DataType::Dictionary(_, value) => type_text(value)?,
        DataType::RunEndEncoded(_, value) => type_text(value.data_type())?,
        DataType::List(item) | DataType::LargeList(item) => format!("list<{}>", type_text(item.data_type())?),
        DataType::FixedSizeList(item, length) => format!("list<{}, {length}>", type_text(item.data_type())?),
        DataType::Map(entry, _) => format!("map<{}>", type_text(entry.data_type())?),
        DataType::Struct(fields) => {
            let fields =
                fields.iter().map(|field| Some(format!("{}: {}", field.name(), type_text(field.data_type())?)));
            format!("struct<{}>", fields.collect::<Option<Vec<_>>>()?.join(", "))
        }
        integer if integer.is_integer() => integer.to_string().to_lowercase(),
        _ => return None,
    })
}

fn unit_text(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

fn put_count(count: usize, bytes: &mut Vec<u8>) {
    // no array of Arrow's that a row's value can be has more
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
}

fn put_text(text: &[u8], bytes: &mut Vec<u8>) {
    put_count(text.len(), bytes);
    bytes.extend_from_slice(text);
}

fn column(array: &ArrayRef) -> Result<Put> {
    let array = Arc::clone(array);
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, bytes| bytes.push(0)),
        DataType::Boolean => {
            let values = array.as_boolean().clone();
            present(&array, move |row, bytes| bytes.push(u8::from(values.value(row))))
        }
        DataType::Utf8 => texts(&array, array.as_string::<i32>().clone(), |values, row| values.value(row).as_bytes()),
        DataType::LargeUtf8 => {
            texts(&array, array.as_string::<i64>().clone(), |values, row| values.value(row).as_bytes())
        }
        DataType::Utf8View => texts(&array, array.as_string_view().clone(), |values, row| values.value(row).as_bytes()),
        DataType::Binary => texts(&array, array.as_binary::<i32>().clone(), |values, row| values.value(row)),
        DataType::LargeBinary => texts(&array, array.as_binary::<i64>().clone(), |values, row| values.value(row)),
        DataType::BinaryView => texts(&array, array.as_binary_view().clone(), |values, row| values.value(row)),
        DataType::FixedSizeBinary(_) => {
            texts(&array, array.as_fixed_size_binary().clone(), |values, row| values.value(row))
        }
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>().clone();
            present(&array, move |row, bytes| {
                let value = values.value(row);
                let bits = if value.is_nan() { 0x7e00 } else { value.to_bits() };
                bytes.extend_from_slice(&bits.to_le_bytes());
            })
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>().clone();
            present(&array, move |row, bytes| {
                let value = values.value(row);
                let bits = if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
                bytes.extend_from_slice(&bits.to_le_bytes());
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().clone();
            present(&array, move |row, bytes| {
                let value = values.value(row);
                let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
                bytes.extend_from_slice(&bits.to_le_bytes());
            })
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                // every row is null, and its keys are about nothing
                return Ok(Box::new(|_, bytes: &mut Vec<u8>| bytes.push(0)));
            }
            let (keys, value) = (dictionary.normalized_keys(), column(dictionary.values())?);
            let nulls = dictionary.keys().nulls().cloned();
            Box::new(
                move |row, bytes| {
                    if is_null(nulls.as_ref(), row) { bytes.push(0) } else { value(keys[row], bytes) }
                },
            )
        }
        DataType::RunEndEncoded(_, value) => {
            let plain = arrow::compute::cast(&array, value.data_type());
            column(&plain.map_err(|source| Error::internal("could not unfold a column", source))?)?
        }
        other if other.is_nested() => nested(&array)?,
        _ => fixed(&array)?,
    })
}

fn is_null(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_some_and(|nulls| nulls.is_null(row))
}

/// 0 for a null; else 1, and what `value` adds.
fn present(array: &ArrayRef, value: impl Fn(usize, &mut Vec<u8>) + Send + 'static) -> Put {
    match array.nulls().cloned() {
        Some(nulls) => Box::new(move |row, bytes| {
            bytes.push(u8::from(nulls.is_valid(row)));
            if nulls.is_valid(row) {
                value(row, bytes);
            }
        }),
        None => Box::new(move |row, bytes| {
            bytes.push(1);
            value(row, bytes);
        }),
    }
}

fn texts<A: Send + 'static>(array: &ArrayRef, values: A, value: impl Fn(&A, usize) -> &[u8] + Send + 'static) -> Put {
    present(array, move |row, bytes| put_text(value(&values, row), bytes))
}

/// Types whose values lie side by side in one buffer.
fn fixed(array: &ArrayRef) -> Result<Put> {
    let unfit = || Error::Invalid(format!("a column is {}: its rows cannot be hashed", array.data_type()));
    let width = array.data_type().primitive_width().ok_or_else(unfit)?;
    let data = array.to_data();
    let values = data.buffers().first().ok_or_else(unfit)?.slice(data.offset() * width);
    Ok(present(array, move |row, bytes| {
        let value = &values[row * width..(row + 1) * width];
        if cfg!(target_endian = "little") { bytes.extend_from_slice(value) } else { bytes.extend(value.iter().rev()) }
    }))
}

fn nested(array: &ArrayRef) -> Result<Put> {
    let unfit = || Error::Invalid(format!("a column is {}: its rows cannot be hashed", array.data_type()));
    Ok(match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (offsets, item) = (list.offsets().clone(), column(list.values())?);
            present(array, move |row, bytes| put_items(offsets[row] as usize..offsets[row + 1] as usize, &item, bytes))
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let (offsets, item) = (list.offsets().clone(), column(list.values())?);
            present(array, move |row, bytes| put_items(offsets[row] as usize..offsets[row + 1] as usize, &item, bytes))
        }
        DataType::FixedSizeList(_, length) => {
            let length = length.unsigned_abs() as usize;
            let item = column(array.as_fixed_size_list().values())?;
            present(array, move |row, bytes| put_items(row * length..(row + 1) * length, &item, bytes))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let (offsets, item) = (map.offsets().clone(), column(&entries)?);
            present(array, move |row, bytes| put_items(offsets[row] as usize..offsets[row + 1] as usize, &item, bytes))
        }
        DataType::Struct(_) => {
            let fields = Columns::new(array.as_struct().columns())?;
            present(array, move |row, bytes| fields.put(row, bytes))
        }
        _ => return Err(unfit()),
    })
}

fn put_items(items: std::ops::Range<usize>, item: &Put, bytes: &mut Vec<u8>) {
    put_count(items.len(), bytes);
    items.for_each(|index| item(index, bytes));
}
