//! What one query reads, each table as it stood when it was first asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use hitherto_core::{Catalog, Name, Timestamp};
use hitherto_offline::PinnedTable;
use tokio::sync::Mutex as AsyncMutex;

use crate::{Engine, Error, Result};

/// What a query reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    /// The query's now, once it is planned.
    pub(crate) asked_at: Option<Timestamp>,
    /// Of the feature views that it names: the latest version.
    pub(crate) views: BTreeMap<Name, u32>,
    /// Of tables, by their ids.
    pub(crate) tables: BTreeMap<String, TableRead>,
    /// The ids of the training sets.
    pub(crate) training_sets: BTreeSet<String>,
    /// What these had read, table by table, with the erasures that there were when they were read here.
    pub(crate) drawn: Vec<(String, TableRead)>,
}

/// What is read of a table.
#[derive(Clone, Debug)]
pub(crate) struct TableRead {
    /// The last `_sequence`.
    pub(crate) last_sequence: i64,
    /// The version of the log in which it was found.
    pub(crate) log_version: Option<u64>,
    /// The ids of what was erased from these rows before.
    pub(crate) erasures: Vec<String>,
}

impl TableRead {
    /// What is read of a table as it was pinned.
    pub(crate) fn of(pinned: &PinnedTable) -> Self {
        Self {
            last_sequence: pinned.last_sequence(),
            log_version: pinned.log_version(),
            erasures: pinned.erasures().iter().map(|erasure| erasure.id.clone()).collect(),
        }
    }
}

/// When a query is asked, and of how much history.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// The query's now: all of it has this one.
    pub(super) at: Timestamp,
    /// Per table that there is to the query: the last `_sequence`. None for all that is committed when it is asked.
    pub(super) tables: Option<BTreeMap<String, i64>>,
}

/// A query's tables: a table is pinned once, however often and under whatever name the query reads it.
#[derive(Debug)]
pub(super) struct QueryTables {
    engine: Engine,
    catalog: Arc<Catalog>,
    reads: Arc<Mutex<Reads>>,
    moment: Moment,
    pinned: AsyncMutex<BTreeMap<String, PinnedTable>>,
}

impl QueryTables {
    /// For one query at `moment`; what it reads is noted in `reads` when it is planned.
    pub(super) fn new(engine: Engine, catalog: Arc<Catalog>, reads: Arc<Mutex<Reads>>, moment: Moment) -> Self {
        Self { engine, catalog, reads, moment, pinned: AsyncMutex::default() }
    }

    /// The query's moment: all of it has this one.
    pub(super) fn now(&self) -> Timestamp {
        self.moment.at
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
        let history = self.engine.history(table)?;
        let found = match &self.moment.tables {
            None => history.pin().await?,
            Some(tables) => {
                let gone = |what: String| {
                    Error::NotFound(format!("could not ask the query again of what it saw: table '{id}' {what}"))
                };
                let last = tables.get(id).ok_or_else(|| gone("is not among those that it read then".to_owned()))?;
                let cut = || gone(format!("has no row with _sequence {last} any more: its history was dropped or cut"));
                history.pin_at(*last).await?.ok_or_else(cut)?
            }
        };
        let read = TableRead::of(&found);
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).tables.insert(id.to_owned(), read);
        pinned.insert(id.to_owned(), found.clone());
        Ok(found)
    }
}
