//! What LMDB has of a reading beside its rows: marks and generations, read and written within a transaction.
//!
//! The record of marks is those 16 bytes alone where the reading was never rebuilt. Otherwise it is a byte that says whether
//! there are marks, the numbers of generations, and the marks.

use heed::{RoTxn, RwTxn};
use hitherto_core::Name;

use super::address::Address;
use super::environment::Environment;
use super::failure::Failure;
use crate::generation::{NUMBERS_LEN, Numbers, old_bytes, parse_old};
use crate::record::{self, MARKS_LEN};
use crate::{Generation, Marks, OldGeneration, Reading};

const NUMBERS_ALONE: u8 = 2;
const NUMBERS_AND_MARKS: u8 = 3;

/// Generations of a reading, and the marks of the current one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) numbers: Numbers,
    pub(super) marks: Option<Marks>,
}

impl Entry {
    fn bytes(self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.numbers.are_first() {
            out.push(if self.marks.is_some() { NUMBERS_AND_MARKS } else { NUMBERS_ALONE });
            out.extend(self.numbers.bytes());
        }
        out.extend(self.marks.map(record::marks_bytes).into_iter().flatten());
        out
    }

    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() == MARKS_LEN {
            return Ok(Self { numbers: Numbers::default(), marks: Some(record::marks(bytes)?) });
        }
        let (flags, rest) = bytes.split_first().ok_or("the marks are cut short")?;
        let (numbers, marks) = rest.split_first_chunk::<NUMBERS_LEN>().ok_or("the marks are cut short")?;
        let marks = match (*flags, marks) {
            (NUMBERS_ALONE, []) => None,
            (NUMBERS_AND_MARKS, marks) => Some(record::marks(marks)?),
            _ => return Err("the marks are not of ours"),
        };
        Ok(Self { numbers: Numbers::parse(numbers), marks })
    }
}

/// Where what is known of a reading lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) project: &'a Name,
    pub(super) reading: &'a Reading,
}

impl Place<'_> {
    pub(super) fn row(self, generation: Generation, key: &[u8]) -> Address {
        Address::row(self.project, self.reading, generation, key)
    }

    /// The generations and the marks of the current one.
    pub(super) fn entry(self, environment: &Environment, txn: &RoTxn<'_>) -> Result<Entry, Failure> {
        let found = get(environment, txn, &Address::marks(self.project, self.reading))?;
        Ok(found.map(Entry::parse).transpose()?.unwrap_or_default())
    }

    pub(super) fn set_entry(self, environment: &Environment, txn: &mut RwTxn<'_>, entry: Entry) -> Result<(), Failure> {
        put(environment, txn, &Address::marks(self.project, self.reading), &entry.bytes())
    }

    /// The marks of a next generation.
    pub(super) fn beside(
        self,
        environment: &Environment,
        txn: &RoTxn<'_>,
        generation: Generation,
    ) -> Result<Option<Marks>, Failure> {
        let found = get(environment, txn, &Address::beside(self.project, self.reading, generation))?;
        Ok(found.map(record::marks).transpose()?)
    }

    pub(super) fn set_beside(
        self,
        environment: &Environment,
        txn: &mut RwTxn<'_>,
        generation: Generation,
        marks: Option<Marks>,
    ) -> Result<(), Failure> {
        let bytes = marks.map(|marks| record::marks_bytes(marks).to_vec()).unwrap_or_default();
        put(environment, txn, &Address::beside(self.project, self.reading, generation), &bytes)
    }

    /// The old generations whose rows are to go.
    pub(super) fn old(self, environment: &Environment, txn: &RoTxn<'_>) -> Result<Vec<OldGeneration>, Failure> {
        let found = get(environment, txn, &Address::old(self.project, self.reading))?;
        Ok(parse_old(found.unwrap_or_default())?)
    }

    pub(super) fn set_old(
        self,
        environment: &Environment,
        txn: &mut RwTxn<'_>,
        old: &[OldGeneration],
    ) -> Result<(), Failure> {
        put(environment, txn, &Address::old(self.project, self.reading), &old_bytes(old))
    }

    /// The number of erasures, as it lies there: nothing where there was none.
    pub(super) fn erasures<'txn>(self, environment: &Environment, txn: &'txn RoTxn<'_>) -> Result<&'txn [u8], Failure> {
        let found = get(environment, txn, &Address::erasures(self.project, self.reading))?;
        Ok(found.unwrap_or_default())
    }

    /// Counts an erasure.
    pub(super) fn count_erasure(self, environment: &Environment, txn: &mut RwTxn<'_>) -> Result<(), Failure> {
        let count = number(self.erasures(environment, txn)?) + 1;
        put(environment, txn, &Address::erasures(self.project, self.reading), &count.to_be_bytes())
    }

    /// What whoever rebuilds counts up.
    pub(super) fn beat(self, environment: &Environment, txn: &RoTxn<'_>) -> Result<Vec<u8>, Failure> {
        let found = get(environment, txn, &Address::beat(self.project, self.reading))?;
        Ok(found.unwrap_or_default().to_vec())
    }

    pub(super) fn count_beat(self, environment: &Environment, txn: &mut RwTxn<'_>) -> Result<(), Failure> {
        let count = number(&self.beat(environment, txn)?) + 1;
        put(environment, txn, &Address::beat(self.project, self.reading), &count.to_be_bytes())
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |count| u64::from_be_bytes(*count))
}

/// The record at an address.
fn get<'txn>(
    environment: &Environment,
    txn: &'txn RoTxn<'_>,
    address: &Address,
) -> Result<Option<&'txn [u8]>, Failure> {
    let found = environment.records.get(txn, address.key())?;
    Ok(found.map(|value| address.record(value)).transpose()?)
}

/// Puts a record, or deletes it where it says nothing.
fn put(environment: &Environment, txn: &mut RwTxn<'_>, address: &Address, record: &[u8]) -> Result<(), Failure> {
    if record.is_empty() {
        environment.records.delete(txn, address.key())?;
    } else {
        environment.records.put(txn, address.key(), &address.value(|out| out.extend(record)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hitherto_core::Timestamp;

    use super::*;

    #[test]
    fn entries_of_before_are_read_and_foreign_ones_refused() {
        let marks = Some(Marks { sequence: 1, clock: Timestamp(-1) });
        let numbers = Numbers::default().switched(Generation(1)).started(Generation(2));
        for entry in
            [Entry { numbers: Numbers::default(), marks }, Entry { numbers, marks: None }, Entry { numbers, marks }]
        {
            assert_eq!(Entry::parse(&entry.bytes()), Ok(entry));
        }
        assert_eq!(Entry { numbers: Numbers::default(), marks }.bytes().len(), MARKS_LEN, "as it always was");
        assert_eq!(Entry::default().bytes(), [0; 0], "nothing is kept of nothing");
        assert_eq!(Entry { numbers, marks: None }.bytes(), [2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]);
        for bad in [&[][..], &[2; 12], &[3; 13], &[2; 29], &[4; 29], &[3; 30]] {
            assert!(Entry::parse(bad).is_err(), "{bad:?}");
        }
    }
}
