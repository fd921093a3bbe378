//! One table's history, kept open between verbs: the log is read on from where it was, footers are read once.

use std::sync::{Arc, Mutex, PoisonError};

use hitherto_core::Table;
use hitherto_offline::{History, OfflineStore, PinWatch, PinnedTable, Snapshot};

use crate::Result;
use crate::push::Pushes;

#[derive(Debug)]
pub(crate) struct TableHistory {
    history: History,
    last: Mutex<Option<PinnedTable>>,
    /// Pins that somebody may have, also from before the table was defined as it is now.
    pins: Arc<Mutex<Vec<PinWatch>>>,
    /// Who waits to append, or to see his rows online.
    pushes: Pushes,
}

impl TableHistory {
    pub(crate) fn new(store: &OfflineStore, table: &Table) -> Result<Self> {
        Ok(Self {
            history: History::new(store, table.clone())?,
            last: Mutex::default(),
            pins: Arc::default(),
            pushes: Pushes::new(),
        })
    }

    /// The same table as it is defined now. Who pinned it before reads on, and who compacts it is still at work.
    pub(crate) fn succeeded_by(&self, table: &Table) -> Result<Self> {
        Ok(Self {
            history: self.history.succeeded_by(table.clone())?,
            last: Mutex::default(),
            pins: Arc::clone(&self.pins),
            pushes: Pushes::new(),
        })
    }

    pub(crate) fn table(&self) -> &Table {
        self.history.table()
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    pub(crate) fn pushes(&self) -> &Pushes {
        &self.pushes
    }

    /// Everything that is committed now. A table that nobody has written yet is empty.
    pub(crate) async fn pin(&self) -> Result<PinnedTable> {
        let snapshot = self.history.snapshot().await?;
        Ok(self.pin_up_to(&snapshot, snapshot.next_sequence - 1))
    }

    /// The table as it stood when `last_sequence` was its last row; none where it has no such row any more.
    pub(crate) async fn pin_at(&self, last_sequence: i64) -> Result<Option<PinnedTable>> {
        let snapshot = self.history.snapshot().await?;
        Ok((last_sequence < snapshot.next_sequence).then(|| self.pin_up_to(&snapshot, last_sequence)))
    }

    fn pin_up_to(&self, snapshot: &Snapshot, last_sequence: i64) -> PinnedTable {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let table = self.table().clone();
        let files = &snapshot.files;
        let pinned = if let Some(known) = last.as_ref() {
            known.repinned(table, files, last_sequence)
        } else {
            PinnedTable::new(Arc::clone(self.history.store().store()), table, files, last_sequence)
        };
        *last = Some(pinned.clone());
        drop(last);
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| !pin.is_over());
        pins.push(pinned.watch());
        drop(pins);
        pinned.found_in(snapshot)
    }

    /// What somebody in this process has pinned.
    pub(crate) async fn pins(&self) -> Result<Vec<PinWatch>> {
        // what was pinned last is held here: it is to be the table as it is now
        self.pin().await?;
        Ok(self.pins.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::{Created, KeyType, Name, ValueType};

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    #[tokio::test]
    async fn pins_outlive_a_change_of_the_table() {
        let store = OfflineStore::open("memory:///", [("", ""); 0]).expect("a store");
        let table = Table {
            id: "t-1".to_owned(),
            view: name("t"),
            keys: vec![(name("k"), KeyType::Int64)],
            created: Created::Absent,
            columns: vec![(name("a"), ValueType::Int64)],
        };
        let before = TableHistory::new(&store, &table).expect("a history");
        let pinned = before.pin().await.expect("a pin");
        let mut grown = table;
        grown.columns.push((name("b"), ValueType::Int64));
        let after = before.succeeded_by(&grown).expect("a history");
        drop(before);
        assert_eq!(after.table(), &grown);
        // what its own last pin holds comes on top
        assert_eq!(after.pins().await.expect("pins").len(), 2);
        drop(pinned);
        assert_eq!(after.pins().await.expect("pins").iter().filter(|pin| !pin.is_over()).count(), 1);
    }
}
