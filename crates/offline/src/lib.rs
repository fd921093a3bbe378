//! History: append, pin a snapshot, scan, build training sets.

pub mod input;
pub mod types;

mod append;
mod compact;
mod encode;
mod erase;
mod error;
mod key_match;
mod log;
mod output;
mod scan;
mod schema;
mod store;
mod vacuum;
mod values;

pub use append::{Appended, BatchId, Commit, ReadyBatch};
pub use compact::{CompactOptions, Compacted, Compaction, Reach};
pub use erase::{Erased, Erasing, erasure_id};
pub use error::{Error, Result};
pub use key_match::KeyTrace;
pub use log::{
    Chronicle, DataFile, FileOrigin, FilesChecked, History, LoggedBatch, LoggedFile, Purged, Snapshot, TableErasure,
    TimeRange,
};
pub use output::{Judge, OutputLocation, Written, write_parquet};
pub use scan::{
    AVAILABLE, HistoryTable, Marks, PinWatch, PinnedTable, TableSource, available_column, changes_schema, descriptions,
    recovered, spine_of_batches, spine_of_input,
};
pub use schema::{
    COMMIT_SEQUENCE, COMMIT_TIME, CREATED, DELETED, DESCRIPTION, EVENT, INGESTED, SEQUENCE, data_schema, history_schema,
};
pub use store::{Disk, DurableFileSystem, FileBeside, OfflineStore, RealDisk};
pub use vacuum::{Sweep, Vacuumed};
pub use values::{ColumnReader, KeyReader, array_of, array_of_cells, key_array, key_at, value_at};
