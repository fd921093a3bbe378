//! `audit verify --history`: every file of history held against the hash that was recorded when it was written.

use std::sync::atomic::{AtomicU64, Ordering};

use hitherto_core::Name;
use hitherto_offline::FilesChecked;
use serde::Serialize;

use crate::compact::tables_of;
use crate::{Engine, Result};

/// What was found of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckedTable {
    /// The view whose rows it holds.
    pub view: Name,
    /// Its id.
    pub table: String,
    /// Its files.
    #[serde(flatten)]
    pub files: FilesChecked,
}

impl Engine {
    /// Read all files of all tables. `seen` is told how many bytes are read, and how many there are.
    pub async fn check_history(&self, seen: &(dyn Fn(u64, u64) + Send + Sync)) -> Result<Vec<CheckedTable>> {
        let catalog = self.registry().catalog().await?;
        let tables = tables_of(&catalog, &[])?;
        let mut total = 0;
        for table in &tables {
            let snapshot = self.history(table)?.history().snapshot().await?;
            total += snapshot.files.iter().map(|file| file.size_bytes).sum::<u64>();
        }
        let read = AtomicU64::new(0);
        let mut checked = Vec::new();
        for table in tables {
            let seen = |bytes| seen(read.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
            let files = self.history(table)?.history().check_files(&seen).await?;
            checked.push(CheckedTable { view: table.view.clone(), table: table.id.clone(), files });
        }
        Ok(checked)
    }
}
