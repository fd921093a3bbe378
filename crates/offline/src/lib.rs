//! History: append, pin a snapshot, scan, build training sets.

pub mod types;
