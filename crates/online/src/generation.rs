//! Generations: the rows of a reading as one load has brought them, beside those of another.
//!
//! A full rebuild fills a generation beside the one that is read, and then puts it into its place. What is left of the other
//! goes later, key by key.

use std::fmt;

use async_trait::async_trait;
use hitherto_core::Timestamp;

use crate::{Reading, Result, Run};

/// The number of a generation of a reading. Numbers rise, and none is given twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The one that a reading begins with.
    pub const FIRST: Self = Self(0);
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a store has of a reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// The one that is read.
    pub current: Generation,
    /// The one that a rebuild fills beside it.
    pub next: Option<NextGeneration>,
    /// Those whose rows are to go, the earliest first.
    pub old: Vec<OldGeneration>,
}

/// A generation that is being filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextGeneration {
    /// Its number.
    pub generation: Generation,
    /// What [`GenerationStore::beat`] left last: whoever is at work changes it again and again.
    pub beat: Vec<u8>,
}

/// A generation that nobody reads any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldGeneration {
    /// Its number.
    pub generation: Generation,
    /// When its rows may go. Whoever drops them moves this on first, so that nobody else does.
    pub due: Timestamp,
}

/// What became of an attempt to put the next generation into the current one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It is the current one.
    Done,
    /// Its marks are behind those of the current one, or were changed meanwhile: bring it up to date, and try again.
    Behind,
    /// It is not under way any more: somebody gave it up, or the store has lost it.
    Gone,
}

/// How generations come and go. All calls may be repeated.
#[async_trait]
pub trait GenerationStore: Send + Sync {
    /// The generations of a reading.
    async fn generations(&self, reading: &Reading) -> Result<Generations>;

    /// Begins to fill a next generation; none if `replacing` is not what is under way. The one that is replaced is to go when
    /// `due`. From here on [`OnlineStore::begin`](crate::OnlineStore::begin) names the new one, and no run that began before
    /// moves the marks.
    async fn start_generation(
        &self,
        reading: &Reading,
        replacing: Option<Generation>,
        due: Timestamp,
    ) -> Result<Option<Generation>>;

    /// Begins a run on the next generation, as [`OnlineStore::begin`](crate::OnlineStore::begin) does on the current one;
    /// none if it is not under way any more. Without marks it is still being filled.
    async fn begin_beside(&self, reading: &Reading, generation: Generation) -> Result<Option<Run>>;

    /// Puts the next generation into the current one's place, if it is as far in both halves of the marks. No run that began
    /// on either writes any more. The rows of the one before are to go when `due`.
    async fn switch_generation(&self, reading: &Reading, generation: Generation, due: Timestamp) -> Result<Switch>;

    /// Gives a next generation up; its rows are to go when `due`. Whether it was under way.
    async fn abandon_generation(&self, reading: &Reading, generation: Generation, due: Timestamp) -> Result<bool>;

    /// Tells that whoever fills the next generation is at work.
    async fn beat(&self, reading: &Reading) -> Result<()>;

    /// Moves the time on when the rows of an old generation may go; whether it was still as `old` says.
    async fn postpone(&self, reading: &Reading, old: OldGeneration, due: Timestamp) -> Result<bool>;

    /// Deletes rows of these keys, of a generation that is neither the current one nor the next. Says how many there were.
    async fn drop_rows(&self, reading: &Reading, generation: Generation, keys: &[Vec<u8>]) -> Result<u64>;

    /// Forgets an old generation: its rows are gone.
    async fn forget_generation(&self, reading: &Reading, generation: Generation) -> Result<()>;
}

/// The numbers in an entry: 12 bytes, which are left out where the reading was never rebuilt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) current: Generation,
    /// The greatest that was ever given.
    pub(crate) last: Generation,
    pub(crate) next: Option<Generation>,
}

/// Length of the numbers in an entry.
pub(crate) const NUMBERS_LEN: usize = 12;

impl Numbers {
    /// Whether the reading was never rebuilt.
    pub(crate) fn are_first(self) -> bool {
        self == Self::default()
    }

    /// With a next generation of this number.
    pub(crate) fn started(self, generation: Generation) -> Self {
        Self { next: Some(generation), last: self.last.max(generation), ..self }
    }

    /// Without a next generation.
    pub(crate) fn abandoned(self) -> Self {
        Self { next: None, ..self }
    }

    /// With this generation as the current one.
    pub(crate) fn switched(self, generation: Generation) -> Self {
        Self { current: generation, last: self.last.max(generation), next: None }
    }

    /// Whether a generation may be dropped.
    pub(crate) fn have_left(self, generation: Generation) -> bool {
        self.current != generation && self.next != Some(generation)
    }

    pub(crate) fn bytes(self) -> [u8; NUMBERS_LEN] {
        let mut out = [0; NUMBERS_LEN];
        // no next one has the number of the first
        let numbers = [self.current, self.last, self.next.unwrap_or(Generation::FIRST)];
        for (place, number) in out.chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.0.to_be_bytes());
        }
        out
    }

    pub(crate) fn parse(bytes: &[u8; NUMBERS_LEN]) -> Self {
        let number =
            |at: usize| Generation(u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
        let next = number(8);
        Self { current: number(0), last: number(4), next: (next != Generation::FIRST).then_some(next) }
    }
}

/// Length of one item of the list of old generations.
const OLD_LEN: usize = 12;

/// The list of old generations as it is kept: number and time of each, big endian.
pub(crate) fn old_bytes(old: &[OldGeneration]) -> Vec<u8> {
    let mut out = Vec::with_capacity(old.len() * OLD_LEN);
    for one in old {
        out.extend(one.generation.0.to_be_bytes());
        out.extend(one.due.0.to_be_bytes());
    }
    out
}

/// The list of old generations, read.
pub(crate) fn parse_old(bytes: &[u8]) -> Result<Vec<OldGeneration>, &'static str> {
    let items = bytes.chunks_exact(OLD_LEN);
    if !items.remainder().is_empty() {
        return Err("the list of old generations is cut short");
    }
    let item = |item: &[u8]| {
        let (number, due) = item.split_first_chunk::<4>()?;
        let due = i64::from_be_bytes(*due.first_chunk::<8>()?);
        Some(OldGeneration { generation: Generation(u32::from_be_bytes(*number)), due: Timestamp(due) })
    };
    items.map(|bytes| item(bytes).ok_or("the list of old generations is cut short")).collect()
}

/// The list with one more.
pub(crate) fn with_old(old: &[OldGeneration], generation: Generation, due: Timestamp) -> Vec<OldGeneration> {
    let mut list: Vec<OldGeneration> = old.iter().filter(|one| one.generation != generation).copied().collect();
    list.push(OldGeneration { generation, due });
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_come_back_and_cut_ones_are_refused() {
        let numbers = Numbers::default().started(Generation(1));
        assert_eq!(numbers.bytes(), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        for numbers in [numbers, numbers.switched(Generation(1)), numbers.abandoned(), Numbers::default()] {
            assert_eq!(Numbers::parse(&numbers.bytes()), numbers);
        }
        assert!(!numbers.abandoned().are_first(), "its number is not given again");
        let old = |number, due| OldGeneration { generation: Generation(number), due: Timestamp(due) };
        let list = with_old(&with_old(&[], Generation(1), Timestamp(5)), Generation(258), Timestamp(-1));
        assert_eq!(list, [old(1, 5), old(258, -1)]);
        let bytes = old_bytes(&list);
        assert_eq!(bytes[12..], [0, 0, 1, 2, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(parse_old(&bytes), Ok(list.clone()));
        assert_eq!(with_old(&list, Generation(1), Timestamp(9)), [old(258, -1), old(1, 9)]);
        assert!(parse_old(&bytes[..23]).is_err());
        assert_eq!(parse_old(&[]), Ok(Vec::new()));
    }

    #[test]
    fn what_is_read_or_filled_is_never_dropped() {
        let numbers = Numbers::default().switched(Generation(3)).started(Generation(4));
        let left: Vec<u32> = (0..6).filter(|number| numbers.have_left(Generation(*number))).collect();
        assert_eq!(left, [0, 1, 2, 5]);
    }
}
