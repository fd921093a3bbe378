//! A cache of one slot a key, for histories whose rows come in the order of time, more or less.
//!
//! Rows of a key that follow each other mostly fall into the same slot. Each thread keeps, for each key, the slot into
//! which the last row fell and the greatest row of it so far: one cache line. Only when a row falls into another slot is
//! a slot searched for, and the greatest row handed on to the [`Winners`](crate::winners::Winners).

use crate::index::{NO_SLOT, SpineIndex};
use crate::winners::Candidate;

/// The slot of a key that is open, and the greatest row that fell into it.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Open {
    /// Rows visible from a time in `[from, until]` fall into the slot; none do where `from > until`.
    from: i64,
    until: i64,
    /// [`NO_SLOT`] where such rows come after the key's last slot.
    slot: u32,
    best: Candidate,
}

const CLOSED: Open = Open { from: i64::MAX, until: i64::MIN, slot: NO_SLOT, best: Candidate::EMPTY };

/// The open slots of all keys, of one thread.
#[derive(Debug)]
pub(crate) struct OpenSlots {
    opens: Vec<Open>,
    rows: usize,
    misses: usize,
}

/// A row that may compete, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) code: u32,
    pub(crate) visible_from: i64,
    pub(crate) row: u32,
}

impl OpenSlots {
    /// All threads' caches may take as many bytes as the winners themselves, or these.
    const BYTES_MIN: usize = 16 << 20;

    /// For the keys of `index`, unless it would take too much memory for what it is: `threads` threads have one each.
    pub(crate) fn new(index: &SpineIndex, threads: usize) -> Option<Self> {
        (Self::size(index, threads) > 0).then(|| Self { opens: vec![CLOSED; index.keys().len()], rows: 0, misses: 0 })
    }

    /// The bytes that `threads` of them take; 0 where there is to be none.
    pub(crate) fn size(index: &SpineIndex, threads: usize) -> usize {
        let bytes = index.keys().len() * size_of::<Open>() * threads;
        let most = crate::winners::Winners::size(index.times().len()).max(Self::BYTES_MIN);
        if bytes <= most { bytes } else { 0 }
    }

    /// Whether so many rows fall into another slot than the one before that the cache is no help.
    pub(crate) fn is_vain(&self) -> bool {
        /// Fewer tell nothing. Tests have few rows.
        const ROWS_MIN: usize = if cfg!(test) { 12 } else { 1 << 16 };
        self.rows > ROWS_MIN && self.misses > self.rows / 2
    }

    /// Lets rows compete, and says how many some slot could see. What leaves a slot goes to `left` with that slot. A row whose event is more than `ttl` before its
    /// slot is too old for it and for all later ones, as is every row that it would win over.
    pub(crate) fn compete(
        &mut self,
        index: &SpineIndex,
        ttl: Option<i64>,
        arrivals: &[Arrival],
        candidate: impl Fn(u32) -> Candidate,
        left: &mut Vec<(u32, Candidate)>,
    ) -> usize {
        self.fetch(index, arrivals);
        self.rows += arrivals.len();
        let mut seen = 0;
        for arrival in arrivals {
            let open = &mut self.opens[arrival.code as usize];
            if !open.sees(*arrival) {
                // the first row of a key says nothing of the order
                self.misses += usize::from(open.from <= open.until);
                open.leave(left);
                *open = Open::seeing(index, *arrival, open.slot_before(*arrival));
            }
            if open.slot == NO_SLOT {
                continue;
            }
            let candidate = candidate(arrival.row);
            if ttl.is_some_and(|ttl| candidate.event < open.until.saturating_sub(ttl)) {
                continue;
            }
            seen += 1;
            if candidate.supersedes(&open.best) {
                open.best = candidate;
            }
        }
        seen
    }

    /// Brings what the arrivals need into the cache, by reads that do not wait for each other: the open slots; then, of keys
    /// whose row falls into another slot, where their slots are; then the times by which that slot is found.
    fn fetch(&self, index: &SpineIndex, arrivals: &[Arrival]) {
        let open = |arrival: &Arrival| &self.opens[arrival.code as usize];
        std::hint::black_box(arrivals.iter().fold(0, |all, arrival| all ^ open(arrival).until));
        let elsewhere = || arrivals.iter().filter(|arrival| !open(arrival).sees(**arrival));
        let key = |arrival: &Arrival| index.keys()[arrival.code as usize];
        std::hint::black_box(elsewhere().fold(0, |all, arrival| all ^ key(arrival).start));
        let near = |arrival: &Arrival| {
            let key = key(arrival);
            let near = open(arrival).slot_before(*arrival).unwrap_or(key.start + key.len / 2);
            index.times()[(near + 1).min(key.start + key.len - 1) as usize]
        };
        std::hint::black_box(elsewhere().fold(0, |all, arrival| all ^ near(arrival)));
    }

    /// Hands on what is in all slots.
    pub(crate) fn close(&mut self, left: &mut Vec<(u32, Candidate)>) {
        for open in &mut self.opens {
            open.leave(left);
            *open = CLOSED;
        }
    }
}

impl Open {
    /// Whether the row falls into the slot.
    fn sees(&self, arrival: Arrival) -> bool {
        self.from <= arrival.visible_from && arrival.visible_from <= self.until
    }

    /// The slot, if the row falls into a later one.
    fn slot_before(&self, arrival: Arrival) -> Option<u32> {
        (self.slot != NO_SLOT && self.until < arrival.visible_from).then_some(self.slot)
    }

    /// The slot that sees a row first, which comes after `before`, and mostly soon.
    fn seeing(index: &SpineIndex, arrival: Arrival, before: Option<u32>) -> Self {
        /// So many slots are looked at one by one.
        const NEAR: usize = 4;
        let key = index.keys()[arrival.code as usize];
        let slots = &index.times()[key.start as usize..(key.start + key.len) as usize];
        let is_earlier = |&&time: &&i64| time < arrival.visible_from;
        let mut place = before.map_or(0, |before| (before - key.start) as usize + 1);
        let near =
            if before.is_some() { slots[place..].iter().take(NEAR).take_while(is_earlier).count() } else { NEAR };
        place += if near < NEAR { near } else { slots[place..].partition_point(|time| is_earlier(&time)) };
        // the slot before does not see the row, so its time is not the last that there is
        let from = if place == 0 { i64::MIN } else { slots[place - 1] + 1 };
        match slots.get(place) {
            Some(&until) => Self { from, until, slot: key.start + place as u32, best: Candidate::EMPTY },
            None => Self { from, until: i64::MAX, slot: NO_SLOT, best: Candidate::EMPTY },
        }
    }

    fn leave(&self, left: &mut Vec<(u32, Candidate)>) {
        if self.slot != NO_SLOT && self.best.supersedes(&Candidate::EMPTY) {
            left.push((self.slot, self.best));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;
    use crate::RowAddress;
    use crate::index::IndexBuilder;
    use crate::keys::KeyFamily;
    use crate::winners::Life;

    /// One key with the slots 10 and 20.
    fn index() -> SpineIndex {
        let mut builder = IndexBuilder::try_new(&[KeyFamily::Int]).expect("an interner");
        builder.push(&[Arc::new(Int64Array::from(vec![7, 7]))]).expect("integers");
        builder.finish(&[20, 10]).expect("an index")
    }

    fn candidate(event: i64) -> Candidate {
        Candidate::new(event, i64::MIN, event, RowAddress::new(0, event as u64), Life::Alive)
    }

    #[test]
    fn what_leaves_a_slot_is_the_greatest_that_fell_into_it() {
        let index = index();
        let mut opens = OpenSlots::new(&index, 2).expect("one key is no burden");
        let mut left = Vec::new();
        let arrivals =
            [3, 9, 10, 4, 11, 25, 20, 30, 2].map(|time| Arrival { code: 0, visible_from: time, row: time as u32 });
        opens.compete(&index, None, &arrivals, |row| candidate(row.into()), &mut left);
        opens.close(&mut left);
        assert_eq!(left, [(0, candidate(10)), (1, candidate(11)), (1, candidate(20)), (0, candidate(2))]);
        opens.close(&mut left);
        assert_eq!(left.len(), 4, "a slot is handed on once");
        assert_eq!((opens.rows, opens.misses, size_of::<Open>()), (9, 5, 64));
    }

    #[test]
    fn rows_too_old_for_their_slot_do_not_compete() {
        let index = index();
        let mut opens = OpenSlots::new(&index, 1).expect("one key is no burden");
        let mut left = Vec::new();
        let arrivals = [4, 5].map(|time| Arrival { code: 0, visible_from: time, row: time as u32 });
        opens.compete(&index, Some(5), &arrivals[..1], |row| candidate(row.into()), &mut left);
        opens.close(&mut left);
        assert_eq!(left, []);
        opens.compete(&index, Some(5), &arrivals, |row| candidate(row.into()), &mut left);
        opens.close(&mut left);
        assert_eq!(left, [(0, candidate(5))]);
    }

    #[test]
    fn a_later_slot_is_found_from_the_one_that_was_open() {
        let mut builder = IndexBuilder::try_new(&[KeyFamily::Int]).expect("an interner");
        builder.push(&[Arc::new(Int64Array::from(vec![7; 20]))]).expect("integers");
        let times: Vec<i64> = (1..=20).map(|time| time * 10).collect();
        let index = builder.finish(&times).expect("an index");
        for (from, to) in (0..210).flat_map(|from| (from..215).map(move |to| (from, to))) {
            let place = |time, before| Open::seeing(&index, Arrival { code: 0, visible_from: time, row: 0 }, before);
            let before = place(from, None).slot_before(Arrival { code: 0, visible_from: to, row: 0 });
            let (known, searched) = (place(to, before), place(to, None));
            assert_eq!(
                (known.from, known.until, known.slot),
                (searched.from, searched.until, searched.slot),
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn times_at_the_ends_fall_where_they_should() {
        let mut builder = IndexBuilder::try_new(&[KeyFamily::Int]).expect("an interner");
        builder.push(&[Arc::new(Int64Array::from(vec![7, 7]))]).expect("integers");
        let index = builder.finish(&[i64::MIN, i64::MAX]).expect("an index");
        let place = |time| {
            let open = Open::seeing(&index, Arrival { code: 0, visible_from: time, row: 0 }, None);
            (open.from, open.until, open.slot)
        };
        assert_eq!(place(i64::MIN), (i64::MIN, i64::MIN, 0));
        assert_eq!(place(i64::MIN + 1), (i64::MIN + 1, i64::MAX, 1));
        assert_eq!(place(i64::MAX), (i64::MIN + 1, i64::MAX, 1));
    }
}
