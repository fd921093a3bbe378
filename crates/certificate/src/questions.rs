//! What a band of a training set asks of a view: which key at which time.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows as EncodedRows, SortField};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::ops::Range;

use crate::{Error, Result, micros_down};

/// The questions of one band, shared by all views that have the same keys.
///
/// A *slot* is a distinct pair of key and time. Slots lie in the order of keys, then of times, so those of one key are a
/// range, and what becomes visible at some time is visible in the rest of its key's range.
#[derive(Debug)]
pub struct Questions {
    converter: RowConverter,
    /// The keys that are asked for, as canonical bytes.
    encoded: EncodedRows,
    hasher: DefaultHashBuilder,
    /// Indexes of `first_row`.
    index: HashTable<u32>,
    /// Per key: a row of `encoded` that has it.
    first_row: Vec<u32>,
    /// Per key its first slot, and in the end how many slots there are.
    key_slots: Vec<u32>,
    slot_times: Vec<i64>,
    /// Per slot its first place in `rows`, and in the end how many rows there are.
    slot_rows: Vec<u32>,
    /// Rows of the band in the order of slots; those without a key come in none.
    rows: Vec<u32>,
    /// Per row of the band: its key, [`NO_KEY`] where a part of it is null,
    row_keys: Vec<u32>,
    /// and its time.
    row_times: Vec<i64>,
}

/// The key of a row that has none, or of a row of history that nobody asks for.
pub(crate) const NO_KEY: u32 = u32::MAX;

impl Questions {
    /// The questions of `band`, which has less than 2^32 rows: `keys` are the columns of the key's parts with the types that
    /// history has, `time` is the column of prediction times.
    pub fn of(band: &RecordBatch, keys: &[(usize, DataType)], time: usize) -> Result<Self> {
        let schema = band.schema();
        let times = micros_down(schema.field(time).name(), band.column(time))?;
        let columns: Vec<ArrayRef> =
            keys.iter().map(|(column, to)| as_history_has_it(band, *column, to)).collect::<Result<_>>()?;
        let fields = keys.iter().map(|(_, data_type)| SortField::new(data_type.clone())).collect();
        let converter = RowConverter::new(fields).map_err(Error::arrow("encode keys"))?;
        let encoded = converter.convert_columns(&columns).map_err(Error::arrow("encode keys"))?;
        let mut questions = Self {
            converter,
            encoded,
            hasher: DefaultHashBuilder::default(),
            index: HashTable::new(),
            first_row: Vec::new(),
            key_slots: Vec::new(),
            slot_times: Vec::new(),
            slot_rows: Vec::new(),
            rows: Vec::new(),
            row_keys: Vec::new(),
            row_times: times.values().to_vec(),
        };
        questions.row_keys = (0..band.num_rows())
            .map(|row| if has_null(&columns, row) { NO_KEY } else { questions.enter(row) })
            .collect();
        questions.lay_out();
        Ok(questions)
    }

    fn enter(&mut self, row: usize) -> u32 {
        let bytes = self.encoded.row(row);
        let hash = self.hasher.hash_one(bytes.as_ref());
        let (encoded, first_row, hasher) = (&self.encoded, &mut self.first_row, &self.hasher);
        let of = |key: u32| encoded.row(first_row[key as usize] as usize);
        if let Some(key) = self.index.find(hash, |&key| of(key) == bytes) {
            return *key;
        }
        let key = first_row.len() as u32;
        first_row.push(row as u32);
        let of = |key: u32| encoded.row(first_row[key as usize] as usize);
        self.index.insert_unique(hash, key, |&key| hasher.hash_one(of(key).as_ref()));
        key
    }

    fn lay_out(&mut self) {
        let (keys, times) = (&self.row_keys, &self.row_times);
        self.rows = (0..keys.len() as u32).filter(|&row| keys[row as usize] != NO_KEY).collect();
        self.rows.sort_unstable_by_key(|&row| (keys[row as usize], times[row as usize], row));
        let mut last = None;
        for (place, &row) in self.rows.iter().enumerate() {
            let (key, time) = (keys[row as usize], times[row as usize]);
            if last != Some((key, time)) {
                if last.is_none_or(|(before, _)| before != key) {
                    self.key_slots.push(self.slot_times.len() as u32);
                }
                self.slot_times.push(time);
                self.slot_rows.push(place as u32);
                last = Some((key, time));
            }
        }
        self.key_slots.push(self.slot_times.len() as u32);
        self.slot_rows.push(self.rows.len() as u32);
    }

    /// How many distinct pairs of key and time there are.
    pub(crate) fn slots(&self) -> usize {
        self.slot_times.len()
    }

    /// How many distinct keys there are.
    pub(crate) fn keys(&self) -> usize {
        self.first_row.len()
    }

    /// How many rows the band has.
    pub(crate) fn band_rows(&self) -> usize {
        self.row_keys.len()
    }

    /// The key and the time of a row of the band.
    pub(crate) fn asked_by(&self, row: u32) -> (u32, i64) {
        (self.row_keys[row as usize], self.row_times[row as usize])
    }

    pub(crate) fn slot_time(&self, slot: usize) -> i64 {
        self.slot_times[slot]
    }

    /// The rows of the band that ask this.
    pub(crate) fn rows_of(&self, slot: usize) -> &[u32] {
        &self.rows[self.slot_rows[slot] as usize..self.slot_rows[slot + 1] as usize]
    }

    /// The slots of a key.
    pub(crate) fn slots_of(&self, key: u32) -> Range<usize> {
        self.key_slots[key as usize] as usize..self.key_slots[key as usize + 1] as usize
    }

    /// The slots of a key at `since` or later.
    pub(crate) fn slots_since(&self, key: u32, since: i64) -> Range<usize> {
        let all = self.slots_of(key);
        let before = self.slot_times[all.clone()].partition_point(|&time| time < since);
        all.start + before..all.end
    }

    /// Per row of history the key that it has, [`NO_KEY`] where nobody asks for it.
    pub(crate) fn keys_of(&self, columns: &[ArrayRef]) -> Result<Vec<u32>> {
        let encoded = self.converter.convert_columns(columns).map_err(Error::arrow("encode keys of history"))?;
        let nullable = columns.iter().any(|column| column.null_count() > 0);
        let find = |row: usize| {
            if nullable && has_null(columns, row) {
                return NO_KEY;
            }
            let bytes = encoded.row(row);
            let asked = |key: &u32| self.encoded.row(self.first_row[*key as usize] as usize) == bytes;
            self.index.find(self.hasher.hash_one(bytes.as_ref()), asked).copied().unwrap_or(NO_KEY)
        };
        Ok((0..encoded.num_rows()).map(find).collect())
    }
}

fn has_null(columns: &[ArrayRef], row: usize) -> bool {
    columns.iter().any(|column| column.is_null(row))
}

/// A column of the band with the type that history has; a value that this type cannot say is an error.
pub(crate) fn as_history_has_it(band: &RecordBatch, column: usize, to: &DataType) -> Result<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(band.column(column), to, &strict).map_err(|source| Error::Column {
        column: band.schema().field(column).name().clone(),
        reason: format!("history has {to} there: {source}"),
    })
}
