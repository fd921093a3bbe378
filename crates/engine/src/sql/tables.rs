//! What one query reads, each table as it stood when it was first asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hitherto_core::{Catalog, Timestamp};
use hitherto_offline::PinnedTable;
use tokio::sync::Mutex as AsyncMutex;

use crate::{Engine, Error, Result};

/// What a query reads of each table, by its id: the last `_sequence`, and the version of the log in which it was found.
pub(crate) type Reads = BTreeMap<String, (i64, Option<u64>)>;

/// A query's tables: a table is pinned once, however often and under whatever name the query reads it.
#[derive(Debug)]
pub(super) struct QueryTables {
    engine: Engine,
    catalog: Arc<Catalog>,
    reads: Arc<Mutex<Reads>>,
    now: Timestamp,
    pinned: AsyncMutex<BTreeMap<String, PinnedTable>>,
}

impl QueryTables {
    /// For one query at `now`; what it reads is noted in `reads` when it is planned.
    pub(super) fn new(engine: Engine, catalog: Arc<Catalog>, reads: Arc<Mutex<Reads>>, now: Timestamp) -> Self {
        Self { engine, catalog, reads, now, pinned: AsyncMutex::default() }
    }

    /// The query's moment: all of it has this one.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The table with this id.
    pub(super) async fn pin(&self, id: &str) -> Result<PinnedTable> {
        // held while the log is read: who wants the same table waits for it
        let mut pinned = self.pinned.lock().await;
        if let Some(known) = pinned.get(id) {
            return Ok(known.clone());
        }
        let table = self.catalog.tables.get(id);
        let table = table.ok_or_else(|| Error::internal("a query reads an unknown table", id.to_owned()))?;
        let now = self.engine.history(table)?.pin().await?;
        let read = (now.last_sequence(), now.log_version());
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), read);
        pinned.insert(id.to_owned(), now.clone());
        Ok(now)
    }
}
