//! The first pass: who may have won each question.

use crate::history::{Candidate, visible_since};
use crate::questions::NO_KEY;
use crate::{Claim, HistoryColumns, Questions, Result};
use arrow::array::RecordBatch;

/// The greatest row so far per slot, of those that become visible in it. Several may be made in parallel, each of other
/// rows, and merged.
#[derive(Clone, Debug)]
pub struct Proposal {
    winners: Vec<Candidate>,
}

impl Proposal {
    /// Nobody has won anything yet.
    pub fn new(questions: &Questions) -> Self {
        Self { winners: vec![Candidate::NONE; questions.slots()] }
    }

    /// Takes rows of history into account.
    pub fn add(
        &mut self,
        questions: &Questions,
        claim: &Claim,
        columns: HistoryColumns,
        history: &RecordBatch,
    ) -> Result<()> {
        let rows = columns.rows(history)?;
        for (index, key) in questions.keys_of(rows.keys)?.into_iter().enumerate() {
            if key == NO_KEY {
                continue;
            }
            let row = rows.row(index);
            let since = visible_since(&row, claim.reading, claim.mode);
            let slots = questions.slots_since(key, since.0);
            if let Some(winner) = self.winners[slots].first_mut() {
                *winner = (*winner).max(Candidate::of(&row));
            }
        }
        Ok(())
    }

    /// Takes into account what another has seen.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.winners.iter_mut().zip(&other.winners) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// What is visible stays visible: a slot's winner is the greatest so far of its key.
    pub(crate) fn settle(mut self, questions: &Questions) -> Vec<Candidate> {
        for key in 0..questions.keys() as u32 {
            let slots = &mut self.winners[questions.slots_of(key)];
            let mut greatest = Candidate::NONE;
            for winner in slots {
                greatest = greatest.max(*winner);
                *winner = greatest;
            }
        }
        self.winners
    }
}
