//! Types and values of features and of entity keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The type of a feature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ValueType {
    /// True or false.
    Bool,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, signed.
    Int64,
    /// IEEE 754, 32 bits.
    Float32,
    /// IEEE 754, 64 bits.
    Float64,
    /// UTF-8 text.
    String,
    /// Any bytes.
    Bytes,
    /// UTC microseconds.
    Timestamp,
    /// Days since 1970-01-01.
    Date,
    /// A list of scalars of one type, nulls allowed.
    List(Box<ValueType>),
    /// Exactly N numbers of 32 bits, none of them null: `vector<float32, N>`.
    Vector(u32),
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Date => f.write_str("date"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Vector(length) => write!(f, "vector<float32, {length}>"),
        }
    }
}

const SCALARS: [(&str, ValueType); 9] = [
    ("bool", ValueType::Bool),
    ("int32", ValueType::Int32),
    ("int64", ValueType::Int64),
    ("float32", ValueType::Float32),
    ("float64", ValueType::Float64),
    ("string", ValueType::String),
    ("bytes", ValueType::Bytes),
    ("timestamp", ValueType::Timestamp),
    ("date", ValueType::Date),
];

impl FromStr for ValueType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let unknown = || TypeError::Unknown(text.to_owned());
        let scalar = |text: &str| SCALARS.iter().find(|(name, _)| *name == text).map(|(_, scalar)| scalar.clone());
        let text = text.trim();
        if let Some(found) = scalar(text) {
            return Ok(found);
        }
        let inner = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>')).map(str::trim);
        if let Some(item) = inner("list<") {
            return scalar(item).map(|item| Self::List(Box::new(item))).ok_or_else(unknown);
        }
        let (item, length) = inner("vector<").and_then(|inner| inner.split_once(',')).ok_or_else(unknown)?;
        if item.trim() != "float32" {
            return Err(unknown());
        }
        match length.trim().parse() {
            Ok(length) if (1..=65_536).contains(&length) => Ok(Self::Vector(length)),
            _ => Err(unknown()),
        }
    }
}

impl TryFrom<String> for ValueType {
    type Error = TypeError;

    fn try_from(text: String) -> Result<Self, TypeError> {
        text.parse()
    }
}

impl From<ValueType> for String {
    fn from(value_type: ValueType) -> Self {
        value_type.to_string()
    }
}

/// The type of one part of an entity key. Floats have no equality that a key could rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// True or false.
    Bool,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, signed.
    Int64,
    /// UTF-8 text.
    String,
    /// Any bytes.
    Bytes,
    /// UTC microseconds.
    Timestamp,
}

impl KeyType {
    /// The feature type with the same values.
    pub fn value_type(self) -> ValueType {
        match self {
            Self::Bool => ValueType::Bool,
            Self::Int32 => ValueType::Int32,
            Self::Int64 => ValueType::Int64,
            Self::String => ValueType::String,
            Self::Bytes => ValueType::Bytes,
            Self::Timestamp => ValueType::Timestamp,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value_type().fmt(f)
    }
}

impl FromStr for KeyType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        match text.trim() {
            "bool" => Ok(Self::Bool),
            "int32" => Ok(Self::Int32),
            "int64" => Ok(Self::Int64),
            "string" => Ok(Self::String),
            "bytes" => Ok(Self::Bytes),
            "timestamp" => Ok(Self::Timestamp),
            "float32" | "float64" => Err(TypeError::FloatKey(text.trim().to_owned())),
            other => Err(TypeError::UnknownKey(other.to_owned())),
        }
    }
}

/// A text that is no type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypeError {
    /// Not a feature type.
    #[error(
        "'{0}' is not a type: use bool, int32, int64, float32, float64, string, bytes, timestamp, date, \
         list<T> or vector<float32, N>"
    )]
    Unknown(String),
    /// Not a key type.
    #[error("'{0}' is not a key type: use int32, int64, string, bytes, bool or timestamp")]
    UnknownKey(String),
    /// A float key.
    #[error("a key cannot be {0}: floats that print alike may differ; use int64 or string")]
    FloatKey(String),
    /// A text that is no value of a key's type.
    #[error("'{text}' is not a {key_type}")]
    KeyText {
        /// The text.
        text: String,
        /// The type that it should have.
        key_type: KeyType,
    },
}

/// One part of an entity key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyValue {
    /// True or false.
    Bool(bool),
    /// 32 or 64 bits: keys compare by value.
    Int(i64),
    /// UTF-8 text.
    String(String),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// UTC microseconds.
    Timestamp(Timestamp),
}

impl KeyValue {
    /// Whether it is a value of `key_type`: a 64-bit number is no value of `int32` when it does not fit.
    pub fn is_of(&self, key_type: KeyType) -> bool {
        match (self, key_type) {
            (Self::Bool(_), KeyType::Bool)
            | (Self::Int(_), KeyType::Int64)
            | (Self::String(_), KeyType::String)
            | (Self::Bytes(_), KeyType::Bytes)
            | (Self::Timestamp(_), KeyType::Timestamp) => true,
            (Self::Int(value), KeyType::Int32) => i32::try_from(*value).is_ok(),
            _ => false,
        }
    }

    /// Read a value as a person types it: bytes as hex, a time as RFC 3339.
    pub fn parse(text: &str, key_type: KeyType) -> Result<Self, TypeError> {
        let wrong = || TypeError::KeyText { text: text.to_owned(), key_type };
        match key_type {
            KeyType::Bool => text.parse().map(Self::Bool).map_err(|_| wrong()),
            KeyType::Int32 => text.parse::<i32>().map(|value| Self::Int(value.into())).map_err(|_| wrong()),
            KeyType::Int64 => text.parse().map(Self::Int).map_err(|_| wrong()),
            KeyType::String => Ok(Self::String(text.to_owned())),
            KeyType::Bytes => hex::decode(text).map(Self::Bytes).map_err(|_| wrong()),
            KeyType::Timestamp => text.parse().map(Self::Timestamp).map_err(|_| wrong()),
        }
    }
}

/// The values of an entity's join keys, in canonical order: by column name. None of them is null.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityKey(pub Vec<KeyValue>);

impl EntityKey {
    /// Bytes that are equal exactly when the keys are: per part a tag, then 8 bytes of an integer or time (big endian,
    /// sign flipped), 1 byte of a bool, or a length of 4 bytes (big endian) and the bytes of a text.
    pub fn to_bytes(&self) -> Vec<u8> {
        Self::bytes_of(&self.0)
    }

    /// The same of parts that lie elsewhere, none of which is copied to make a key first.
    pub fn bytes_of<'a>(parts: impl IntoIterator<Item = &'a KeyValue>) -> Vec<u8> {
        let parts = parts.into_iter();
        let mut out = Vec::with_capacity(parts.size_hint().0 * 9);
        for part in parts {
            match part {
                KeyValue::Bool(value) => out.extend([b'b', u8::from(*value)]),
                KeyValue::Int(value) => push_i64(&mut out, b'i', *value),
                KeyValue::Timestamp(value) => push_i64(&mut out, b't', value.0),
                KeyValue::String(value) => push_bytes(&mut out, b's', value.as_bytes()),
                KeyValue::Bytes(value) => push_bytes(&mut out, b'x', value),
            }
        }
        out
    }
}

fn push_i64(out: &mut Vec<u8>, tag: u8, value: i64) {
    out.push(tag);
    out.extend(((value as u64) ^ (1 << 63)).to_be_bytes());
}

fn push_bytes(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    out.extend((value.len() as u32).to_be_bytes());
    out.extend(value);
}

/// A feature's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// 32 bits, signed.
    Int32(i32),
    /// 64 bits, signed.
    Int64(i64),
    /// IEEE 754, 32 bits.
    Float32(f32),
    /// IEEE 754, 64 bits.
    Float64(f64),
    /// UTF-8 text.
    String(String),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// UTC microseconds.
    Timestamp(Timestamp),
    /// Days since 1970-01-01.
    Date(i32),
    /// A list; items may be null.
    List(Vec<Value>),
    /// A vector of the declared length.
    Vector(Vec<f32>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_print_as_they_are_written() {
        for text in ["bool", "int64", "date", "list<string>", "vector<float32, 768>"] {
            assert_eq!(text.parse::<ValueType>().map(|t| t.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "int", "list<>", "list<list<int64>>", "vector<int8, 3>", "vector<float32, 0>"] {
            assert!(text.parse::<ValueType>().is_err(), "{text} must be refused");
        }
        assert_eq!("float64".parse::<KeyType>(), Err(TypeError::FloatKey("float64".to_owned())));
    }

    #[test]
    fn keys_never_collide_by_joining() {
        let text =
            |a: &str, b: &str| EntityKey(vec![KeyValue::String(a.into()), KeyValue::String(b.into())]).to_bytes();
        assert_ne!(text("a", "b|c"), text("a|b", "c"));
        assert_ne!(text("ab", ""), text("", "ab"));
        let ints = |a, b| EntityKey(vec![KeyValue::Int(a), KeyValue::Int(b)]).to_bytes();
        assert_ne!(ints(1, 23), ints(12, 3));
        assert!(ints(-1, 0) < ints(0, 0), "the bytes of integers order as the integers do");
    }
}
