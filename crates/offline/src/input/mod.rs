//! Users' files: Parquet, CSV and newline-delimited JSON, read in bounded memory.
//!
//! [`Input`] opens files and hands out what they hold ([`Input::stream`]); [`canonical`] matches their columns with
//! those of a table and casts them, where nothing is lost, to the table's types. Every refusal names file, column,
//! row and value. Rows count from 1 within their file.
//!
//! What is null in a text file: in CSV a field that is empty and not quoted (a quoted empty field is the empty
//! string, and null for every other type); in JSON `null` and an absent field.

mod batch;
mod canonical;
mod cast;
mod column;
mod csv;
mod error;
mod infer;
mod json;
mod open;
mod parquet;
mod read;
mod sniff;
mod spool;

pub use batch::{CanonicalBatch, canonical_batch};
pub use canonical::{Canonical, Counts, canonical};
pub use cast::{CastError, CellProblem, cast_column, convert_time_down, convert_time_up};
pub use column::{ExtraColumns, Role, Target, TargetColumn};
pub use error::{InputError, Missing};
pub use open::{Input, Location, Options};
pub use read::Batches;
pub use sniff::Format;

#[cfg(test)]
mod tests;
