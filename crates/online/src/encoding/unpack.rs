//! From bytes to values. Bytes of any content give a value or an error, never a panic.

use hitherto_core::{Value, ValueType};

use super::{EncodingError, FORMAT, ValueRef, width};

/// Where each column of a table lies in its rows: worked out once, so that no read of a value walks the columns before it.
#[derive(Clone, Debug)]
pub struct Layout {
    columns: Vec<ValueType>,
    /// Per column, and once more at the end: bytes of slots and number of texts before it.
    before: Vec<Place>,
}

/// Bytes of slots and number of texts.
type Place = (usize, usize);

impl Layout {
    /// The layout of rows of a table with these columns.
    pub fn new(columns: Vec<ValueType>) -> Self {
        let mut before = Vec::with_capacity(columns.len() + 1);
        let mut place = (0, 0);
        for column in &columns {
            before.push(place);
            place = step(place, column);
        }
        before.push(place);
        Self { columns, before }
    }

    /// The table's columns.
    pub fn columns(&self) -> &[ValueType] {
        &self.columns
    }
}

/// A packed row, read in place.
#[derive(Clone, Copy, Debug)]
pub struct PackedRow<'a> {
    columns: &'a [ValueType],
    /// The places of the columns, where they were worked out before.
    before: Option<&'a [Place]>,
    stored: usize,
    nulls: &'a [u8],
    fixed: &'a [u8],
    ends: &'a [u8],
    variable: &'a [u8],
}

impl<'a> PackedRow<'a> {
    /// A row of a table with these columns, now or at any time before or after.
    pub fn new(bytes: &'a [u8], columns: &'a [ValueType]) -> Result<Self, EncodingError> {
        Self::open(bytes, columns, None)
    }

    /// The same of a table whose layout is known.
    pub fn with_layout(bytes: &'a [u8], layout: &'a Layout) -> Result<Self, EncodingError> {
        Self::open(bytes, &layout.columns, Some(&layout.before))
    }

    fn open(bytes: &'a [u8], columns: &'a [ValueType], before: Option<&'a [Place]>) -> Result<Self, EncodingError> {
        let mut cursor = Cursor(bytes);
        if cursor.take(1)? != [FORMAT] {
            return Err(EncodingError::Malformed("its format is not one that this version knows"));
        }
        let stored = usize::from(cursor.u16()?);
        let texts = usize::from(cursor.u16()?);
        let fixed_len = cursor.u32()? as usize;
        let nulls = cursor.take(stored.div_ceil(8))?;
        let fixed = cursor.take(fixed_len)?;
        let ends = cursor.take(texts * 4)?;
        let variable = cursor.0;
        let end = if texts == 0 { 0 } else { end_at(ends, texts - 1)? };
        if end != variable.len() {
            return Err(EncodingError::Malformed("it does not end where its last column does"));
        }
        let (known_fixed, known_texts) = place(columns, before, stored.min(columns.len()));
        let agrees = if stored <= columns.len() {
            (known_fixed, known_texts) == (fixed_len, texts)
        } else {
            known_fixed <= fixed_len && known_texts <= texts
        };
        if !agrees {
            return Err(EncodingError::Malformed("its columns have other types than the table's"));
        }
        Ok(Self { columns, before, stored, nulls, fixed, ends, variable })
    }

    /// How many columns the table has; those beyond the ones stored are null.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the table has no columns.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether the column is null, or beyond what was stored.
    pub fn is_null(&self, column: usize) -> bool {
        column >= self.stored || column >= self.columns.len() || is_set(self.nulls, column)
    }

    /// The value of a column; null beyond what was stored.
    pub fn get(&self, column: usize) -> Result<ValueRef<'a>, EncodingError> {
        // also past the last column, where there is nothing
        self.at(column, place(self.columns, self.before, column.min(self.columns.len())))
    }

    /// The bytes of a column whose type takes exactly `N` of them in the fixed-width region; none where it is null.
    pub fn slot<const N: usize>(&self, column: usize) -> Result<Option<[u8; N]>, EncodingError> {
        if self.is_null(column) {
            return Ok(None);
        }
        if width(&self.columns[column]) != Some(N) {
            return Err(EncodingError::Malformed("a slot has not the width of its type"));
        }
        let (start, _) = place(self.columns, self.before, column);
        let slot = self.fixed.get(start..).and_then(|rest| rest.first_chunk());
        slot.copied().map(Some).ok_or(EncodingError::Malformed("it is cut short"))
    }

    /// All values, in the order of the columns.
    pub fn iter(&self) -> impl Iterator<Item = Result<ValueRef<'a>, EncodingError>> {
        let row = *self;
        row.columns.iter().enumerate().scan((0, 0), move |before, (index, column)| {
            let value = row.at(index, *before);
            *before = step(*before, column);
            Some(value)
        })
    }

    fn at(&self, index: usize, (slot, text_index): (usize, usize)) -> Result<ValueRef<'a>, EncodingError> {
        let Some(column) = self.columns.get(index) else {
            return Ok(ValueRef::Null);
        };
        if self.is_null(index) {
            return Ok(ValueRef::Null);
        }
        if let Some(width) = width(column) {
            return ValueRef::fixed(column, Cursor(self.fixed).skip(slot)?.take(width)?);
        }
        ValueRef::variable(column, text(self.ends, self.variable, text_index)?)
    }
}

/// All values of a packed row, copied.
pub fn decode(bytes: &[u8], columns: &[ValueType]) -> Result<Vec<Value>, EncodingError> {
    PackedRow::new(bytes, columns)?.iter().map(|value| value?.to_value()).collect()
}

/// Where the column at `index` lies, which is at most the number of columns.
fn place(columns: &[ValueType], before: Option<&[Place]>, index: usize) -> Place {
    match before {
        Some(before) => before[index],
        None => columns.iter().take(index).fold((0, 0), step),
    }
}

/// Where the next column lies.
fn step((slots, texts): Place, column: &ValueType) -> Place {
    width(column).map_or((slots, texts + 1), |width| (slots + width, texts))
}

pub(super) fn is_set(bitmap: &[u8], index: usize) -> bool {
    bitmap.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// The text at `index` of a region described by its ends.
pub(super) fn text<'a>(ends: &[u8], texts: &'a [u8], index: usize) -> Result<&'a [u8], EncodingError> {
    let start = if index == 0 { 0 } else { end_at(ends, index - 1)? };
    texts
        .get(start..end_at(ends, index)?)
        .ok_or(EncodingError::Malformed("a column ends before it begins, or too late"))
}

pub(super) fn end_at(ends: &[u8], index: usize) -> Result<usize, EncodingError> {
    Ok(Cursor(ends).skip(index * 4)?.u32()? as usize)
}

/// Bytes not yet read.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], EncodingError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(EncodingError::Malformed("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn skip(mut self, length: usize) -> Result<Self, EncodingError> {
        self.take(length)?;
        Ok(self)
    }

    pub(super) fn u16(&mut self) -> Result<u16, EncodingError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, EncodingError> {
        self.array().map(u32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EncodingError> {
        self.take(N)?.try_into().map_err(|_| EncodingError::Malformed("it is cut short"))
    }
}
