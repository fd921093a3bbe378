//! A second path to every answer of a training set: what proves that it read nothing before its time.
//!
//! The fast path (`asof`) finds the winners; this crate shares no code with it and trusts nothing of it. It sees the rows
//! of a training set, in bands, and the rows of history, in any order and from any number of threads, and asks in three
//! passes over a view's history:
//!
//! 1. A [`Proposal`] guesses the winner of every question `(entity key, t)`.
//! 2. A [`Proof`] shows the guess right with every row of history in hand: the winner is a row of this key, it was visible
//!    at t, no visible row supersedes it ([`hitherto_core::order`]), and where it is neither a tombstone nor expired the
//!    training set has its values, and else nothing. For a sample of rows the same answer must come from a store cut off
//!    at t, by the quadratic rule ([`hitherto_core::answer`]).
//! 3. Where a cell is wrong, [`Causes`] says since when its value could have been known, if ever.
//!
//! A faulty proposal cannot make a faulty proof: whatever the second pass cannot show is a fault.

mod causes;
mod claim;
mod error;
mod history;
mod proof;
mod proposal;
mod questions;
mod report;
mod sample;
mod time;

#[cfg(test)]
mod tests;

pub use causes::{Causes, Findings};
pub use claim::{Claim, Evidence};
pub use error::{Error, Result};
pub use history::HistoryColumns;
pub use proof::Proof;
pub use proposal::Proposal;
pub use questions::Questions;
pub use report::{Cause, Fault, ViewReport};
pub use time::micros_down;
