//! Under which key a row or marks lie. LMDB's keys have at most 511 bytes, entity keys any number.

use bytes::Bytes;
use hitherto_core::Name;
use sha2::{Digest, Sha256};

use crate::{Generation, Reading};

/// Keys up to this length are stored as they are; longer ones as a hash, and whole within the value.
const WHOLE_LEN: usize = 400;

const ROW: u8 = b'r';
const MARKS: u8 = b'm';
const ERASURES: u8 = b'e';
const HASHED: u8 = b'h';
const OLD: u8 = b'o';
const BEAT: u8 = b'b';
/// Of generations but the first, whose number follows: rows, and the marks of the next one.
const ROW_OF: u8 = b'R';
const MARKS_OF: u8 = b'M';

/// The place of one record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    key: Vec<u8>,
    /// The key before it was hashed.
    whole: Option<Vec<u8>>,
}

impl Address {
    pub(super) fn row(project: &Name, reading: &Reading, generation: Generation, key: &[u8]) -> Self {
        match generation {
            Generation::FIRST => Self::new(&[ROW], project, reading, key),
            Generation(number) => Self::new(&numbered(ROW_OF, number), project, reading, key),
        }
    }

    /// The entry: marks, and the numbers of generations where the reading was ever rebuilt.
    pub(super) fn marks(project: &Name, reading: &Reading) -> Self {
        Self::new(&[MARKS], project, reading, &[])
    }

    /// The marks of a next generation.
    pub(super) fn beside(project: &Name, reading: &Reading, generation: Generation) -> Self {
        Self::new(&numbered(MARKS_OF, generation.0), project, reading, &[])
    }

    /// Where the number of erasures is kept.
    pub(super) fn erasures(project: &Name, reading: &Reading) -> Self {
        Self::new(&[ERASURES], project, reading, &[])
    }

    /// The old generations whose rows are to go.
    pub(super) fn old(project: &Name, reading: &Reading) -> Self {
        Self::new(&[OLD], project, reading, &[])
    }

    /// What whoever rebuilds counts up.
    pub(super) fn beat(project: &Name, reading: &Reading) -> Self {
        Self::new(&[BEAT], project, reading, &[])
    }

    fn new(what: &[u8], project: &Name, reading: &Reading, key: &[u8]) -> Self {
        let (project, reading) = (project.as_str().as_bytes(), reading.as_str().as_bytes());
        // neither a project nor a reading has a zero byte, so no two triples give the same bytes
        let whole = [what, project, &[0], reading, &[0], key].concat();
        if whole.len() <= WHOLE_LEN {
            return Self { key: whole, whole: None };
        }
        let mut hashed = vec![HASHED];
        hashed.extend(Sha256::digest(&whole));
        Self { key: hashed, whole: Some(whole) }
    }

    /// The key in LMDB.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The value in LMDB: the whole key, where it was hashed, and the record.
    pub(super) fn value(&self, push_record: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut value = Vec::new();
        if let Some(whole) = &self.whole {
            value.extend((whole.len() as u32).to_be_bytes());
            value.extend(whole);
        }
        push_record(&mut value);
        value
    }

    /// The record within a value found under this address.
    pub(super) fn record<'v>(&self, value: &'v [u8]) -> Result<&'v [u8], &'static str> {
        let Some(whole) = &self.whole else {
            return Ok(value);
        };
        value
            .split_first_chunk()
            .filter(|(length, _)| u32::from_be_bytes(**length) as usize == whole.len())
            .and_then(|(_, rest)| rest.strip_prefix(whole.as_slice()))
            .ok_or("it belongs to another key of the same hash")
    }

    /// As [`Address::record`], in memory of its own.
    pub(super) fn owned_record(&self, value: &[u8]) -> Result<Bytes, &'static str> {
        self.record(value).map(Bytes::copy_from_slice)
    }
}

/// A letter and a number, always of five bytes.
fn numbered(what: u8, number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [what, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use hitherto_core::Span;

    use super::*;

    #[test]
    fn long_keys_are_hashed_and_told_apart() {
        let project: Name = "p".parse().expect("a name");
        let reading = Reading::new("t", Span::ZERO);
        let row = |key: &[u8]| Address::row(&project, &reading, Generation::FIRST, key);
        let short = row(b"k");
        assert_eq!(short.key(), b"rp\0t:0\0k");
        assert_eq!(Address::row(&project, &reading, Generation(258), b"k").key(), b"R\0\0\x01\x02p\0t:0\0k");
        assert_eq!(Address::beside(&project, &reading, Generation(1)).key(), b"M\0\0\0\x01p\0t:0\0");
        assert_eq!(short.value(|out| out.push(7)), [7]);

        let edge = WHOLE_LEN - b"rp\0t:0\0".len();
        assert_eq!(row(&vec![1; edge]).key().len(), WHOLE_LEN);
        let long = row(&vec![1; edge + 1]);
        assert_eq!((long.key().len(), long.key()[0]), (33, b'h'));
        let value = long.value(|out| out.extend(b"record"));
        assert_eq!(long.record(&value), Ok(&b"record"[..]));
        // what a collision would look like
        let other = Address { key: long.key.clone(), whole: Some(vec![2; edge + 8]) };
        assert!(other.record(&value).is_err());
        assert!(long.record(b"").is_err() && long.record(&value[..40]).is_err());
    }
}
