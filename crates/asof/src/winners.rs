//! The greatest row of each slot, and what follows when the whole history has been seen.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::index::{NO_SLOT, SpineIndex};
use crate::{AsOfView, RowAddress};

/// A row that competes for a slot; half a cache line.
///
/// The order of the fields is that of the rule: the address comes last, so that the order is total even for a source
/// that repeats a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    pub(crate) event: i64,
    /// The smallest time where the history has no created times.
    pub(crate) created: i64,
    pub(crate) sequence: i64,
    place: Place,
}

/// An address and whether its row is a tombstone; 0 is no row at all, which every row supersedes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

/// Whether a row has values or takes them away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    /// The row is a tombstone.
    Deleted,
}

impl Candidate {
    /// No row; every row supersedes it.
    pub(crate) const EMPTY: Self = Self { event: i64::MIN, created: i64::MIN, sequence: i64::MIN, place: Place(0) };

    pub(crate) fn new(event: i64, created: i64, sequence: i64, address: RowAddress, life: Life) -> Self {
        // addresses are below 2^62
        let place = Place((address.packed() + 1) << 1 | u64::from(life == Life::Deleted));
        Self { event, created, sequence, place }
    }

    pub(crate) fn supersedes(&self, other: &Self) -> bool {
        self > other
    }

    fn is_alive(&self) -> bool {
        self.place.0 > 1 && self.place.0 & 1 == 0
    }

    fn packed_address(&self) -> u64 {
        (self.place.0 >> 1) - 1
    }
}

const SHARD_SLOTS_MIN_LOG2: u32 = 12;
const SHARDS_MAX_LOG2: u32 = 8;
/// Marks a slot whose row is already known by its rank; slots are numbered below it.
const RANKED: u32 = 1 << 31;

/// The greatest candidate of each slot, shared by all threads of a narrow pass.
///
/// Slots lie in shards of consecutive slots, each with its own lock: a batch's candidates are grouped by shard, so a
/// lock is taken once a batch, and a shard's slots stay in cache while they are updated. The outcome is a maximum, so
/// the order of updates does not matter.
#[derive(Debug)]
pub(crate) struct Winners {
    shards: Vec<Mutex<Vec<Candidate>>>,
    slots_log2: u32,
}

impl Winners {
    pub(crate) fn new(slots: usize) -> Self {
        let slots_log2 = slots.next_power_of_two().ilog2().saturating_sub(SHARDS_MAX_LOG2).max(SHARD_SLOTS_MIN_LOG2);
        let size = 1 << slots_log2;
        let shard = |start: usize| Mutex::new(vec![Candidate::EMPTY; size.min(slots - start)]);
        Self { shards: (0..slots).step_by(size).map(shard).collect(), slots_log2 }
    }

    /// The bytes that `slots` slots need.
    pub(crate) fn size(slots: usize) -> usize {
        slots * size_of::<Candidate>()
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn shard_of(&self, slot: u32) -> usize {
        (slot >> self.slots_log2) as usize
    }

    /// Lets rows compete: `hits` are slots of one shard, each with a row that `candidate` knows.
    pub(crate) fn update<T: Copy>(&self, shard: usize, hits: &[(u32, T)], candidate: impl Fn(T) -> Candidate) {
        let mut state = self.lock(shard);
        let mask = (1u32 << self.slots_log2) - 1;
        // reads that do not wait for each other bring the slots into the cache before they are compared
        let event = |&(slot, _): &(u32, T)| state[(slot & mask) as usize].event;
        std::hint::black_box(hits.iter().fold(0, |all, hit| all ^ event(hit)));
        for &(slot, row) in hits {
            let best = &mut state[(slot & mask) as usize];
            let candidate = candidate(row);
            if candidate.supersedes(best) {
                *best = candidate;
            }
        }
    }

    /// A panic elsewhere cannot leave a shard half written: a candidate is stored whole or not at all.
    fn lock(&self, shard: usize) -> MutexGuard<'_, Vec<Candidate>> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer for every slot: the running maximum along each key's slots, unless it is a tombstone or too old.
    pub(crate) fn resolve(&self, index: &SpineIndex, view: &AsOfView) -> Answers {
        let shards: Vec<_> = (0..self.shards.len()).map(|shard| self.lock(shard)).collect();
        let mask = (1u32 << self.slots_log2) - 1;
        let candidate = |slot: u32| &shards[self.shard_of(slot)][(slot & mask) as usize];
        let (row_of_slot, found) = running_maximum(index, view.effective_ttl(), candidate);
        Answers::ranked(
            row_of_slot,
            found,
            candidate,
            if view.evidence.is_empty() { Keep::Addresses } else { Keep::All },
        )
    }
}

/// For each slot the slot whose candidate wins there, [`NO_SLOT`] where none does or it is withheld; and every such
/// candidate's address with its slot. A candidate that wins anywhere wins in its own slot too.
fn running_maximum<'a>(
    index: &SpineIndex,
    ttl: Option<i64>,
    candidate: impl Fn(u32) -> &'a Candidate,
) -> (Vec<u32>, Vec<(u64, u32)>) {
    let times = index.times();
    let mut winner_of_slot = vec![NO_SLOT; times.len()];
    let mut found = Vec::new();
    for key in index.keys() {
        let mut best = &Candidate::EMPTY;
        let mut best_slot = NO_SLOT;
        for slot in key.start..key.start + key.len {
            let here = candidate(slot);
            let is_new = here.supersedes(best);
            if is_new {
                (best, best_slot) = (here, slot);
            }
            let is_expired = |ttl| best.event < times[slot as usize].saturating_sub(ttl);
            if !best.is_alive() || ttl.is_some_and(is_expired) {
                continue;
            }
            if is_new {
                found.push((best.packed_address(), slot));
            }
            winner_of_slot[slot as usize] = best_slot;
        }
    }
    (winner_of_slot, found)
}

/// The winners of one view, in the order of their addresses, and which of them each slot has.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) addresses: Vec<RowAddress>,
    /// The winners themselves, where something is to be said of them; else none.
    pub(crate) rows: Vec<Candidate>,
    /// Indices into `addresses`, [`NO_SLOT`] where there is no winner or it is withheld.
    pub(crate) row_of_slot: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Addresses,
    All,
}

impl Answers {
    /// Sorts `found` and puts ranks in place of slots. A row has one key and the winners of a key only ever grow, so each
    /// row comes once.
    fn ranked<'a>(
        mut row_of_slot: Vec<u32>,
        mut found: Vec<(u64, u32)>,
        candidate: impl Fn(u32) -> &'a Candidate,
        keep: Keep,
    ) -> Self {
        found.sort_unstable();
        for (rank, &(_, slot)) in found.iter().enumerate() {
            row_of_slot[slot as usize] = rank as u32 | RANKED;
        }
        for slot in 0..row_of_slot.len() {
            let row = row_of_slot[slot];
            // a winner's own slot comes before those that it wins later
            if row != NO_SLOT && row & RANKED == 0 {
                row_of_slot[slot] = row_of_slot[row as usize];
            }
        }
        for row in row_of_slot.iter_mut().filter(|row| **row != NO_SLOT) {
            *row &= !RANKED;
        }
        let rows = match keep {
            Keep::Addresses => Vec::new(),
            Keep::All => found.iter().map(|&(_, slot)| *candidate(slot)).collect(),
        };
        let addresses = found.into_iter().map(|(address, _)| RowAddress::unpacked(address)).collect();
        Self { addresses, rows, row_of_slot }
    }

    /// The bytes that resolving `slots` slots may need at its worst, when each has its own winner.
    pub(crate) fn size(slots: usize, view: &AsOfView) -> usize {
        let rows = if view.evidence.is_empty() { 0 } else { size_of::<Candidate>() };
        // a vector that grows by doubling has up to half of itself to spare, and its old half beside it for a moment
        slots * (size_of::<u32>() + 2 * size_of::<(u64, u32)>() + size_of::<RowAddress>() + rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(event: i64, created: i64, sequence: i64) -> Candidate {
        Candidate::new(event, created, sequence, RowAddress::new(0, 0), Life::Alive)
    }

    #[test]
    fn rows_supersede_by_event_then_created_then_sequence() {
        assert!(row(2, 0, 0).supersedes(&row(1, 9, 9)));
        assert!(row(1, 2, 0).supersedes(&row(1, 1, 9)));
        assert!(row(1, 1, 2).supersedes(&row(1, 1, 1)));
        assert!(!row(1, 1, 1).supersedes(&row(1, 1, 1)));
    }

    #[test]
    fn the_smallest_row_supersedes_none_and_none_supersedes_nothing() {
        let least = row(i64::MIN, i64::MIN, i64::MIN);
        assert!(least.supersedes(&Candidate::EMPTY));
        assert!(!Candidate::EMPTY.supersedes(&least));
        assert!(!Candidate::EMPTY.supersedes(&Candidate::EMPTY));
    }

    #[test]
    fn a_place_holds_address_and_life() {
        let last = RowAddress::new(RowAddress::FILES_MAX - 1, RowAddress::ROWS_MAX - 1);
        for address in [RowAddress::new(0, 0), RowAddress::new(3, 17), last] {
            let alive = Candidate::new(1, 2, 3, address, Life::Alive);
            let deleted = Candidate::new(1, 2, 3, address, Life::Deleted);
            assert_eq!((alive.is_alive(), deleted.is_alive()), (true, false));
            assert_eq!(RowAddress::unpacked(alive.packed_address()), address);
            assert_eq!(alive.packed_address(), deleted.packed_address());
        }
        assert!(!Candidate::EMPTY.is_alive());
        assert_eq!(size_of::<Candidate>(), 32);
    }

    #[test]
    fn shards_cover_all_slots() {
        for slots in [0, 1, 4095, 4096, 4097, 3_000_000] {
            let winners = Winners::new(slots);
            let total: usize = (0..winners.shards()).map(|shard| winners.lock(shard).len()).sum();
            assert_eq!(total, slots);
            assert!(winners.shards() <= 256, "{slots} slots in {} shards", winners.shards());
            if slots > 0 {
                assert_eq!(winners.shard_of(slots as u32 - 1), winners.shards() - 1);
            }
        }
    }
}
