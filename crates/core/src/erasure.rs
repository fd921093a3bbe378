//! Erasures as the registry tells them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Name, Timestamp};

/// That an entity was erased. Its key is nowhere in it: what is in the audit log can never be erased from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Its id: tables and datasets name it.
    pub id: String,
    /// The view whose rows went.
    pub view: Name,
    /// Per table of the view: how many rows went.
    pub tables: BTreeMap<String, u64>,
    /// Earlier erasures of the same key whose files were still there.
    pub earlier: BTreeSet<String>,
    /// When the files that still hold the rows may go.
    pub files_go_at: Timestamp,
}
