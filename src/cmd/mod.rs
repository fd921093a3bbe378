//! The commands, one file each: arguments in, one verb of the engine, words out.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod compact;
pub(crate) mod dataset;
pub(crate) mod demo;
pub(crate) mod describe;
pub(crate) mod erase;
mod explain;
pub(crate) mod get;
mod get_remote;
pub(crate) mod ingest;
pub(crate) mod lineage;
pub(crate) mod list;
mod manifest;
pub(crate) mod materialize;
pub(crate) mod model;
mod report;
pub(crate) mod serve;
mod split;
pub(crate) mod sql;
pub(crate) mod token;
pub(crate) mod training_set;
pub(crate) mod vacuum;
mod verify;
