//! History: append, pin a snapshot, scan, build training sets.

pub mod types;

mod error;
mod schema;

pub use error::{Error, Result};
pub use schema::{
    COMMIT_SEQUENCE, COMMIT_TIME, CREATED, DELETED, EVENT, INGESTED, SEQUENCE, arrow_key_type, arrow_type, data_schema,
    history_schema, timestamp_type,
};
