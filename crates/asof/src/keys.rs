//! Keys as dense codes: equal by value, whatever the width, dictionary or view they come in.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::Result;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::time::{Rounding, to_micros, value_type};

/// The code of a key that the spine does not have, or that has a null part.
pub(crate) const NO_CODE: u32 = u32::MAX;

/// Types whose values can be compared with each other without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyFamily {
    Int,
    Time,
    Bool,
    Text,
    Bytes,
}

impl KeyFamily {
    pub(crate) fn of(data_type: &DataType) -> Option<Self> {
        use DataType as T;
        Some(match value_type(data_type) {
            value if value.is_integer() => Self::Int,
            T::Timestamp(_, _) => Self::Time,
            T::Boolean => Self::Bool,
            T::Utf8 | T::LargeUtf8 | T::Utf8View => Self::Text,
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Self::Bytes,
            _ => return None,
        })
    }

    fn is_fixed(self) -> bool {
        !matches!(self, Self::Text | Self::Bytes)
    }

    fn normal_type(self) -> DataType {
        if self.is_fixed() { DataType::Int64 } else { DataType::BinaryView }
    }

    /// Values of one type for the whole family. What does not fit in it (a `uint64` beyond `int64`, a fraction of a
    /// microsecond) becomes null, as no key of the other side can be equal to it.
    fn normalise(self, array: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Self::Time => Arc::new(to_micros(array, Rounding::Exact)?),
            Self::Int | Self::Bool | Self::Text | Self::Bytes => cast(array, &self.normal_type())?,
        })
    }
}

/// Keys and their codes: `0, 1, 2, …` in the order of first appearance.
#[derive(Debug)]
pub(crate) struct Interner {
    families: Vec<KeyFamily>,
    table: Table,
}

#[derive(Debug)]
enum Table {
    /// One column of fixed width.
    Fixed(HashMap<i64, u32>),
    /// One column of text or bytes.
    Bytes(ByteTable),
    /// Many columns, each row encoded into bytes such that equal bytes mean equal columns.
    Rows(RowConverter, ByteTable),
}

impl Interner {
    pub(crate) fn try_new(families: &[KeyFamily]) -> Result<Self> {
        let table = match families {
            [family] if family.is_fixed() => Table::Fixed(HashMap::new()),
            [_] => Table::Bytes(ByteTable::default()),
            _ => {
                let fields = families.iter().map(|family| SortField::new(family.normal_type())).collect();
                Table::Rows(RowConverter::new(fields)?, ByteTable::default())
            }
        };
        Ok(Self { families: families.to_vec(), table })
    }

    /// How many distinct keys it has seen.
    pub(crate) fn len(&self) -> usize {
        match &self.table {
            Table::Fixed(codes) => codes.len(),
            Table::Bytes(table) | Table::Rows(_, table) => table.ends.len(),
        }
    }

    pub(crate) fn memory_size(&self) -> usize {
        match &self.table {
            Table::Fixed(codes) => codes.allocation_size(),
            Table::Bytes(table) | Table::Rows(_, table) => table.memory_size(),
        }
    }

    /// Appends the code of each row's key to `codes`, giving new keys new codes.
    pub(crate) fn intern(&mut self, keys: &[ArrayRef], codes: &mut Vec<u32>) -> Result<()> {
        let columns = self.normalise(keys)?;
        match &mut self.table {
            Table::Fixed(known) => codes.extend(columns[0].as_primitive::<Int64Type>().iter().map(|key| {
                let next = known.len() as u32;
                key.map_or(NO_CODE, |key| *known.entry(key).or_insert(next))
            })),
            Table::Bytes(table) => {
                codes
                    .extend(columns[0].as_binary_view().iter().map(|key| key.map_or(NO_CODE, |key| table.insert(key))));
            }
            Table::Rows(converter, table) => {
                let rows = converter.convert_columns(&columns)?;
                codes.extend(
                    row_keys(&rows, nulls(&columns).as_ref()).map(|key| key.map_or(NO_CODE, |key| table.insert(key))),
                );
            }
        }
        Ok(())
    }

    /// Appends the code of each row's key to `codes`, [`NO_CODE`] for keys never seen.
    pub(crate) fn find(&self, keys: &[ArrayRef], codes: &mut Vec<u32>) -> Result<()> {
        if let [key] = keys
            && let Some(dictionary) = key.as_any_dictionary_opt()
            && (1..=key.len()).contains(&dictionary.values().len())
        {
            let mut values = Vec::with_capacity(dictionary.values().len());
            self.find_plain(std::slice::from_ref(dictionary.values()), &mut values)?;
            let nulls = dictionary.keys().nulls();
            let positions = dictionary.normalized_keys().into_iter().enumerate();
            let is_null = move |row: usize| nulls.is_some_and(|nulls| nulls.is_null(row));
            codes.extend(positions.map(|(row, value)| if is_null(row) { NO_CODE } else { values[value] }));
            return Ok(());
        }
        self.find_plain(keys, codes)
    }

    fn find_plain(&self, keys: &[ArrayRef], codes: &mut Vec<u32>) -> Result<()> {
        let columns = self.normalise(keys)?;
        match &self.table {
            Table::Fixed(known) => {
                let column = columns[0].as_primitive::<Int64Type>();
                codes.extend(column.iter().map(|key| key.and_then(|key| known.get(&key).copied()).unwrap_or(NO_CODE)));
            }
            Table::Bytes(table) => table.find_all(columns[0].as_binary_view().iter(), codes),
            Table::Rows(converter, table) => {
                let rows = converter.convert_columns(&columns)?;
                table.find_all(row_keys(&rows, nulls(&columns).as_ref()), codes);
            }
        }
        Ok(())
    }

    fn normalise(&self, keys: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        self.families.iter().zip(keys).map(|(family, key)| family.normalise(key)).collect()
    }
}

/// Byte strings and their codes. The strings lie one after the other in one buffer.
#[derive(Debug, Default)]
struct ByteTable {
    hasher: DefaultHashBuilder,
    /// The hash of each string, so that growing need not read the strings, and its code.
    codes: HashTable<(u64, u32)>,
    bytes: Vec<u8>,
    /// Where the string of each code ends.
    ends: Vec<usize>,
}

impl ByteTable {
    fn get(&self, code: u32) -> &[u8] {
        let code = code as usize;
        let start = if code == 0 { 0 } else { self.ends[code - 1] };
        &self.bytes[start..self.ends[code]]
    }

    fn find(&self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        self.codes.find(hash, |&(h, code)| h == hash && self.get(code) == key).map_or(NO_CODE, |&(_, code)| code)
    }

    /// Files are often clustered by key, so a key is compared with its neighbour before it is hashed.
    fn find_all<'a>(&self, keys: impl Iterator<Item = Option<&'a [u8]>>, codes: &mut Vec<u32>) {
        let mut last: Option<(&[u8], u32)> = None;
        codes.extend(keys.map(|key| match (key, last) {
            (None, _) => NO_CODE,
            (Some(key), Some((same, code))) if key == same => code,
            (Some(key), _) => {
                let code = self.find(key);
                last = Some((key, code));
                code
            }
        }));
    }

    fn insert(&mut self, key: &[u8]) -> u32 {
        let known = self.find(key);
        if known != NO_CODE {
            return known;
        }
        let (hash, code) = (self.hasher.hash_one(key), self.ends.len() as u32);
        self.codes.insert_unique(hash, (hash, code), |&(hash, _)| hash);
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        code
    }

    fn memory_size(&self) -> usize {
        self.codes.allocation_size() + self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

fn nulls(columns: &[ArrayRef]) -> Option<NullBuffer> {
    columns.iter().fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()))
}

fn row_keys<'a>(rows: &'a Rows, nulls: Option<&'a NullBuffer>) -> impl Iterator<Item = Option<&'a [u8]>> {
    let is_null = move |row: usize| nulls.is_some_and(|nulls| nulls.is_null(row));
    rows.iter().enumerate().map(move |(index, row)| (!is_null(index)).then(|| row.data()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        DictionaryArray, Int8Array, Int32Array, LargeStringArray, StringArray, StringViewArray, UInt64Array,
    };
    use arrow::datatypes::Int8Type;

    use super::*;

    fn codes(interner: &Interner, keys: &[ArrayRef]) -> Vec<u32> {
        let mut codes = Vec::new();
        interner.find(keys, &mut codes).expect("keys of the family");
        codes
    }

    #[test]
    fn integers_compare_by_value_whatever_their_width() {
        let mut interner = Interner::try_new(&[KeyFamily::Int]).expect("an interner");
        let mut interned = Vec::new();
        let spine: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None, Some(-1), Some(7)]));
        interner.intern(&[spine], &mut interned).expect("integers");
        assert_eq!(interned, [0, NO_CODE, 1, 0]);
        assert_eq!(codes(&interner, &[Arc::new(UInt64Array::from(vec![7, u64::MAX]))]), [0, NO_CODE]);
        assert_eq!(codes(&interner, &[Arc::new(Int8Array::from(vec![-1, 0]))]), [1, NO_CODE]);
    }

    #[test]
    fn text_compares_by_value_in_any_layout() {
        let mut interner = Interner::try_new(&[KeyFamily::Text]).expect("an interner");
        let mut interned = Vec::new();
        let dictionary: DictionaryArray<Int8Type> = [Some("b"), None, Some(""), Some("b")].into_iter().collect();
        interner.intern(&[Arc::new(dictionary.clone())], &mut interned).expect("text");
        assert_eq!(interned, [0, NO_CODE, 1, 0]);
        assert_eq!(codes(&interner, &[Arc::new(dictionary)]), [0, NO_CODE, 1, 0]);
        let keys = vec![Some(""), Some("b"), None, Some("a text longer than a view holds inline")];
        let expected = [1, 0, NO_CODE, NO_CODE];
        assert_eq!(codes(&interner, &[Arc::new(StringArray::from(keys.clone()))]), expected);
        assert_eq!(codes(&interner, &[Arc::new(LargeStringArray::from(keys.clone()))]), expected);
        assert_eq!(codes(&interner, &[Arc::new(StringViewArray::from(keys))]), expected);
    }

    #[test]
    fn composite_keys_compare_column_by_column() {
        let mut interner = Interner::try_new(&[KeyFamily::Text, KeyFamily::Text]).expect("an interner");
        let text = |values: Vec<Option<&str>>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let mut interned = Vec::new();
        let spine =
            [text(vec![Some("1"), Some("12"), None, Some("1")]), text(vec![Some("23"), Some("3"), Some("3"), None])];
        interner.intern(&spine, &mut interned).expect("text");
        assert_eq!(interned, [0, 1, NO_CODE, NO_CODE]);
        assert_eq!(interner.len(), 2);
        let keys = [text(vec![Some("12"), Some("1"), Some("123")]), text(vec![Some("3"), Some("23"), Some("")])];
        assert_eq!(codes(&interner, &keys), [1, 0, NO_CODE]);
    }

    #[test]
    fn floats_dates_and_decimals_are_no_keys() {
        for data_type in [DataType::Float64, DataType::Date32, DataType::Decimal128(9, 0), DataType::Null] {
            assert_eq!(KeyFamily::of(&data_type), None, "{data_type}");
        }
    }
}
