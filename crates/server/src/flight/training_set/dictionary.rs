//! What the dictionaries of a column hold, over all batches: categories keep their order, and those that no row has stay.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, Int64Array, UInt64Array, make_array, new_empty_array};
use arrow::compute::{CastOptions, cast_with_options, concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};

/// What remembering a value takes besides its own bytes, twice.
const VALUE_BYTES: usize = 96;

/// The values of a column's dictionaries in the order in which they first came.
#[derive(Debug)]
pub(super) struct Dictionary {
    values: ArrayRef,
    /// Where each value is, by its bytes in Arrow's row format.
    places: HashMap<Box<[u8]>, i64>,
    /// The dictionary that was learned last: most batches have the same.
    last: Option<ArrayData>,
    converter: RowConverter,
    values_max: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Dictionary {
    /// Of a column of `data_type`, with about so many bytes to remember; none unless it has dictionaries of values that can be
    /// told apart.
    pub(super) fn of(data_type: &DataType, bytes_max: usize) -> Option<Self> {
        let DataType::Dictionary(key, value) = data_type else { return None };
        let values_max = match key.as_ref() {
            DataType::Int8 => 1 << 7,
            DataType::UInt8 => 1 << 8,
            DataType::Int16 => 1 << 15,
            DataType::UInt16 => 1 << 16,
            _ => usize::MAX,
        };
        let converter = RowConverter::new(vec![SortField::new(value.as_ref().clone())]).ok()?;
        let (values, places) = (new_empty_array(value), HashMap::new());
        Some(Self { values, places, last: None, converter, values_max, bytes: 0, bytes_max })
    }

    /// Remembers what the dictionary of `column` holds; false if that is too much.
    pub(super) fn learn(&mut self, column: &ArrayRef) -> Result<bool, ArrowError> {
        let Some(dictionary) = column.as_any_dictionary_opt() else { return Ok(false) };
        let values = dictionary.values();
        let data = values.to_data();
        if self.last.as_ref().is_some_and(|last| ArrayData::ptr_eq(last, &data)) {
            return Ok(true);
        }
        let mut new = Vec::new();
        let rows = self.converter.convert_columns(std::slice::from_ref(values))?;
        for (index, row) in rows.iter().enumerate() {
            let bytes: &[u8] = row.as_ref();
            if values.is_valid(index) && !self.places.contains_key(bytes) {
                let place = self.places.len() as i64;
                self.places.insert(bytes.into(), place);
                self.bytes += 2 * bytes.len() + VALUE_BYTES;
                new.push(index as u64);
            }
        }
        if self.places.len() > self.values_max || self.bytes > self.bytes_max {
            return Ok(false);
        }
        if !new.is_empty() {
            let new = take(values, &UInt64Array::from(new), None)?;
            self.values = concat(&[self.values.as_ref(), new.as_ref()])?;
        }
        self.last = Some(data);
        Ok(true)
    }

    /// `column`, whose values have all been learned, with this as its dictionary; `data_type` is the column's as it came.
    pub(super) fn encode(&self, column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let DataType::Dictionary(key, value) = data_type else { return Ok(Arc::clone(column)) };
        let keys: Int64Array = match column.as_any_dictionary_opt() {
            Some(coded) if coded.values().data_type() == value.as_ref() && !coded.values().is_empty() => {
                let places = self.places_of(coded.values())?;
                let keys = coded.normalized_keys();
                let place = |(row, key): (usize, &usize)| if coded.keys().is_null(row) { None } else { places[*key] };
                keys.iter().enumerate().map(place).collect()
            }
            _ => self.places_of(&strictly(column, value)?)?.into_iter().collect(),
        };
        let keys = strictly(&(Arc::new(keys) as ArrayRef), key)?.to_data();
        let data = keys.into_builder().data_type(data_type.clone()).add_child_data(self.values.to_data());
        Ok(make_array(data.build()?))
    }

    /// Where each of `values` is; none of a null.
    fn places_of(&self, values: &ArrayRef) -> Result<Vec<Option<i64>>, ArrowError> {
        let rows = self.converter.convert_columns(std::slice::from_ref(values))?;
        let place = |index: usize, row: &[u8]| match self.places.get(row) {
            _ if values.is_null(index) => Ok(None),
            Some(place) => Ok(Some(*place)),
            None => Err(ArrowError::ComputeError("a column has a value that no dictionary of it had".to_owned())),
        };
        rows.iter().enumerate().map(|(index, row)| place(index, row.as_ref())).collect()
    }
}

fn strictly(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(column, data_type, &CastOptions { safe: false, ..CastOptions::default() })
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Float64Array, Int8Array, StringArray};
    use arrow::datatypes::Int8Type;

    use super::*;

    fn coded(keys: Vec<Option<i8>>, values: ArrayRef) -> ArrayRef {
        Arc::new(DictionaryArray::<Int8Type>::new(Int8Array::from(keys), values))
    }

    fn parts(column: &ArrayRef) -> (ArrayData, ArrayData) {
        let dictionary = column.as_any_dictionary();
        (dictionary.keys().to_data(), dictionary.values().to_data())
    }

    #[test]
    fn numbers_and_columns_of_nulls_are_coded() {
        let sent = coded(vec![Some(1), None], Arc::new(Float64Array::from(vec![0.5, -1.0, 9.0])));
        let mut dictionary = Dictionary::of(sent.data_type(), 1 << 20).expect("a dictionary");
        assert!(dictionary.learn(&sent).expect("learned"));
        assert!(dictionary.learn(&sent).expect("known"));
        let plain: ArrayRef = Arc::new(Float64Array::from(vec![Some(-1.0), None]));
        assert_eq!(parts(&dictionary.encode(&plain, sent.data_type()).expect("coded")), parts(&sent));
        let nulls = coded(vec![None, None], Arc::new(Float64Array::from(Vec::<f64>::new())));
        let found = dictionary.encode(&nulls, sent.data_type()).expect("coded");
        assert_eq!((found.len(), found.null_count()), (2, 2));
        let other: ArrayRef = Arc::new(Float64Array::from(vec![7.0]));
        assert!(dictionary.encode(&other, sent.data_type()).is_err(), "a value that no dictionary had");
    }

    #[test]
    fn more_than_the_keys_can_tell_or_there_is_room_for_is_not_remembered() {
        let texts = |from: usize| -> ArrayRef {
            Arc::new((from..from + 100).map(|n| Some(format!("text {n}"))).collect::<StringArray>())
        };
        let (first, second) = (coded(vec![Some(0)], texts(0)), coded(vec![Some(0)], texts(100)));
        let mut dictionary = Dictionary::of(first.data_type(), 1 << 20).expect("a dictionary");
        assert!(dictionary.learn(&first).expect("learned"));
        assert!(!dictionary.learn(&second).expect("looked at"));
        let mut little = Dictionary::of(first.data_type(), 10_000).expect("a dictionary");
        assert!(!little.learn(&first).expect("looked at"), "a hundred texts take more");
    }

    #[test]
    fn a_column_without_dictionaries_has_none() {
        assert!(Dictionary::of(&DataType::Utf8, 1 << 20).is_none());
    }
}
