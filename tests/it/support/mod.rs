//! What the properties share: the binary in a folder of its own, and small files for it to read.

pub(crate) mod certificates;
pub(crate) mod collector;
pub(crate) mod gate;
mod hitherto;
mod legs;
mod parquet_file;
pub(crate) mod process;
pub(crate) mod psql;
mod python;
pub(crate) mod random;
pub(crate) mod readings;
mod shell;
pub(crate) mod stores;
pub(crate) mod workspace;

pub(crate) use hitherto::{Hitherto, Ran};
pub(crate) use legs::LEGS;
pub(crate) use parquet_file::{read_parquet, write_parquet};
pub(crate) use python::{EventEndpoint, S3, interpreter, python, python_says};
