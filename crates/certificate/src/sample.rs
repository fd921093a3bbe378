//! A few questions asked again the slow way: of a store that holds nothing but what was visible at their time.

use hashbrown::{HashMap, HashSet};
use hitherto_core::{Outcome, Row, Timestamp, answer};

use crate::history::visible_since;
use crate::{Claim, Questions};

/// Rows of history that a sample may hold: some 100 MB. A key that would need more is left out.
const ROWS_MAX: usize = 2_000_000;
/// Rows that one key of it may have, since asking is quadratic.
const KEY_ROWS_MAX: usize = 100_000;

/// Questions, and all rows of history of their keys.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    slots: Vec<u32>,
    rows: HashMap<u32, Vec<Row>>,
    held: usize,
    left_out: HashSet<u32>,
}

impl Sample {
    /// About `size` questions, spread evenly over the keys in the order in which they first come.
    pub(crate) fn of(questions: &Questions, size: usize) -> Self {
        let step = questions.slots().div_ceil(size.max(1)).max(1);
        let wanted = if size == 0 { 0 } else { questions.slots() };
        let slots: Vec<u32> = (0..wanted as u32).step_by(step).collect();
        let mut rows = HashMap::new();
        let mut next = slots.iter().peekable();
        for key in 0..questions.keys() as u32 {
            let end = questions.slots_of(key).end as u32;
            while next.next_if(|&&slot| slot < end).is_some() {
                rows.entry(key).or_insert_with(Vec::new);
            }
        }
        Self { slots, rows, held: 0, left_out: HashSet::new() }
    }

    pub(crate) fn add(&mut self, key: u32, row: Row) {
        let Some(rows) = self.rows.get_mut(&key) else { return };
        if rows.len() >= KEY_ROWS_MAX || self.held >= ROWS_MAX {
            self.leave_out(key);
            return;
        }
        rows.push(row);
        self.held += 1;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for key in other.left_out {
            self.leave_out(key);
        }
        for (key, theirs) in other.rows {
            if let Some(mine) = self.rows.get_mut(&key) {
                self.held += theirs.len();
                mine.extend(theirs);
                if mine.len() > KEY_ROWS_MAX || self.held > ROWS_MAX {
                    self.leave_out(key);
                }
            }
        }
    }

    fn leave_out(&mut self, key: u32) {
        self.left_out.insert(key);
        self.held -= self.rows.remove(&key).map_or(0, |rows| rows.len());
    }

    /// How many questions were asked again, and how many of them had another answer than `winner` says of their slot.
    pub(crate) fn ask(
        &self,
        questions: &Questions,
        claim: &Claim,
        winner: impl Fn(usize) -> Option<Row>,
    ) -> (u64, u64) {
        let (mut asked, mut refuted, mut key) = (0, 0, 0);
        for &slot in &self.slots {
            let slot = slot as usize;
            while questions.slots_of(key).end <= slot {
                key += 1;
            }
            let Some(rows) = self.rows.get(&key) else { continue };
            let t = Timestamp(questions.slot_time(slot));
            let visible = |row: &&Row| visible_since(row, claim.reading, claim.mode) <= t;
            let cut_off: Vec<Row> = rows.iter().filter(visible).copied().collect();
            let expected = match winner(slot) {
                None => Answer::Nothing,
                Some(row) if row.deleted => Answer::Nothing,
                Some(row) if claim.reading.is_expired(row.event, t) => Answer::Nothing,
                Some(row) => Answer::Row(row.sequence),
            };
            let of = |rows: &[Row]| match answer(rows, claim.reading, t, claim.mode) {
                Outcome::Row(index) => Answer::Row(rows[index].sequence),
                Outcome::NoRow | Outcome::Deleted | Outcome::Expired => Answer::Nothing,
            };
            asked += 1;
            refuted += u64::from(of(&cut_off) != expected || of(rows) != expected);
        }
        (asked, refuted)
    }
}

#[derive(PartialEq, Eq)]
enum Answer {
    Nothing,
    Row(i64),
}
