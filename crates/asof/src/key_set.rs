//! The keys of a spine, column by column: what the statistics of files, row groups and pages are held against.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::Int64Type;

/// The distinct keys of a spine. Integers, times and booleans compare as 64-bit integers (times in microseconds), texts
/// and bytes byte by byte.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    len: usize,
    /// One for each key column; none where nothing is known but the number of keys.
    columns: Vec<ColumnKeys>,
}

/// The distinct values of one key column, ascending; or, of many, the least and the greatest alone.
#[derive(Clone, Debug)]
enum ColumnKeys {
    Ints(Values<i64>),
    Bytes(Values<Box<[u8]>>),
    Unknown,
}

#[derive(Clone, Debug)]
struct Values<T> {
    sorted: Vec<T>,
    is_complete: bool,
}

impl KeySet {
    /// More keys than this are known by their ends alone: sorting and searching them would cost more than it saves.
    pub(crate) const LISTED_MAX: usize = 1 << 16;

    /// A set of `len` keys of which nothing else is known.
    pub(crate) fn unknown(len: usize) -> Self {
        Self { len, columns: Vec::new() }
    }

    /// The keys whose parts are the rows of `columns`, `int64` or binary views without nulls; without columns, keys of
    /// which nothing is known.
    pub fn listed(columns: &[ArrayRef]) -> Self {
        let len = columns.first().map_or(0, Array::len);
        Self { len, columns: columns.iter().map(ColumnKeys::listed).collect() }
    }

    /// Keys of which no more is known than the values that some of their parts may have: each column, where there is one,
    /// is as in [`KeySet::listed`], and they need not be of one length.
    pub fn of_parts(columns: &[Option<ArrayRef>]) -> Self {
        let len = columns.iter().flatten().map(Array::len).max().unwrap_or(0);
        let part = |column: &Option<ArrayRef>| column.as_ref().map_or(ColumnKeys::Unknown, ColumnKeys::listed);
        Self { len, columns: columns.iter().map(part).collect() }
    }

    /// `len` keys of one integer column, between these two, both in.
    pub(crate) fn between_ints(len: usize, min: i64, max: i64) -> Self {
        Self { len, columns: vec![ColumnKeys::Ints(Values { sorted: vec![min, max], is_complete: false })] }
    }

    /// `len` keys of one column of texts or bytes, between these two, both in.
    pub(crate) fn between_bytes(len: usize, min: &[u8], max: &[u8]) -> Self {
        let sorted = vec![min.into(), max.into()];
        Self { len, columns: vec![ColumnKeys::Bytes(Values { sorted, is_complete: false })] }
    }

    /// How many distinct keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether anything is known of the parts in column `column`.
    pub fn knows(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|column| !matches!(column, ColumnKeys::Unknown))
    }

    /// Whether a key may have a part in column `column` that is in `[min, max]`.
    pub fn may_have_int(&self, column: usize, min: i64, max: i64) -> bool {
        match self.columns.get(column) {
            Some(ColumnKeys::Ints(values)) => values.may_have(|value| compare_with_range(value, &min, &max)),
            _ => true,
        }
    }

    /// The same of a column of texts or bytes.
    pub fn may_have_bytes(&self, column: usize, min: &[u8], max: &[u8]) -> bool {
        match self.columns.get(column) {
            Some(ColumnKeys::Bytes(values)) => values.may_have(|value| compare_with_range(value.as_ref(), min, max)),
            _ => true,
        }
    }

    /// All parts of column `column`, ascending, where it is one of integers and they are listed.
    pub fn ints(&self, column: usize) -> Option<&[i64]> {
        match self.columns.get(column)? {
            ColumnKeys::Ints(values) if values.is_complete => Some(&values.sorted),
            _ => None,
        }
    }

    /// All parts of column `column`, ascending, where it is one of texts or bytes and they are listed.
    pub fn bytes(&self, column: usize) -> Option<&[Box<[u8]>]> {
        match self.columns.get(column)? {
            ColumnKeys::Bytes(values) if values.is_complete => Some(&values.sorted),
            _ => None,
        }
    }
}

impl ColumnKeys {
    fn listed(column: &ArrayRef) -> Self {
        match column.as_primitive_opt::<Int64Type>() {
            Some(column) => Self::Ints(Values::listed(column.values().to_vec())),
            None => Self::Bytes(Values::listed(column.as_binary_view().iter().flatten().map(Box::from).collect())),
        }
    }
}

impl<T: Ord> Values<T> {
    fn listed(mut values: Vec<T>) -> Self {
        values.sort_unstable();
        values.dedup();
        Self { sorted: values, is_complete: true }
    }

    /// `place` says whether a value is below, in or above a range.
    fn may_have(&self, place: impl Fn(&T) -> Ordering) -> bool {
        if self.is_complete {
            return self.sorted.binary_search_by(place).is_ok();
        }
        let (Some(first), Some(last)) = (self.sorted.first(), self.sorted.last()) else { return false };
        place(first) != Ordering::Greater && place(last) != Ordering::Less
    }
}

fn compare_with_range<T: Ord + ?Sized>(value: &T, min: &T, max: &T) -> Ordering {
    if value < min {
        Ordering::Less
    } else if value > max {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryViewArray, Int64Array};

    use super::*;

    #[test]
    fn listed_keys_leave_gaps() {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![9, 1, 5, 5]));
        let texts: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(["d", "b", "d", "b"]));
        let keys = KeySet::listed(&[ints, texts]);
        assert_eq!((keys.len(), keys.ints(0)), (4, Some(&[1, 5, 9][..])));
        assert!(keys.may_have_int(0, 2, 5) && keys.may_have_int(0, 9, 90) && !keys.may_have_int(0, 6, 8));
        assert!(keys.may_have_bytes(1, b"a", b"b") && !keys.may_have_bytes(1, b"c", b"cz"));
        assert_eq!(keys.bytes(1).map(<[_]>::len), Some(2));
        assert!(keys.may_have_int(7, 0, 0), "nothing is known of other columns");
    }

    #[test]
    fn a_part_may_be_known_alone() {
        let texts: ArrayRef = Arc::new(BinaryViewArray::from_iter_values(["d", "b"]));
        let keys = KeySet::of_parts(&[None, Some(texts)]);
        assert_eq!((keys.len(), keys.knows(0), keys.knows(1)), (2, false, true));
        assert!(keys.may_have_int(0, 7, 7) && keys.may_have_bytes(0, b"x", b"x"));
        assert!(keys.may_have_bytes(1, b"a", b"b") && !keys.may_have_bytes(1, b"c", b"c"));
        assert_eq!((keys.ints(0), keys.bytes(0), keys.bytes(1).map(<[_]>::len)), (None, None, Some(2)));
    }

    #[test]
    fn ends_alone_leave_what_is_outside() {
        let ints = KeySet::between_ints(1 << 20, -3, 40);
        assert!(ints.may_have_int(0, 5, 5) && ints.may_have_int(0, -90, -3) && ints.may_have_int(0, 40, 41));
        assert!(!ints.may_have_int(0, 41, 50) && !ints.may_have_int(0, -9, -4));
        assert_eq!(ints.ints(0), None);
        let texts = KeySet::between_bytes(1 << 20, b"m", b"p");
        assert!(texts.may_have_bytes(0, b"a", b"z") && !texts.may_have_bytes(0, b"pp", b"z"));
        assert!(KeySet::unknown(3).may_have_int(0, 1, 1));
    }
}
