//! The packed values of a row: compact, readable in place, and readable by older and newer definitions of the table.
//!
//! A table's columns are a list that only grows, with fixed types. A row stored when the table had fewer columns reads
//! null in the later ones; a row stored by a newer definition is read by an older one as far as that one knows.
//! The layout, byte by byte, is in `docs/adr/0006-online-value-encoding.md`.

mod error;
mod pack;
mod unpack;
mod value;

pub use error::EncodingError;
pub use pack::encode;
pub use unpack::{Layout, PackedRow, decode};
pub use value::{ListRef, ValueRef, VectorRef};

use hitherto_core::ValueType;

/// The first byte of every row.
const FORMAT: u8 = 1;

/// Bytes that a value of this type takes in the fixed-width region; none for types of variable length.
fn width(column: &ValueType) -> Option<usize> {
    match column {
        ValueType::Bool => Some(1),
        ValueType::Int32 | ValueType::Float32 | ValueType::Date => Some(4),
        ValueType::Int64 | ValueType::Float64 | ValueType::Timestamp => Some(8),
        ValueType::String | ValueType::Bytes | ValueType::List(_) | ValueType::Vector(_) => None,
    }
}

#[cfg(test)]
mod tests;
