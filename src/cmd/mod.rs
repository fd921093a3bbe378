//! The commands, one file each: arguments in, one verb of the engine, words out.

pub mod apply;
pub mod dataset;
pub mod demo;
pub mod describe;
pub mod get;
pub mod ingest;
pub mod list;
pub mod materialize;
pub mod model;
pub mod serve;
pub mod sql;
pub mod training_set;
