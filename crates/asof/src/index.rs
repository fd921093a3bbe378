//! The index over the spine: per key its distinct times, sorted, each a *slot* that will get one winner.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::error::Result;

use crate::KeySet;
use crate::keys::{Interner, KeyFamily, NO_CODE};

/// The slot of a spine row whose key has a null part.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// The slots of one key: `times[start..start + len]`. The last time lies beside them, as most rows that miss do so
/// because they come after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeySlots {
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) last: i64,
}

/// For example, a spine `(a, 5), (b, 1), (a, 2), (a, 5)` has the keys `a -> 0, b -> 1`, the slots
/// `a: [2, 5], b: [1]`, that is `times = [2, 5, 1]`, and `slot_of_row = [1, 2, 0, 1]`.
#[derive(Debug)]
pub(crate) struct SpineIndex {
    interner: Interner,
    key_set: Arc<KeySet>,
    keys: Vec<KeySlots>,
    times: Vec<i64>,
    slot_of_row: Vec<u32>,
}

impl SpineIndex {
    /// Appends the code of each row's key to `codes`, [`NO_CODE`] for keys that are not in the spine.
    pub(crate) fn find(&self, keys: &[ArrayRef], codes: &mut Vec<u32>) -> Result<()> {
        self.interner.find(keys, codes)
    }

    /// The keys, for those who decide what need not be read.
    pub(crate) fn key_set(&self) -> &Arc<KeySet> {
        &self.key_set
    }

    /// The slots of each key, by code.
    pub(crate) fn keys(&self) -> &[KeySlots] {
        &self.keys
    }

    /// The time of each slot.
    pub(crate) fn times(&self) -> &[i64] {
        &self.times
    }

    /// The slot of each spine row, [`NO_SLOT`] for a row whose key has a null part.
    pub(crate) fn slot_of_row(&self) -> &[u32] {
        &self.slot_of_row
    }

    /// The earliest and the latest time of any slot.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        Some((*self.times.iter().min()?, *self.times.iter().max()?))
    }

    pub(crate) fn memory_size(&self) -> usize {
        self.interner.memory_size()
            + self.keys.capacity() * size_of::<KeySlots>()
            + self.times.capacity() * size_of::<i64>()
            + self.slot_of_row.capacity() * size_of::<u32>()
    }
}

/// A [`SpineIndex`] in the making: keys come batch by batch, times at the end.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    interner: Interner,
    codes: Vec<u32>,
}

impl IndexBuilder {
    pub(crate) fn try_new(families: &[KeyFamily]) -> Result<Self> {
        Ok(Self { interner: Interner::try_new(families)?, codes: Vec::new() })
    }

    /// The keys of the next spine rows.
    pub(crate) fn push(&mut self, keys: &[ArrayRef]) -> Result<()> {
        self.interner.intern(keys, &mut self.codes)
    }

    pub(crate) fn memory_size(&self) -> usize {
        self.interner.memory_size() + self.codes.capacity() * size_of::<u32>()
    }

    /// What [`finish`](Self::finish) needs for a spine of `rows` rows, beyond what is held already.
    pub(crate) fn finish_size(&self, rows: usize) -> usize {
        rows * (size_of::<(i64, u32)>() + size_of::<i64>())
            + self.interner.len() * (size_of::<KeySlots>() + 2 * size_of::<u32>())
            + self.interner.seal_size()
    }

    /// The index, given the time of every spine row.
    pub(crate) fn finish(self, times: &[i64]) -> Result<SpineIndex> {
        let Self { mut interner, mut codes } = self;
        interner.seal();
        let key_set = Arc::new(interner.key_set()?);
        let (starts, mut rows) = group_by_code(&codes, times, interner.len());
        let mut keys = Vec::with_capacity(interner.len());
        let mut slots = Vec::with_capacity(rows.len());
        for bounds in starts.windows(2) {
            let group = &mut rows[bounds[0] as usize..bounds[1] as usize];
            if !group.is_sorted() {
                group.sort_unstable();
            }
            let start = slots.len() as u32;
            for &(time, row) in &*group {
                if slots.len() as u32 == start || slots.last() != Some(&time) {
                    slots.push(time);
                }
                // from here on the row's code is not needed: its place takes the slot
                codes[row as usize] = slots.len() as u32 - 1;
            }
            let last = slots.last().copied().unwrap_or(i64::MIN);
            keys.push(KeySlots { start, len: slots.len() as u32 - start, last });
        }
        slots.shrink_to_fit();
        Ok(SpineIndex { interner, key_set, keys, times: slots, slot_of_row: codes })
    }
}

/// Counting sort: `(time, row)` of the rows of code `c` are `rows[starts[c]..starts[c + 1]]`, in the spine's order.
fn group_by_code(codes: &[u32], times: &[i64], keys: usize) -> (Vec<u32>, Vec<(i64, u32)>) {
    let mut starts = vec![0u32; keys + 1];
    let mut total = 0;
    for &code in codes.iter().filter(|&&code| code != NO_CODE) {
        starts[code as usize + 1] += 1;
        total += 1;
    }
    for code in 0..keys {
        starts[code + 1] += starts[code];
    }
    let mut next = starts.clone();
    let mut rows = vec![(0, 0); total];
    for (row, (&code, &time)) in codes.iter().zip(times).enumerate() {
        if code != NO_CODE {
            let place = &mut next[code as usize];
            rows[*place as usize] = (time, row as u32);
            *place += 1;
        }
    }
    (starts, rows)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn slots_are_distinct_sorted_times_per_key() {
        let mut builder = IndexBuilder::try_new(&[KeyFamily::Text]).expect("an interner");
        let keys = vec![Some("a"), Some("b"), Some("a"), None, Some("a"), Some("c")];
        builder.push(&[Arc::new(StringArray::from(keys))]).expect("text");
        let index = builder.finish(&[5, 5, 2, 9, 5, 5]).expect("an index");
        assert_eq!(index.times(), [2, 5, 5, 5]);
        assert_eq!(index.slot_of_row(), [1, 2, 0, NO_SLOT, 1, 3]);
        let keys: Vec<_> = index.keys().iter().map(|key| (key.start, key.len, key.last)).collect();
        assert_eq!(keys, [(0, 2, 5), (2, 1, 5), (3, 1, 5)]);
        assert_eq!(index.time_range(), Some((2, 5)));
    }

    #[test]
    fn a_spine_without_keys_has_no_slots() {
        let mut builder = IndexBuilder::try_new(&[KeyFamily::Text]).expect("an interner");
        builder.push(&[Arc::new(StringArray::from(vec![None::<&str>; 2]))]).expect("text");
        let index = builder.finish(&[1, 2]).expect("an index");
        assert_eq!((index.time_range(), index.slot_of_row()), (None, &[NO_SLOT, NO_SLOT][..]));
    }
}
