//! Values read in place.

use hitherto_core::{Timestamp, Value, ValueType};

use super::unpack::{Cursor, end_at, is_set};
use super::{EncodingError, width};

/// A value within a packed row.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
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
    String(&'a str),
    /// Any bytes.
    Bytes(&'a [u8]),
    /// UTC microseconds.
    Timestamp(Timestamp),
    /// Days since 1970-01-01.
    Date(i32),
    /// A list.
    List(ListRef<'a>),
    /// A vector.
    Vector(VectorRef<'a>),
}

impl ValueRef<'_> {
    /// The value, copied out of the row.
    pub fn to_value(self) -> Result<Value, EncodingError> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int32(value) => Value::Int32(value),
            Self::Int64(value) => Value::Int64(value),
            Self::Float32(value) => Value::Float32(value),
            Self::Float64(value) => Value::Float64(value),
            Self::String(value) => Value::String(value.to_owned()),
            Self::Bytes(value) => Value::Bytes(value.to_owned()),
            Self::Timestamp(value) => Value::Timestamp(value),
            Self::Date(value) => Value::Date(value),
            Self::List(list) => {
                Value::List((0..list.len()).map(|index| list.get(index)?.to_value()).collect::<Result<_, _>>()?)
            }
            Self::Vector(vector) => Value::Vector(vector.iter().collect()),
        })
    }
}

impl<'a> ValueRef<'a> {
    /// The value of a fixed-width type from its slot.
    pub(super) fn fixed(column: &ValueType, slot: &[u8]) -> Result<Self, EncodingError> {
        const BAD: EncodingError = EncodingError::Malformed("a slot has not the width of its type");
        let four = || slot.try_into().map_err(|_| BAD);
        let eight = || slot.try_into().map_err(|_| BAD);
        Ok(match column {
            ValueType::Bool => match slot {
                [0] => Self::Bool(false),
                [1] => Self::Bool(true),
                _ => return Err(EncodingError::Malformed("a bool is neither 0 nor 1")),
            },
            ValueType::Int32 => Self::Int32(i32::from_le_bytes(four()?)),
            ValueType::Date => Self::Date(i32::from_le_bytes(four()?)),
            ValueType::Float32 => Self::Float32(f32::from_le_bytes(four()?)),
            ValueType::Int64 => Self::Int64(i64::from_le_bytes(eight()?)),
            ValueType::Timestamp => Self::Timestamp(Timestamp(i64::from_le_bytes(eight()?))),
            ValueType::Float64 => Self::Float64(f64::from_le_bytes(eight()?)),
            _ => return Err(BAD),
        })
    }

    /// The value of a type of variable length from its bytes.
    pub(super) fn variable(column: &'a ValueType, bytes: &'a [u8]) -> Result<Self, EncodingError> {
        Ok(match column {
            ValueType::String => {
                Self::String(std::str::from_utf8(bytes).map_err(|_| EncodingError::Malformed("a string is not UTF-8"))?)
            }
            ValueType::Bytes => Self::Bytes(bytes),
            ValueType::List(item) => Self::List(ListRef::new(item, bytes)?),
            ValueType::Vector(length) => {
                let (numbers, rest) = bytes.as_chunks();
                if !rest.is_empty() || numbers.len() != *length as usize {
                    return Err(EncodingError::Malformed("a vector has another length than its type"));
                }
                Self::Vector(VectorRef(numbers))
            }
            _ => return Err(EncodingError::Malformed("a type of fixed width among the variable ones")),
        })
    }
}

/// A list within a packed row.
#[derive(Clone, Copy, Debug)]
pub struct ListRef<'a> {
    item: &'a ValueType,
    length: usize,
    nulls: &'a [u8],
    /// Slots, or the ends of texts.
    slots: &'a [u8],
    texts: &'a [u8],
}

impl<'a> ListRef<'a> {
    fn new(item: &'a ValueType, bytes: &'a [u8]) -> Result<Self, EncodingError> {
        let mut cursor = Cursor(bytes);
        let length = cursor.u32()? as usize;
        let nulls = cursor.take(length.div_ceil(8))?;
        let slots = cursor.take(length.saturating_mul(width(item).unwrap_or(4)))?;
        let texts = cursor.0;
        let texts_end = if width(item).is_some() || length == 0 { 0 } else { end_at(slots, length - 1)? };
        if texts_end != texts.len() {
            return Err(EncodingError::Malformed("a list does not end where its bytes do"));
        }
        Ok(Self { item, length, nulls, slots, texts })
    }

    /// The type of its items.
    pub fn item_type(&self) -> &'a ValueType {
        self.item
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no items.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The item at `index`; null past the end.
    pub fn get(&self, index: usize) -> Result<ValueRef<'a>, EncodingError> {
        if index >= self.length || is_set(self.nulls, index) {
            return Ok(ValueRef::Null);
        }
        if let Some(width) = width(self.item) {
            return ValueRef::fixed(self.item, Cursor(self.slots).skip(index * width)?.take(width)?);
        }
        ValueRef::variable(self.item, super::unpack::text(self.slots, self.texts, index)?)
    }
}

/// A vector within a packed row.
#[derive(Clone, Copy, Debug)]
pub struct VectorRef<'a>(&'a [[u8; 4]]);

impl<'a> VectorRef<'a> {
    /// How many numbers it has.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether it has no numbers.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Its numbers.
    pub fn iter(self) -> impl ExactSizeIterator<Item = f32> + 'a {
        self.0.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }
}
