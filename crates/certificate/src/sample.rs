//! A few questions asked again the slow way: of a store that holds nothing but what was visible at their time.

use hashbrown::HashMap;
use hitherto_core::{Outcome, Row, Timestamp, answer, winner};

use crate::history::visible_since;
use crate::{Claim, Questions};

/// Rows of history that a sample may hold: some 100 MB. A key that would need more is folded.
const ROWS_MAX: usize = 2_000_000;
/// Rows that one key of it may have, since asking is quadratic. Those of a key with more are folded.
const KEY_ROWS_MAX: usize = 100_000;
/// Questions of a folded key: each of them meets every row of it.
const FOLDED_MAX: usize = 8;

/// Questions, and all rows of history of their keys.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    slots: Vec<u32>,
    keys: HashMap<u32, Held>,
    held: usize,
    key_rows_max: usize,
}

/// What is held of a key.
#[derive(Clone, Debug)]
enum Held {
    /// All of its rows.
    Rows(Vec<Row>),
    /// Of some of its questions, whom the rows so far give.
    Folded(Vec<Fold>),
}

/// A question to a key with too many rows to hold them: the rule is asked who wins of the winner so far and the next row.
#[derive(Clone, Copy, Debug)]
struct Fold {
    slot: u32,
    /// Among the rows that were visible at its time, and no others.
    cut_off: Option<Row>,
    /// Among all rows.
    whole: Option<Row>,
}

impl Fold {
    fn add(&mut self, row: Row, questions: &Questions, claim: &Claim) {
        let t = Timestamp(questions.slot_time(self.slot as usize));
        let next = |so_far: Option<Row>| {
            let rows = [so_far.unwrap_or(row), row];
            winner(&rows, claim.reading, t, claim.mode).map(|index| rows[index]).or(so_far)
        };
        self.whole = next(self.whole);
        if visible_since(&row, claim.reading, claim.mode) <= t {
            self.cut_off = next(self.cut_off);
        }
    }
}

impl Sample {
    /// About `size` questions, spread evenly over the keys in the order in which they first come.
    pub(crate) fn of(questions: &Questions, size: usize) -> Self {
        Self::holding(questions, size, KEY_ROWS_MAX)
    }

    fn holding(questions: &Questions, size: usize, key_rows_max: usize) -> Self {
        let step = questions.slots().div_ceil(size.max(1)).max(1);
        let wanted = if size == 0 { 0 } else { questions.slots() };
        let slots: Vec<u32> = (0..wanted as u32).step_by(step).collect();
        let mut keys = HashMap::new();
        let mut next = slots.iter().peekable();
        for key in 0..questions.keys() as u32 {
            let end = questions.slots_of(key).end as u32;
            while next.next_if(|&&slot| slot < end).is_some() {
                keys.entry(key).or_insert_with(|| Held::Rows(Vec::new()));
            }
        }
        Self { slots, keys, held: 0, key_rows_max }
    }

    pub(crate) fn add(&mut self, key: u32, row: Row, questions: &Questions, claim: &Claim) {
        let is_full = self.held >= ROWS_MAX;
        match self.keys.get_mut(&key) {
            None => {}
            Some(Held::Folded(folds)) => folds.iter_mut().for_each(|fold| fold.add(row, questions, claim)),
            Some(Held::Rows(rows)) => {
                rows.push(row);
                self.held += 1;
                if is_full || rows.len() > self.key_rows_max {
                    self.fold(key, questions, claim);
                }
            }
        }
    }

    /// Hold no more of a key than the winners of some of its questions.
    fn fold(&mut self, key: u32, questions: &Questions, claim: &Claim) {
        let of_key = questions.slots_of(key);
        let from = self.slots.partition_point(|&slot| (slot as usize) < of_key.start);
        let to = self.slots.partition_point(|&slot| (slot as usize) < of_key.end);
        let slots = &self.slots[from..to];
        let step = slots.len().div_ceil(FOLDED_MAX).max(1);
        let mut folds: Vec<Fold> =
            slots.iter().step_by(step).map(|&slot| Fold { slot, cut_off: None, whole: None }).collect();
        let Some(held) = self.keys.get_mut(&key) else { return };
        if let Held::Rows(rows) = held {
            for &row in &*rows {
                for fold in &mut folds {
                    fold.add(row, questions, claim);
                }
            }
            self.held -= rows.len();
            *held = Held::Folded(folds);
        }
    }

    pub(crate) fn merge(&mut self, other: Self, questions: &Questions, claim: &Claim) {
        for (key, theirs) in other.keys {
            match theirs {
                Held::Rows(rows) => rows.into_iter().for_each(|row| self.add(key, row, questions, claim)),
                Held::Folded(folds) => {
                    self.fold(key, questions, claim);
                    let Some(Held::Folded(mine)) = self.keys.get_mut(&key) else { continue };
                    // one sample folds a key as another does: both ask the same of it
                    for (mine, theirs) in mine.iter_mut().zip(folds) {
                        for row in [theirs.cut_off, theirs.whole].into_iter().flatten() {
                            mine.add(row, questions, claim);
                        }
                    }
                }
            }
        }
    }

    /// How many questions were asked again, and how many of them had another answer than `winner` says of their slot.
    pub(crate) fn ask(
        &self,
        questions: &Questions,
        claim: &Claim,
        winner: impl Fn(usize) -> Option<Row>,
    ) -> (u64, u64) {
        let (mut asked, mut refuted, mut key) = (0, 0, 0);
        for &of_sample in &self.slots {
            let slot = of_sample as usize;
            while questions.slots_of(key).end <= slot {
                key += 1;
            }
            let t = Timestamp(questions.slot_time(slot));
            let of = |rows: &[Row]| match answer(rows, claim.reading, t, claim.mode) {
                Outcome::Row(index) => Answer::Row(rows[index].sequence),
                Outcome::NoRow | Outcome::Deleted | Outcome::Expired => Answer::Nothing,
            };
            let answers = match self.keys.get(&key) {
                None => continue,
                Some(Held::Rows(rows)) => {
                    let visible = |row: &&Row| visible_since(row, claim.reading, claim.mode) <= t;
                    let cut_off: Vec<Row> = rows.iter().filter(visible).copied().collect();
                    [of(&cut_off), of(rows)]
                }
                Some(Held::Folded(folds)) => {
                    let Some(fold) = folds.iter().find(|fold| fold.slot == of_sample) else { continue };
                    [of(fold.cut_off.as_slice()), of(fold.whole.as_slice())]
                }
            };
            let expected = match winner(slot) {
                None => Answer::Nothing,
                Some(row) if row.deleted => Answer::Nothing,
                Some(row) if claim.reading.is_expired(row.event, t) => Answer::Nothing,
                Some(row) => Answer::Row(row.sequence),
            };
            asked += 1;
            refuted += u64::from(answers.iter().any(|answer| *answer != expected));
        }
        (asked, refuted)
    }
}

#[derive(PartialEq, Eq)]
enum Answer {
    Nothing,
    Row(i64),
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
    use arrow::datatypes::DataType;
    use hitherto_core::{Mode, Reading, Span};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn claim(delay: i64, ttl: Option<i64>, mode: Mode) -> Claim {
        let span = |micros| Span::from_micros(micros).expect("a span");
        Claim {
            view: "v".to_owned(),
            reading: Reading { source_delay: span(delay), ttl: ttl.map(span) },
            mode,
            keys: vec![(0, DataType::Int64)],
            time: 1,
            features: Vec::new(),
            evidence: None,
        }
    }

    proptest! {
        #[test]
        fn a_key_that_is_folded_is_asked_as_one_that_is_held(
            (delay, ttl, event) in (0..9_i64, prop::option::of(1..20_i64), any::<bool>()),
            rows in vec((0..40_i64, 0..60_i64, any::<bool>()), 1..60),
            times in prop::collection::btree_set(-5..70_i64, 1..40),
            held in (0..60_usize, 0..60_usize),
            cut in any::<prop::sample::Index>(),
        ) {
            let claim = claim(delay, ttl, if event { Mode::Event } else { Mode::Knowledge });
            let keys: ArrayRef = Arc::new(Int64Array::from(vec![7; times.len()]));
            let asked = TimestampMicrosecondArray::from(times.iter().copied().collect::<Vec<i64>>());
            let asked: ArrayRef = Arc::new(asked);
            let band = RecordBatch::try_from_iter([("k", keys), ("t", asked)]).expect("a band");
            let questions = Questions::of(&band, &claim.keys, claim.time).expect("questions");
            let rows: Vec<Row> = rows.into_iter().enumerate().map(|(sequence, (event, created, deleted))| Row {
                event: Timestamp(event),
                created: Some(Timestamp(created)),
                sequence: sequence as i64,
                deleted,
            }).collect();
            let mut parts = [held.0, held.1].map(|most| Sample::holding(&questions, 16, most));
            for (place, &row) in rows.iter().enumerate() {
                parts[usize::from(place < cut.index(rows.len()))].add(0, row, &questions, &claim);
            }
            let [mut sample, other] = parts;
            sample.merge(other, &questions, &claim);
            let right = |slot: usize| {
                let t = Timestamp(questions.slot_time(slot));
                winner(&rows, claim.reading, t, claim.mode).map(|index| rows[index])
            };
            let (asked, refuted) = sample.ask(&questions, &claim, right);
            prop_assert!(asked > 0 && asked <= 16);
            prop_assert_eq!(refuted, 0);
            // an answer that nothing ever gave is refuted, each time
            let event = Timestamp(i64::MAX);
            let wrong = |_: usize| Some(Row { event, created: None, sequence: -1, deleted: false });
            prop_assert_eq!(sample.ask(&questions, &claim, wrong), (asked, asked));
        }
    }
}
