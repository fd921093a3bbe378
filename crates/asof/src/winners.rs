//! The greatest row of each slot, and what follows when the whole history has been seen.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::index::{NO_SLOT, SpineIndex};
use crate::{AsOfView, RowAddress};

/// A row that competes for a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) event: i64,
    /// The smallest time where the history has no created times.
    pub(crate) created: i64,
    pub(crate) sequence: i64,
    pub(crate) row: u64,
    pub(crate) file: u32,
    pub(crate) life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// No row yet.
    Empty,
    Alive,
    /// The row is a tombstone.
    Deleted,
}

impl Candidate {
    const EMPTY: Self =
        Self { event: i64::MIN, created: i64::MIN, sequence: i64::MIN, row: 0, file: 0, life: Life::Empty };

    /// Whether this row wins over `other`. The address makes the order total even for a source that repeats a sequence.
    fn supersedes(&self, other: &Self) -> bool {
        if other.life == Life::Empty || self.life == Life::Empty {
            return self.life != Life::Empty;
        }
        let order = |it: &Self| (it.event, it.created, it.sequence, it.file, it.row);
        order(self) > order(other)
    }
}

const SHARD_SLOTS_MIN_LOG2: u32 = 12;
const SHARDS_MAX_LOG2: u32 = 8;

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

    /// Lets rows compete, all for slots of one shard.
    pub(crate) fn update(&self, shard: usize, candidates: impl Iterator<Item = (u32, Candidate)>) {
        let mut state = self.lock(shard);
        let mask = (1u32 << self.slots_log2) - 1;
        for (slot, candidate) in candidates {
            let best = &mut state[(slot & mask) as usize];
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
        let ttl = view.effective_ttl();
        let mut rows: Vec<Candidate> = Vec::new();
        let mut row_of_slot = vec![NO_SLOT; index.times().len()];
        for key in index.keys() {
            let mut best = Candidate::EMPTY;
            let mut best_row = NO_SLOT;
            for slot in key.start..key.start + key.len {
                let candidate = &shards[self.shard_of(slot)][(slot & mask) as usize];
                if candidate.supersedes(&best) {
                    (best, best_row) = (*candidate, NO_SLOT);
                }
                let is_expired = |ttl| best.event < index.times()[slot as usize].saturating_sub(ttl);
                if best.life != Life::Alive || ttl.is_some_and(is_expired) {
                    continue;
                }
                if best_row == NO_SLOT {
                    best_row = rows.len() as u32;
                    rows.push(best);
                }
                row_of_slot[slot as usize] = best_row;
            }
        }
        Answers::sorted(rows, row_of_slot)
    }
}

/// The winners of one view, in the order of their addresses, and which of them each slot has.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) rows: Vec<Candidate>,
    /// Indices into `rows`, [`NO_SLOT`] where there is no winner or it is withheld.
    pub(crate) row_of_slot: Vec<u32>,
}

impl Answers {
    /// A row has one key and the winners of a key only ever grow, so each row comes once: sorting is enough.
    fn sorted(rows: Vec<Candidate>, mut row_of_slot: Vec<u32>) -> Self {
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        order.sort_unstable_by_key(|&row| (rows[row as usize].file, rows[row as usize].row));
        let mut rank = vec![0u32; rows.len()];
        for (place, &row) in order.iter().enumerate() {
            rank[row as usize] = place as u32;
        }
        for row in row_of_slot.iter_mut().filter(|row| **row != NO_SLOT) {
            *row = rank[*row as usize];
        }
        Self { rows: order.into_iter().map(|row| rows[row as usize]).collect(), row_of_slot }
    }

    /// Sorted and distinct.
    pub(crate) fn addresses(&self) -> Vec<RowAddress> {
        self.rows.iter().map(|row| RowAddress { file: row.file, row: row.row }).collect()
    }

    /// The bytes that resolving `slots` slots may need at its worst, when each has its own winner.
    pub(crate) fn size(slots: usize) -> usize {
        slots * (2 * size_of::<Candidate>() + 3 * size_of::<u32>() + size_of::<RowAddress>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(event: i64, created: i64, sequence: i64) -> Candidate {
        Candidate { event, created, sequence, row: 0, file: 0, life: Life::Alive }
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
