//! One table's history, kept open between verbs: the log is read on from where it was, footers are read once.

use std::sync::{Arc, Mutex, PoisonError};

use hitherto_core::Table;
use hitherto_offline::{History, OfflineStore, PinnedTable};

use crate::Result;

#[derive(Debug)]
pub(crate) struct TableHistory {
    history: History,
    last: Mutex<Option<PinnedTable>>,
}

impl TableHistory {
    pub(crate) fn new(store: &OfflineStore, table: &Table) -> Result<Self> {
        Ok(Self { history: History::new(store, table.clone())?, last: Mutex::default() })
    }

    pub(crate) fn table(&self) -> &Table {
        self.history.table()
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Everything that is committed now. A table that nobody has written yet is empty.
    pub(crate) async fn pin(&self) -> Result<PinnedTable> {
        let snapshot = self.history.snapshot().await?;
        Ok(self.pin_up_to(&snapshot.files, snapshot.next_sequence - 1))
    }

    /// The table as it stood when `last_sequence` was its last row.
    pub(crate) async fn pin_at(&self, last_sequence: i64) -> Result<PinnedTable> {
        let snapshot = self.history.snapshot().await?;
        Ok(self.pin_up_to(&snapshot.files, last_sequence))
    }

    fn pin_up_to(&self, files: &[hitherto_offline::DataFile], last_sequence: i64) -> PinnedTable {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table().clone();
        let pinned = if let Some(known) = last.as_ref() {
            known.repinned(table, files, last_sequence)
        } else {
            PinnedTable::new(Arc::clone(self.history.store().store()), table, files, last_sequence)
        };
        *last = Some(pinned.clone());
        pinned
    }
}
