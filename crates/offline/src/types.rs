//! How the types of features and keys are laid out in Arrow: one mapping for files, scans and training sets.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use hitherto_core::{KeyType, ValueType};

/// The zone of every time that we write.
pub const UTC: &str = "UTC";

/// The type of every time that we write: UTC microseconds.
pub fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

/// The Arrow type that holds values of `value_type`.
///
/// Items of a `list<T>` may be null; numbers of a `vector<float32, N>` may not.
pub fn arrow_type(value_type: &ValueType) -> DataType {
    match value_type {
        ValueType::Bool => DataType::Boolean,
        ValueType::Int32 => DataType::Int32,
        ValueType::Int64 => DataType::Int64,
        ValueType::Float32 => DataType::Float32,
        ValueType::Float64 => DataType::Float64,
        ValueType::String => DataType::Utf8,
        ValueType::Bytes => DataType::Binary,
        ValueType::Timestamp => time_type(),
        ValueType::Date => DataType::Date32,
        ValueType::List(item) => DataType::List(list_item(item)),
        ValueType::Vector(length) => DataType::FixedSizeList(vector_item(), length.cast_signed()),
    }
}

/// The Arrow type that holds one part of an entity key.
pub fn key_arrow_type(key_type: KeyType) -> DataType {
    arrow_type(&key_type.value_type())
}

/// An Arrow type as definitions write it, where it is one of theirs; as Arrow writes it, where a user's file has another.
pub fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "bool",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes",
        DataType::Timestamp(..) => "timestamp",
        DataType::Date32 => "date",
        DataType::List(item) => return format!("list<{}>", type_name(item.data_type())),
        DataType::FixedSizeList(item, length) => return format!("vector<{}, {length}>", type_name(item.data_type())),
        DataType::Dictionary(_, values) => return type_name(values),
        other => return other.to_string(),
    };
    name.to_owned()
}

/// The field of a list's items.
pub(crate) fn list_item(item: &ValueType) -> FieldRef {
    Arc::new(Field::new("item", arrow_type(item), true))
}

/// The field of a vector's numbers.
pub(crate) fn vector_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float32, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_layout() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        for (text, expected) in [
            ("bool", DataType::Boolean),
            ("int32", DataType::Int32),
            ("int64", DataType::Int64),
            ("float32", DataType::Float32),
            ("float64", DataType::Float64),
            ("string", DataType::Utf8),
            ("bytes", DataType::Binary),
            ("timestamp", utc.clone()),
            ("date", DataType::Date32),
            ("list<int64>", DataType::new_list(DataType::Int64, true)),
            ("vector<float32, 3>", DataType::new_fixed_size_list(DataType::Float32, 3, false)),
        ] {
            let value_type: ValueType = text.parse().expect("a type");
            assert_eq!(arrow_type(&value_type), expected, "{text}");
            assert_eq!(type_name(&expected), text);
        }
        assert_eq!(key_arrow_type(KeyType::Timestamp), utc);
        assert_eq!(key_arrow_type(KeyType::Bytes), DataType::Binary);
    }
}
