//! Verdicts on datasets as the registry remembers them.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What somebody who checked a training set's file found. Never changed; a later check is a verdict of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVerdict {
    /// The dataset's id.
    pub dataset: String,
    /// SHA-256, in hex, of the file that was checked.
    pub file_hash: String,
    /// Whether every row was proven.
    pub proven: bool,
    /// When.
    pub at: Timestamp,
    /// Who checked it.
    pub by: String,
    /// What was found, in full.
    pub report: serde_json::Value,
}
