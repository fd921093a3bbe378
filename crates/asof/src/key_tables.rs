//! Tables from keys to dense codes: `0, 1, 2, …` in the order of first appearance.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::keys::NO_CODE;

/// Integers and their codes.
#[derive(Debug, Default)]
pub(crate) struct IntTable {
    codes: HashMap<i64, u32>,
    /// The codes of all integers from the least key to the greatest, where that is a small range: one access instead of a
    /// search.
    dense: Option<(i64, Vec<u32>)>,
}

impl IntTable {
    /// A dense table may have so many places for each key: what it costs in memory it saves in time.
    const PLACES_PER_KEY_MAX: u64 = 16;

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The integers, in no order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = i64> {
        self.codes.keys().copied()
    }

    /// The code of `key`, a new one if it is new.
    pub(crate) fn insert(&mut self, key: i64) -> u32 {
        let next = self.codes.len() as u32;
        *self.codes.entry(key).or_insert(next)
    }

    /// The code of `key`, [`NO_CODE`] if it has none.
    pub(crate) fn find(&self, key: i64) -> u32 {
        match &self.dense {
            // a key below the least wraps to a number that is far too great
            Some((min, codes)) => usize::try_from(key.wrapping_sub(*min))
                .ok()
                .and_then(|place| codes.get(place))
                .copied()
                .unwrap_or(NO_CODE),
            None => self.codes.get(&key).copied().unwrap_or(NO_CODE),
        }
    }

    /// The bytes that [`seal`](Self::seal) may need.
    pub(crate) fn seal_size(&self) -> usize {
        self.codes.len() * Self::PLACES_PER_KEY_MAX as usize * size_of::<u32>()
    }

    /// No more integers will come: those of a small range are laid out for one access each.
    pub(crate) fn seal(&mut self) {
        let (Some(&min), Some(&max)) = (self.codes.keys().min(), self.codes.keys().max()) else { return };
        let places = max.abs_diff(min);
        if places >= (self.codes.len() as u64).saturating_mul(Self::PLACES_PER_KEY_MAX) {
            return;
        }
        let mut codes = vec![NO_CODE; places as usize + 1];
        for (&key, &code) in &self.codes {
            codes[key.abs_diff(min) as usize] = code;
        }
        self.dense = Some((min, codes));
    }

    pub(crate) fn memory_size(&self) -> usize {
        let dense = self.dense.as_ref().map_or(0, |(_, codes)| codes.capacity() * size_of::<u32>());
        self.codes.allocation_size() + dense
    }
}

/// Byte strings and their codes. The strings lie one after the other in one buffer.
#[derive(Debug, Default)]
pub(crate) struct ByteTable {
    hasher: DefaultHashBuilder,
    /// The hash of each string, so that growing need not read the strings, and its code.
    codes: HashTable<(u64, u32)>,
    bytes: Vec<u8>,
    /// Where the string of each code ends.
    ends: Vec<usize>,
}

impl ByteTable {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, code: u32) -> &[u8] {
        let code = code as usize;
        let start = if code == 0 { 0 } else { self.ends[code - 1] };
        &self.bytes[start..self.ends[code]]
    }

    /// The strings, in the order of their codes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).map(|code| self.get(code))
    }

    fn find(&self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        self.codes.find(hash, |&(h, code)| h == hash && self.get(code) == key).map_or(NO_CODE, |&(_, code)| code)
    }

    /// Files are often clustered by key, so a key is compared with its neighbour before it is hashed.
    pub(crate) fn find_all<'a>(&self, keys: impl Iterator<Item = Option<&'a [u8]>>, codes: &mut Vec<u32>) {
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

    pub(crate) fn insert(&mut self, key: &[u8]) -> u32 {
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

    pub(crate) fn memory_size(&self) -> usize {
        self.codes.allocation_size() + self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_range_is_looked_up_by_place() {
        for (keys, is_dense) in [
            (vec![5, 7, -3], true),
            (vec![i64::MAX - 5, i64::MAX], true),
            (vec![i64::MIN, i64::MIN + 9], true),
            (vec![i64::MIN, i64::MAX], false),
            (vec![0, 1 << 40], false),
        ] {
            let mut table = IntTable::default();
            let codes: Vec<u32> = keys.iter().map(|&key| table.insert(key)).collect();
            table.seal();
            assert_eq!(table.dense.is_some(), is_dense, "{keys:?}");
            assert_eq!(keys.iter().map(|&key| table.find(key)).collect::<Vec<_>>(), codes);
            for other in [i64::MIN, i64::MIN + 1, -4, 6, 8, 1 << 20, i64::MAX - 1, i64::MAX] {
                assert_eq!(table.find(other) == NO_CODE, !keys.contains(&other), "{other} among {keys:?}");
            }
        }
    }
}
