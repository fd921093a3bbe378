//! What was found.

use hitherto_core::Timestamp;
use serde::{Deserialize, Serialize};

/// How many faults of a view are told one by one; all are counted.
pub(crate) const FAULTS_TOLD: usize = 20;

/// What was proven of one view, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewReport {
    /// The view's alias in the feature set.
    pub view: String,
    /// Rows of the training set, each one question to the view.
    pub rows: u64,
    /// Rows whose winner's values the training set must have.
    pub present: u64,
    /// Rows that no visible row answers.
    pub no_row: u64,
    /// Rows whose winner is a tombstone.
    pub deleted: u64,
    /// Rows whose winner is older than the ttl.
    pub expired: u64,
    /// Cells compared with history, those that must be null included.
    pub cells: u64,
    /// Rows of history that the proof saw.
    pub history_rows: u64,
    /// Rows asked again of a store cut off at their time, by the quadratic rule.
    pub sampled: u64,
    /// Winners that could not be shown to be the winners. There are none unless history changes under the proof.
    pub unproven: u64,
    /// Cells that are not what was known.
    pub wrong_cells: u64,
    /// Of these: values of rows that were known only later.
    pub leaked: u64,
    /// Of these: values that were known then, and superseded, deleted or expired.
    pub superseded: u64,
    /// Of these: values that no row of this key ever had.
    pub unknown: u64,
    /// Of these: nulls where a value was known.
    pub missing: u64,
    /// The first faults.
    pub faults: Vec<Fault>,
}

/// A cell that is not what was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The row of the training set, from 1.
    pub row: u64,
    /// Its time of prediction.
    pub time: Timestamp,
    /// The column.
    pub column: String,
    /// The value found; none for null.
    pub found: Option<String>,
    /// The value that was known; none for null.
    pub known: Option<String>,
    /// Where the value found may come from.
    pub cause: Cause,
}

/// Where a value that was not known may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No row of this key ever had it.
    Unknown,
    /// It was known only from then on.
    Leaked(Timestamp),
    /// It was known, and then superseded, deleted or expired.
    Superseded,
    /// It is null, and a value was known.
    Missing,
}

impl ViewReport {
    /// Whether every winner and every cell was shown to be right, and some rows were asked again, if any has a winner.
    pub fn is_proven(&self) -> bool {
        self.unproven == 0
            && self.is_sampled()
            && self.wrong_cells == 0
            && self.present + self.no_row + self.deleted + self.expired == self.rows
    }

    /// Whether rows were asked again of a store cut off at their time; none need be where none has a winner.
    pub fn is_sampled(&self) -> bool {
        self.sampled > 0 || self.no_row == self.rows
    }

    /// Adds what was found in another band of the same training set.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.present += other.present;
        self.no_row += other.no_row;
        self.deleted += other.deleted;
        self.expired += other.expired;
        self.cells += other.cells;
        self.history_rows = self.history_rows.max(other.history_rows);
        self.sampled += other.sampled;
        self.unproven += other.unproven;
        self.wrong_cells += other.wrong_cells;
        self.leaked += other.leaked;
        self.superseded += other.superseded;
        self.unknown += other.unknown;
        self.missing += other.missing;
        let room = FAULTS_TOLD.saturating_sub(self.faults.len());
        self.faults.extend(other.faults.into_iter().take(room));
    }
}
