//! As-of joins for DataFusion: slot-max over a spine index. Columns and time, no features.
//!
//! A *spine* asks, for each of its rows, what was known of a key at a moment `t`. A [`FeatureSource`] holds the history
//! that answers: rows with a key, an event time, perhaps the time they were created, a sequence and a payload. For a
//! spine row, the rows that are visible at `t` compete, and the greatest by `(event, created, sequence)` wins.
//!
//! General engines sort, shuffle or buffer the history. [`AsOfExec`] indexes the spine instead and streams the history
//! past it, narrow columns only, in whatever order the files have:
//!
//! ```text
//! spine rows       (k, t)      ->  slots: per key, its distinct times, sorted
//! history row      (k, e, c)   ->  available = max(e + delay, c); the first slot of k with t >= available
//!                                  keeps the greatest row that falls into it
//! along each key               ->  running maximum, then tombstone and ttl: one winner's address a slot
//! winners' addresses, sorted   ->  the payload is fetched once, and taken into the spine's order
//! ```
//!
//! Memory is that of the spine and its answers, whatever the length of the history; unsorted, late and duplicate rows
//! cannot make the answer wrong; and the state merges by `max`, so the order of files and the number of threads cannot
//! change it.
//!
//! Spine rows do not know of each other, so a spine that needs more memory than there is, is taken in *bands*: as many
//! rows as fit are answered, given out and forgotten, then the next. Each band reads the histories again, skipping what
//! cannot matter to it; the answer is the same.
//!
//! [`AsOfMergeExec`] is the join of two relations of any kind, for SQL's `ASOF JOIN`.
//!
//! The spine's order is kept, so whoever plans the spine must not let it be spread over partitions: coalescing them
//! again would lose its order before it arrives here.

mod answer;
mod band;
mod blocks;
mod error;
mod exec;
mod index;
mod key_set;
mod key_tables;
mod keys;
mod memory;
mod merge;
mod metrics;
mod open_slots;
mod probe;
mod run;
mod source;
mod time;
mod view;
mod winners;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use exec::AsOfExec;
pub use key_set::KeySet;
pub use memory::{MemoryColumns, MemorySource};
pub use merge::{AsOfMatch, AsOfMergeExec, Nearest};
pub use metrics::ScanCounters;
pub use source::{Bounds, FeatureSource, NarrowBatch, NarrowPass, RowAddress, Sequence};
pub use view::{AsOfView, Evidence, Visibility};
