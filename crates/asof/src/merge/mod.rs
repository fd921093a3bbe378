//! The as-of join of SQL: two relations of any kind, each row of the left one with the nearest row of the right one.
//!
//! Where slot-max wants a history that it can ask twice, this one takes whatever a query has made. Both sides are
//! partitioned by key and sorted by key and time, by DataFusion's own operators, which spill; then they are merged, and
//! of the right side no more is held than the rows that the next block of output is made of.

mod exec;
mod picks;
mod side;

pub use exec::{AsOfMatch, AsOfMergeExec, Nearest};
