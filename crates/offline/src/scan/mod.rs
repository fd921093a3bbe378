//! Reading a pinned table: for training sets, for materialization, for SQL.
//!
//! [`PinnedTable`] is history as one moment had it. Everything that reads it asks for columns by their canonical names
//! and gets them whatever the file has: `_sequence` and `_ingested_at` are made up from the commit where the file does
//! not carry them, columns that the table got later are null in older files.
//!
//! A *morsel* is a row group of a file: what is skipped by statistics, and what partitions share.

mod changes;
mod columns;
mod extent;
mod fault;
mod fetch;
mod footer;
mod held;
mod history_exec;
mod history_table;
mod keys;
mod morsel;
mod object;
mod pinned;
mod prune;
mod sieve;
mod source;
mod spine;
mod statistics;
mod told;
mod wanted;
mod whole;

#[cfg(test)]
mod prune_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use changes::{Marks, changes_schema};
pub(crate) use fault::carried;
pub use fault::recovered;
pub(crate) use held::HeldRows;
pub use history_table::{AVAILABLE, HistoryTable, available_column, descriptions};
pub(crate) use object::ObjectReader;
pub use pinned::{PinWatch, PinnedTable};
pub use source::TableSource;
pub use spine::{spine_of_batches, spine_of_input};
pub(crate) use whole::WholeRows;
