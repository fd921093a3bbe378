//! Between Arrow's columns and single values: keys and features as the online store and requests have them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Date32Array, FixedSizeListArray, Float32Array,
    Float64Array, Int32Array, Int64Array, ListArray, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use hitherto_core::{Cells, EntityKey, KeyType, KeyValue, Timestamp, Value, ValueType};

use crate::types::{UTC, arrow_type, key_arrow_type, list_item, vector_item};
use crate::{Error, Result};

/// A column whose type has been looked at once; values are then read by row.
#[derive(Clone, Copy, Debug)]
pub struct ColumnReader<'a>(Typed<'a>);

#[derive(Clone, Copy, Debug)]
enum Typed<'a> {
    Bool(&'a BooleanArray),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    String(&'a StringArray),
    Bytes(&'a BinaryArray),
    Timestamp(&'a TimestampMicrosecondArray),
    Date(&'a Date32Array),
    List(&'a ListArray, &'a ValueType),
    Vector(&'a FixedSizeListArray, &'a Float32Array),
}

impl<'a> ColumnReader<'a> {
    /// Reads `array` as `value_type`, in whose Arrow type it must be.
    pub fn try_new(array: &'a dyn Array, value_type: &'a ValueType) -> Result<Self> {
        let expected = arrow_type(value_type);
        if *array.data_type() != expected {
            return Err(Error::Invalid(format!(
                "could not read a column as {value_type}: it is {}",
                array.data_type()
            )));
        }
        Ok(Self(match value_type {
            ValueType::Bool => Typed::Bool(array.as_boolean()),
            ValueType::Int32 => Typed::Int32(array.as_primitive::<Int32Type>()),
            ValueType::Int64 => Typed::Int64(array.as_primitive::<Int64Type>()),
            ValueType::Float32 => Typed::Float32(array.as_primitive::<Float32Type>()),
            ValueType::Float64 => Typed::Float64(array.as_primitive::<Float64Type>()),
            ValueType::String => Typed::String(array.as_string::<i32>()),
            ValueType::Bytes => Typed::Bytes(array.as_binary::<i32>()),
            ValueType::Timestamp => Typed::Timestamp(array.as_primitive::<TimestampMicrosecondType>()),
            ValueType::Date => Typed::Date(array.as_primitive::<Date32Type>()),
            ValueType::List(item) => Typed::List(array.as_list::<i32>(), item),
            ValueType::Vector(_) => {
                let vectors = array.as_fixed_size_list();
                Typed::Vector(vectors, vectors.values().as_primitive::<Float32Type>())
            }
        }))
    }

    /// The value in `row`.
    pub fn value(&self, row: usize) -> Value {
        if self.as_array().is_null(row) {
            return Value::Null;
        }
        match self.0 {
            Typed::Bool(array) => Value::Bool(array.value(row)),
            Typed::Int32(array) => Value::Int32(array.value(row)),
            Typed::Int64(array) => Value::Int64(array.value(row)),
            Typed::Float32(array) => Value::Float32(array.value(row)),
            Typed::Float64(array) => Value::Float64(array.value(row)),
            Typed::String(array) => Value::String(array.value(row).to_owned()),
            Typed::Bytes(array) => Value::Bytes(array.value(row).to_vec()),
            Typed::Timestamp(array) => Value::Timestamp(Timestamp(array.value(row))),
            Typed::Date(array) => Value::Date(array.value(row)),
            Typed::List(array, item) => {
                let offsets = array.value_offsets();
                let items = array.values().slice(offsets[row] as usize, (offsets[row + 1] - offsets[row]) as usize);
                // the type of the whole was checked, so that of its items is right
                let items = ColumnReader::try_new(&items, item).map(|reader| reader.values().collect());
                Value::List(items.unwrap_or_default())
            }
            Typed::Vector(array, numbers) => {
                let (start, length) = (array.value_offset(row) as usize, array.value_length() as usize);
                Value::Vector(numbers.values()[start..start + length].to_vec())
            }
        }
    }

    /// All values, in order.
    pub fn values(&self) -> impl Iterator<Item = Value> {
        (0..self.as_array().len()).map(|row| self.value(row))
    }

    fn as_array(&self) -> &'a dyn Array {
        match self.0 {
            Typed::Bool(array) => array,
            Typed::Int32(array) => array,
            Typed::Int64(array) => array,
            Typed::Float32(array) => array,
            Typed::Float64(array) => array,
            Typed::String(array) => array,
            Typed::Bytes(array) => array,
            Typed::Timestamp(array) => array,
            Typed::Date(array) => array,
            Typed::List(array, _) => array,
            Typed::Vector(array, _) => array,
        }
    }
}

/// One value of a column; [`ColumnReader`] is the way to read many.
pub fn value_at(array: &dyn Array, row: usize, value_type: &ValueType) -> Result<Value> {
    Ok(ColumnReader::try_new(array, value_type)?.value(row))
}

/// A column of `value_type`; a value of another type is refused.
pub fn array_of<'a>(value_type: &ValueType, values: impl IntoIterator<Item = &'a Value>) -> Result<ArrayRef> {
    let values = values.into_iter();
    macro_rules! scalars {
        ($array:ty, $variant:ident) => {
            Arc::new(
                scalars(value_type, values, |value| match value {
                    Value::$variant(scalar) => Some(*scalar),
                    _ => None,
                })?
                .into_iter()
                .collect::<$array>(),
            )
        };
    }
    Ok(match value_type {
        ValueType::Bool => scalars!(BooleanArray, Bool),
        ValueType::Int32 => scalars!(Int32Array, Int32),
        ValueType::Int64 => scalars!(Int64Array, Int64),
        ValueType::Float32 => scalars!(Float32Array, Float32),
        ValueType::Float64 => scalars!(Float64Array, Float64),
        ValueType::Date => scalars!(Date32Array, Date),
        ValueType::Timestamp => {
            let time = |value: &Value| if let Value::Timestamp(time) = value { Some(time.0) } else { None };
            let times = scalars(value_type, values, time)?.into_iter().collect::<TimestampMicrosecondArray>();
            Arc::new(times.with_timezone(UTC))
        }
        ValueType::String => {
            let text = |value: &'a Value| if let Value::String(text) = value { Some(text.as_str()) } else { None };
            let mut builder = StringBuilder::new();
            scalars(value_type, values, text)?.into_iter().for_each(|text| builder.append_option(text));
            Arc::new(builder.finish())
        }
        ValueType::Bytes => {
            let bytes = |value: &'a Value| if let Value::Bytes(bytes) = value { Some(bytes.as_slice()) } else { None };
            let mut builder = BinaryBuilder::new();
            scalars(value_type, values, bytes)?.into_iter().for_each(|bytes| builder.append_option(bytes));
            Arc::new(builder.finish())
        }
        ValueType::List(item) => lists(value_type, item, values)?,
        ValueType::Vector(length) => vectors(value_type, *length as usize, values)?,
    })
}

/// The same of cells, of which those are null that `is_null` says by row.
pub fn array_of_cells(value_type: &ValueType, cells: &Cells, is_null: impl Fn(usize) -> bool) -> Result<ArrayRef> {
    let valid = || {
        let valid: NullBuffer = (0..cells.len()).map(|row| !is_null(row)).collect();
        Some(valid).filter(|valid| valid.null_count() > 0)
    };
    Ok(match (cells, value_type) {
        (Cells::Bools(cells), _) => Arc::new(BooleanArray::new(cells.as_slice().into(), valid())),
        (Cells::Int32s(cells), ValueType::Date) => Arc::new(Date32Array::new(cells.clone().into(), valid())),
        (Cells::Int32s(cells), _) => Arc::new(Int32Array::new(cells.clone().into(), valid())),
        (Cells::Int64s(cells), ValueType::Timestamp) => {
            Arc::new(TimestampMicrosecondArray::new(cells.clone().into(), valid()).with_timezone(UTC))
        }
        (Cells::Int64s(cells), _) => Arc::new(Int64Array::new(cells.clone().into(), valid())),
        (Cells::Float32s(cells), _) => Arc::new(Float32Array::new(cells.clone().into(), valid())),
        (Cells::Float64s(cells), _) => Arc::new(Float64Array::new(cells.clone().into(), valid())),
        (Cells::Values(values), _) => array_of(value_type, values)?,
    })
}

fn scalars<'a, T>(
    value_type: &ValueType,
    values: impl Iterator<Item = &'a Value>,
    scalar: impl Fn(&'a Value) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    let read = |(row, value): (usize, &'a Value)| match value {
        Value::Null => Ok(None),
        value => scalar(value).map(Some).ok_or_else(|| mismatch(row, value, value_type)),
    };
    values.enumerate().map(read).collect()
}

fn lists<'a>(value_type: &ValueType, item: &ValueType, values: impl Iterator<Item = &'a Value>) -> Result<ArrayRef> {
    let list = |value: &'a Value| if let Value::List(items) = value { Some(items.as_slice()) } else { None };
    let lists = scalars(value_type, values, list)?;
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(|items| items.map_or(0, <[Value]>::len)));
    let valid: NullBuffer = lists.iter().map(Option::is_some).collect();
    let items = array_of(item, lists.into_iter().flatten().flatten())?;
    let array = ListArray::try_new(list_item(item), offsets, items, Some(valid).filter(|valid| valid.null_count() > 0));
    Ok(Arc::new(array.map_err(|error| Error::arrow(format!("make a column of {value_type}"), error))?))
}

fn vectors<'a>(value_type: &ValueType, length: usize, values: impl Iterator<Item = &'a Value>) -> Result<ArrayRef> {
    let vector = |value: &'a Value| match value {
        Value::Vector(numbers) if numbers.len() == length => Some(numbers.as_slice()),
        _ => None,
    };
    let vectors = scalars(value_type, values, vector)?;
    let valid: NullBuffer = vectors.iter().map(Option::is_some).collect();
    let mut numbers = Vec::with_capacity(vectors.len() * length);
    for vector in vectors {
        match vector {
            Some(vector) => numbers.extend_from_slice(vector),
            None => numbers.resize(numbers.len() + length, 0.0),
        }
    }
    let valid = Some(valid).filter(|valid| valid.null_count() > 0);
    let array = FixedSizeListArray::try_new(vector_item(), length as i32, Arc::new(Float32Array::from(numbers)), valid);
    Ok(Arc::new(array.map_err(|error| Error::arrow(format!("make a column of {value_type}"), error))?))
}

/// The key columns of a batch, in the canonical order.
#[derive(Clone, Debug)]
pub struct KeyReader<'a>(Vec<KeyColumn<'a>>);

#[derive(Clone, Copy, Debug)]
enum KeyColumn<'a> {
    Bool(&'a BooleanArray),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    String(&'a StringArray),
    Bytes(&'a BinaryArray),
    Timestamp(&'a TimestampMicrosecondArray),
}

impl<'a> KeyReader<'a> {
    /// Reads `columns` as keys of `types`, in whose Arrow types they must be.
    pub fn try_new(columns: &'a [ArrayRef], types: &[KeyType]) -> Result<Self> {
        if columns.len() != types.len() {
            return Err(Error::Invalid(format!(
                "a key of {} parts needs as many columns, not {}",
                types.len(),
                columns.len()
            )));
        }
        let read = |(column, key_type): (&'a ArrayRef, &KeyType)| {
            if *column.data_type() != key_arrow_type(*key_type) {
                let found = column.data_type();
                return Err(Error::Invalid(format!("could not read a key column as {key_type}: it is {found}")));
            }
            Ok(match key_type {
                KeyType::Bool => KeyColumn::Bool(column.as_boolean()),
                KeyType::Int32 => KeyColumn::Int32(column.as_primitive::<Int32Type>()),
                KeyType::Int64 => KeyColumn::Int64(column.as_primitive::<Int64Type>()),
                KeyType::String => KeyColumn::String(column.as_string::<i32>()),
                KeyType::Bytes => KeyColumn::Bytes(column.as_binary::<i32>()),
                KeyType::Timestamp => KeyColumn::Timestamp(column.as_primitive::<TimestampMicrosecondType>()),
            })
        };
        Ok(Self(columns.iter().zip(types).map(read).collect::<Result<_>>()?))
    }

    /// The entity key in `row`; `None` where any part is null.
    pub fn key(&self, row: usize) -> Option<EntityKey> {
        self.0.iter().map(|column| column.part(row)).collect::<Option<Vec<_>>>().map(EntityKey)
    }

    /// Whether the key in `row` is `key` but for parts that are null: some part is, some is not, and those are `key`'s. Such
    /// a row is of no entity.
    pub fn is_but_for_nulls(&self, row: usize, key: &EntityKey) -> bool {
        let (mut nulls, mut same) = (0, 0);
        for (column, wanted) in self.0.iter().zip(&key.0) {
            match column.part(row) {
                None => nulls += 1,
                Some(part) if part == *wanted => same += 1,
                Some(_) => return false,
            }
        }
        nulls > 0 && same > 0
    }
}

impl KeyColumn<'_> {
    fn part(&self, row: usize) -> Option<KeyValue> {
        match self {
            Self::Bool(array) => array.is_valid(row).then(|| KeyValue::Bool(array.value(row))),
            Self::Int32(array) => array.is_valid(row).then(|| KeyValue::Int(i64::from(array.value(row)))),
            Self::Int64(array) => array.is_valid(row).then(|| KeyValue::Int(array.value(row))),
            Self::String(array) => array.is_valid(row).then(|| KeyValue::String(array.value(row).to_owned())),
            Self::Bytes(array) => array.is_valid(row).then(|| KeyValue::Bytes(array.value(row).to_vec())),
            Self::Timestamp(array) => array.is_valid(row).then(|| KeyValue::Timestamp(Timestamp(array.value(row)))),
        }
    }
}

/// One entity key; [`KeyReader`] is the way to read many. `None` where any part is null.
pub fn key_at(columns: &[ArrayRef], types: &[KeyType], row: usize) -> Result<Option<EntityKey>> {
    Ok(KeyReader::try_new(columns, types)?.key(row))
}

/// A key column; a part of another type, or an integer that does not fit, is refused.
pub fn key_array<'a>(key_type: KeyType, parts: impl IntoIterator<Item = Option<&'a KeyValue>>) -> Result<ArrayRef> {
    let value = |(row, part): (usize, Option<&KeyValue>)| {
        let misfit = |part: &str| Error::Invalid(format!("the key in row {row} is {part}, not {key_type}"));
        Ok(match (part, key_type) {
            (None, _) => Value::Null,
            (Some(KeyValue::Bool(part)), KeyType::Bool) => Value::Bool(*part),
            (Some(KeyValue::Int(part)), KeyType::Int64) => Value::Int64(*part),
            (Some(KeyValue::Int(part)), KeyType::Int32) => {
                Value::Int32(i32::try_from(*part).map_err(|_| misfit(&part.to_string()))?)
            }
            (Some(KeyValue::String(part)), KeyType::String) => Value::String(part.clone()),
            (Some(KeyValue::Bytes(part)), KeyType::Bytes) => Value::Bytes(part.clone()),
            (Some(KeyValue::Timestamp(part)), KeyType::Timestamp) => Value::Timestamp(*part),
            (Some(part), _) => return Err(misfit(key_word(part))),
        })
    };
    let values = parts.into_iter().enumerate().map(value).collect::<Result<Vec<_>>>()?;
    array_of(&key_type.value_type(), &values)
}

fn key_word(part: &KeyValue) -> &'static str {
    match part {
        KeyValue::Bool(_) => "a bool",
        KeyValue::Int(_) => "an integer",
        KeyValue::String(_) => "a string",
        KeyValue::Bytes(_) => "bytes",
        KeyValue::Timestamp(_) => "a timestamp",
    }
}

fn mismatch(row: usize, value: &Value, value_type: &ValueType) -> Error {
    let word = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a bool".to_owned(),
        Value::Int32(_) => "an int32".to_owned(),
        Value::Int64(_) => "an int64".to_owned(),
        Value::Float32(_) => "a float32".to_owned(),
        Value::Float64(_) => "a float64".to_owned(),
        Value::String(_) => "a string".to_owned(),
        Value::Bytes(_) => "bytes".to_owned(),
        Value::Timestamp(_) => "a timestamp".to_owned(),
        Value::Date(_) => "a date".to_owned(),
        Value::List(_) => "a list".to_owned(),
        Value::Vector(numbers) => format!("a vector of {}", numbers.len()),
    };
    Error::Invalid(format!("the value in row {row} is {word}, not {value_type}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(value_type: &str, values: Vec<Value>) {
        let value_type: ValueType = value_type.parse().expect("a type");
        let array = array_of(&value_type, &values).expect("values of the type");
        assert_eq!(*array.data_type(), arrow_type(&value_type), "{value_type}");
        let reader = ColumnReader::try_new(&array, &value_type).expect("a column of the type");
        assert_eq!(reader.values().collect::<Vec<_>>(), values, "{value_type}");
        let tail = array.slice(1, values.len() - 1);
        assert_eq!(value_at(&tail, 0, &value_type).expect("a value"), values[1], "{value_type}, sliced");
    }

    #[test]
    fn every_type_comes_back() {
        use Value as V;
        round_trip("bool", vec![V::Bool(true), V::Null, V::Bool(false)]);
        round_trip("int32", vec![V::Int32(i32::MIN), V::Int32(7), V::Null]);
        round_trip("int64", vec![V::Null, V::Int64(i64::MAX)]);
        round_trip("float32", vec![V::Float32(-0.5), V::Null]);
        round_trip("float64", vec![V::Float64(1e300), V::Float64(f64::INFINITY)]);
        round_trip("string", vec![V::String(String::new()), V::String("ünd".into()), V::Null]);
        round_trip("bytes", vec![V::Bytes(vec![0, 255]), V::Null, V::Bytes(vec![])]);
        round_trip("timestamp", vec![V::Timestamp(Timestamp(-1)), V::Timestamp(Timestamp::MAX), V::Null]);
        round_trip("date", vec![V::Date(-1), V::Date(19_000)]);
        let list = |items: &[i64]| V::List(items.iter().map(|item| V::Int64(*item)).chain([V::Null]).collect());
        round_trip("list<int64>", vec![list(&[1, 2]), V::List(vec![]), V::Null, list(&[3])]);
        round_trip("list<string>", vec![V::List(vec![V::String("a".into())]), V::Null]);
        round_trip("vector<float32, 2>", vec![V::Vector(vec![1.0, 2.0]), V::Null, V::Vector(vec![3.0, 4.0])]);
    }

    #[test]
    fn cells_make_the_arrays_that_their_values_make() {
        for (value_type, cells) in [
            (ValueType::Bool, Cells::Bools(vec![true, false])),
            (ValueType::Int32, Cells::Int32s(vec![-7, 0])),
            (ValueType::Date, Cells::Int32s(vec![19_000, 0])),
            (ValueType::Int64, Cells::Int64s(vec![i64::MIN, 0])),
            (ValueType::Timestamp, Cells::Int64s(vec![1, 0])),
            (ValueType::Float32, Cells::Float32s(vec![0.5, 0.0])),
            (ValueType::Float64, Cells::Float64s(vec![f64::INFINITY, 0.0])),
            (ValueType::String, Cells::Values(vec![Value::String("a".into()), Value::Null])),
        ] {
            let is_null = |row| row == 1;
            let values = cells.to_values(&value_type, is_null);
            assert_eq!(values[1], Value::Null, "{value_type}");
            let array = array_of_cells(&value_type, &cells, is_null).expect("cells of the type");
            assert_eq!(&array, &array_of(&value_type, &values).expect("values of the type"), "{value_type}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        let message = |value_type: &str, values: &[Value]| {
            let value_type = value_type.parse().expect("a type");
            array_of(&value_type, values).expect_err("a wrong value").to_string()
        };
        assert_eq!(message("int64", &[Value::Null, Value::Int32(1)]), "the value in row 1 is an int32, not int64");
        assert_eq!(
            message("vector<float32, 2>", &[Value::Vector(vec![1.0])]),
            "the value in row 0 is a vector of 1, not vector<float32, 2>"
        );
        assert_eq!(
            message("list<bool>", &[Value::List(vec![Value::Date(1)])]),
            "the value in row 0 is a date, not bool"
        );
        let array = Int32Array::from(vec![1]);
        let error = value_at(&array, 0, &ValueType::Int64).expect_err("another type");
        assert_eq!(error.to_string(), "could not read a column as int64: it is Int32");
    }

    #[test]
    fn keys_come_back_and_a_null_part_makes_none() {
        let types = [KeyType::Int32, KeyType::String];
        let ints = [Some(KeyValue::Int(1)), Some(KeyValue::Int(-5)), None];
        let texts = [Some(KeyValue::String("a".into())), None, Some(KeyValue::String("c".into()))];
        let columns = [
            key_array(KeyType::Int32, ints.iter().map(Option::as_ref)).expect("integers"),
            key_array(KeyType::String, texts.iter().map(Option::as_ref)).expect("texts"),
        ];
        let keys = KeyReader::try_new(&columns, &types).expect("keys");
        assert_eq!(keys.key(0), Some(EntityKey(vec![KeyValue::Int(1), KeyValue::String("a".into())])));
        assert_eq!((keys.key(1), keys.key(2)), (None, None));
        let moment = KeyValue::Timestamp(Timestamp(5));
        let columns = [key_array(KeyType::Timestamp, [Some(&moment)]).expect("times")];
        assert_eq!(key_at(&columns, &[KeyType::Timestamp], 0).expect("a key"), Some(EntityKey(vec![moment])));
        let wide = KeyValue::Int(1 << 40);
        let error = key_array(KeyType::Int32, [Some(&wide)]).expect_err("too wide");
        assert_eq!(error.to_string(), "the key in row 0 is 1099511627776, not int32");
        let error = key_array(KeyType::Bool, [Some(&wide)]).expect_err("another type");
        assert_eq!(error.to_string(), "the key in row 0 is an integer, not bool");
    }
}
