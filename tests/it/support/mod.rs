//! What the properties share: the binary in a folder of its own, and small files for it to read.

mod hitherto;
mod parquet_file;
mod shell;

pub(crate) use hitherto::{Hitherto, Ran};
pub(crate) use parquet_file::{read_parquet, write_parquet};
