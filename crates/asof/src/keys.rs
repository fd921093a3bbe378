//! Keys as dense codes: equal by value, whatever the width, dictionary or view they come in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::error::Result;

use crate::KeySet;
use crate::key_tables::{ByteTable, IntTable};
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
    Fixed(IntTable),
    /// One column of text or bytes.
    Bytes(ByteTable),
    /// Many columns, each row encoded into bytes such that equal bytes mean equal columns.
    Rows(RowConverter, ByteTable),
}

impl Interner {
    pub(crate) fn try_new(families: &[KeyFamily]) -> Result<Self> {
        let table = match families {
            [family] if family.is_fixed() => Table::Fixed(IntTable::default()),
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
            Table::Fixed(table) => table.len(),
            Table::Bytes(table) | Table::Rows(_, table) => table.len(),
        }
    }

    /// No more keys will come: looking them up may be made faster.
    pub(crate) fn seal(&mut self) {
        if let Table::Fixed(table) = &mut self.table {
            table.seal();
        }
    }

    /// The bytes that [`seal`](Self::seal) may need.
    pub(crate) fn seal_size(&self) -> usize {
        match &self.table {
            Table::Fixed(table) => table.seal_size(),
            Table::Bytes(_) | Table::Rows(..) => 0,
        }
    }

    /// What is worth knowing of the keys to those who decide what need not be read.
    pub(crate) fn key_set(&self) -> Result<KeySet> {
        let len = self.len();
        let is_listed = len <= KeySet::LISTED_MAX;
        Ok(match &self.table {
            _ if len == 0 => KeySet::default(),
            Table::Fixed(table) if is_listed => KeySet::listed(&[Arc::new(Int64Array::from_iter_values(table.keys()))]),
            Table::Fixed(table) => {
                let ends = table.keys().fold((i64::MAX, i64::MIN), |(min, max), key| (min.min(key), max.max(key)));
                KeySet::between_ints(len, ends.0, ends.1)
            }
            Table::Bytes(table) if is_listed => {
                KeySet::listed(&[Arc::new(BinaryViewArray::from_iter_values(table.iter()))])
            }
            Table::Bytes(table) => {
                let (min, max) = (table.iter().min().unwrap_or_default(), table.iter().max().unwrap_or_default());
                KeySet::between_bytes(len, min, max)
            }
            Table::Rows(converter, table) if is_listed => {
                let parser = converter.parser();
                KeySet::listed(&converter.convert_rows(table.iter().map(|key| parser.parse(key)))?)
            }
            Table::Rows(..) => KeySet::unknown(len),
        })
    }

    pub(crate) fn memory_size(&self) -> usize {
        match &self.table {
            Table::Fixed(table) => table.memory_size(),
            Table::Bytes(table) | Table::Rows(_, table) => table.memory_size(),
        }
    }

    /// Appends the code of each row's key to `codes`, giving new keys new codes.
    pub(crate) fn intern(&mut self, keys: &[ArrayRef], codes: &mut Vec<u32>) -> Result<()> {
        let columns = self.normalise(keys)?;
        match &mut self.table {
            Table::Fixed(table) => {
                let keys = columns[0].as_primitive::<Int64Type>().iter();
                codes.extend(keys.map(|key| key.map_or(NO_CODE, |key| table.insert(key))));
            }
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
            Table::Fixed(table) => {
                let column = columns[0].as_primitive::<Int64Type>();
                match column.nulls().filter(|nulls| nulls.null_count() > 0) {
                    None => codes.extend(column.values().iter().map(|&key| table.find(key))),
                    Some(_) => codes.extend(column.iter().map(|key| key.map_or(NO_CODE, |key| table.find(key)))),
                }
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
