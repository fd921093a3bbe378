//! History: append, pin a snapshot, scan, build training sets.

pub mod types;

mod append;
mod error;
mod log;
mod schema;
mod store;

pub use append::{Appended, BatchId, Commit};
pub use error::{Error, Result};
pub use log::{DataFile, History, Snapshot, TimeRange};
pub use schema::{
    COMMIT_SEQUENCE, COMMIT_TIME, CREATED, DELETED, EVENT, INGESTED, SEQUENCE, data_schema, history_schema,
};
pub use store::{Disk, DurableFileSystem, OfflineStore, RealDisk};
